import { LAST_TIME_MS } from "./clock.js";
import type { Secret, SecretReference } from "./secret.js";

/** A time up to this (epoch ms; 1973) is one in seconds. */
export const FIRST_EXPIRY_MS = 100_000_000_000;

/** The last end that a login is taken to have (epoch ms): a day before the last that a date can name, so that a margin fits. */
export const LAST_EXPIRY_MS = LAST_TIME_MS - 86_400_000;

/** An OAuth login; `refresh` is null where a program was given the access token only. */
export interface OauthCredential {
  readonly type: "oauth";
  readonly access: Secret;
  readonly refresh: Secret | null;
  /** When the access token ends (epoch ms), or null where the store does not say. */
  readonly expiresAt: number | null;
  /** When the sign-in itself ends (epoch ms): no refresh extends it. Null where unknown. */
  readonly signInEndsAt: number | null;
  /** Says whose it is, for a program that asks; the server gives it with every access token. Null where there is none. */
  readonly idToken: Secret | null;
  /** The grant that came with it, for a store that credsyncd must create; null if the store does not say. */
  readonly grant: Grant | null;
}

/** The rights of a sign-in, in the terms of Claude Code's file. */
export interface Grant {
  readonly scopes: readonly string[];
  readonly subscriptionType: string | null;
  readonly rateLimitTier: string | null;
}

/** A long-lived bearer token without a refresh token, such as `claude setup-token` makes. */
export interface TokenCredential {
  readonly type: "token";
  readonly token: Secret | SecretReference;
  readonly expiresAt: number | null;
}

export interface ApiKeyCredential {
  readonly type: "api_key";
  readonly key: Secret | SecretReference;
}

export type Credential = OauthCredential | TokenCredential | ApiKeyCredential;

/** The owner of a credential, as far as the store says; every part may be unknown. */
export interface Account {
  readonly uuid: string | null;
  readonly email: string | null;
}

/** How two accounts relate when each may be known only in part. */
export type AccountRelation = "same" | "different" | "unknown";

/** Compares by uuid where both sides have one, else by e-mail. */
export function relateAccounts(left: Account | null, right: Account | null): AccountRelation {
  if (left === null || right === null) return "unknown";
  if (left.uuid !== null && right.uuid !== null) return left.uuid === right.uuid ? "same" : "different";
  if (left.email !== null && right.email !== null) return left.email === right.email ? "same" : "different";
  return "unknown";
}

/** Checks whether both accounts have ids and these differ. An equal e-mail does not outweigh that. */
export function haveDifferentIds(left: Account | null, right: Account | null): boolean {
  return left?.uuid != null && right?.uuid != null && left.uuid !== right.uuid;
}

/** Merges two readings of one account; the newer one counts where both have a part. */
export function mergeAccounts(newer: Account | null, older: Account | null): Account | null {
  if (newer === null || older === null) return newer ?? older;
  return { uuid: newer.uuid ?? older.uuid, email: newer.email ?? older.email };
}

/** When a credential's access ends (epoch ms); null where it never does or the store does not say. */
export function expiryOf(credential: Credential): number | null {
  return credential.type === "api_key" ? null : credential.expiresAt;
}
