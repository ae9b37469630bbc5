import type { Account, Credential } from "./credential.js";
import { Secret, SecretReference } from "./secret.js";

declare const brand: unique symbol;

/** A keyed one-way name of a secret: equal secrets, equal names, and no way back. */
export type Fingerprint = string & { readonly [brand]: "fingerprint" };

/** The one way to a fingerprint. @param text what the key made of a secret, or what was recorded as that */
export function asFingerprint(text: string): Fingerprint {
  return text as Fingerprint;
}

/** Stands where a fingerprint belongs and nothing was seen that it could name. */
export const NO_FINGERPRINT = asFingerprint("");

/** Names a text by the key of this state directory. */
export type FingerprintOf = (text: Secret) => Fingerprint;

/** The names of a credential, which the planner may know; never its tokens. */
export interface Identity {
  /** The generation: the refresh token's fingerprint (the secret's own for tokens and keys); null for access-only OAuth. */
  readonly generation: Fingerprint | null;
  /** The issue: the access token's fingerprint (the secret's own for tokens and keys). */
  readonly issue: Fingerprint;
}

/** Names a credential's generation and issue. */
export function identify(credential: Credential, fingerprintOf: FingerprintOf): Identity {
  switch (credential.type) {
    case "oauth":
      return {
        generation: credential.refresh === null ? null : fingerprintOf(credential.refresh),
        issue: fingerprintOf(credential.access),
      };
    case "token": {
      const name = nameOf(credential.token, fingerprintOf);
      return { generation: name, issue: name };
    }
    case "api_key": {
      const name = nameOf(credential.key, fingerprintOf);
      return { generation: name, issue: name };
    }
  }
}

/** A reference changes when it leads elsewhere; what it leads to is its program's own business. */
function nameOf(secret: Secret | SecretReference, fingerprintOf: FingerprintOf): Fingerprint {
  return fingerprintOf(secret instanceof SecretReference ? new Secret(`reference ${secret.json}`) : secret);
}

/** Replaces an account's parts by fingerprints, so that the ledger holds no personal data. */
export function fingerprintAccount(
  account: Account | null,
  fingerprintOf: FingerprintOf,
  secretOf: (text: string) => Secret,
): Account | null {
  if (account === null || (account.uuid === null && account.email === null)) return null;
  const name = (text: string | null): string | null =>
    text === null ? null : fingerprintOf(secretOf(text.trim().toLowerCase()));
  return { uuid: name(account.uuid), email: name(account.email) };
}
