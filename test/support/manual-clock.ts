import type { Clock } from "../../src/domain/clock.js";

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** A clock that stands still until the test moves it. */
export class ManualClock implements Clock {
  #ms = 0;
  #sleepers: Sleeper[] = [];
  readonly #epochMs: number;

  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    this.#epochMs = epochMs;
  }

  now(): number {
    return this.#epochMs + this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        signal.removeEventListener("abort", end);
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        resolve();
      };
      const sleeper = { until: this.#ms + durationMs, wake: end };
      this.#sleepers.push(sleeper);
      signal.addEventListener("abort", end);
    });
  }

  /** Lets time pass, and everything that it wakes run until it waits again. */
  async pass(durationMs: number): Promise<void> {
    this.#ms += durationMs;
    const due = this.#sleepers.filter(({ until }) => until <= this.#ms);
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#ms);
    for (const { wake } of due) wake();
    await settled();
  }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
