import { rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StoreError } from "../../domain/errors.js";
import type { FieldChange, Choice, ChoiceStore, Side, StagedChoice } from "../../domain/choice.js";
import type { Place } from "../../domain/place.js";
import type { Revision, StoreName } from "../../domain/store.js";
import { stageFile, type StagedFile } from "../../io/atomic-file.js";
import { takeOwnerLock } from "../../io/owner-lock.js";
import { realPathOf } from "../../io/real-path.js";
import { isUnchanged, readRegularFile, type FileReader, type RegularFile } from "../../io/regular-file.js";
import { isAbsent, toStoreError } from "../../io/system-error.js";
import { GuardedPath, refuseOutside, unconfined, type Confinement } from "../confinement.js";
import type { Environment } from "../environment.js";
import { LOCK_STALE_MS, LOCK_WAIT_MS, PROFILES_FILE, STATE_FILE } from "./json.js";
import { readChoice, choiceRevision, textsTowards, type ChoiceTexts } from "./choice.js";
import { holdRefreshLocks, refreshedByChanges } from "./choice-locks.js";
import { parseOrTorn, readWhole } from "../torn.js";

/** A change takes three files at most: profiles that come, the notes, profiles that go. */
const MOST_STEPS = 3;

/**
 * The choice of an agent of OpenClaw up to 2026.6.1: in `auth-state.json` if it exists, else beside the profiles, which every
 * version reads. It creates and removes no file.
 */
export class OpenclawJsonChoice implements ChoiceStore {
  readonly format = "openclaw-json";
  readonly name: StoreName;
  readonly path: string;
  readonly stateDirectory: string;
  readonly #environment: Environment;
  readonly #confinement: Confinement;
  #isHeld = false;

  /** @param path the agent's `auth-profiles.json` */
  constructor(
    name: StoreName,
    path: string,
    stateDirectory: string,
    environment: Environment,
    confinement: Confinement = unconfined,
  ) {
    this.#confinement = confinement;
    this.name = name;
    this.path = path;
    this.stateDirectory = stateDirectory;
    this.#environment = environment;
  }

  places(): readonly Place[] {
    return this.#confinement.placesAt(this.path);
  }

  async readChoice(): Promise<Choice> {
    const read = (files: FileReader): Promise<Files> => this.#read(files);
    const { texts, profiles } = await readWhole(this.#environment, read, (files) => files.profiles);
    if (profiles !== null) parseOrTorn(profiles, this.path, this.#environment.clock);
    return readChoice(texts, profiles?.identity ?? null, this.#environment.clock.now());
  }

  async stage(changes: readonly FieldChange[], side: Side, expected: Revision, tag: string): Promise<StagedChoice | null> {
    const read = await this.#read();
    if (choiceRevision(read.texts) !== expected) throw this.#conflict();
    const steps = textsTowards(read.texts, changes, side);
    if (steps.length === 0) return null;
    const writes = await this.#stageAll(read, steps, tag);
    const discard = (): Promise<void> => {
      for (const { staged } of writes) staged.discard();
      return Promise.resolve();
    };
    return {
      commit: async (signal) => {
        try {
          return await this.#locked(changes, signal, () => this.#commit(writes, expected, steps));
        } catch (error) {
          throw toStoreError(error, this.path, "write");
        } finally {
          await discard();
        }
      },
      isCurrent: async () => choiceRevision((await this.#read()).texts) === expected,
      discard,
    };
  }

  async hold(changes: readonly FieldChange[]): Promise<() => Promise<void>> {
    const profiles = refreshedByChanges(changes, this.path);
    // Whoever does not wait has given up already.
    const signal = AbortSignal.abort();
    try {
      const releaseRefresh = await holdRefreshLocks(this.stateDirectory, profiles, this.#environment, signal);
      const release = await this.#takeLock(0, signal).catch(async (error: unknown) => {
        await releaseRefresh();
        throw error;
      });
      this.#isHeld = true;
      return async () => {
        this.#isHeld = false;
        release();
        await releaseRefresh();
      };
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  async sweep(tag: string): Promise<void> {
    try {
      for (const path of [this.path, this.#statePath]) {
        const real = realPathOf(path);
        for (let step = 0; step < MOST_STEPS; step++) await rm(temporaryName(real, tag, step), { force: true });
      }
    } catch (error) {
      if (!isAbsent(error)) throw toStoreError(error, this.path, "write");
    }
  }

  get #statePath(): string {
    return join(dirname(this.path), STATE_FILE);
  }

  async #read(files: FileReader = { read: readRegularFile }): Promise<Files> {
    const [profiles, state] = [await files.read(this.path), await files.read(this.#statePath)];
    new GuardedPath(this.path, this.#confinement).judge(profiles?.realPath ?? null);
    if (state !== null) new GuardedPath(this.#statePath, this.#confinement).judge(state.realPath);
    return {
      profiles,
      state,
      texts: {
        profiles: profiles?.text ?? null,
        state: state?.text ?? null,
        keepsStateApart: state !== null,
        paths: { profiles: this.path, state: this.#statePath },
      },
    };
  }

  /** Each step writes one of the two files. */
  async #stageAll(read: Files, steps: readonly ChoiceTexts[], tag: string): Promise<Write[]> {
    const writes: Write[] = [];
    let previous = read.texts;
    try {
      for (const [index, step] of steps.entries()) {
        const what = step.profiles === previous.profiles ? "state" : "profiles";
        const [file, text, before] = [read[what], step[what], previous[what]];
        if (file === null || text === null || before === null) throw this.#conflict();
        const temporary = temporaryName(file.realPath, tag, index);
        const staged = await stageFile({ path: file.realPath, temporary, discard }, text);
        writes.push({ path: what === "profiles" ? this.path : this.#statePath, realPath: file.realPath, before, staged });
        previous = step;
      }
      return writes;
    } catch (error) {
      for (const { staged } of writes) staged.discard();
      throw toStoreError(error, this.path, "write");
    }
  }

  async #commit(writes: readonly Write[], expected: Revision, steps: readonly ChoiceTexts[]): Promise<Revision> {
    if (choiceRevision((await this.#read()).texts) !== expected) throw this.#conflict();
    for (const { path, realPath, before, staged } of writes) {
      const file = await readRegularFile(path);
      // Some commands of OpenClaw write without taking the lock (`models auth paste-token` of 2026.3.11).
      // A link may have been put in the way since it was staged.
      const isUntouched = (): boolean => realPathOf(path) === realPath && isUnchanged(path, file);
      if (file?.text !== before || file.realPath !== realPath || !(await staged.put(isUntouched))) throw this.#conflict();
    }
    const revision = choiceRevision((await this.#read()).texts);
    const last = steps.at(-1);
    if (last === undefined || revision !== choiceRevision(last)) throw this.#conflict();
    return revision;
  }

  async #locked<Result>(changes: readonly FieldChange[], signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    if (this.#isHeld) return action();
    const profiles = refreshedByChanges(changes, this.path);
    const releaseRefresh = await holdRefreshLocks(this.stateDirectory, profiles, this.#environment, signal);
    try {
      const release = await this.#takeLock(LOCK_WAIT_MS, signal);
      try {
        return await action();
      } finally {
        release();
      }
    } finally {
      await releaseRefresh();
    }
  }

  /** OpenClaw's lock on the profiles guards the notes beside them too. */
  #takeLock(waitMs: number, signal: AbortSignal): Promise<() => void> {
    const lock = join(realPathOf(dirname(this.path)), `${PROFILES_FILE}.lock`);
    refuseOutside(lock, this.#confinement);
    const { clock, predecessors } = this.#environment;
    return takeOwnerLock(lock, { staleMs: LOCK_STALE_MS, waitMs, clock, predecessors }, signal);
  }

  #conflict(): StoreError {
    return new StoreError("conflict", `${this.name} in ${dirname(this.path)} changed meanwhile`, "try again in a moment");
  }
}

interface Files {
  readonly profiles: RegularFile | null;
  readonly state: RegularFile | null;
  readonly texts: ChoiceTexts;
}

interface Write {
  readonly path: string;
  /** The real path at the time when the new text was staged. */
  readonly realPath: string;
  /** The text to replace. */
  readonly before: string;
  readonly staged: StagedFile;
}

/** One that fails leaves the switch in the journal, and whoever ends that sweeps. */
function discard(temporary: string): void {
  rmSync(temporary, { force: true });
}

function temporaryName(path: string, tag: string, step: number): string {
  return `${path}.${tag}-${String(step)}.tmp`;
}
