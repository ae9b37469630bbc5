import { earliest, toMonotonic, type Clock } from "../domain/clock.js";
import type { StoreName } from "../domain/store.js";
import { backoffMs, postponedAt, retriesAfter, type Retries } from "./backoff.js";
import type { UntilNews } from "./apply.js";
import type { ReconcileResult } from "./reconciler.js";

/** As long as a timer can be. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1;

/** The ports of the loop, so that tests control the time and the events. */
export interface LoopPorts {
  /** `postponed`: stores that must wait for their retry. `untilNews`: ends the wait for busy locks when the next scan is due. */
  readonly reconcile: (postponed: ReadonlySet<StoreName>, signal: AbortSignal, untilNews: UntilNews) => Promise<ReconcileResult>;
  /** Called after each reconcile; watches, logs and status hang on it. It may ask for one more look. */
  readonly onResult: (result: ReconcileResult) => Promise<{ readonly lookAgain: boolean }>;
  /** Called when a reconcile failed as a whole; what it throws ends the loop. */
  readonly onFailure: (error: unknown) => Promise<void>;
  /** Checks whether there were events since the last scan, due or not: then the scan tries every store. */
  readonly hasEvents: () => boolean;
  /** When the events so far are due (ms, monotonic), or null. */
  readonly dueAt: () => number | null;
  /** The events so far are about to be acted on. */
  readonly onActing: () => void;
  /** The action ended. */
  readonly onActed: () => void;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Runs reconciles one after the other (rule R15): when woken, when a retry is due, when the plan asked to look again. */
export class ReconcileLoop {
  readonly #ports: LoopPorts;
  #wake: () => void = () => undefined;
  /** When to look again without an event (monotonic ms). */
  #retryAt: number | null = null;
  #retries: Retries = new Map();
  /** Reconciles in a row that failed as a whole. */
  #failures = 0;
  /** When the reconcile under way began (monotonic ms). */
  #busySince: number | null = null;

  constructor(ports: LoopPorts) {
    this.#ports = ports;
  }

  /** Something may have changed; `dueAt` says when to look. */
  wake(): void {
    this.#wake();
  }

  /** For how long a reconcile has been under way or overdue (ms); 0 while there is no reason for one. */
  lateMs(): number {
    const since = this.#busySince ?? earliest(this.#ports.dueAt(), this.#retryAt);
    return since === null ? 0 : Math.max(0, this.#ports.clock.monotonic() - since);
  }

  /** Looks once at the start, then whenever there is a reason, until the signal is aborted; a write in hand is finished. */
  async run(signal: AbortSignal): Promise<void> {
    // A signal made of several is kept by the runtime, with all that its listeners know, until these are gone.
    signal.addEventListener(
      "abort",
      () => {
        this.#wake();
      },
      { once: true },
    );
    while (!signal.aborted) {
      await this.#once(signal);
      await this.#sleepUntilDue(
        () => earliest(this.#ports.dueAt(), this.#retryAt),
        () => signal.aborted,
      );
    }
    // Nobody looks from here on, which must not last.
    this.#busySince = this.#ports.clock.monotonic();
  }

  /** Sleeps until something is due, which an event may bring forward, or until there is no more to sleep for. */
  async #sleepUntilDue(dueAt: () => number | null, isOver: () => boolean): Promise<void> {
    const { clock } = this.#ports;
    for (;;) {
      const due = dueAt();
      if (isOver() || (due !== null && due <= clock.monotonic())) return;
      const woken = new AbortController();
      this.#wake = () => {
        woken.abort();
      };
      const sleepMs = due === null ? LONGEST_SLEEP_MS : due - clock.monotonic();
      await clock.sleep(Math.min(sleepMs, LONGEST_SLEEP_MS), woken.signal);
    }
  }

  async #once(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#ports;
    this.#retryAt = null;
    this.#busySince = clock.monotonic();
    const postponed = this.#ports.hasEvents() ? new Set<StoreName>() : postponedAt(this.#retries, clock.monotonic());
    let hasEnded = false;
    let news: AbortSignal | null = null;
    const untilNews: UntilNews = (wakeAt) => {
      const retryAt = earliest(this.#nextRetryOf(postponed), toMonotonic(wakeAt, clock));
      news = this.#whenDue(retryAt, () => hasEnded || signal.aborted);
      return news;
    };
    const wasCutShort = (): boolean => news?.aborted === true;
    this.#ports.onActing();
    try {
      const result = await this.#ports.reconcile(postponed, signal, untilNews);
      // If it only waited for a lock, the news need not settle once more.
      if (!wasCutShort()) this.#ports.onActed();
      const { lookAgain } = await this.#ports.onResult(result);
      this.#schedule(result, postponed, lookAgain);
    } catch (error) {
      this.#ports.onActed();
      await this.#ports.onFailure(error);
      // The state of every store is unknown and the events are used up: the next scan tries every store.
      this.#retries = new Map();
      this.#failures += 1;
      this.#retryAt = clock.monotonic() + backoffMs(this.#failures, random());
    } finally {
      hasEnded = true;
      this.#wake();
      this.#busySince = null;
    }
  }

  #nextRetryOf(postponed: ReadonlySet<StoreName>): number | null {
    let next: number | null = null;
    for (const store of postponed) next = earliest(next, this.#retries.get(store)?.dueAt ?? null);
    return next;
  }

  /** @returns a signal that aborts when the next scan is due, by an event or at a time (monotonic ms), or this one is over */
  #whenDue(at: number | null, isOver: () => boolean): AbortSignal {
    const due = new AbortController();
    void this.#sleepUntilDue(() => earliest(this.#ports.dueAt(), at), isOver).then(() => {
      due.abort();
    });
    return due.signal;
  }

  #schedule({ failed, plan, writes, adoptions }: ReconcileResult, postponed: ReadonlySet<StoreName>, lookAgain: boolean): void {
    const { clock, random } = this.#ports;
    const now = clock.monotonic();
    this.#failures = 0;
    const waiting = new Set([...writes, ...adoptions].flatMap(({ store, waiting: isWaiting }) => (isWaiting ? [store] : [])));
    this.#retries = retriesAfter(this.#retries, failed, { postponed, waiting, now, random: random() });
    this.#retryAt = earliest(toMonotonic(plan.wakeAt, clock), lookAgain ? now : null);
    for (const { dueAt } of this.#retries.values()) this.#retryAt = earliest(this.#retryAt, dueAt);
  }
}
