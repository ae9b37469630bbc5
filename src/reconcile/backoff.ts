import { isTransient, type StoreErrorCode } from "../domain/errors.js";
import type { StoreName } from "../domain/store.js";

const FIRST_MS = 100;
const LONGEST_MS = 60_000;
/** How much sooner than after another failure a store is tried again that changed under the plan. */
const CONFLICT_SOONER = 10;

/**
 * Returns the delay before the next attempt: doubling, capped, and spread so that many hosts do not retry at the same moment.
 *
 * @param attempt attempts that failed so far, from 1
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS);
  return ceiling / 2 + (ceiling / 2) * random;
}

/** The stores that failed in the last scan. Each retries at its own pace, and none waits for another. */
export type Retries = ReadonlyMap<StoreName, Retry>;

export interface Retry {
  /** Attempts in a row that failed for a reason that may pass. */
  readonly failures: number;
  /** The time of its next retry (monotonic ms); null if only a change can help. */
  readonly dueAt: number | null;
  /** Its lock is still to be waited for, at any look. */
  readonly isWaiting: boolean;
}

/** Returns the stores that a scan without an event leaves out. */
export function postponedAt(retries: Retries, now: number): ReadonlySet<StoreName> {
  const isPostponed = ({ dueAt, isWaiting }: Retry): boolean => !isWaiting && (dueAt === null || dueAt > now);
  return new Set([...retries].flatMap(([store, retry]) => (isPostponed(retry) ? [store] : [])));
}

interface RetryTimes {
  readonly postponed: ReadonlySet<StoreName>;
  readonly waiting?: ReadonlySet<StoreName>;
  /** Monotonic ms. */
  readonly now: number;
  readonly random: number;
}

/**
 * Returns the retries after a scan. A store that did not fail has none any more; one that an event retried early keeps its time.
 *
 * @param failed also has the reasons of the `postponed` ones
 * @param waiting stores whose locks are still busy: that was no failed attempt
 * @param random in [0, 1); one for all, so that stores that fail together retry together
 */
export function retriesAfter(
  before: Retries,
  failed: ReadonlyMap<StoreName, StoreErrorCode>,
  { postponed, waiting, now, random }: RetryTimes,
): Retries {
  const next = ([store, code]: [StoreName, StoreErrorCode]): [StoreName, Retry] => {
    const known = before.get(store) ?? { failures: 0, dueAt: null, isWaiting: false };
    if (!isTransient(code)) return [store, { ...known, dueAt: null, isWaiting: false }];
    if (waiting?.has(store) === true) return [store, { ...known, dueAt: now + backoffMs(1, random), isWaiting: true }];
    const isTooSoon = known.dueAt !== null && (known.dueAt > now || postponed.has(store));
    if (isTooSoon && !known.isWaiting) return [store, known];
    const failures = known.failures + 1;
    const waitMs = backoffMs(failures, random) / (code === "conflict" ? CONFLICT_SOONER : 1);
    return [store, { failures, dueAt: now + waitMs, isWaiting: false }];
  };
  return new Map([...failed].map(next));
}
