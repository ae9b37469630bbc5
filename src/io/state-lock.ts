import type { Clock } from "../domain/clock.js";
import { Failure, StoreError } from "../domain/errors.js";
import type { StateLock } from "../domain/memory.js";
import { takeDirectoryLock } from "./directory-lock.js";
import { errnoOf } from "./system-error.js";

const STALE_MS = 30_000;
const WAIT_MS = 40_000;

/** Lets one process at a time plan and write: the daemon and a command never push against each other. */
export class StateDirectoryLock implements StateLock {
  readonly #path: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  async withLock<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    const held = await this.#take(signal);
    try {
      return await action();
    } finally {
      await held.release();
    }
  }

  async #take(signal: AbortSignal): ReturnType<typeof takeDirectoryLock> {
    try {
      return await takeDirectoryLock(
        this.#path,
        { staleMs: STALE_MS, touchMs: 5000, waitMs: WAIT_MS, clock: this.#clock },
        signal,
      );
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== null) {
        throw new Failure(
          "general",
          `cannot make ${this.#path}: ${errno}`,
          "free space and check its directory: nothing is pushed until it can be made",
          error,
        );
      }
      if (!(error instanceof StoreError)) throw error;
      throw new Failure("busy", "another credsyncd is writing at this moment", "try again in a moment", error);
    }
  }
}
