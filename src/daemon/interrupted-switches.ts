import type { Logger } from "pino";
import { Failure, StoreError } from "../domain/errors.js";
import type { Recovery } from "../reconcile/transaction.js";
import type { Composition } from "../app/compose.js";
import { recoverSwitches, recoveryText } from "../app/switching.js";

/** Completes or undoes what a crashed command left in the journal, and says it once. */
export class InterruptedSwitches {
  readonly #composition: Composition;
  readonly #log: Logger;
  #said = "";

  constructor(composition: Composition, log: Logger) {
    this.#composition = composition;
    this.#log = log;
  }

  /** Settles interrupted switches; for use before every reconcile. With an empty journal it only reads a directory. */
  async settle(signal: AbortSignal): Promise<{ readonly changed: boolean; readonly settled: boolean }> {
    try {
      const recoveries = await recoverSwitches(this.#composition, signal);
      for (const recovery of recoveries) this.#say(recovery);
      const results = recoveries.flatMap(({ parts }) => parts.map(({ result }) => result));
      return {
        changed: results.some((result) => result === "updated" || result === "rolled-back"),
        settled: recoveries.every(({ settled }) => settled),
      };
    } catch (error) {
      if (!(error instanceof Failure) && !(error instanceof StoreError)) throw error;
      this.#sayOnce(error.message, () => {
        this.#log.error({ reason: error.message, hint: error.hint }, "interrupted switch not settled");
      });
      return { changed: false, settled: error instanceof Failure && error.code !== "busy" };
    }
  }

  #say(recovery: Recovery): void {
    const { settled, committed, record } = recovery;
    const reason = recoveryText(recovery);
    const fields = { provider: record.provider, profile: record.profile, reason };
    if (!settled) {
      this.#sayOnce(reason, () => {
        this.#log.warn({ ...fields, hint: "see which program keeps that store busy" }, "interrupted switch not settled");
      });
      return;
    }
    this.#said = "";
    const isWhole = recovery.parts.every(({ error }) => error === null);
    if (isWhole) this.#log.info(fields, committed ? "interrupted switch completed" : "interrupted switch undone");
    else this.#log.error({ ...fields, hint: "look at these stores: credsyncd status" }, "interrupted switch undone in part");
  }

  #sayOnce(reason: string, say: () => void): void {
    if (reason !== this.#said) say();
    this.#said = reason;
  }
}
