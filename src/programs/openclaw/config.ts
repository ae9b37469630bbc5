import { dirname, join, resolve } from "node:path";
import type { Clock } from "../../domain/clock.js";
import { StoreError } from "../../domain/errors.js";
import { isPresentable } from "../../domain/presentable.js";
import { isJsonObject } from "../../io/json-document.js";
import { realPathIfKnown } from "../../io/real-path.js";
import { isThere, readRegularBytes, readRegularFile } from "../../io/regular-file.js";
import { refuseUntrustedFile } from "../../io/trusted-file.js";
import { expandHome, variable, type Environment } from "../environment.js";
import { parseJson5 } from "../json5.js";
import { withIncludes } from "./includes.js";
import { isVariable, MAX_CONFIG_DEPTH, substituted, variablesIn, type Variables } from "./variables.js";

/** Names that OpenClaw's state directory had before, which it still uses where only they exist. */
const LEGACY_STATE_DIRECTORIES = [".clawdbot", ".moldbot", ".moltbot"];
export const CONFIG_FILE = "openclaw.json";
/** Names that the file had before. */
const LEGACY_CONFIG_FILES = ["clawdbot.json", "moldbot.json", "moltbot.json"];
const MAX_DOTENV_BYTES = 1024 * 1024;
const EMPTY_IS_NEW_MS = 5_000;
const SAVED_WITHIN_MS = 500;
const POLL_MS = 20;

/** Variables that choose which files an OpenClaw has; the older names of them up to 2026.3. */
const SELECTORS = [
  "OPENCLAW_HOME",
  "OPENCLAW_STATE_DIR",
  "CLAWDBOT_STATE_DIR",
  "OPENCLAW_CONFIG_PATH",
  "CLAWDBOT_CONFIG_PATH",
] as const;
/** Variables of this process that are one OpenClaw's alone, and not those of another one that a target names. */
const OF_ONE_GATEWAY = ["OPENCLAW_CONFIG_PATH", "CLAWDBOT_CONFIG_PATH", "OPENCLAW_GATEWAY_PORT", "CLAWDBOT_GATEWAY_PORT"];

export interface ConfigProblem {
  readonly path: string;
  readonly error: StoreError;
}

/** The configuration of one OpenClaw, with everything that decides what it says. */
export interface OpenclawConfig {
  readonly stateDirectory: string;
  /** The directory that OpenClaw takes for the home, in its configuration too. */
  readonly home: string;
  /** The same by the variables of this process alone. */
  readonly givenHome: string;
  /** True if OpenClaw's own files name the state directory, and not the variables of this process. */
  readonly isMoved: boolean;
  /** The configuration file that counts; it may not exist. */
  readonly path: string;
  /** True if a variable names it. */
  readonly isNamed: boolean;
  /** The text of that file; null if it does not exist. */
  readonly text: string | null;
  /** The value with all files that it includes, before variables are put in; empty if it cannot be understood. */
  readonly value: Readonly<Record<string, unknown>>;
  /** The version that last wrote it; another one may run. */
  readonly versionHint: string | null;
  /** The variables of its process, as far as its files and this process know them. */
  readonly variables: Variables;
  /** True if all files of variables were readable. Otherwise credsyncd may take another OpenClaw's files for this one's. */
  readonly isLocated: boolean;
  /** The reason why it cannot be understood, as a whole or in a part. */
  readonly problem: ConfigProblem | null;
  /** The top-level keys that cannot be understood; null if none can. */
  readonly unknown: ReadonlySet<string> | null;
  /** Files whose change may change any of this. */
  readonly files: readonly string[];
}

/**
 * Reads the configuration of an OpenClaw by its own rules.
 *
 * @param configured the state directory that a target names; null for the usual OpenClaw
 */
export async function readOpenclawConfig(environment: Environment, configured: string | null): Promise<OpenclawConfig> {
  const own = { ...environment.variables, HOME: environment.home };
  const { clock } = environment;
  const usual = await readWith(own, clock);
  if (configured === null) return withLinked(usual);
  const stateDirectory = resolve(expandHome(configured, homeIn(own)));
  if (isSamePlace(stateDirectory, usual.stateDirectory)) return withLinked({ ...usual, stateDirectory });
  const profile = profileOf(stateDirectory, usual.home);
  const variables = profile === null ? foreignVariables(own) : profileVariables(own, profile);
  return withLinked(await readWith({ ...variables, OPENCLAW_STATE_DIR: stateDirectory }, clock));
}

/** A file behind a link changes where it is. */
function withLinked(config: OpenclawConfig): OpenclawConfig {
  return { ...config, files: [...new Set(config.files.flatMap((file) => [file, realPathIfKnown(file)]))] };
}

/** The profile whose state directory this is; null for any other directory. */
export function profileOf(stateDirectory: string, home: string): string | null {
  const prefix = join(home, ".openclaw-");
  const name = stateDirectory.startsWith(prefix) ? stateDirectory.slice(prefix.length) : "";
  return /^[a-z0-9][a-z0-9_-]{0,63}$/i.test(name) ? name : null;
}

/** The variables that `openclaw --profile` runs with. */
export function profileVariables(own: Variables, profile: string): Record<string, string | undefined> {
  return { ...withoutGateway(own), OPENCLAW_PROFILE: profile };
}

/** This process's variables without those that are of one OpenClaw alone. */
export function withoutGateway(own: Variables): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(own).filter(([name]) => !OF_ONE_GATEWAY.includes(name)));
}

/** An OpenClaw elsewhere, as in a container, does not have this process's variables, which may be secret. */
function foreignVariables({ HOME, OPENCLAW_HOME }: Variables): Record<string, string | undefined> {
  return { HOME, ...(OPENCLAW_HOME === undefined ? {} : { OPENCLAW_HOME }) };
}

async function readWith(given: Variables, clock: Clock): Promise<OpenclawConfig> {
  const givenHome = homeIn(given);
  const givenState = stateDirectoryIn(given, givenHome);
  let place = await locate(given, clock);
  for (;;) {
    const read = await readAt(place);
    const config = { ...read, givenHome, isLocated: place.problem === null, versionHint: versionIn(read.value) };
    const isMovedTo = (stateDirectory: string): boolean => stateDirectory !== givenState;
    const block = [...variablesIn(config.value)].filter(
      ([name, value]) => valueOf(place.variables, name) === null && (!isSelector(name) || isPresentable(value)),
    );
    const variables = { ...place.variables, ...Object.fromEntries(block) };
    if (!block.some(([name]) => isSelector(name))) {
      return { ...config, variables, isMoved: isMovedTo(place.stateDirectory) };
    }
    // OpenClaw goes by its own `env` block from then on. Up to 2026.3 the file stays the same one.
    const next = await locate(variables, clock);
    const files = [...new Set([...config.files, ...next.files])];
    if (next.path === place.path || !mayBeThere(next.path)) {
      const { stateDirectory, home } = next;
      return { ...config, stateDirectory, home, variables: next.variables, files, isMoved: isMovedTo(stateDirectory) };
    }
    place = { ...next, files };
  }
}

interface Whereabouts {
  readonly variables: Variables;
  readonly home: string;
  readonly stateDirectory: string;
  readonly path: string;
  /** True if a variable names the configuration file. */
  readonly isNamed: boolean;
  readonly files: readonly string[];
  readonly problem: ConfigProblem | null;
}

/** Goes by the variables, and by the files of variables that they lead to, until these lead nowhere else. */
async function locate(given: Variables, clock: Clock): Promise<Whereabouts> {
  let variables = { ...given };
  let problem: ConfigProblem | null = null;
  const files = new Set<string>();
  for (;;) {
    const home = homeIn(variables);
    const stateDirectory = stateDirectoryIn(variables, home);
    const unread = dotenvFiles(variables, home, stateDirectory).filter((file) => !files.has(file));
    if (unread.length === 0) {
      const path = configPathIn(variables, home, stateDirectory);
      return { variables, home, stateDirectory, ...path, files: [...files, ...path.files], problem };
    }
    for (const path of unread) {
      files.add(path);
      const read = await readDotenv(path, clock);
      if (read instanceof StoreError) problem ??= { path, error: read };
      // A variable that is set stays, even if it is empty.
      else variables = { ...read, ...withoutUndefined(variables) };
    }
  }
}

/** The files of variables that OpenClaw trusts, the first one before the next (openclaw/openclaw, src/infra/dotenv-global.ts). */
function dotenvFiles(variables: Variables, home: string, stateDirectory: string): string[] {
  const stateFile = join(stateDirectory, ".env");
  const isMoved = valueOf(variables, "OPENCLAW_STATE_DIR") !== null;
  const config = isMoved ? null : namedConfig(variables, home);
  const isUsual = !isMoved || stateDirectory === join(home, ".openclaw");
  return [
    stateFile,
    ...(config === null ? [] : [join(dirname(config), ".env")]),
    ...(isUsual ? [join(home, ".config", "openclaw", "gateway.env")] : []),
  ];
}

/** @returns no variables where there is no such file; why they cannot be known where it must not, or cannot, be read */
async function readDotenv(path: string, clock: Clock): Promise<Record<string, string> | StoreError> {
  try {
    const bytes = await dotenvBytes(path, clock);
    if (bytes === null) return {};
    const { parse } = await import("dotenv");
    const variables = Object.entries(parse(bytes)).filter(([name, value]) => isVariable(name, value));
    for (const [name, value] of variables) {
      if (!isSelector(name) || isPresentable(value)) continue;
      const what = `${path}: ${name} is no path that can be shown`;
      throw new StoreError("malformed", what, "correct it; OpenClaw's files cannot be known until then");
    }
    return Object.fromEntries(variables);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    // OpenClaw passes over these, too.
    return error.code === "not-a-file" || error.code === "too-large" ? {} : error;
  }
}

/** An empty file is read again for a moment: an editor that saves in place empties it first. */
async function dotenvBytes(path: string, clock: Clock): Promise<Buffer | null> {
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const file = readRegularBytes(path, MAX_DOTENV_BYTES, (stat) => {
      refuseUntrustedFile(path, stat);
    });
    const isNew = file?.bytes.length === 0 && clock.now() - file.stat.mtimeMs < EMPTY_IS_NEW_MS;
    if (!isNew || waitedMs >= SAVED_WITHIN_MS) return file?.bytes ?? null;
    await clock.sleep(POLL_MS, new AbortController().signal);
  }
}

function isSelector(name: string): boolean {
  return (SELECTORS as readonly string[]).includes(name);
}

function withoutUndefined(variables: Variables): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

function valueOf(variables: Variables, name: string): string | null {
  const value = variables[name]?.trim();
  return value === undefined || value === "" ? null : value;
}

/** OpenClaw's own rule (openclaw/openclaw, src/infra/home-dir.ts). */
function homeIn(variables: Variables): string {
  const home = variables["HOME"] ?? "/";
  const named = valueOf(variables, "OPENCLAW_HOME");
  return resolve(named === null || named === "undefined" || named === "null" ? home : expandHome(named, home));
}

function stateDirectoryIn(variables: Variables, home: string): string {
  const named = valueOf(variables, "OPENCLAW_STATE_DIR") ?? valueOf(variables, "CLAWDBOT_STATE_DIR");
  if (named !== null) return resolve(expandHome(named, home));
  return usualDirectories(home).find(mayBeThere) ?? join(home, ".openclaw");
}

function usualDirectories(home: string): string[] {
  return [".openclaw", ...LEGACY_STATE_DIRECTORIES].map((name) => join(home, name));
}

function namedConfig(variables: Variables, home: string): string | null {
  const named = valueOf(variables, "OPENCLAW_CONFIG_PATH") ?? valueOf(variables, "CLAWDBOT_CONFIG_PATH");
  return named === null ? null : resolve(expandHome(named, home));
}

function configPathIn(
  variables: Variables,
  home: string,
  stateDirectory: string,
): { readonly path: string; readonly isNamed: boolean; readonly files: readonly string[] } {
  const named = namedConfig(variables, home);
  if (named !== null) return { path: named, isNamed: true, files: [named] };
  const isMoved = (valueOf(variables, "OPENCLAW_STATE_DIR") ?? valueOf(variables, "CLAWDBOT_STATE_DIR")) !== null;
  const directories = new Set([stateDirectory, ...(isMoved ? [] : usualDirectories(home))]);
  const candidates = [...directories].flatMap((directory) =>
    [CONFIG_FILE, ...LEGACY_CONFIG_FILES].map((name) => join(directory, name)),
  );
  const usual = join(stateDirectory, CONFIG_FILE);
  const path = candidates.find(mayBeThere) ?? usual;
  return { path, isNamed: false, files: [...new Set([usual, path])] };
}

/** Whatever cannot be read is there. */
function mayBeThere(path: string): boolean {
  try {
    return isThere(path);
  } catch (error) {
    if (error instanceof StoreError) return true;
    throw error;
  }
}

type ConfigAt = Omit<OpenclawConfig, "givenHome" | "isMoved" | "isLocated" | "versionHint">;

async function readAt(place: Whereabouts): Promise<ConfigAt> {
  const { path, isNamed, variables, home } = place;
  const none = { ...place, text: null, value: {}, unknown: null };
  try {
    const file = await readRegularFile(path, undefined, (name, stat) => {
      refuseUntrustedFile(name, stat);
    });
    if (file === null && isNamed) throw notThere(path);
    if (file === null) return { ...none, unknown: place.problem === null ? new Set() : null };
    const parsed = await parseJson5(file.text, path);
    // Most files have no includes, and every scan reads them.
    if (!/include|\\[ux]/i.test(file.text)) return checked({ ...place, text: file.text, value: parsed, failures: new Map() });
    const included = await withIncludes(parsed, { path, roots: includeRoots(variables, home) });
    return checked({ ...place, ...included, text: file.text, files: [...place.files, ...included.files] });
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { ...none, problem: { path, error } };
  }
}

/** Only what is built like a version is shown: the file is another program's, and may say anything. */
function versionIn({ meta }: OpenclawConfig["value"]): string | null {
  const version = isJsonObject(meta) ? meta["lastTouchedVersion"] : null;
  return typeof version === "string" && /^\d[\w.+-]{0,39}$/.test(version) ? version : null;
}

interface Read extends Whereabouts {
  readonly text: string;
  readonly value: unknown;
  readonly failures: ReadonlyMap<string, StoreError>;
}

/** A variable decides in any part of it, so that without all files of variables nothing is known. */
function checked({ value, failures, problem, ...read }: Read): ConfigAt {
  const [failure] = failures.values();
  const whole = failures.get("") ?? (isJsonObject(value) ? null : noObject(read.path));
  const error = whole ?? failure ?? null;
  const isLost = whole !== null || problem !== null || failures.has("env");
  return {
    ...read,
    value: isJsonObject(value) ? value : {},
    problem: problem ?? (error === null ? null : { path: read.path, error }),
    unknown: isLost ? null : new Set(failures.keys()),
  };
}

function notThere(path: string): StoreError {
  const hint = "put it back, or correct the variable; the agents that are known are served meanwhile";
  return new StoreError("malformed", `OPENCLAW_CONFIG_PATH names ${path}, and there is no such file`, hint);
}

function noObject(path: string): StoreError {
  return new StoreError("malformed", `${path} has another shape than OpenClaw gives it`, "check it with: openclaw doctor");
}

function includeRoots(variables: Variables, home: string): string[] {
  const roots = (valueOf(variables, "OPENCLAW_INCLUDE_ROOTS") ?? "").split(":").map((root) => root.trim());
  return roots.filter((root) => root !== "").map((root) => resolve(expandHome(root, home)));
}

function isSamePlace(one: string, other: string): boolean {
  return one === other || realPathIfKnown(one) === realPathIfKnown(other);
}

/** A part of the configuration with variables put into every text; those that are not set stay as they are written. */
export function partOf({ value, variables }: OpenclawConfig, key: string): unknown {
  const within = (part: unknown, depth: number): unknown => {
    if (depth > MAX_CONFIG_DEPTH) return undefined;
    if (typeof part === "string") return substituted(part, variables).text;
    if (Array.isArray(part)) return part.map((item) => within(item, depth + 1));
    if (!isJsonObject(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([name, item]) => [name, within(item, depth + 1)]));
  };
  return within(value[key], 0);
}

/**
 * The variables of this process that the agents' ids and directories of the usual OpenClaw depend on, for a service, which
 * does not start from a shell.
 *
 * @returns only values that may be shown
 */
export async function variablesOfAgents(environment: Environment): Promise<Record<string, string>> {
  const { value, variables } = await readOpenclawConfig(environment, null);
  const agents = isJsonObject(value["agents"]) ? value["agents"] : {};
  const each = [...valuesOf(agents["list"]), ...valuesOf(agents["entries"])].filter(isJsonObject);
  const texts = each.flatMap(({ id, agentDir }) => [id, agentDir]).filter((text) => typeof text === "string");
  const names = texts.flatMap((text) => substituted(text, variables).used);
  return Object.fromEntries(
    [...new Set(names)].sort().flatMap((name) => {
      const own = variable(environment, name);
      return own === null || name === "HOME" || !isPresentable(own) ? [] : [[name, own] as const];
    }),
  );
}

function valuesOf(value: unknown): unknown[] {
  return Array.isArray(value) || isJsonObject(value) ? Object.values(value) : [];
}
