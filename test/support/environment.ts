import { systemClock, systemEnvironment } from "../../src/app/system.js";
import type { Clock } from "../../src/domain/clock.js";
import type { Environment } from "../../src/programs/environment.js";

/** A clock that runs as the system's does, set ahead by some ms; waits are cut short to keep tests quick. */
export class SetClock implements Clock {
  aheadMs = 0;

  now(): number {
    return systemClock.now() + this.aheadMs;
  }

  monotonic(): number {
    return systemClock.monotonic();
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return systemClock.sleep(Math.min(durationMs, 20), signal);
  }
}

/** The system around a store in a temporary home. */
export function environmentIn(home: string, variables: Environment["variables"] = {}, clock: Clock = systemClock): Environment {
  return { ...systemEnvironment(), home, variables, clock };
}
