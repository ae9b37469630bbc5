import { realpathSync, type Stats } from "node:fs";
import { dirname, isAbsolute, join, normalize, resolve } from "node:path";
import { StoreError } from "../../domain/errors.js";
import { isPresentable } from "../../domain/presentable.js";
import { isJsonObject } from "../../io/json-document.js";
import { readRegularFile } from "../../io/regular-file.js";
import { isAbsent, toStoreError } from "../../io/system-error.js";
import { refuseUntrustedFile } from "../../io/trusted-file.js";
import { parseJson5 } from "../json5.js";
import { MAX_CONFIG_DEPTH } from "./variables.js";

/** The key whose value names the files that stand in its object's place. */
const INCLUDE = "$include";
/** OpenClaw's own limits. */
const MAX_DEPTH = 10;
const MAX_FILE_BYTES = 2 * 1024 * 1024;
/** OpenClaw has none: files that include each other several times would be read millions of times. */
const MAX_LOADS = 1000;
const MAX_BYTES = 16 * 1024 * 1024;

/** OpenClaw merges none of these. */
const BLOCKED_KEYS = new Set(["__proto__", "constructor", "prototype"]);

/** A configuration with the files in it that it includes. */
export interface Included {
  readonly value: unknown;
  /** Every file that was, or would be, read. */
  readonly files: readonly string[];
  /** Places whose files cannot be read or understood, and why; they are left out of the value. */
  readonly failures: ReadonlyMap<string, StoreError>;
}

export interface IncludeOptions {
  /** The file of the configuration, as it is named: what it includes is relative to the name, not to what a link leads to. */
  readonly path: string;
  /** Directories beside its own that files may be in. */
  readonly roots: readonly string[];
}

/**
 * Puts in what a configuration includes, as OpenClaw does (openclaw/openclaw, src/config/includes.ts): one file replaces the
 * object, several are merged, what stands beside `$include` is merged over them; lists are joined.
 *
 * @returns a failure for a top-level key, or for "" where the whole configuration is concerned
 */
export async function withIncludes(config: unknown, options: IncludeOptions): Promise<Included> {
  const loader = new Loader(options);
  const failures = new Map<string, StoreError>();
  const attempt = async (key: string, read: () => Promise<unknown>): Promise<unknown> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      failures.set(key, error);
      return undefined;
    }
  };
  const file = { path: options.path, chain: [normalize(options.path)] };
  if (!isJsonObject(config) || INCLUDE in config) {
    const value = await attempt("", () => loader.within(config, file, 0));
    return { value, files: loader.files, failures };
  }
  // One by one: a file that is missing in a part that says nothing of agents hides no agent.
  const value: Record<string, unknown> = {};
  for (const [key, part] of entriesOf(config)) {
    const read = await attempt(key, () => loader.within(part, file, 1));
    if (!failures.has(key)) value[key] = read;
  }
  return { value, files: loader.files, failures };
}

interface IncludingFile {
  readonly path: string;
  /** The files on the way to it, itself included. */
  readonly chain: readonly string[];
}

class Loader {
  readonly files: string[] = [];
  readonly #directory: string;
  readonly #roots: readonly string[];
  readonly #parsed = new Map<string, { readonly value: unknown; readonly bytes: number }>();
  #loads = 0;
  #bytes = 0;

  constructor({ path, roots }: IncludeOptions) {
    this.#directory = normalize(dirname(path));
    this.#roots = [this.#directory, ...roots.map((root) => normalize(root))];
  }

  async within(value: unknown, file: IncludingFile, depth: number): Promise<unknown> {
    if (depth > MAX_CONFIG_DEPTH) throw malformed(`${file.path} is nested too deeply`);
    if (Array.isArray(value)) {
      const items: unknown[] = [];
      for (const item of value) items.push(await this.within(item, file, depth + 1));
      return items;
    }
    if (!isJsonObject(value)) return value;
    const { [INCLUDE]: include, ...siblings } = value;
    const rest: Record<string, unknown> = {};
    if (!(INCLUDE in value)) return this.#each(siblings, rest, file, depth);
    const included = await this.#included(include, file, depth);
    if (Object.keys(siblings).length === 0) return included;
    if (!isJsonObject(included)) throw malformed(`${file.path} has keys beside ${INCLUDE}, and what it includes is no object`);
    return merged(included, await this.#each(siblings, rest, file, depth), depth);
  }

  async #each(
    from: Readonly<Record<string, unknown>>,
    to: Record<string, unknown>,
    file: IncludingFile,
    depth: number,
  ): Promise<Record<string, unknown>> {
    for (const [key, value] of entriesOf(from)) to[key] = await this.within(value, file, depth + 1);
    return to;
  }

  async #included(include: unknown, file: IncludingFile, depth: number): Promise<unknown> {
    if (typeof include === "string") return this.#load(include, file, depth);
    if (!Array.isArray(include)) throw malformed(`${file.path} has an ${INCLUDE} that names no file`);
    let value: unknown = {};
    for (const name of include as readonly unknown[]) {
      if (typeof name !== "string") throw malformed(`${file.path} has an ${INCLUDE} that names no file`);
      value = merged(value, await this.#load(name, file, depth), depth);
    }
    return value;
  }

  async #load(name: string, { path: from, chain }: IncludingFile, depth: number): Promise<unknown> {
    if (!isPresentable(name)) throw malformed(`${from} includes a file with a name that cannot be shown`);
    const path = isAbsolute(name) ? normalize(name) : resolve(dirname(from), name);
    const what = `${from} includes ${path}`;
    const isAllowed = (place: string, real: boolean): boolean =>
      this.#roots.some((root) => isInside(place, real ? realPathOf(root) : root));
    if (!isAllowed(path, false)) throw outside(what, this.#directory);
    this.files.push(path);
    if (chain.includes(path)) throw malformed(`${what}, which includes it in turn`);
    if (chain.length > MAX_DEPTH) throw malformed(`${what}, more than ${String(MAX_DEPTH)} files deep`);
    this.#loads += 1;
    if (this.#loads > MAX_LOADS) throw malformed(`${from} includes files more than ${String(MAX_LOADS)} times`);
    if (!isAllowed(realPathOf(path), true)) throw outside(`${what}, a link`, this.#directory);
    const { value, bytes } = this.#parsed.get(path) ?? (await this.#parse(path, what));
    this.#bytes += bytes;
    if (this.#bytes > MAX_BYTES) throw malformed(`${from} includes more than ${String(MAX_BYTES)} bytes`);
    return this.within(value, { path, chain: [...chain, path] }, depth);
  }

  async #parse(path: string, what: string): Promise<{ readonly value: unknown; readonly bytes: number }> {
    const file = await readRegularFile(path, MAX_FILE_BYTES, refuseUntrustedInclude);
    if (file === null) throw new StoreError("malformed", `${what}, which is not there`, "put it back, or take the $include out");
    const parsed = { value: await parseJson5(file.text, path), bytes: file.bytes };
    this.#parsed.set(path, parsed);
    return parsed;
  }
}

/** OpenClaw takes no file with a second name, which might be outside of where files may be. */
function refuseUntrustedInclude(path: string, stat: Stats): void {
  if (stat.nlink > 1) {
    const reason = `${path} has a second name (a hard link), and OpenClaw includes no such file`;
    throw new StoreError("malformed", reason, "put a copy in its place");
  }
  refuseUntrustedFile(path, stat);
}

/** The key by which an object would get another prototype names no setting. */
function entriesOf(value: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(value).filter(([key]) => key !== "__proto__");
}

/** Objects key by key, lists one behind the other, anything else from above. */
function merged(below: unknown, above: unknown, depth: number): unknown {
  if (depth > MAX_CONFIG_DEPTH) throw malformed("openclaw.json is nested too deeply");
  if (Array.isArray(below) && Array.isArray(above)) return [...(below as unknown[]), ...(above as unknown[])];
  if (!isJsonObject(below) || !isJsonObject(above)) return above;
  const mergeable = (value: Readonly<Record<string, unknown>>): [string, unknown][] =>
    Object.entries(value).filter(([key]) => !BLOCKED_KEYS.has(key));
  const result = Object.fromEntries(mergeable(below));
  for (const [key, value] of mergeable(above)) result[key] = key in result ? merged(result[key], value, depth + 1) : value;
  return result;
}

/** Resolves the links of a path, as far as it exists. */
function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (!isAbsent(error)) throw toStoreError(error, path, "read");
    return dirname(path) === path ? path : join(realPathOf(dirname(path)), path.slice(path.lastIndexOf("/") + 1));
  }
}

function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}

function outside(what: string, directory: string): StoreError {
  return malformed(`${what}, which is outside of ${directory} and of OPENCLAW_INCLUDE_ROOTS`);
}

function malformed(reason: string): StoreError {
  return new StoreError("malformed", reason, "OpenClaw does not take it either; check it with: openclaw doctor");
}
