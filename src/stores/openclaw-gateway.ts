import { readFile } from "node:fs/promises";
import { runCommand, type CommandOutcome } from "../io/run-command.js";
import { isAbsent } from "../io/system-error.js";
import { expandHome, variable, type Environment } from "./environment.js";
import { configuredGatewayPort, openclawStateDirectory } from "./openclaw-discovery.js";

/** OpenClaw's own default. */
const DEFAULT_PORT = 18789;
/** `TCP_LISTEN` in the kernel's tables (proc(5), net/tcp). */
const LISTEN = "0A";

/** A gateway that may run for an OpenClaw, and how it is told to read its stores again. */
export interface Gateway {
  readonly isListening: () => Promise<boolean>;
  readonly reload: (signal: AbortSignal) => Promise<CommandOutcome>;
}

/** A reload's limit: a gateway that is busy answers late, one that hangs not at all. */
export const RELOAD_TIMEOUT_MS = 30_000;

/** The gateway of one OpenClaw, reloaded by the `openclaw` on the PATH. */
export function openclawGateway(stateDir: string | null, environment: Environment): Gateway {
  const { variables } = environment;
  const own = stateDir === null ? variables : { ...variables, OPENCLAW_STATE_DIR: expandHome(stateDir, environment.home) };
  return {
    isListening: async () => {
      const configured = await configuredGatewayPort(await openclawStateDirectory(environment, stateDir));
      const named = Number(variable(environment, "OPENCLAW_GATEWAY_PORT") ?? Number.NaN);
      return isPortListening(Number.isInteger(named) ? named : (configured ?? DEFAULT_PORT));
    },
    reload: (signal) => runCommand(["openclaw", "secrets", "reload"], { timeoutMs: RELOAD_TIMEOUT_MS, variables: own }, signal),
  };
}

/** A gateway that the user's own command reloads, whether or not anything listens. */
export function customGateway(command: readonly [string, ...string[]], environment: Environment): Gateway {
  const options = { timeoutMs: RELOAD_TIMEOUT_MS, variables: environment.variables };
  return { isListening: () => Promise.resolve(true), reload: (signal) => runCommand(command, options, signal) };
}

/**
 * Whether something on this host listens on a TCP port, told from the kernel's tables without a connection.
 *
 * @returns true also where the system has no such tables: the reload itself then tells
 */
export async function isPortListening(port: number): Promise<boolean> {
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readTable));
  const known = tables.filter((table) => table !== null);
  return known.length === 0 || known.some((table) => listens(table, port));
}

async function readTable(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

function listens(table: string, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").some((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    return state === LISTEN && local?.endsWith(suffix) === true;
  });
}
