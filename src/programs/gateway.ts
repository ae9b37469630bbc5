import { basename } from "node:path";
import { runCommand, type CommandOutcome } from "../io/run-command.js";
import type { Environment } from "./environment.js";

/** Who listens, where the system does not tell. */
export const UNKNOWN_LISTENER = "unknown";

/** A running instance of a program that works from memory, and how it is told to read its stores again. */
export interface Gateway {
  /** What it is, for a person. */
  readonly name: string;
  /** Another name is another start of the gateway; null while nobody listens. */
  readonly listener: () => Promise<string | null>;
  /** Null where the user wants it not to be told. */
  readonly reload: ((signal: AbortSignal) => Promise<CommandOutcome>) | null;
  /** Where it should listen; null where none is configured and none is known to have run. */
  readonly expected?: () => Promise<ExpectedGateway | null>;
}

/** Where a gateway should listen. */
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
