import type { Account, Credential } from "./credential.js";
import type { StoreErrorCode } from "./errors.js";
import type { Fingerprint } from "./generation.js";
import type { FlowId } from "./ledger.js";
import type { ProfileId, Share, StoreName } from "./store.js";

/** The user's choice for an agent: its profiles follow the source, are an account of its own, or are left out. */
export type Binding = "follow" | "pinned" | "ignore";

/** The content of a profile, with the names that the planner decides by. */
export type Held =
  | {
      readonly kind: "credential";
      readonly credential: Credential;
      readonly generation: Fingerprint | null;
      readonly issue: Fingerprint;
      readonly expiresAt: number | null;
    }
  | { readonly kind: "stub"; readonly timeLimit: boolean }
  /** `spends`: the generation that the refresh was to spend; null if no store in this scan has it. */
  | { readonly kind: "fence"; readonly claim: string; readonly failed: boolean; readonly spends: Fingerprint | null }
  | { readonly kind: "incomplete"; readonly reason: string }
  | { readonly kind: "absent" };

export type HeldCredential = Extract<Held, { kind: "credential" }>;
export type HeldFence = Extract<Held, { kind: "fence" }>;

/** One profile of one store as it was read. */
export interface ObservedProfile {
  readonly store: StoreName;
  readonly profile: ProfileId;
  readonly provider: string | null;
  readonly held: Held;
  /** Fingerprinted. */
  readonly account: Account | null;
  /** The fingerprint of the profile's other fields. */
  readonly surroundings: () => Fingerprint;
  /** As its store has it. */
  readonly marksWith?: string | undefined;
}

/** A store whose later login an agent sends instead of its own. */
export interface Overruler {
  readonly store: StoreName;
  /** True if it leaves alone an own login that names another account. */
  readonly comparesAccounts: boolean;
}

/** A profile of a target, with what the configuration says of it. */
export interface ObservedTarget extends ObservedProfile {
  readonly binding: Binding;
  /** Follows the source by its very name, whatever it holds. */
  readonly listed: boolean;
  /** True if its program uses this id instead of a listed one: it follows once it has a known login. */
  readonly standsIn?: boolean;
  /** The store whose later login of this id its agent sends instead of this one; null or absent: none. */
  readonly overruledBy?: Overruler | null;
  /** True if it has the source's provider, so that an unknown login in it concerns the user; listed profiles always do. */
  readonly related: boolean;
  readonly share: Share;
  /** True if credsyncd may create the absent profile: the user named this store. */
  readonly creates: boolean;
  /** Added to every expiry written there (ms). */
  readonly expiryMarginMs: number;
}

/** credsyncd's copy of a source login that its program may erase. */
export interface KeptLogin {
  readonly copies: readonly HeldCredential[];
  /** Added to the end of an access token that is put back without its refresh token (ms). */
  readonly expiryMarginMs: number;
}

/** One followed profile of the source as it was read: the head of a flow. */
export type ObservedSource = {
  readonly store: StoreName;
  readonly profile: ProfileId;
  /** Names the flow in the ledger. */
  readonly flow: FlowId;
} & (
  | {
      readonly state: "present";
      readonly observed: ObservedProfile;
      /** True if the credential itself names the account, not only a separate file that may lag. */
      readonly accountInCredential: boolean;
      /** When the login was last replaced (epoch ms). */
      readonly changedAt: number;
      /** Looked for only where the refresh token itself is not there; null otherwise. */
      readonly kept: KeptLogin | null;
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

/** The user's orders for this one reconcile. */
export interface Orders {
  /** Stores whose hold is overridden; the source's own name accepts what the source holds. */
  readonly force: ReadonlySet<StoreName>;
  /** A target whose credential is accepted as the source's. */
  readonly adopt: { readonly store: StoreName; readonly profile: ProfileId | null } | null;
}

export const noOrders: Orders = { force: new Set(), adopt: null };

/** One profile of the source that is there and may be followed. */
export interface ObservedSourceProfile {
  readonly observed: ObservedProfile;
  readonly accountInCredential: boolean;
  readonly changedAt: number;
  readonly kept: KeptLogin | null;
}

/** The whole content of the source's stores, or the reason why it is unknown. */
export type SourceLook =
  | { readonly state: "read"; readonly store: StoreName; readonly profiles: readonly ObservedSourceProfile[] }
  | {
      readonly state: "unreadable";
      readonly store: StoreName;
      readonly reason: string;
      readonly hint: string;
      readonly code: StoreErrorCode;
    };

/** The generation whose own token, or whose refresh, stands in a profile. */
export function refreshGenerationOf(held: Held): Fingerprint | null {
  switch (held.kind) {
    case "credential":
      return held.generation;
    case "fence":
      return held.spends;
    case "stub":
    case "incomplete":
    case "absent":
      return null;
  }
}
