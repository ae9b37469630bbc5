import { createTask, parse, type ScheduledTask } from "node-cron";
import type { Clock } from "../domain/clock.js";

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** The largest number of past moments to compare with the expression; after more, a call too many is better than none. */
const MOST_MOMENTS = 240;

/**
 * Calls at every time that a cron expression names, until it is stopped.
 *
 * It compares each minute (or second, if the expression names some) with the wall clock, and catches up with one call on times
 * that have passed meanwhile. node-cron's own runner drops the times that a sleep or a step of the clock skipped, and stands
 * still in the hour that repeats when summer time ends. So only its reading of expressions is used.
 */
export class Schedule {
  readonly #task: ScheduledTask;
  readonly #stepMs: number;
  readonly #onTime: () => void;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;

  constructor(expression: string, onTime: () => void, clock: Clock) {
    this.#task = createTask(expression, () => undefined);
    this.#stepMs = isOnTheMinute(expression) ? MINUTE_MS : SECOND_MS;
    this.#onTime = onTime;
    this.#clock = clock;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    await this.#task.destroy();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    for (let before = this.#clock.now(); ;) {
      await this.#clock.sleep(this.#stepMs - (before % this.#stepMs), signal);
      if (signal.aborted) return;
      const now = this.#clock.now();
      if (this.#hasMatch(before, now)) this.#onTime();
      before = now;
    }
  }

  /** Checks whether the expression names a moment after the one time, up to the other; if the clock was set back, none. */
  #hasMatch(after: number, until: number): boolean {
    const last = Math.floor(until / this.#stepMs);
    const first = Math.floor(after / this.#stepMs) + 1;
    if (last - first >= MOST_MOMENTS) return true;
    for (let moment = last; moment >= first; moment--) {
      if (this.#task.match(new Date(moment * this.#stepMs))) return true;
    }
    return false;
  }
}

function isOnTheMinute(expression: string): boolean {
  const { second } = parse(expression);
  return second.length === 1 && second[0] === 0;
}
