import type { Account, Credential } from "./credential.js";
import type { Place } from "./place.js";
import type { Secret } from "./secret.js";

/** A store's logical name, such as `claude-code`, `openclaw:main` or `claude-code:/srv/box/.claude`. */
export type StoreName = string;
export type ProfileId = string;
/** A hash of a store's content, for compare-and-swap; `absent` where there is none. */
export type Revision = string;

/** The content of a profile. */
export type ProfileContent =
  | { readonly kind: "credential"; readonly credential: Credential }
  /** Logged out: the program blanked the tokens. `timeLimit`: because the sign-in reached its end. */
  | { readonly kind: "stub"; readonly timeLimit: boolean }
  /**
   * No tokens, but a program's mark in their place: its refresh is under way, or `failed`. All marks of one refresh bear
   * one claim; `spends` tells, in constant time, whether a refresh token is the one that it was to spend.
   */
  | {
      readonly kind: "fence";
      readonly claim: string;
      readonly failed: boolean;
      readonly spends: (refreshToken: Secret) => boolean;
    }
  /** Present, but lacking what its kind needs; `reason` says what, in words. */
  | { readonly kind: "incomplete"; readonly reason: string };

export interface StoredProfile {
  readonly id: ProfileId;
  /** The provider named in the store, or null where its format names none. */
  readonly provider: string | null;
  readonly content: ProfileContent;
  readonly account: Account | null;
  /** True if the credential itself has the account's id, not only a separate file that may lag. */
  readonly accountInCredential: boolean;
  /** The profile's text without the credential's own fields: unchanged means that nothing else was edited. */
  readonly surroundings: () => Secret;
  /** The profile's exact text, for a backup. */
  readonly image: () => Secret;
}

/** A store as it was read at one moment. */
export interface StoreSnapshot {
  readonly revision: Revision;
  /** Tells the same file under two names apart from two files (device and inode); null where absent. */
  readonly identity: string | null;
  /** When the content last changed (epoch ms); null where absent. */
  readonly changedAt: number | null;
  /** Files whose change should wake the reconciler: the store and, behind a symlink, what it leads to. */
  readonly files: readonly string[];
  readonly profiles: readonly StoredProfile[];
}

/** How much of a login a target receives. */
export type Share = "full" | "access-only";

/** Puts one credential into one profile; nothing else of the profile changes. */
export interface ProfilePatch {
  readonly profile: ProfileId;
  /** As it was read; null where the format names none. */
  readonly provider: string | null;
  readonly credential: Credential;
  /** Makes the profile where it is absent, as far as the format allows. */
  readonly create: boolean;
  /** The source's own text of the profile, which a new one is made after; absent where the source has another format. */
  readonly template?: Secret | undefined;
  /** Replaces identity fields that the profile already has, and gives one that is made its e-mail. Null: they stay. */
  readonly account: Account | null;
}

/** A description of a store, for people and for the contract suite. */
export interface StoreDescription {
  readonly name: StoreName;
  readonly format: string;
  readonly path: string;
}

/**
 * The port between the reconciler and a program's credential storage (rules R9, R10, R11). An adapter:
 * - reads whole content or throws a `StoreError`; an absent store is a snapshot with revision `absent` and no profiles;
 * - writes under the owning program's own locks, only if the revision still is `expected`, atomically, and reads back;
 * - changes only the credential's fields of the named profiles, and creates none unless the patch says so;
 * - puts no content of the store into an error.
 */
export interface CredentialStore extends StoreDescription {
  /**
   * Names the installation whose stores its program marks together before it refreshes a login that several of them hold;
   * absent where it marks none.
   */
  readonly marksWith?: string;
  /** Returns its places without reading their content; empty if there are none or they are unknown. */
  places(): readonly Place[];
  /** @throws StoreError */
  read(signal: AbortSignal): Promise<StoreSnapshot>;
  /** @throws StoreError `conflict` when the revision is no longer `expected`; after any error the store is whole */
  write(patches: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<void>;
  /**
   * Puts a profile's earlier text back whole, whatever is there now, and makes it where it is absent.
   *
   * @throws StoreError as `write` does
   */
  restore(profile: ProfileId, image: Secret, expected: Revision, signal: AbortSignal): Promise<void>;
  /** The profile in use for each provider, where the store says so; for reports only. @throws StoreError */
  readActive(signal: AbortSignal): Promise<Readonly<Record<string, ProfileId>>>;
}
