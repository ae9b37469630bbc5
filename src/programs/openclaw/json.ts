import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { StoreError } from "../../domain/errors.js";
import type { Secret } from "../../domain/secret.js";
import type { Place } from "../../domain/place.js";
import type { CredentialStore, ProfileId, ProfilePatch, Revision, StoreName, StoreSnapshot } from "../../domain/store.js";
import { replaceFile } from "../../io/atomic-file.js";
import { changeJson, parseJson, putJson } from "../../io/json-document.js";
import { withOwnerLock } from "../../io/owner-lock.js";
import { linksTo, realPathOf } from "../../io/real-path.js";
import {
  holdsText,
  isThere,
  isUnchanged,
  readRegularFile,
  refuseForeignDirectory,
  type FileReader,
  type RegularFile,
} from "../../io/regular-file.js";
import { ABSENT, revisionOf } from "../../io/revision.js";
import { toStoreError } from "../../io/system-error.js";
import { GuardedPath, refuseOutside, unconfined, type Confinement } from "../confinement.js";
import type { Environment } from "../environment.js";
import { withoutPenalties } from "./penalties.js";
import { refreshedBy, refreshLockDirectory, withRefreshLocks, type RefreshedProfile } from "./refresh-lock.js";
import { activeProfiles, profileChanges, readProfiles } from "./profiles.js";
import { AGENT_DATABASE, STATE_DATABASE } from "./sqlite.js";
import { parseOrTorn, readWhole } from "../torn.js";

/** The file's name in an agent's directory. */
export const PROFILES_FILE = "auth-profiles.json";
/** The file's earlier name; OpenClaw takes that file over and removes it. */
export const OLDEST_FILE = "auth.json";
/** A copy of it that provisioning scripts keep beside it and put back when a gateway lost its logins (openclaw/openclaw#38336). */
export const GOLDEN_FILE = "auth-profiles.provisioned.json";
const EMPTY_SET = `{"version":1,"profiles":{}}`;
export const STATE_FILE = "auth-state.json";
/** OpenClaw's versions break a store lock after 30 s at the earliest. */
export const LOCK_STALE_MS = 30_000;
export const LOCK_WAIT_MS = 1000;
const NOTES_ATTEMPTS = 3;

interface JsonPlace {
  /** The profiles file, or a copy of it that OpenClaw itself does not use. */
  readonly file: typeof PROFILES_FILE | typeof GOLDEN_FILE;
  readonly confinement: Confinement;
}

/** An agent's `auth-profiles.json`, as OpenClaw keeps it up to 2026.6.1. */
export class OpenclawJsonStore implements CredentialStore {
  readonly format = "openclaw-json";
  readonly name: StoreName;
  readonly path: string;
  readonly #stateDirectory: string;
  readonly #environment: Environment;
  readonly #confinement: Confinement;
  readonly #guard: GuardedPath;

  /** @param stateDirectory OpenClaw's, where its refresh locks are */
  constructor(
    name: StoreName,
    agentDirectory: string,
    stateDirectory: string,
    environment: Environment,
    { file, confinement }: JsonPlace = { file: PROFILES_FILE, confinement: unconfined },
  ) {
    this.name = name;
    this.path = join(agentDirectory, file);
    this.#confinement = confinement;
    this.#guard = new GuardedPath(this.path, confinement);
    this.#stateDirectory = stateDirectory;
    this.#environment = environment;
  }

  places(): readonly Place[] {
    return this.#confinement.placesAt(this.path);
  }

  async read(): Promise<StoreSnapshot> {
    const read = (files: FileReader): Promise<RegularFile | null> => files.read(this.path);
    const file = await readWhole(this.#environment, read, (found) => found);
    this.#guard.judge(file?.realPath ?? null);
    return this.#snapshot(file);
  }

  #snapshot(file: RegularFile | null): StoreSnapshot {
    if (file === null) return { revision: ABSENT, identity: null, changedAt: null, files: [this.path], profiles: [] };
    refuseForeignDirectory(file.realPath);
    const root = parseOrTorn(file, this.path, this.#environment.clock);
    return {
      // Few of hundreds are written, and only a write asks.
      get revision() {
        return revisionOf(file.text);
      },
      identity: file.identity,
      changedAt: file.changedAt,
      files: file.realPath === this.path ? [this.path] : [...new Set([this.path, ...linksTo(this.path), file.realPath])],
      profiles: readProfiles(root, file.text, this.path),
    };
  }

  write(patches: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<void> {
    const healed = patches.map(({ profile }) => profile);
    const change = (text: string): string =>
      changeJson(text, profileChanges(patches, parseJson(text, this.path), this.path), this.path);
    return this.#underLocks(refreshedBy(patches), signal, async () => {
      if (expected === ABSENT) return this.#create(change(EMPTY_SET));
      await this.#replace(expected, (text) => {
        const changed = change(text);
        return withoutPenalties(changed, healed, this.path) ?? changed;
      });
      if (!this.#isCopy) await this.#clearPenalties(healed);
    });
  }

  restore(profile: ProfileId, image: Secret, expected: Revision, signal: AbortSignal): Promise<void> {
    const change = (text: string): string => putJson(text, ["profiles", profile], image.reveal(), this.path);
    return this.#underLocks([], signal, () => this.#replace(expected, change));
  }

  async readActive(): Promise<Readonly<Record<string, ProfileId>>> {
    if (this.#isCopy) return {};
    const { files } = this.#environment;
    const state = await files.read(join(dirname(this.path), STATE_FILE));
    const profiles = await files.read(this.path);
    // If both name a profile, the state file counts: OpenClaw moves the keys there at its next save.
    return {
      ...(profiles === null ? {} : activeProfiles(profiles.text, this.path)),
      ...(state === null ? {} : activeProfiles(state.text, state.realPath)),
    };
  }

  /** OpenClaw's order: the lock on the refresh first, then the store's own, which guards the notes beside it too. */
  async #underLocks(refreshed: readonly RefreshedProfile[], signal: AbortSignal, action: () => Promise<void>): Promise<void> {
    try {
      this.#guard.confirm();
      refuseOutside(refreshLockDirectory(this.#stateDirectory), this.#confinement);
      const lock = join(realpathSync.native(dirname(this.path)), `${basename(this.path)}.lock`);
      const options = {
        staleMs: LOCK_STALE_MS,
        waitMs: LOCK_WAIT_MS,
        clock: this.#environment.clock,
        predecessors: this.#environment.predecessors,
      };
      await withRefreshLocks(this.#stateDirectory, refreshed, this.#environment, signal, () =>
        withOwnerLock(lock, options, signal, action),
      );
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  /** Makes the file in the shape that OpenClaw gives it; never beside a database, where it would be in OpenClaw's way. */
  async #create(text: string): Promise<void> {
    refuseForeignDirectory(this.path);
    const databases = [join(dirname(this.path), AGENT_DATABASE), join(this.#stateDirectory, STATE_DATABASE)];
    const isStillWanted = (): boolean => this.#guard.isStill() && ![this.path, ...databases].some((path) => isThere(path));
    const formatted = `${JSON.stringify(parseJson(text, this.path), null, 2)}\n`;
    const isMade = isStillWanted() && (await this.#put(this.#guard.confirm(), formatted, isStillWanted));
    if (!isMade || !holdsText(this.path, formatted)) throw this.#conflict();
  }

  async #replace(expected: Revision, change: (text: string) => string): Promise<void> {
    const file = await readRegularFile(this.path);
    if (file === null || revisionOf(file.text) !== expected) throw this.#conflict();
    if (file.realPath !== this.#guard.confirm()) throw this.#conflict();
    const text = change(file.text);
    // The lock was taken where the name is; behind a link is another directory.
    if (file.realPath !== this.path) this.#environment.predecessors.leftovers.discardAllIn(dirname(file.realPath));
    // Some commands of OpenClaw write without taking the lock (`models auth paste-token` of 2026.3.11). A link may have been
    // put in the way since, too.
    const names = new Set([this.path, file.realPath]);
    const isUntouched = (): boolean => this.#guard.isStill() && [...names].every((name) => isUnchanged(name, file));
    if (!(await this.#put(file.realPath, text, isUntouched)) || !holdsText(this.path, text)) throw this.#conflict();
  }

  /** From 2026.4.7 the notes on the profiles' use are in a file of their own. */
  async #clearPenalties(healed: readonly ProfileId[]): Promise<void> {
    const path = join(dirname(this.path), STATE_FILE);
    for (let attempt = 1; attempt <= NOTES_ATTEMPTS; attempt++) {
      const notes = await readRegularFile(path);
      if (notes !== null && this.#confinement.refusalOf(notes.realPath, path) !== null) return;
      const cleared = notes === null ? null : withoutPenalties(notes.text, healed, notes.realPath);
      if (notes === null || cleared === null) return;
      const isUntouched = (): boolean => realPathOf(path) === notes.realPath && isUnchanged(path, notes);
      if (await this.#put(notes.realPath, cleared, isUntouched)) return;
    }
  }

  #put(path: string, text: string, isStillWanted: () => boolean): Promise<boolean> {
    return replaceFile(path, text, { isStillWanted, discard: this.#environment.predecessors.leftovers.discard });
  }

  get #isCopy(): boolean {
    return basename(this.path) !== PROFILES_FILE;
  }

  #conflict(): StoreError {
    return new StoreError(
      "conflict",
      `${basename(this.path)} of ${this.name} changed while it was about to be written`,
      "it is looked at again by itself",
    );
  }
}
