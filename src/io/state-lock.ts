import type { Clock } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import type { StateLock } from "../domain/memory.js";
import { takeOwnerLock, type Predecessors } from "./owner-lock.js";
import { toStoreError } from "./system-error.js";

/** Longer than any reconcile of thousands of stores. */
const WAIT_MS = 40_000;
/** A waiter in another container takes the lock over within its wait, and far later than a holder misses its beats. */
const HEARTBEAT = { everyMs: 3000, silentMs: 30_000 } as const;

/** Lets one process at a time plan and write: the daemon and a command never push against each other. */
export class StateDirectoryLock implements StateLock {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #predecessors: Predecessors;
  readonly #cleanUp: () => Promise<void>;
  #hasBroken = false;

  /**
   * @param predecessors receives a holder that was killed during a write
   * @param cleanUp removes such a holder's other leftovers; it runs under the lock, before anything else
   */
  constructor(path: string, clock: Clock, predecessors: Predecessors, cleanUp: () => Promise<void> = () => Promise.resolve()) {
    this.#path = path;
    this.#clock = clock;
    this.#predecessors = predecessors;
    this.#cleanUp = cleanUp;
  }

  async withLock<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    const release = await this.#take(signal);
    try {
      if (this.#hasBroken) await this.#cleanUp();
      this.#hasBroken = false;
      return await action();
    } finally {
      // A short fault is over by now; the next scan reports one that lasts.
      this.#predecessors.removeStuck();
      release();
    }
  }

  /**
   * Takes the lock for good, as a process that was killed leaves it: the next start removes what this one could not.
   *
   * @throws Failure where another process has it, or it cannot be made
   */
  async leave(): Promise<void> {
    await this.#take(AbortSignal.abort());
  }

  async #take(signal: AbortSignal): Promise<() => void> {
    try {
      // A holder that is dead is not waited for: nobody else uses this lock, so no other program's patience counts.
      const options = {
        staleMs: 0,
        waitMs: WAIT_MS,
        clock: this.#clock,
        heartbeat: HEARTBEAT,
        predecessors: this.#predecessors,
        onBroken: (payload: string) => {
          this.#hasBroken = true;
          this.#predecessors.add(payload);
        },
      };
      return await takeOwnerLock(this.#path, options, signal);
    } catch (error) {
      const failure = toStoreError(error, this.#path, "write");
      if (failure.code === "locked") {
        throw new Failure("busy", "another credsyncd is writing at this moment", "try again in a moment", error);
      }
      const hint =
        failure.code === "not-a-file"
          ? `${failure.hint}: nothing is pushed until then`
          : "free space and check its directory: nothing is pushed until it can be made";
      throw new Failure("general", failure.message, hint, error);
    }
  }
}
