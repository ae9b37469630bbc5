import type { Account, Credential } from "../domain/credential.js";
import { expiryOf } from "../domain/credential.js";
import { StoreError } from "../domain/errors.js";
import { fingerprintAccount, identify, type FingerprintOf } from "../domain/generation.js";
import type { Inventory, SourceStore, TargetStore } from "../domain/inventory.js";
import type { Held, ObservedProfile, ObservedSource, ObservedTarget } from "../domain/observation.js";
import { Secret } from "../domain/secret.js";
import type { ProfileContent, ProfileId, StoredProfile, StoreName, StoreSnapshot } from "../domain/store.js";
import { mapConcurrently } from "./concurrency.js";

/** Reads under way at once. */
const READS_AT_ONCE = 32;

/** A target's store as it was read, or why it could not be. */
export interface ReadTarget {
  readonly target: TargetStore;
  readonly snapshot: StoreSnapshot | null;
  readonly error: StoreError | null;
  /** Set when this is another name of a store that is served already. */
  readonly sameAs: StoreName | null;
}

/** Everything as it was at one look. */
export interface Observation {
  readonly inventory: Inventory;
  readonly source: ObservedSource;
  readonly sourceSnapshot: StoreSnapshot | null;
  readonly reads: readonly ReadTarget[];
  readonly targets: readonly ObservedTarget[];
  /** Files whose change should wake the reconciler. */
  readonly files: readonly string[];
}

/** Reads the source and every target; one that cannot be read stops no other. */
export async function observe(inventory: Inventory, fingerprintOf: FingerprintOf, signal: AbortSignal): Promise<Observation> {
  const name = remembering(fingerprintOf);
  const [source, reads] = await Promise.all([readSource(inventory.source, name, signal), readTargets(inventory.targets, signal)]);
  const distinct = markDuplicates(reads, source.snapshot, inventory.source.store.name);
  const targets = distinct.flatMap((read) => (read.sameAs === null ? observedTargets(read, inventory.source, name) : []));
  const snapshots = [source.snapshot, ...distinct.map((read) => read.snapshot)];
  const storeFiles = [inventory.source.store.path, ...snapshots.flatMap((snapshot) => snapshot?.files ?? [])];
  return {
    inventory,
    source: source.observed,
    sourceSnapshot: source.snapshot,
    reads: distinct,
    targets,
    files: [...inventory.files, ...storeFiles],
  };
}

/** Hundreds of agents hold the same tokens, so each is named once a look. */
function remembering(fingerprintOf: FingerprintOf): FingerprintOf {
  const names = new Map<string, string>();
  return (secret) => {
    const text = secret.reveal();
    const name = names.get(text) ?? fingerprintOf(secret);
    names.set(text, name);
    return name;
  };
}

async function readSource(
  { store, profile }: SourceStore,
  fingerprintOf: FingerprintOf,
  signal: AbortSignal,
): Promise<{ observed: ObservedSource; snapshot: StoreSnapshot | null }> {
  const place = { store: store.name, profile };
  try {
    const snapshot = await store.read(signal);
    const stored = snapshot.profiles.find(({ id }) => id === profile);
    if (stored === undefined) return { observed: { ...place, state: "missing" }, snapshot };
    const observed = observeProfile(store.name, stored, fingerprintOf);
    const present = { ...place, state: "present" as const, observed };
    return {
      observed: { ...present, accountInCredential: stored.accountInCredential, changedAt: snapshot.changedAt ?? 0 },
      snapshot,
    };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return {
      observed: { ...place, state: "unreadable", reason: error.message, hint: error.hint, torn: error.code === "torn" },
      snapshot: null,
    };
  }
}

async function readTargets(targets: readonly TargetStore[], signal: AbortSignal): Promise<ReadTarget[]> {
  return mapConcurrently(targets, READS_AT_ONCE, async (target) => {
    if (target.binding === "ignore") return { target, snapshot: null, error: null, sameAs: null };
    try {
      return { target, snapshot: await target.store.read(signal), error: null, sameAs: null };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return { target, snapshot: null, error, sameAs: null };
    }
  });
}

/** The same file under two names is one store; the first name serves it. */
function markDuplicates(reads: readonly ReadTarget[], source: StoreSnapshot | null, sourceName: StoreName): ReadTarget[] {
  const served = new Map<string, StoreName>();
  if (source?.identity != null) served.set(source.identity, sourceName);
  return reads.map((read) => {
    const identity = read.snapshot?.identity;
    if (identity == null) return read;
    const first = served.get(identity);
    if (first !== undefined) return { ...read, sameAs: first };
    served.set(identity, read.target.store.name);
    return read;
  });
}

function observedTargets({ target, snapshot }: ReadTarget, source: SourceStore, fingerprintOf: FingerprintOf): ObservedTarget[] {
  if (snapshot === null) return [];
  const { store, named, binding, share, expiryMarginMs, creates } = target;
  const observed = snapshot.profiles.map((stored): ObservedTarget => {
    const related = named === null || (stored.provider !== null && source.providers.includes(stored.provider));
    const listed = named === null || named.includes(stored.id);
    // One spread only: this runs for every profile of hundreds of agents at every look, and a second one is slow.
    const profile = observeProfile(store.name, stored, fingerprintOf);
    return { ...profile, binding, share, expiryMarginMs, creates, listed, related };
  });
  return named === null && observed.length === 0
    ? [{ ...absentProfile(store.name, source.profile), binding, share, expiryMarginMs, creates, listed: true, related: true }]
    : observed;
}

function absentProfile(store: StoreName, profile: ProfileId): ObservedProfile {
  return { store, profile, provider: null, held: { kind: "absent" }, account: null, surroundings: () => "" };
}

function observeProfile(store: StoreName, stored: StoredProfile, fingerprintOf: FingerprintOf): ObservedProfile {
  return {
    store,
    profile: stored.id,
    provider: stored.provider,
    held: toHeld(stored.content, fingerprintOf),
    account: fingerprinted(stored.account, fingerprintOf),
    surroundings: () => fingerprintOf(stored.surroundings()),
  };
}

function fingerprinted(account: Account | null, fingerprintOf: FingerprintOf): Account | null {
  return fingerprintAccount(account, fingerprintOf, (text) => new Secret(text));
}

function toHeld(content: ProfileContent, fingerprintOf: FingerprintOf): Held {
  if (content.kind !== "credential") return content;
  const credential: Credential = content.credential;
  return { kind: "credential", credential, ...identify(credential, fingerprintOf), expiresAt: expiryOf(credential) };
}
