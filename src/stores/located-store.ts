import type { Finding } from "../domain/inventory.js";
import type { CredentialStore, ProfileId } from "../domain/store.js";

/** A store that was found, before the configuration was asked what to do with it. */
export interface LocatedStore {
  readonly store: CredentialStore;
  /** The agent it belongs to, for the config's `agents` patterns; null for a store that the user named. */
  readonly agent: string | null;
  /** Profiles that follow by their very id; null: all of them, since the user named this store. */
  readonly named: readonly ProfileId[] | null;
  readonly creates: boolean;
}

/** The outcome of looking for a target's stores. */
export interface Location {
  readonly stores: readonly LocatedStore[];
  readonly findings: readonly Finding[];
  /** Files that decide which stores there are, existing or not. */
  readonly files: readonly string[];
}
