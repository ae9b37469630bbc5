import { setTimeout as delay } from "node:timers/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Clock } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import { Predecessors, SharedOwnerLocks } from "../io/owner-lock.js";
import { readRegularFile } from "../io/regular-file.js";
import { SqliteReaders } from "../io/sqlite-database.js";
import { baseDirectory, type Environment } from "../programs/environment.js";

/** The variables of sd_notify(3). They are for this process alone, not for the programs that it starts. */
export const supervisorVariables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

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

/**
 * The system around this process.
 *
 * @throws Failure `config` without a home: a place below the current directory is nobody's
 */
export function systemEnvironment(): Environment {
  const home = homeOfUser();
  if (!isAbsolute(home)) throw new Failure("config", `the home directory "${home}" is no absolute path`, "set HOME");
  return {
    home,
    variables: withoutSupervisor(process.env),
    clock: systemClock,
    refreshLocks: new SharedOwnerLocks(),
    predecessors: new Predecessors(),
    databases: new SqliteReaders(),
    lastAgents: new Map(),
    files: { read: readRegularFile },
    waitsForWriters: false,
  };
}

/** Returns the home, by the system's own files if HOME is not set. A user that they lack, such as a container's, has none. */
function homeOfUser(): string {
  try {
    return homedir();
  } catch (error) {
    throw new Failure("config", "this user has no home directory", "set HOME", error);
  }
}

/** The same for a command that looks once, and ends. */
export function commandEnvironment(): Environment {
  return { ...systemEnvironment(), waitsForWriters: true };
}

/** A program that credsyncd starts must not speak to the supervisor in its name. */
function withoutSupervisor(variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own: readonly string[] = supervisorVariables;
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !own.includes(name)));
}

/** Returns credsyncd's own state directory: `${XDG_STATE_HOME:-~/.local/state}/credsyncd`. */
export function stateDirectoryOf(environment: Environment): string {
  return join(baseDirectory(environment, "XDG_STATE_HOME", ".local", "state"), "credsyncd");
}
