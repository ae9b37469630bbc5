/** The time, as an argument: below `daemon/` nothing asks the system for it. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** A reading (ms) that only grows, for durations. */
  monotonic(): number;
  /** Resolves after `durationMs`, or at once when the signal is aborted (it never rejects). */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

/** The earlier of two times; null is never. */
export function earliest(left: number | null, right: number | null): number | null {
  if (left === null || right === null) return left ?? right;
  return Math.min(left, right);
}

/** A time of day (epoch ms) as a reading of the clock that only grows; one that has passed is now. */
export function toMonotonic(time: number | null, clock: Clock): number | null {
  return time === null ? null : clock.monotonic() + Math.max(0, time - clock.now());
}

/** How far from the epoch (ms, both ways) a time may be that a date can name (ECMA-262, time values). */
export const LAST_TIME_MS = 8.64e15;

/** Checks whether a date can represent this number. */
export function isTime(value: number): boolean {
  return Math.abs(value) <= LAST_TIME_MS;
}
