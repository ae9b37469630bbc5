import type { Account, Credential } from "./credential.js";
import type { Fingerprint } from "./generation.js";
import type { ProfileId, Share, StoreName } from "./store.js";

/** What a user has decided for an agent: its profiles follow the source, are an account of its own, or are left out. */
export type Binding = "follow" | "pinned" | "ignore";

/** What a profile was seen to hold, with the names that the planner decides by. */
export type Held =
  | {
      readonly kind: "credential";
      readonly credential: Credential;
      readonly generation: Fingerprint | null;
      readonly issue: Fingerprint;
      readonly expiresAt: number | null;
    }
  | { readonly kind: "stub"; readonly timeLimit: boolean }
  | { readonly kind: "incomplete"; readonly reason: string }
  | { readonly kind: "absent" };

export type HeldCredential = Extract<Held, { kind: "credential" }>;

/** One profile of one store as it was read. */
export interface ObservedProfile {
  readonly store: StoreName;
  readonly profile: ProfileId;
  readonly provider: string | null;
  readonly held: Held;
  /** Fingerprinted. */
  readonly account: Account | null;
  /** Of the profile's other fields. */
  readonly surroundings: () => Fingerprint;
}

/** A profile of a target, with what the configuration says of it. */
export interface ObservedTarget extends ObservedProfile {
  readonly binding: Binding;
  /** Follows the source by its very name, whatever it holds. */
  readonly listed: boolean;
  /** Of the same provider as the source, so that an unknown login in it concerns the user. */
  readonly related: boolean;
  readonly share: Share;
  /** Whether an absent profile is made: the user named this very store. */
  readonly creates: boolean;
  /** Added to every expiry written there (ms). */
  readonly expiryMarginMs: number;
}

/** The source as it was read. */
export type ObservedSource = {
  readonly store: StoreName;
  readonly profile: ProfileId;
} & (
  | {
      readonly state: "present";
      readonly observed: ObservedProfile;
      /** Whether the account stands in the credential itself, not only in a file beside it that may lag. */
      readonly accountInCredential: boolean;
      /** When the login was last replaced (epoch ms). */
      readonly changedAt: number;
    }
  /** A deliberate logout: no file, or a file without a login. */
  | { readonly state: "missing" }
  | { readonly state: "unreadable"; readonly reason: string; readonly hint: string; readonly torn: boolean }
);

/** The user's choices that the rules depend on. */
export interface Policy {
  /** `matching`: a profile also follows once it is seen holding a known generation. */
  readonly bind: "matching" | "listed";
  readonly onAgentRotation: "adopt" | "hold";
  readonly onAccountChange: "hold" | "push";
}

/** What the user ordered for this one reconcile. */
export interface Orders {
  /** Stores whose hold is overridden; the source's own name accepts what the source holds. */
  readonly force: ReadonlySet<StoreName>;
  /** A target whose credential is accepted as the source's. */
  readonly adopt: { readonly store: StoreName; readonly profile: ProfileId | null } | null;
}

export const noOrders: Orders = { force: new Set(), adopt: null };
