import type { Lag } from "../../app/lag.js";
import { writeHeartbeat } from "../../app/status.js";
import { errnoOf } from "../../io/system-error.js";
import type { ReconcileResult } from "../../reconcile/reconciler.js";
import type { Look, Observer, Running } from "../observer.js";

/** Leaves for `status` when the daemon last looked, and which gateways lag. */
export class StatusFile implements Observer {
  readonly #running: Pick<Running, "stateDirectory" | "environment" | "log">;
  readonly #lags: () => readonly Lag[];
  #last: ReconcileResult | null = null;
  /** One write after the other, so that the file ends as the last one says. */
  #writing = Promise.resolve();

  /** @param lags the gateways that lag now */
  constructor(running: Pick<Running, "stateDirectory" | "environment" | "log">, lags: () => readonly Lag[]) {
    this.#running = running;
    this.#lags = lags;
  }

  async observe({ result }: Look): Promise<void> {
    this.#last = result;
    await this.write();
  }

  /** Writes the newest result; nothing before the first scan. */
  write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      if (this.#last !== null) await this.#leave(this.#last);
    });
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
  }

  /** `status` can do without it, so that a full disk does not stop the daemon. */
  async #leave(result: ReconcileResult): Promise<void> {
    const { stateDirectory, environment, log } = this.#running;
    const { leftovers } = environment.predecessors;
    try {
      await writeHeartbeat(stateDirectory, leftovers, { pid: process.pid, result, lags: this.#lags() });
    } catch (error) {
      if (errnoOf(error) === null) throw error;
      log.debug({ reason: errnoOf(error) }, "status not written");
    }
  }
}
