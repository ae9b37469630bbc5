import type { Account, Credential } from "../domain/credential.js";
import { expiryOf } from "../domain/credential.js";
import { StoreError } from "../domain/errors.js";
import { fingerprintAccount, identify, type Fingerprint, type FingerprintOf } from "../domain/generation.js";
import { holdingOf, isOverruled, type Claim, type Holding } from "../domain/holding.js";
import type { Inventory, LoginCopies, SourceStore, TargetStore } from "../domain/inventory.js";
import { placementKey } from "../domain/ledger.js";
import type { BackupMemory } from "../domain/memory.js";
import type { Held, KeptLogin, ObservedProfile, ObservedSourceProfile, SourceLook } from "../domain/observation.js";
import { Secret } from "../domain/secret.js";
import type { CredentialStore, ProfileContent, ProfileId, StoredProfile, StoreName, StoreSnapshot } from "../domain/store.js";
import { mapConcurrently } from "./concurrency.js";
import type { SeenTokens } from "./seen-tokens.js";

/** Reads under way at once. */
const READS_AT_ONCE = 32;

/** A target's store as it was read, or why it could not be. */
export interface ReadTarget {
  readonly target: TargetStore;
  readonly snapshot: StoreSnapshot | null;
  /** Its profiles; none for a store that is not served. */
  readonly profiles: readonly ObservedProfile[];
  readonly error: StoreError | null;
  /** Set when this is another name of a store that is served already. */
  readonly sameAs: StoreName | null;
}

/** A store as it was read. */
export interface ReadStore {
  readonly store: CredentialStore;
  readonly snapshot: StoreSnapshot;
}

/** Everything as one scan saw it. */
export interface Observation {
  readonly inventory: Inventory;
  readonly source: SourceLook;
  /** Empty where one of them could not be read. */
  readonly sourceReads: readonly ReadStore[];
  readonly reads: readonly ReadTarget[];
  /** Files whose change should wake the reconciler. */
  readonly files: readonly string[];
}

/** Reads the source and every target, each place once; one that cannot be read stops no other. */
export async function observe(
  inventory: Inventory,
  { fingerprintOf, tokens, backups }: Memories,
  signal: AbortSignal,
): Promise<Observation> {
  const read = readerOfPlaces(signal);
  const [source, found] = await Promise.all([readSource(inventory.source.stores, read), readTargets(inventory.targets, read)]);
  const names: Names = { fingerprintOf: remembering(fingerprintOf), tokens };
  const kept = await readCopies(inventory.source, source.reads, backups);
  tokens.note({ source: source.reads, targets: found, copies: [...kept.values()].flat() }, names.fingerprintOf);
  const look = source.look ?? {
    state: "read",
    store: inventory.source.stores[0].name,
    profiles: profilesOf(source.reads, kept, inventory.source.copies, names),
  };
  const reads = markDuplicates(found, source.reads).map((read): ReadTarget => {
    if (read.snapshot === null || read.sameAs !== null) return { ...read, profiles: [] };
    return { ...read, profiles: read.snapshot.profiles.map((stored) => observeProfile(read.target.store, stored, names)) };
  });
  const snapshots = [...source.reads, ...reads].map(({ snapshot }) => snapshot);
  const storeFiles = [
    ...inventory.source.stores.map(({ path }) => path),
    ...snapshots.flatMap((snapshot) => snapshot?.files ?? []),
  ];
  return { inventory, source: look, sourceReads: source.reads, reads, files: [...inventory.files, ...storeFiles] };
}

/** Every store that was read, by its name; a source's store that is also a target is the source's. */
export function readStores({ sourceReads, reads }: Observation): Map<StoreName, ReadStore> {
  const stores = new Map<StoreName, ReadStore>();
  for (const { target, snapshot } of reads)
    if (snapshot !== null) stores.set(target.store.name, { store: target.store, snapshot });
  for (const read of sourceReads) stores.set(read.store.name, read);
  return stores;
}

/** Caches fingerprints for one scan: hundreds of agents have the same tokens. */
function remembering(fingerprintOf: FingerprintOf): FingerprintOf {
  const names = new Map<string, Fingerprint>();
  return (secret) => {
    const text = secret.reveal();
    const name = names.get(text) ?? fingerprintOf(secret);
    names.set(text, name);
    return name;
  };
}

/** The memories that a scan needs besides the stores. */
interface Memories extends Names {
  readonly backups: BackupMemory;
}

/** By a profile's place. */
type Copies = ReadonlyMap<string, readonly ProfileContent[]>;

/** Reads the kept copies of the source's profiles that lack a refresh token. */
async function readCopies({ copies }: SourceStore, reads: readonly ReadStore[], backups: BackupMemory): Promise<Copies> {
  const kept = new Map<string, readonly ProfileContent[]>();
  if (copies === null) return kept;
  for (const { store, snapshot } of reads) {
    for (const { id, content } of snapshot.profiles) {
      if (!lacksRefreshToken(content)) continue;
      const images = await imagesOf(backups, store.name, id);
      kept.set(
        placementKey(store.name, id),
        images.flatMap((image) => contentIn(image, id, copies)),
      );
    }
  }
  return kept;
}

function lacksRefreshToken(content: ProfileContent): boolean {
  if (content.kind === "fence") return true;
  return content.kind === "credential" && content.credential.type === "oauth" && content.credential.refresh === null;
}

/** Returns no images if the backups are unreadable: the source's own state then says what is wrong. */
async function imagesOf(backups: BackupMemory, store: StoreName, profile: ProfileId): Promise<readonly Secret[]> {
  try {
    return await backups.imagesOf(store, profile);
  } catch (error) {
    if (error instanceof StoreError) return [];
    throw error;
  }
}

function contentIn(image: Secret, profile: ProfileId, copies: LoginCopies): ProfileContent[] {
  try {
    return [copies.contentOf(profile, image)];
  } catch (error) {
    if (error instanceof StoreError) return [];
    throw error;
  }
}

/** The functions that name what a scan found, for the planner. */
interface Names {
  readonly fingerprintOf: FingerprintOf;
  readonly tokens: SeenTokens;
}

type ReadPlace = (store: CredentialStore) => Promise<StoreSnapshot>;

/**
 * Reads each place once a scan, whatever roles it has: the plan and the compare-and-swap of its write rest on one snapshot. With
 * two snapshots, a write between them would pass the comparison although nobody judged it.
 */
function readerOfPlaces(signal: AbortSignal): ReadPlace {
  const reads = new Map<string, Promise<StoreSnapshot>>();
  return (store) => {
    const place = JSON.stringify([store.name, store.path]);
    const read = reads.get(place) ?? store.read(signal);
    reads.set(place, read);
    return read;
  };
}

/** @returns the reason why the source is unknown, or a scan in which every store of it was readable */
async function readSource(
  stores: readonly [CredentialStore, ...CredentialStore[]],
  read: ReadPlace,
): Promise<{ look: SourceLook | null; reads: readonly ReadStore[] }> {
  try {
    const reads = await Promise.all(stores.map(async (store) => ({ store, snapshot: await read(store) })));
    return { look: null, reads };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const { message: reason, hint, code } = error;
    return { look: { state: "unreadable", store: stores[0].name, reason, hint, code }, reads: [] };
  }
}

/** The profiles that are in force: each as the first store has it. */
function profilesOf(
  reads: readonly ReadStore[],
  copies: Copies,
  from: LoginCopies | null,
  names: Names,
): ObservedSourceProfile[] {
  const profiles = new Map<ProfileId, ObservedSourceProfile>();
  for (const { store, snapshot } of reads) {
    for (const stored of snapshot.profiles) {
      if (profiles.has(stored.id)) continue;
      const observed = observeProfile(store, stored, names);
      const { accountInCredential } = stored;
      const kept = keptLogin(stored.id, copies.get(placementKey(store.name, stored.id)), from, names);
      profiles.set(stored.id, { observed, accountInCredential, changedAt: snapshot.changedAt ?? 0, kept });
    }
  }
  return [...profiles.values()];
}

function keptLogin(
  profile: ProfileId,
  contents: readonly ProfileContent[] | undefined,
  from: LoginCopies | null,
  names: Names,
): KeptLogin | null {
  if (contents === undefined || from === null) return null;
  const copies = contents.map((content) => toHeld(profile, content, names)).filter((held) => held.kind === "credential");
  return { copies, expiryMarginMs: from.expiryMarginMs };
}

type Found = Omit<ReadTarget, "profiles">;

async function readTargets(targets: readonly TargetStore[], read: ReadPlace): Promise<Found[]> {
  return mapConcurrently(targets, READS_AT_ONCE, async (target) => {
    if (target.binding === "ignore") return { target, snapshot: null, error: null, sameAs: null };
    try {
      return { target, snapshot: await read(target.store), error: null, sameAs: null };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return { target, snapshot: null, error, sameAs: null };
    }
  });
}

/** A place under several names is one store, which one of them has; what the config says of that one holds (rule R16b). */
function markDuplicates(reads: readonly Found[], sources: readonly ReadStore[]): Found[] {
  const own = new Map(
    sources.flatMap(({ store, snapshot }) => (snapshot.identity === null ? [] : [[snapshot.identity, store.name]])),
  );
  const groups = new Map<string, Found[]>();
  for (const read of reads) {
    for (const identity of identitiesOf(read)) {
      const group = groups.get(identity) ?? [];
      if (!group.includes(read)) groups.set(identity, [...group, read]);
    }
  }
  const marked = new Map<Found, Found>();
  for (const [identity, group] of groups) {
    const source = own.get(identity);
    // Nearly all of hundreds have a place to themselves; only shared places need a decision.
    if (source === undefined && group.length === 1) continue;
    // The source may follow itself in another profile.
    const others = group.filter(({ target }) => target.store.name !== source);
    const claims = group.map((read) => claimOf(read, identity));
    const [first, ...rest] = claims;
    if (first === undefined) continue;
    const holding = source === undefined ? holdingOf([first, ...rest]) : null;
    for (const read of others) {
      const before = marked.get(read) ?? read;
      if (holding?.name === read) marked.set(read, heldOn(before, holding, claims));
      else marked.set(read, overruled(before, claimOf(read, identity), holding, source));
    }
  }
  return reads.map((read) => marked.get(read) ?? read);
}

/** Returns the identities of a target. One that credsyncd will not write is known by its places alone, readable or not. */
function identitiesOf({ target, snapshot }: Found): string[] {
  if (snapshot !== null) return snapshot.identity === null ? [] : [snapshot.identity];
  return target.binding === "follow" ? [] : target.store.places().map(({ identity }) => identity);
}

function claimOf(read: Found, identity: string): Claim<Found> {
  const { binding, share, store } = read.target;
  const isItself = store.places().some((place) => place.identity === identity && place.isItself);
  return { name: read, isItself, binding, share };
}

/** The one that has the place, on the terms that hold for it. */
function heldOn(read: Found, { binding, share }: Holding<Found>, claims: readonly Claim<Found>[]): Found {
  const { target } = read;
  const margins = claims.filter((claim) => claim.share === share).map(({ name }) => name.target.expiryMarginMs);
  const expiryMarginMs = share === target.share ? target.expiryMarginMs : Math.max(...margins);
  return { ...read, target: { ...target, binding, share, expiryMarginMs } };
}

/** Another name of a place: an error where the config says something else of it than what holds there. */
function overruled(read: Found, claim: Claim<Found>, holding: Holding<Found> | null, source: StoreName | undefined): Found {
  const { store } = read.target;
  const holds = holding ?? { name: null, binding: "follow", share: "full" };
  const sameAs = holding?.name.target.store.name ?? source ?? store.name;
  if (!isOverruled(claim, holds)) return { ...read, sameAs };
  const words = holds.binding === "follow" ? `follows the source, share ${holds.share}` : `is set to ${holds.binding}`;
  const error = new StoreError(
    "symlink",
    `${store.path} is the very file of ${sameAs}, which ${words}: what the config says of ${store.name} does not hold there`,
    `give ${store.name} a file of its own: remove the link to the other one, and sign in there; or set both alike in the config`,
  );
  return { ...read, snapshot: null, error, sameAs };
}

function observeProfile({ name, marksWith }: CredentialStore, stored: StoredProfile, names: Names): ObservedProfile {
  const { fingerprintOf } = names;
  return {
    store: name,
    profile: stored.id,
    provider: stored.provider,
    held: toHeld(stored.id, stored.content, names),
    account: fingerprinted(stored.account, fingerprintOf),
    surroundings: () => fingerprintOf(stored.surroundings()),
    marksWith,
  };
}

function fingerprinted(account: Account | null, fingerprintOf: FingerprintOf): Account | null {
  return fingerprintAccount(account, fingerprintOf, (text) => new Secret(text));
}

function toHeld(profile: ProfileId, content: ProfileContent, { fingerprintOf, tokens }: Names): Held {
  if (content.kind === "fence") return { ...content, spends: tokens.spentBy(content, profile) };
  if (content.kind !== "credential") return content;
  const credential: Credential = content.credential;
  return { kind: "credential", credential, ...identify(credential, fingerprintOf), expiresAt: expiryOf(credential) };
}
