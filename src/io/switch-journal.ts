import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { isTime } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import { Secret } from "../domain/secret.js";
import type { FieldChange, SwitchJournal, SwitchRecord } from "../domain/choice.js";
import { readOwnText, removeOwnLeftovers, replaceOwnFile, toOwnFailure } from "./own-file.js";
import { makePrivateDirectory } from "./private-directory.js";
import { isAbsent, toStoreError } from "./system-error.js";
import type { Leftovers } from "./temporary-file.js";

const NAME = /^switch-[\w-]+\.json$/;
const VERSION = 1;
/** The remedy for a journal that cannot be read. */
const LOOK = "move it away, and look at every agent: credsyncd status";

const imageShape = z.nullable(z.string());
const changeShape = z.object({
  path: z.array(z.string()),
  before: imageShape,
  after: imageShape,
  copiedFrom: z.nullable(z.string()),
  next: z.nullable(z.string()),
});
const placeShape = z.object({ name: z.string(), format: z.string(), path: z.string(), stateDirectory: z.string() });
const recordShape = z.object({
  version: z.literal(VERSION),
  id: z.string().check(z.regex(/^[\w-]+$/)),
  at: z.number().check(z.refine(isTime)),
  phase: z.enum(["prepared", "committing", "undoing"]),
  provider: z.string(),
  profile: z.string(),
  donor: z.nullable(placeShape),
  parts: z.array(z.object({ place: placeShape, changes: z.array(changeShape) })),
});

/**
 * Switches that are under way, a private file each (`journal/switch-<id>.json`). It holds the profiles that a switch
 * removes or copies, and is removed when every store is on one side.
 */
export class SwitchJournalFile implements SwitchJournal {
  readonly #directory: string;
  readonly #leftovers: Leftovers;

  constructor(directory: string, leftovers: Leftovers) {
    this.#directory = directory;
    this.#leftovers = leftovers;
  }

  async write(record: SwitchRecord): Promise<void> {
    try {
      await makePrivateDirectory(this.#directory);
      await replaceOwnFile(this.#pathOf(record.id), `${JSON.stringify(toFile(record))}\n`, this.#leftovers);
    } catch (error) {
      const failure = toStoreError(error, this.#directory, "write");
      const code = failure.code === "permission" ? "permission" : "general";
      throw new Failure(
        code,
        failure.message,
        "free space and check its directory: nothing is switched without the journal",
        error,
      );
    }
  }

  async isEmpty(): Promise<boolean> {
    return !(await this.#names()).some((name) => name.startsWith("switch-"));
  }

  sweep(): void {
    removeOwnLeftovers(this.#directory, this.#leftovers);
  }

  async list(): Promise<SwitchRecord[]> {
    const records: SwitchRecord[] = [];
    for (const name of (await this.#names()).filter((each) => NAME.test(each))) {
      const record = this.#read(join(this.#directory, name));
      if (record !== null) records.push(record);
    }
    return records.sort((left, right) => left.at - right.at);
  }

  async drop(id: string): Promise<void> {
    try {
      await unlink(this.#pathOf(id));
    } catch (error) {
      if (!isAbsent(error)) throw toStoreError(error, this.#pathOf(id), "write");
    }
  }

  #pathOf(id: string): string {
    return join(this.#directory, `switch-${id}.json`);
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw toOwnFailure(error, this.#directory, LOOK);
    }
  }

  /** @returns null where another process has just finished it */
  #read(path: string): SwitchRecord | null {
    try {
      const text = readOwnText(path);
      if (text === null) return null;
      const parsed = recordShape.safeParse(JSON.parse(text));
      if (parsed.success) return fromFile(parsed.data);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw toOwnFailure(error, path, LOOK);
    }
    throw new Failure(
      "bad-data",
      `${path} is not a journal that this version understands`,
      "run the version that wrote it, or move it away and look at every agent: credsyncd status",
    );
  }
}

function toFile(record: SwitchRecord): z.infer<typeof recordShape> {
  const { id, at, phase, provider, profile, donor } = record;
  const parts = record.parts.map(({ place, changes }) => ({
    place: { ...place },
    changes: changes.map(({ path, before, after, copiedFrom, next }) => ({
      path: [...path],
      before: before?.reveal() ?? null,
      after: after?.reveal() ?? null,
      copiedFrom,
      next,
    })),
  }));
  return { version: VERSION, id, at, phase, provider, profile, donor, parts };
}

function fromFile({ id, at, phase, provider, profile, donor, parts }: z.infer<typeof recordShape>): SwitchRecord {
  const secret = (text: string | null): Secret | null => (text === null ? null : new Secret(text));
  return {
    id,
    at,
    phase,
    provider,
    profile,
    donor,
    parts: parts.map(({ place, changes }) => ({
      place,
      changes: changes.map((change): FieldChange => ({ ...change, before: secret(change.before), after: secret(change.after) })),
    })),
  };
}
