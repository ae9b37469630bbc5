import { setTimeout as delay } from "node:timers/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../domain/clock.js";
import { SharedOwnerLocks } from "../io/owner-lock.js";
import { SqliteReaders } from "../io/sqlite-database.js";
import { variable, type Environment } from "../stores/environment.js";

/** The system's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (durationMs, signal) => {
    try {
      await delay(Math.max(0, durationMs), undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
};

/** The system around this process. */
export function systemEnvironment(): Environment {
  return {
    home: homedir(),
    variables: process.env,
    clock: systemClock,
    refreshLocks: new SharedOwnerLocks(),
    databases: new SqliteReaders(),
  };
}

/** Where credsyncd keeps its own state: `${XDG_STATE_HOME:-~/.local/state}/credsyncd`. */
export function stateDirectoryOf(environment: Environment): string {
  return join(variable(environment, "XDG_STATE_HOME") ?? join(environment.home, ".local", "state"), "credsyncd");
}
