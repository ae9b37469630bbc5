import type { Clock } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import type { StateLock } from "../domain/memory.js";
import { takeOwnerLock } from "./owner-lock.js";
import { toStoreError } from "./system-error.js";

/** Longer than any reconcile of thousands of stores. */
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
    const release = await this.#take(signal);
    try {
      return await action();
    } finally {
      release();
    }
  }

  async #take(signal: AbortSignal): Promise<() => void> {
    try {
      // A holder that is dead is not waited for: nobody else uses this lock, so no other program's patience counts.
      return await takeOwnerLock(this.#path, { staleMs: 0, waitMs: WAIT_MS, clock: this.#clock }, signal);
    } catch (error) {
      const failure = toStoreError(error, this.#path, "write");
      if (failure.code === "locked") {
        throw new Failure("busy", "another credsyncd is writing at this moment", "try again in a moment", error);
      }
      const hint = "free space and check its directory: nothing is pushed until it can be made";
      throw new Failure("general", failure.message, hint, error);
    }
  }
}
