import type { StoreError } from "../domain/errors.js";
import type { CredentialStore, ProfileId, StoreName } from "../domain/store.js";

/** A store that was found, and how its profiles relate to the source. */
export interface LocatedStore {
  readonly store: CredentialStore;
  /** The agent it belongs to, for the config's `agents` patterns; null for a store that the user named. */
  readonly agent: string | null;
  /** Profiles that follow by their very id; null: all of them, since the user named this store. */
  readonly named: readonly ProfileId[] | null;
  /** Whether an unknown login in it may be a copy of a login of the given kind. */
  readonly creates: boolean;
}

/** Something found that cannot be served as it is. */
export interface Finding {
  readonly store: StoreName;
  readonly path: string;
  /** `unconfigured`: a store whose agent the program does not know any more. `error`: a store that cannot be served. */
  readonly kind: "unconfigured" | "error";
  readonly error: StoreError | null;
}

/** The outcome of looking for a target's stores. */
export interface Location {
  readonly stores: readonly LocatedStore[];
  readonly findings: readonly Finding[];
  /** Files that decide which stores there are, existing or not. */
  readonly files: readonly string[];
}
