import type { Clock } from "../domain/clock.js";
import { isTransient, type StoreError, type StoreErrorCode } from "../domain/errors.js";
import type { Fingerprint, FingerprintOf } from "../domain/generation.js";
import type { TakeInventory } from "../domain/inventory.js";
import type { LedgerEvent, LedgerState } from "../domain/ledger.js";
import type { BackupMemory, LedgerMemory, StateLock } from "../domain/memory.js";
import type { Orders, Policy, SourceLook } from "../domain/observation.js";
import { isEmptyPlan, planFlows, type SyncPlan } from "../domain/flows.js";
import type { Revision, StoreName } from "../domain/store.js";
import { applyPlan, type ApplyResult, type UntilNews, type WriteOutcome } from "./apply.js";
import { copiesToKeep, keepCopies, type LoginCopy } from "./keep.js";
import { observe, type Observation } from "./observe.js";
import { SeenTokens } from "./seen-tokens.js";

export interface ReconcilerPorts {
  readonly takeInventory: TakeInventory;
  readonly ledger: LedgerMemory;
  readonly backups: BackupMemory;
  readonly lock: StateLock;
  readonly fingerprintOf: FingerprintOf;
  readonly clock: Clock;
}

/** The result of one reconcile, from the scan to the last write. */
export interface ReconcileResult {
  readonly observation: Observation;
  /** The decisions; after a write, they are those from before it. */
  readonly plan: SyncPlan;
  /** The ledger after it. */
  readonly ledger: LedgerState;
  /** The source's own writes: adoptions of agents' rotations, and restored logins. */
  readonly adoptions: readonly WriteOutcome[];
  readonly writes: readonly WriteOutcome[];
  readonly startedAt: number;
  readonly durationMs: number;
  /** Why a store could not be read or written, or is not written yet. */
  readonly failed: ReadonlyMap<StoreName, StoreErrorCode>;
  /** Stores whose lock has been busy for a moment only, and is still waited for: programs take theirs for seconds all day. */
  readonly brieflyBusy: ReadonlySet<StoreName>;
}

/** Facts about one of a daemon's many reconciles, beside the user's orders. */
export interface Round {
  /** Stores whose last attempt failed and whose next one is due later. */
  readonly postponed: ReadonlySet<StoreName>;
  /** As in `PlanInput`. */
  readonly restarted: ReadonlySet<StoreName>;
  /** As in `ApplyPorts`. */
  readonly untilNews: UntilNews | null;
}

/** The round of a command, which reconciles once. */
export const onlyRound: Round = { postponed: new Set(), restarted: new Set(), untilNews: null };

/** Checks whether another scan may achieve more, even if nothing changes. */
export function isUnfinished({ failed }: ReconcileResult): boolean {
  return [...failed.values()].some(isTransient);
}

/** Clocks are corrected by less than this while they run, and nobody who is awake looks later than this. */
const JUMP_MS = 10_000;

/** A lock that is busy for longer than this (ms) is worth a word. */
const BRIEFLY_MS = 3000;

const nothingApplied: ApplyResult = { adoptions: [], writes: [], events: [] };

/** Brings every target to the live credential: observe, plan, record, apply. It may run at any time, twice, or late. */
export class Reconciler {
  readonly #ports: ReconcilerPorts;
  /** When this process first saw what the source's stores hold: a file's own time may lie in the future. */
  readonly #seen = new Map<StoreName, { readonly revision: Revision; readonly at: number }>();

  readonly #tokens = new SeenTokens();
  /** The clocks at the last scan; null before the first. */
  #clocksSeen: { readonly now: number; readonly monotonic: number } | null = null;
  /** When the last plan wanted the next scan (epoch ms): some computers' clocks run on during sleep. */
  #dueAt: number | null = null;
  /** True if the clock was set, or the computer slept, since the reconciler last carried a plan out. */
  #clockJumped = false;

  /** The result of the last plan. */
  #applied: ApplyResult = nothingApplied;

  /** The events of a plan that the ledger could not record, and the ledger before it. */
  #unrecorded: { readonly events: readonly LedgerEvent[]; readonly before: LedgerState } | null = null;

  /** Stores whose lock is waited for, and since when (monotonic ms). */
  #waitingSince: ReadonlyMap<StoreName, number> = new Map();

  /** Issues of which this process saw a copy made. */
  readonly #kept = new Set<Fingerprint>();

  constructor(ports: ReconcilerPorts) {
    this.#ports = ports;
  }

  /** Looks and plans, and changes nothing. */
  async preview(policy: Policy, orders: Orders, signal: AbortSignal): Promise<ReconcileResult> {
    const startedAt = this.#ports.clock.now();
    const started = this.#ports.clock.monotonic();
    const looked = await this.#look(policy, { orders, round: onlyRound }, signal);
    return this.#result(looked, nothingApplied, looked.ledger, startedAt, started);
  }

  /**
   * Looks, plans and carries the plan out.
   *
   * @throws Failure when the ledger cannot be written, or another process keeps the state locked; nothing was pushed then
   */
  async reconcile(policy: Policy, orders: Orders, signal: AbortSignal, round = onlyRound): Promise<ReconcileResult> {
    const { clock, lock } = this.#ports;
    const startedAt = clock.now();
    const started = clock.monotonic();
    await this.#recordWhatIsMissing(signal);
    const given = { orders, round };
    const looked = await this.#look(policy, given, signal);
    if (isEmptyPlan(looked.plan) && looked.plan.record.length === 0 && this.#unkept(looked).length === 0) {
      this.#clockJumped = false;
      this.#applied = nothingApplied;
      return this.#result(looked, nothingApplied, looked.ledger, startedAt, started);
    }
    return lock.withLock(signal, async () => {
      const current = await this.#lookAgainIfOutdated(looked, policy, given, signal);
      await this.#keep(current);
      const before = await this.#ports.ledger.append(current.plan.record);
      this.#clockJumped = false;
      const ports = { ...this.#ports, postponed: this.#postponedBy(round), untilNews: round.untilNews };
      this.#applied = await applyPlan(current.plan, current.observation, ports, signal);
      const ledger = await this.#record(this.#applied.events, before);
      return this.#result(current, this.#applied, ledger, startedAt, started);
    });
  }

  async #record(events: readonly LedgerEvent[], before: LedgerState): Promise<LedgerState> {
    this.#unrecorded = { events, before };
    const after = await this.#ports.ledger.append(events);
    this.#unrecorded = null;
    return after;
  }

  /** Records what was written while the ledger could not be, unless another process has recorded something since. */
  async #recordWhatIsMissing(signal: AbortSignal): Promise<void> {
    const missing = this.#unrecorded;
    if (missing === null) return;
    const { ledger, lock } = this.#ports;
    await lock.withLock(signal, async () => {
      if ((await ledger.load()) === missing.before) await ledger.append(missing.events);
      this.#unrecorded = null;
    });
  }

  async #look(policy: Policy, { orders, round }: Given, signal: AbortSignal): Promise<Looked> {
    const { takeInventory, fingerprintOf, clock } = this.#ports;
    // The ledger first: what another process writes while the stores are read is then seen under the lock.
    const ledger = await this.#ports.ledger.load();
    const memories = { fingerprintOf, tokens: this.#tokens, backups: this.#ports.backups };
    const observation = await observe(await takeInventory(), memories, signal);
    const source = this.#withFirstSeen(observation);
    const { selection } = observation.inventory.source;
    const stores = observation.reads.filter(({ snapshot, sameAs }) => snapshot !== null && sameAs === null);
    this.#watchClock();
    const times = { now: clock.now(), clockJumped: this.#clockJumped };
    const plan = planFlows({ source, selection, stores, ledger, policy, orders, restarted: round.restarted, ...times });
    this.#dueAt = plan.wakeAt;
    return { observation, ledger, plan };
  }

  /** Another process may have written the ledger before the lock was had. */
  async #lookAgainIfOutdated(looked: Looked, policy: Policy, given: Given, signal: AbortSignal): Promise<Looked> {
    return (await this.#ports.ledger.load()) === looked.ledger ? looked : this.#look(policy, given, signal);
  }

  /**
   * Returns the postponed stores with their errors. A store that only now became readable was never tried, so it is not
   * postponed.
   */
  #postponedBy({ postponed }: Round): ReadonlyMap<StoreName, StoreError> {
    const { adoptions, writes } = this.#applied;
    const failed = [...adoptions, ...writes].flatMap(({ store, error }) => (error === null ? [] : [[store, error] as const]));
    return new Map(failed.filter(([store]) => postponed.has(store)));
  }

  #unkept({ plan, observation }: Looked): LoginCopy[] {
    return copiesToKeep(plan, observation).filter(({ issue }) => !this.#kept.has(issue));
  }

  async #keep(looked: Looked): Promise<void> {
    const copies = this.#unkept(looked);
    await keepCopies(copies, this.#ports.backups, this.#ports.clock.now());
    for (const { issue } of copies) this.#kept.add(issue);
  }

  #withFirstSeen({ source, sourceReads }: Observation): SourceLook {
    if (source.state !== "read") return source;
    for (const { store, snapshot } of sourceReads) {
      const { revision } = snapshot;
      const known = this.#seen.get(store.name);
      const now = this.#ports.clock.now();
      // If the clock was set back since, that time says nothing.
      if (known?.revision === revision && known.at <= now) continue;
      this.#seen.set(store.name, { revision, at: now });
    }
    const profiles = source.profiles.map((profile) => {
      const seenAt = this.#seen.get(profile.observed.store)?.at ?? profile.changedAt;
      return { ...profile, changedAt: Math.min(profile.changedAt, seenAt) };
    });
    return { ...source, profiles };
  }

  #watchClock(): void {
    const before = this.#clocksSeen;
    const clocks = { now: this.#ports.clock.now(), monotonic: this.#ports.clock.monotonic() };
    this.#clocksSeen = clocks;
    if (before === null) return;
    const apart = Math.abs(clocks.now - before.now - (clocks.monotonic - before.monotonic));
    const lateMs = this.#dueAt === null ? 0 : clocks.now - this.#dueAt;
    this.#clockJumped ||= apart > JUMP_MS || lateMs > JUMP_MS;
  }

  #result(looked: Looked, applied: ApplyResult, ledger: LedgerState, startedAt: number, started: number): ReconcileResult {
    const { adoptions, writes } = applied;
    const durationMs = Math.round((this.#ports.clock.monotonic() - started) * 10) / 10;
    const failed = failedIn(looked, applied);
    return { ...looked, ledger, adoptions, writes, startedAt, durationMs, failed, brieflyBusy: this.#brieflyBusyIn(applied) };
  }

  #brieflyBusyIn({ adoptions, writes }: ApplyResult): ReadonlySet<StoreName> {
    const now = this.#ports.clock.monotonic();
    const isWaiting = ({ store, waiting, postponed }: WriteOutcome): boolean =>
      waiting || (postponed && this.#waitingSince.has(store));
    const waiting = [...adoptions, ...writes].filter(isWaiting);
    this.#waitingSince = new Map(waiting.map(({ store }) => [store, this.#waitingSince.get(store) ?? now]));
    return new Set([...this.#waitingSince].flatMap(([store, since]) => (now - since < BRIEFLY_MS ? [store] : [])));
  }
}

/** Input for the plan of one scan, beside the policy. */
interface Given {
  readonly orders: Orders;
  readonly round: Round;
}

interface Looked {
  readonly observation: Observation;
  readonly ledger: LedgerState;
  readonly plan: SyncPlan;
}

function failedIn({ observation }: Looked, { adoptions, writes }: ApplyResult): Map<StoreName, StoreErrorCode> {
  const { inventory, source, reads } = observation;
  const found = [...inventory.findings, ...reads.map(({ target, error }) => ({ store: target.store.name, error }))];
  const attempts = [...found, ...adoptions, ...writes];
  const failed = new Map<StoreName, StoreErrorCode>();
  if (source.state === "unreadable") failed.set(source.store, source.code);
  for (const { store, error } of attempts) if (error !== null) failed.set(store, error.code);
  return failed;
}
