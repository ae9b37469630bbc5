import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { StoreError } from "../domain/errors.js";
import type { Secret } from "../domain/secret.js";
import type { CredentialStore, ProfileId, ProfilePatch, Revision, StoreName, StoreSnapshot } from "../domain/store.js";
import { replaceFile } from "../io/atomic-file.js";
import { changeJson, parseJson, putJson } from "../io/json-document.js";
import { withOwnerLock } from "../io/owner-lock.js";
import { readRegularFile } from "../io/regular-file.js";
import { ABSENT, revisionOf } from "../io/revision.js";
import { toStoreError } from "../io/system-error.js";
import type { Environment } from "./environment.js";
import { withoutPenalties } from "./openclaw-penalties.js";
import { refreshedBy, withRefreshLocks, type RefreshedProfile } from "./openclaw-refresh-lock.js";
import { activeProfiles, profileChanges, readProfiles } from "./openclaw-profiles.js";
import { parseOrTorn } from "./torn.js";

/** The file's name in an agent's directory. */
export const PROFILES_FILE = "auth-profiles.json";
const STATE_FILE = "auth-state.json";
/** OpenClaw's versions break a store lock after 30 s at the earliest. */
const LOCK_STALE_MS = 30_000;
const LOCK_WAIT_MS = 1000;

/** An agent's `auth-profiles.json`, as OpenClaw keeps it up to 2026.6.1. */
export class OpenclawJsonStore implements CredentialStore {
  readonly format = "openclaw-json";
  readonly name: StoreName;
  readonly path: string;
  readonly #stateDirectory: string;
  readonly #environment: Environment;

  /** @param stateDirectory OpenClaw's, where its refresh locks are */
  constructor(name: StoreName, agentDirectory: string, stateDirectory: string, environment: Environment) {
    this.name = name;
    this.path = join(agentDirectory, PROFILES_FILE);
    this.#stateDirectory = stateDirectory;
    this.#environment = environment;
  }

  async read(): Promise<StoreSnapshot> {
    const file = await readRegularFile(this.path);
    if (file === null) return { revision: ABSENT, identity: null, changedAt: null, files: [this.path], profiles: [] };
    const root = parseOrTorn(file, this.path, this.#environment.clock);
    return {
      revision: revisionOf(file.text),
      identity: file.identity,
      changedAt: file.changedAt,
      files: file.realPath === this.path ? [this.path] : [this.path, file.realPath],
      profiles: readProfiles(root, file.text, this.path),
    };
  }

  write(patches: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<StoreSnapshot> {
    const healed = patches.map(({ profile }) => profile);
    return this.#underLocks(refreshedBy(patches), signal, async () => {
      const snapshot = await this.#replace(expected, (text) => {
        const changed = changeJson(text, profileChanges(patches, parseJson(text, this.path), this.path), this.path);
        return withoutPenalties(changed, healed, this.path) ?? changed;
      });
      await this.#clearPenalties(healed);
      return snapshot;
    });
  }

  restore(profile: ProfileId, image: Secret, expected: Revision, signal: AbortSignal): Promise<StoreSnapshot> {
    const change = (text: string): string => putJson(text, ["profiles", profile], image.reveal(), this.path);
    return this.#underLocks([], signal, () => this.#replace(expected, change));
  }

  async readActive(): Promise<Readonly<Record<string, ProfileId>>> {
    const state = await readRegularFile(join(dirname(this.path), STATE_FILE));
    const profiles = await readRegularFile(this.path);
    // Where both name a profile, the state file counts: OpenClaw moves the keys there at its next save.
    return {
      ...(profiles === null ? {} : activeProfiles(profiles.text, this.path)),
      ...(state === null ? {} : activeProfiles(state.text, state.realPath)),
    };
  }

  /** OpenClaw's order: the lock on the refresh first, then the store's own, which guards the notes beside it too. */
  async #underLocks(
    refreshed: readonly RefreshedProfile[],
    signal: AbortSignal,
    action: () => Promise<StoreSnapshot>,
  ): Promise<StoreSnapshot> {
    try {
      const lock = join(realpathSync(dirname(this.path)), `${PROFILES_FILE}.lock`);
      const options = { staleMs: LOCK_STALE_MS, waitMs: LOCK_WAIT_MS, clock: this.#environment.clock };
      return await withRefreshLocks(this.#stateDirectory, refreshed, this.#environment, signal, () =>
        withOwnerLock(lock, options, signal, action),
      );
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  async #replace(expected: Revision, change: (text: string) => string): Promise<StoreSnapshot> {
    const file = await readRegularFile(this.path);
    if (file === null || revisionOf(file.text) !== expected) throw this.#conflict();
    const text = change(file.text);
    await replaceFile(file.realPath, text);
    const snapshot = await this.read();
    if (snapshot.revision !== revisionOf(text)) throw this.#conflict();
    return snapshot;
  }

  /** From 2026.4.7 the notes on the profiles' use are in a file of their own. */
  async #clearPenalties(healed: readonly ProfileId[]): Promise<void> {
    const notes = await readRegularFile(join(dirname(this.path), STATE_FILE));
    const cleared = notes === null ? null : withoutPenalties(notes.text, healed, notes.realPath);
    if (notes !== null && cleared !== null) await replaceFile(notes.realPath, cleared);
  }

  #conflict(): StoreError {
    return new StoreError(
      "conflict",
      `${basename(this.path)} of ${this.name} changed while it was about to be written`,
      "it is looked at again by itself",
    );
  }
}
