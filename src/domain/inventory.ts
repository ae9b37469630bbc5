import type { Installation } from "./choice.js";
import type { StoreError } from "./errors.js";
import type { Terms } from "./ledger.js";
import type { Binding, Overruler } from "./observation.js";
import type { Secret } from "./secret.js";
import type { CredentialStore, ProfileContent, ProfileId, Share, StoreName } from "./store.js";

/** The source: one or more profiles of one program's credentials. */
export interface SourceStore {
  /** In order of precedence: a profile is the first one's that has it. */
  readonly stores: readonly [CredentialStore, ...CredentialStore[]];
  readonly selection: Selection;
  /** Set if its program replaces a login by a mark when a refresh fails: credsyncd then keeps a copy of the login elsewhere. */
  readonly copies: LoginCopies | null;
  /** The command or step that signs in again. */
  readonly signIn: string;
}

/** How copies of a source's logins are read again, and what is put back of them. */
export interface LoginCopies {
  /** @throws StoreError where the text is no profile */
  readonly contentOf: (profile: ProfileId, image: Secret) => ProfileContent;
  /** Added to the end of an access token that is put back without its refresh token (ms). */
  readonly expiryMarginMs: number;
}

/** Which of the source's profiles are followed, and by which profiles of a target. */
export type Selection =
  | {
      /** The source has one login, under a name of its own. */
      readonly kind: "one";
      readonly profile: ProfileId;
      /** Providers under which other programs keep copies of it. */
      readonly providers: readonly string[];
      /** Profiles of targets that follow by their very id. */
      readonly followers: readonly ProfileId[];
    }
  | {
      /** Each profile is followed by the same id everywhere. */
      readonly kind: "same-id";
      /** Tells this source's chains from another source's in the ledger, wherever an upgrade moves its store. */
      readonly source: StoreName;
      /** Ids that must be present, in this order and before those that only match. */
      readonly named: readonly ProfileId[];
      readonly matches: (profile: ProfileId) => boolean;
      /** As the user wrote it, for reports. */
      readonly text: string;
    };

/** A store that holds just one login, whatever the source calls it: the user named this very store. */
export interface SingleLogin {
  readonly profile: ProfileId;
  /** Which logins it may hold. */
  readonly providers: readonly string[];
  /** True if credsyncd may create an absent one. */
  readonly creates: boolean;
}

/** Ids that a program lists and never uses, each with the one that it uses in its place. */
export type UnusedIds = ReadonlyMap<ProfileId, ProfileId>;

/** The surroundings of a store, which reveal its program. */
export interface Origin {
  /** One word for the way in which that program keeps its stores, told from files, for reports; null where there is only one. */
  readonly era: string | null;
  /** The version that last wrote the program's own config. Another one may run. */
  readonly versionHint: string | null;
  /** The store whose profiles count where this one has none of that id. */
  readonly inheritsFrom: StoreName | null;
  /** The store whose later OAuth login its agent sends instead of the one with this id here; absent: none. */
  readonly overruledBy?: Overruler | null;
  /** A provider whose profiles no turn sends, as the version hint says; without a hint it may be so; absent: none. */
  readonly unsent?: UnsentProvider;
}

/** Profiles of this provider are listed by their program and not used. */
export interface UnsentProvider {
  readonly provider: string;
  /** The provider under which the same login is used. */
  readonly instead: string;
  /** The first version that uses them. */
  readonly until: string;
}

export const noOrigin: Origin = { era: null, versionHint: null, inheritsFrom: null };

/** How a store gets a profile that it does not have; what was there once and is gone is not made again. */
export interface Creation {
  /** `when-provider-missing`: where its agent has no profile of that provider, an inherited one neither. */
  readonly policy: "when-provider-missing" | "always";
  /** The store whose profiles its agent also has. */
  readonly inheritsFrom: StoreName | null;
  /** True if credsyncd may create the store itself. */
  readonly fromNothing: boolean;
  /** Providers whose profiles are not made: the store's program takes their logins from another program itself. */
  readonly except: readonly string[];
}

/** A store that was found, with what the configuration says of it. */
export interface TargetStore {
  readonly store: CredentialStore;
  /** Null for a store of profiles with ids. */
  readonly single: SingleLogin | null;
  readonly binding: Binding;
  readonly share: Share;
  readonly expiryMarginMs: number;
  /** Null where no profile is made. */
  readonly creation: Creation | null;
  readonly origin: Origin;
  /** Absent: its program uses whatever it lists. */
  readonly unused?: UnusedIds;
  /** The terms of a profile that replaces an unused one; absent: the store's own. */
  readonly termsOfMade?: Terms;
  /**
   * True if its directory was removed and made again since it last had a login: nobody removed the missing profiles one by one.
   */
  readonly renewed?: boolean;
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
  /** The store that an agent without one of its own inherits from, where that is known. */
  readonly inheritsFrom?: StoreName | null;
  /** A retired file for which the program refuses its agent, unless that has a profile of its own elsewhere. */
  readonly blocks?: true;
}

/** A name or a pattern in the configuration's `agents` that no agent has: what it says holds for nobody. */
export interface UnmatchedAgent {
  readonly pattern: string;
  /** The nearest id that an agent has, or null. */
  readonly meant: string | null;
}

/** Every store there is at this moment. */
export interface Inventory {
  readonly source: SourceStore;
  readonly targets: readonly TargetStore[];
  readonly findings: readonly Finding[];
  /** Empty also where it is not known which agents there are. */
  readonly unmatchedAgents: readonly UnmatchedAgent[];
  /** Opens each program whose agents choose among profiles, as it was found. @throws StoreError */
  readonly programs: readonly (() => Promise<Installation>)[];
  /** Files that decide which stores there are, existing or not. */
  readonly files: readonly string[];
}

/** Finds the stores again; callers may ask at any time. */
export type TakeInventory = () => Promise<Inventory>;
