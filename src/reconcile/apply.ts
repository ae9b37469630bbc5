import type { Account } from "../domain/credential.js";
import type { Clock } from "../domain/clock.js";
import { StoreError } from "../domain/errors.js";
import { placementKey, statedTerms, type LedgerEvent, type PlacedEvent } from "../domain/ledger.js";
import type { BackupMemory } from "../domain/memory.js";
import type { SyncPlan } from "../domain/flows.js";
import { asFingerprint, NO_FINGERPRINT, type Fingerprint } from "../domain/generation.js";
import type { ObservedProfile, ObservedSource } from "../domain/observation.js";
import type { Adoption, PlannedWrite, Restoration } from "../domain/plan.js";
import type { Secret } from "../domain/secret.js";
import type { ProfileId, ProfilePatch, StoreName } from "../domain/store.js";
import { mapConcurrently } from "./concurrency.js";
import { readStores, type Observation, type ReadStore } from "./observe.js";

/** Stores written at once: enough to overlap the waits for the disk. */
const WRITES_AT_ONCE = 16;
/** Stores whose lock is waited for at once: who waits does nothing else. */
const WAITS_AT_ONCE = 64;

/** For a first attempt: a lock that is busy is not waited for. */
const atOnce = AbortSignal.abort();

/** The result of writing one store. */
export interface WriteOutcome {
  readonly store: StoreName;
  readonly profiles: readonly ProfileId[];
  /** Null when it was written and read back. */
  readonly error: StoreError | null;
  /** It was not tried this time; the error is that of its last attempt. */
  readonly postponed: boolean;
  /** Its lock was busy, and the wait for it was put off, so that nobody else waits: it goes on at the next attempt. */
  readonly waiting: boolean;
  readonly durationMs: number;
}

export interface ApplyResult {
  /** The source's own writes: adoptions of agents' rotations, and restored logins. */
  readonly adoptions: readonly WriteOutcome[];
  readonly writes: readonly WriteOutcome[];
  /** To be recorded: what is now where. */
  readonly events: readonly LedgerEvent[];
}

export interface ApplyPorts {
  readonly backups: BackupMemory;
  readonly clock: Clock;
  /** Stores that are not written yet, and why they could not be at their last attempt. */
  readonly postponed: ReadonlyMap<StoreName, StoreError>;
  /**
   * Begins the wait for busy locks. The signal aborts once there is other work, at `wakeAt` (epoch ms) at the latest, and when
   * the program stops. Null: the wait lasts to its end.
   */
  readonly untilNews: UntilNews | null;
}

/** @param wakeAt epoch ms, or null */
export type UntilNews = (wakeAt: number | null) => AbortSignal;

/**
 * Carries a plan out, store by store, each in one write. It decides nothing, and one store's failure stops no other.
 *
 * No store waits for another's lock (rule R16c): it tries all at once, the source first, and then waits for the busy ones
 * together. If it wrote something, it does not wait at all, since others must learn of the write.
 */
export async function applyPlan(
  plan: SyncPlan,
  observation: Observation,
  ports: ApplyPorts,
  signal: AbortSignal,
): Promise<ApplyResult> {
  const { flows, writes } = plan;
  const ready = { reads: readStores(observation), ports, signal: atOnce };
  const adoptions = flows.flatMap(({ adoption, restoration, head }) => [
    ...(adoption === null ? [] : [{ store: adoption.into.store, change: adoptionChange(adoption, head, ports) }]),
    ...(restoration === null ? [] : [{ store: restoration.into.store, change: restorationChange(restoration, head, ports) }]),
  ]);
  // The source may also follow itself in another profile; that is part of the one write of that store.
  const adopting = new Set(adoptions.map(({ store }) => store));
  const [own, others] = partition(writes, ({ target }) => adopting.has(target.store));
  const originals = originalsIn(observation);
  const kept = await keepOneOfEach(writes, ready.reads, ports);
  const planned = (write: PlannedWrite): StoreChange => {
    const isKept = write.oneBackup && kept.has(generationHeld(write));
    return { store: write.target.store, change: writeChange({ ...write, backup: write.backup && !isKept }, originals, ports) };
  };
  const adopted: Attempt[] = [];
  for (const group of groupByStore([...adoptions, ...own.map(planned)])) adopted.push(await attempt(group, ready));
  // The source changed during the adoption, so the plan for the others may be outdated: scan everything again.
  if (adopted.some(({ outcome }) => outcome.error?.code === "conflict")) return resultOf(adopted, []);
  // If the write to the source failed, its backup may be missing, which the others rely on.
  const backup = adopted.some(({ outcome }) => outcome.error !== null);
  const groups = groupByStore(others.map((write) => planned(backup ? { ...write, backup } : write)));
  const written = await mapConcurrently(groups, WRITES_AT_ONCE, (group) => attempt(group, ready));
  const attempts = [...adopted, ...written];
  const busy = attempts.filter(isBusy);
  if (busy.length === 0) return resultOf(adopted, written);
  const { untilNews } = ports;
  if (untilNews !== null && attempts.some(({ outcome }) => outcome.error === null))
    return resultOf(adopted.map(putOff), written.map(putOff));
  const ended =
    untilNews === null
      ? await mapConcurrently(busy, WAITS_AT_ONCE, ({ group }) => attempt(group, { ...ready, signal }))
      : await waitForFirst(busy, ready, untilNews(plan.wakeAt));
  const latest = new Map(ended.map((each) => [each.group, each]));
  const resulting = (each: Attempt): Attempt => latest.get(each.group) ?? each;
  return resultOf(adopted.map(resulting), written.map(resulting));
}

/**
 * Backs up one copy of each generation that several stores hold, before any of them is written; where that fails, each store
 * keeps its own copy first, or is not written.
 *
 * @returns the generations of which there is a backup now
 */
async function keepOneOfEach(
  writes: readonly PlannedWrite[],
  reads: ReadonlyMap<StoreName, ReadStore>,
  { backups, clock }: ApplyPorts,
): Promise<ReadonlySet<Fingerprint | null>> {
  const kept = new Set<Fingerprint | null>();
  for (const write of writes) {
    const generation = generationHeld(write);
    const { store, profile } = write.target;
    const stored = reads.get(store)?.snapshot.profiles.find(({ id }) => id === profile);
    if (!write.oneBackup || generation === null || stored === undefined || kept.has(generation)) continue;
    try {
      await backups.save({ store, profile, fingerprint: generation, image: stored.image() }, clock.now());
      kept.add(generation);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }
  return kept;
}

function generationHeld({ target: { held } }: PlannedWrite): Fingerprint | null {
  return held.kind === "credential" ? held.generation : null;
}

/** A change of one store, and its result. */
interface Attempt extends Applied {
  readonly group: readonly [StoreChange, ...StoreChange[]];
}

async function attempt(group: Attempt["group"], ready: Ready): Promise<Attempt> {
  return { group, ...(await applyToStore(group, ready)) };
}

/** Waits until the first of them comes to its end, well or not, or there is news; the others are put off until that was reported. */
async function waitForFirst(busy: readonly Attempt[], ready: Ready, news: AbortSignal): Promise<Attempt[]> {
  const end = new AbortController();
  const stop = (): void => {
    end.abort();
  };
  if (news.aborted) stop();
  news.addEventListener("abort", stop, { once: true });
  try {
    return await mapConcurrently(busy, WAITS_AT_ONCE, async ({ group }) => {
      const ended = await attempt(group, { ...ready, signal: end.signal });
      if (end.signal.aborted) return putOff(ended);
      stop();
      return ended;
    });
  } finally {
    news.removeEventListener("abort", stop);
  }
}

function isBusy({ outcome }: Attempt): boolean {
  return outcome.error?.code === "locked" && !outcome.postponed;
}

function putOff(ended: Attempt): Attempt {
  return isBusy(ended) ? { ...ended, outcome: { ...ended.outcome, waiting: true } } : ended;
}

function resultOf(adopted: readonly Attempt[], written: readonly Attempt[]): ApplyResult {
  return {
    adoptions: adopted.map(({ outcome }) => outcome),
    writes: written.map(({ outcome }) => outcome),
    events: [...adopted, ...written].flatMap(({ events }) => events),
  };
}

interface Applied {
  readonly outcome: WriteOutcome;
  readonly events: readonly LedgerEvent[];
}

/** The change of one profile of a store. */
interface Change {
  readonly profile: ProfileId;
  /** @throws StoreError where the source's own text of the profile cannot be taken out of its store */
  readonly patch: () => ProfilePatch;
  /** Names what is put into the backups first; null for nothing. */
  readonly backup: Fingerprint | null;
  /** To be recorded once it is done. */
  readonly eventsAfter: (durationMs: number) => readonly LedgerEvent[];
}

interface StoreChange {
  readonly store: StoreName;
  readonly change: Change;
}

function adoptionChange(adoption: Adoption, head: ObservedSource, ports: ApplyPorts): Change {
  const observed = head.state === "present" ? head.observed : null;
  const held =
    observed?.held.kind === "credential" ? (observed.held.generation ?? observed.held.issue) : asFingerprint("unknown");
  const whole = { ...adoption, share: "full", expiryMarginMs: 0 } as const;
  return sourceChange(whole, adoption.backup ? held : null, observed, ports);
}

/** Nothing is lost: what stands there is a mark, or less of the same. */
function restorationChange(restoration: Restoration, head: ObservedSource, ports: ApplyPorts): Change {
  return sourceChange(restoration, null, head.state === "present" ? head.observed : null, ports);
}

/** @param backup names the old login, which goes to the backups first; null for none */
function sourceChange(
  { into: { store, profile }, credential, generation, issue, share, expiryMarginMs }: Restoration,
  backup: Fingerprint | null,
  observed: ObservedProfile | null,
  { clock }: ApplyPorts,
): Change {
  return {
    profile,
    patch: () => ({ profile, provider: observed?.provider ?? null, credential, create: false, account: null }),
    backup,
    eventsAfter: (durationMs) => [
      {
        kind: "written",
        at: clock.now(),
        store,
        profile,
        generation,
        issue,
        surroundings: observed?.surroundings() ?? NO_FINGERPRINT,
        ...statedTerms({ share, expiryMarginMs }),
        durationMs,
      },
    ],
  };
}

function writeChange(write: PlannedWrite, originals: ReadonlyMap<string, Original>, { clock }: ApplyPorts): Change {
  const { from, target, credential, share, generation, issue, create, backup, revert, replaceAccount } = write;
  const { store, profile, provider, held } = target;
  const original = originals.get(placementKey(from.store, from.profile));
  const isMade = create && target.standsIn === true;
  const account = replaceAccount || isMade ? (original?.account ?? null) : null;
  return {
    profile,
    patch: () => {
      const template = create ? original?.template?.() : undefined;
      return { profile, provider, credential, create, template, account };
    },
    backup: backup && held.kind === "credential" ? (held.generation ?? held.issue) : null,
    eventsAfter: (durationMs) => {
      const place = { at: clock.now(), store, profile };
      const surroundings = target.surroundings();
      const terms = statedTerms({ share, expiryMarginMs: target.expiryMarginMs });
      const written: PlacedEvent = { kind: "written", ...place, generation, issue, surroundings, ...terms, durationMs };
      if (isMade) return [{ ...written, made: true }];
      return revert ? [written, { kind: "revert", ...place }] : [written];
    },
  };
}

/** The parts of a source's profile that the write needs in the clear. */
interface Original {
  /** For identity fields that name the previous one. */
  readonly account: Account | null;
  /** The template for a new profile. */
  readonly template: (() => Secret) | undefined;
}

function originalsIn({ sourceReads, inventory }: Observation): Map<string, Original> {
  const isSameFormat = inventory.source.selection.kind === "same-id";
  const originals = new Map<string, Original>();
  for (const { store, snapshot } of sourceReads) {
    for (const { id, account, image } of snapshot.profiles)
      originals.set(placementKey(store.name, id), { account, template: isSameFormat ? image : undefined });
  }
  return originals;
}

interface Ready {
  readonly reads: ReadonlyMap<StoreName, ReadStore>;
  readonly ports: ApplyPorts;
  readonly signal: AbortSignal;
}

async function applyToStore(
  [first, ...others]: readonly [StoreChange, ...StoreChange[]],
  { reads, ports, signal }: Ready,
): Promise<Applied> {
  const read = reads.get(first.store);
  if (read === undefined) throw new Error("a write needs a store that was read");
  const { store, snapshot } = read;
  const changes = [first, ...others].map(({ change }) => change);
  const startedAt = ports.clock.monotonic();
  const postponed = ports.postponed.get(store.name) ?? null;
  const outcome = (error: StoreError | null): WriteOutcome => {
    const durationMs = Math.round((ports.clock.monotonic() - startedAt) * 10) / 10;
    const profiles = changes.map(({ profile }) => profile);
    return { store: store.name, profiles, error, postponed: postponed !== null, waiting: false, durationMs };
  };
  if (postponed !== null) return { outcome: outcome(postponed), events: [] };
  try {
    for (const { profile, backup } of changes) {
      const stored = backup === null ? undefined : snapshot.profiles.find(({ id }) => id === profile);
      if (backup === null || stored === undefined) continue;
      const entry = { store: store.name, profile, fingerprint: backup, image: stored.image() };
      await ports.backups.save(entry, ports.clock.now());
    }
    await store.write(
      changes.map(({ patch }) => patch()),
      snapshot.revision,
      signal,
    );
    const done = outcome(null);
    return { outcome: done, events: changes.flatMap(({ eventsAfter }) => eventsAfter(done.durationMs)) };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { outcome: outcome(error), events: [] };
  }
}

function groupByStore(changes: readonly StoreChange[]): [StoreChange, ...StoreChange[]][] {
  const groups = new Map<StoreName, [StoreChange, ...StoreChange[]]>();
  for (const change of changes) {
    const group = groups.get(change.store);
    if (group === undefined) groups.set(change.store, [change]);
    else group.push(change);
  }
  return [...groups.values()];
}

function partition<Item>(items: readonly Item[], belongs: (item: Item) => boolean): [Item[], Item[]] {
  return [items.filter(belongs), items.filter((item) => !belongs(item))];
}
