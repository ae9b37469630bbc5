import type { Clock } from "../../src/domain/clock.js";
import type { Orders } from "../../src/domain/observation.js";

/** The error that ends a killed process at its next step. */
export class Crash extends Error {
  constructor() {
    super("killed");
    this.name = "Crash";
  }
}

export interface ProcessEnvironment {
  /** The user's orders to this process; a daemon has none. */
  readonly orders: Orders;
  /** True time (epoch ms). */
  readonly trueNow: () => number;
  /** How far this host's clock is off (ms). */
  readonly skewMs: () => number;
  /** Lets the true time pass. */
  readonly elapse: (durationMs: number) => void;
}

/** One run of credsyncd, the daemon or a command: it can be interrupted, and killed, between any two of its steps. */
export class ModelProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly orders: Orders;
  #alive = true;
  #steps = 0;
  #interruptions: ReadonlyMap<number, () => Promise<void>> = new Map();
  /** The places passed, for the trace of an interruption. */
  lastPlace = "";

  constructor(name: string, { trueNow, skewMs, elapse, orders }: ProcessEnvironment) {
    this.name = name;
    this.orders = orders;
    this.clock = {
      now: () => trueNow() + skewMs(),
      monotonic: trueNow,
      sleep: (durationMs) => {
        elapse(durationMs);
        return Promise.resolve();
      },
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Sets the interruptions of the next work, by the number of the step that each precedes. */
  interruptWith(interruptions: ReadonlyMap<number, () => Promise<void>>): void {
    this.#steps = 0;
    this.#interruptions = interruptions;
  }

  kill(): void {
    this.#alive = false;
  }

  /** Called by every port at every place where the world may go on without this process. */
  pass(place: string): Promise<void> | undefined {
    this.ensureAlive();
    const interruption = this.#interruptions.get(this.#steps);
    this.#steps += 1;
    return interruption === undefined ? undefined : this.#interrupt(place, interruption);
  }

  ensureAlive(): void {
    if (!this.#alive) throw new Crash();
  }

  async #interrupt(place: string, interruption: () => Promise<void>): Promise<void> {
    this.lastPlace = place;
    await interruption();
    this.ensureAlive();
  }
}
