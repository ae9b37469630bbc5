import type { StoreError } from "./errors.js";
import type { Binding } from "./observation.js";
import type { CredentialStore, ProfileId, Share, StoreName } from "./store.js";

/** The source: one profile of one store. */
export interface SourceStore {
  readonly store: CredentialStore;
  readonly profile: ProfileId;
  /** Providers under which other programs keep copies of the source's login. */
  readonly providers: readonly string[];
}

/** A store that was found, with what the configuration says of it. */
export interface TargetStore {
  readonly store: CredentialStore;
  /** Profiles that follow by their very id; null: all of them, since the user named this store. */
  readonly named: readonly ProfileId[] | null;
  readonly binding: Binding;
  readonly share: Share;
  readonly expiryMarginMs: number;
  /** Whether an absent profile is made: the user named this very store. */
  readonly creates: boolean;
}

/** Something found that cannot be served as it is. */
export interface Finding {
  readonly store: StoreName;
  readonly path: string;
  /**
   * `unconfigured`: a store whose agent the program does not know any more. `retired`: a file that the program does not
   * read any more. `inherits`: an agent without a store of its own. `error`: a store that cannot be served.
   */
  readonly kind: "unconfigured" | "retired" | "inherits" | "error";
  readonly error: StoreError | null;
}

/** Every store there is at this moment. */
export interface Inventory {
  readonly source: SourceStore;
  readonly targets: readonly TargetStore[];
  readonly findings: readonly Finding[];
  /** Files that decide which stores there are, existing or not. */
  readonly files: readonly string[];
}

/** Looks for the stores anew; it may be asked at any time. */
export type TakeInventory = () => Promise<Inventory>;
