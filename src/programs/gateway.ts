import { basename } from "node:path";
import { runCommand, type CommandOutcome } from "../io/run-command.js";
import type { Environment } from "./environment.js";

/** A listener, if the system does not say which. */
export const UNKNOWN_LISTENER = "unknown";

/** A running instance of a program that works from memory, and the way to make it read its stores again. */
export interface Gateway {
  /** Its name for people. */
  readonly name: string;
  /** Another name is another start of the gateway; null while nobody listens. */
  readonly listener: () => Promise<string | null>;
  /** Null if the user turned reloads off. */
  readonly reload: ((signal: AbortSignal) => Promise<CommandOutcome>) | null;
  /** The place where it should listen; null if none is configured and none is known to have run. */
  readonly expected?: () => Promise<ExpectedGateway | null>;
}

/** The place where a gateway should listen. */
export interface ExpectedGateway {
  readonly port: number;
  /** `ran`: its lock is still there. `configured`: its program's files or variables name it. */
  readonly because: "ran" | "configured";
}

/** A reload's limit: a gateway that is busy answers late, one that hangs not at all. */
export const RELOAD_TIMEOUT_MS = 30_000;

/** A gateway that the user's own command reloads, whether or not anything listens. */
export function customGateway(command: readonly [string, ...string[]], environment: Environment): Gateway {
  const options = { timeoutMs: RELOAD_TIMEOUT_MS, variables: environment.variables };
  return {
    name: `the gateway that ${basename(command[0])} reloads`,
    listener: () => Promise.resolve(UNKNOWN_LISTENER),
    reload: (signal) => runCommand(command, options, signal),
  };
}
