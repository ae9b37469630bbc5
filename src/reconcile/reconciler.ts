import type { Clock } from "../domain/clock.js";
import { isTransient, type StoreError } from "../domain/errors.js";
import type { FingerprintOf } from "../domain/generation.js";
import type { TakeInventory } from "../domain/inventory.js";
import type { LedgerState } from "../domain/ledger.js";
import type { BackupMemory, LedgerMemory, StateLock } from "../domain/memory.js";
import type { Orders, Policy } from "../domain/observation.js";
import { isEmptyPlan, planSync, type Plan } from "../domain/plan.js";
import { applyPlan, type ApplyResult, type WriteOutcome } from "./apply.js";
import { observe, type Observation } from "./observe.js";

export interface ReconcilerPorts {
  readonly takeInventory: TakeInventory;
  readonly ledger: LedgerMemory;
  readonly backups: BackupMemory;
  readonly lock: StateLock;
  readonly fingerprintOf: FingerprintOf;
  readonly clock: Clock;
}

/** One reconcile, from the look to the last write. */
export interface ReconcileResult {
  readonly observation: Observation;
  /** What was decided; for a reconcile that wrote, before the writes. */
  readonly plan: Plan;
  /** The ledger after it. */
  readonly ledger: LedgerState;
  readonly adoption: WriteOutcome | null;
  readonly writes: readonly WriteOutcome[];
  readonly startedAt: number;
  readonly durationMs: number;
  /** `now`: a store changed under the plan. `soon`: something transient is in the way. `null`: nothing is left to do by itself. */
  readonly again: "now" | "soon" | null;
}

const nothingApplied: ApplyResult = { adoption: null, writes: [], events: [] };

/** Brings every target to the live credential: observe, plan, record, apply. It may run at any time, twice, or late. */
export class Reconciler {
  readonly #ports: ReconcilerPorts;
  /** When this process first saw what the source holds: a file's own time may lie in the future. */
  #sourceSeen: { readonly revision: string; readonly at: number } | null = null;

  constructor(ports: ReconcilerPorts) {
    this.#ports = ports;
  }

  /** Looks and plans, and changes nothing. */
  async preview(policy: Policy, orders: Orders, signal: AbortSignal): Promise<ReconcileResult> {
    const startedAt = this.#ports.clock.now();
    const started = this.#ports.clock.monotonic();
    const looked = await this.#look(policy, orders, signal);
    return this.#result(looked, nothingApplied, looked.ledger, startedAt, started);
  }

  /**
   * Looks, plans and carries the plan out.
   *
   * @throws Failure when the ledger cannot be written, or another process keeps the state locked; nothing was pushed then
   */
  async reconcile(policy: Policy, orders: Orders, signal: AbortSignal): Promise<ReconcileResult> {
    const { clock, lock } = this.#ports;
    const startedAt = clock.now();
    const started = clock.monotonic();
    const looked = await this.#look(policy, orders, signal);
    if (isEmptyPlan(looked.plan) && looked.plan.record.length === 0) {
      return this.#result(looked, nothingApplied, looked.ledger, startedAt, started);
    }
    return lock.withLock(signal, async () => {
      const current = await this.#lookAgainIfOutdated(looked, policy, orders, signal);
      await this.#ports.ledger.append(current.plan.record);
      const applied = await applyPlan(current.plan, current.observation, this.#ports, signal);
      const ledger = await this.#ports.ledger.append(applied.events);
      return this.#result(current, applied, ledger, startedAt, started);
    });
  }

  async #look(policy: Policy, orders: Orders, signal: AbortSignal): Promise<Looked> {
    const { takeInventory, fingerprintOf, clock } = this.#ports;
    // The ledger first: what another process writes while the stores are read is then seen under the lock.
    const ledger = await this.#ports.ledger.load();
    const observation = await observe(await takeInventory(), fingerprintOf, signal);
    const source = this.#withFirstSeen(observation);
    const plan = planSync({ source, targets: observation.targets, ledger, policy, orders, now: clock.now() });
    return { observation, ledger, plan };
  }

  /** Another process may have written the ledger before the lock was had. */
  async #lookAgainIfOutdated(looked: Looked, policy: Policy, orders: Orders, signal: AbortSignal): Promise<Looked> {
    return (await this.#ports.ledger.load()) === looked.ledger ? looked : this.#look(policy, orders, signal);
  }

  #withFirstSeen({ source, sourceSnapshot }: Observation): Observation["source"] {
    if (source.state !== "present" || sourceSnapshot === null) return source;
    const { revision } = sourceSnapshot;
    if (this.#sourceSeen?.revision !== revision) this.#sourceSeen = { revision, at: this.#ports.clock.now() };
    return { ...source, changedAt: Math.min(source.changedAt, this.#sourceSeen.at) };
  }

  #result(looked: Looked, applied: ApplyResult, ledger: LedgerState, startedAt: number, started: number): ReconcileResult {
    const { adoption, writes } = applied;
    const durationMs = Math.round((this.#ports.clock.monotonic() - started) * 10) / 10;
    return { ...looked, ledger, adoption, writes, startedAt, durationMs, again: again(looked, adoption, writes) };
  }
}

interface Looked {
  readonly observation: Observation;
  readonly ledger: LedgerState;
  readonly plan: Plan;
}

function again({ observation }: Looked, adoption: WriteOutcome | null, writes: readonly WriteOutcome[]): "now" | "soon" | null {
  const errors: StoreError[] = [adoption, ...writes].flatMap((outcome) => (outcome?.error ? [outcome.error] : []));
  if (errors.some(({ code }) => code === "conflict")) return "now";
  const readErrors = observation.reads.flatMap(({ error }) => (error === null ? [] : [error]));
  const torn = observation.source.state === "unreadable" && observation.source.torn;
  return torn || [...errors, ...readErrors].some(({ code }) => isTransient(code)) ? "soon" : null;
}
