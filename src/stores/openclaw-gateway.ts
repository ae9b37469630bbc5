import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { runCommand, type CommandOutcome } from "../io/run-command.js";
import { errnoOf } from "../io/system-error.js";
import { expandHome, variable, type Environment } from "./environment.js";
import { configuredGatewayPort, openclawStateDirectory } from "./openclaw-discovery.js";

/** OpenClaw's own default. */
const DEFAULT_PORT = 18789;
/** `TCP_LISTEN` in the kernel's tables (proc(5), net/tcp). */
const LISTEN = "0A";

/** Who listens, where the system does not tell. */
export const UNKNOWN_LISTENER = "unknown";

/** A gateway that may run for an OpenClaw, and how it is told to read its stores again. */
export interface Gateway {
  /** What it is, for a person. */
  readonly name: string;
  /** Another name is another start of the gateway; null while nobody listens. */
  readonly listener: () => Promise<string | null>;
  /** Null where the user wants it not to be told. */
  readonly reload: ((signal: AbortSignal) => Promise<CommandOutcome>) | null;
}

/** A reload's limit: a gateway that is busy answers late, one that hangs not at all. */
export const RELOAD_TIMEOUT_MS = 30_000;

/** The gateway of one OpenClaw, reloaded by the `openclaw` on the PATH, if at all. */
export function openclawGateway(stateDir: string | null, reloads: boolean, environment: Environment): Gateway {
  const { variables } = environment;
  const own = stateDir === null ? variables : { ...variables, OPENCLAW_STATE_DIR: expandHome(stateDir, environment.home) };
  const options = { timeoutMs: RELOAD_TIMEOUT_MS, variables: own };
  return {
    name: `the gateway of ${stateDir ?? variable(environment, "OPENCLAW_STATE_DIR") ?? "~/.openclaw"}`,
    listener: async () => {
      const configured = await configuredGatewayPort(await openclawStateDirectory(environment, stateDir));
      const named = Number(variable(environment, "OPENCLAW_GATEWAY_PORT") ?? Number.NaN);
      return listenerOf(Number.isInteger(named) ? named : (configured ?? DEFAULT_PORT));
    },
    reload: reloads ? (signal) => runCommand(["openclaw", "secrets", "reload"], options, signal) : null,
  };
}

/** A gateway that the user's own command reloads, whether or not anything listens. */
export function customGateway(command: readonly [string, ...string[]], environment: Environment): Gateway {
  const options = { timeoutMs: RELOAD_TIMEOUT_MS, variables: environment.variables };
  return {
    name: `the gateway that ${basename(command[0])} reloads`,
    listener: () => Promise.resolve(UNKNOWN_LISTENER),
    reload: (signal) => runCommand(command, options, signal),
  };
}

/**
 * Who on this host listens on a TCP port, told from the kernel's tables without a connection.
 *
 * @returns the inodes of the sockets, which another start has others of; null for nobody; `UNKNOWN_LISTENER` where the
 *   system has no such tables: the reload itself then tells
 */
export async function listenerOf(port: number): Promise<string | null> {
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readTable));
  const known = tables.filter((table) => table !== null);
  if (known.length === 0) return UNKNOWN_LISTENER;
  const sockets = known.flatMap((table) => socketsOn(table, port));
  return sockets.length === 0 ? null : sockets.sort().join(",");
}

async function readTable(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // Who listens is only a help; without it the reload itself tells.
    if (errnoOf(error) !== null) return null;
    throw error;
  }
}

function socketsOn(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").flatMap((line) => {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === LISTEN && local?.endsWith(suffix) === true ? [inode ?? ""] : [];
  });
}
