/** The time, as an argument: below `daemon/` nothing asks the system for it. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** A reading (ms) that only grows, for durations. */
  monotonic(): number;
  /** Resolves after `durationMs`, or at once when the signal is aborted (it never rejects). */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}
