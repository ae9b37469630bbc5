import { readFile } from "node:fs/promises";
import { isJsonObject } from "../../io/json-document.js";
import { runCommand } from "../../io/run-command.js";
import { errnoOf } from "../../io/system-error.js";
import { expandHome, variable, type Environment } from "../environment.js";
import { RELOAD_TIMEOUT_MS, UNKNOWN_LISTENER, type ExpectedGateway, type Gateway } from "../gateway.js";
import { profileOf, profileVariables, readOpenclawConfig, withoutGateway, type OpenclawConfig } from "./config.js";
import { readGatewayLock } from "./gateway-lock.js";
import type { Variables } from "./variables.js";
import { isBefore } from "./version.js";

/** OpenClaw's own default. */
const DEFAULT_PORT = 18789;
/** `TCP_LISTEN` in the kernel's tables (proc(5), net/tcp). */
const LISTEN = "0A";

/** The gateway of one OpenClaw, reloaded by the `openclaw` on the PATH, if at all. */
export function openclawGateway(stateDir: string | null, reloads: boolean, environment: Environment): Gateway {
  return {
    name: `the gateway of ${stateDir ?? variable(environment, "OPENCLAW_STATE_DIR") ?? "~/.openclaw"}`,
    listener: async () => listenerOf(await portInUse(await readOpenclawConfig(environment, stateDir))),
    reload: reloads
      ? async (signal) => {
          const config = await readOpenclawConfig(environment, stateDir);
          const port = await portInUse(config);
          // One that was started on another port than its files name: `openclaw` asks no lock.
          const named = port === gatewayPort(config) ? {} : { OPENCLAW_GATEWAY_PORT: String(port) };
          const variables = { ...(await reloadVariables(stateDir, environment)), ...named };
          return runCommand(["openclaw", "secrets", "reload"], { timeoutMs: RELOAD_TIMEOUT_MS, variables }, signal);
        }
      : null,
    expected: async () => expectedIn(await readOpenclawConfig(environment, stateDir)),
  };
}

/** The port of the gateway that runs from these files, else the one that they name. */
async function portInUse(config: OpenclawConfig): Promise<number> {
  const lock = await readGatewayLock(config);
  return lock?.isAlive === true && (await listenerOf(lock.port)) !== null ? lock.port : gatewayPort(config);
}

async function expectedIn(config: OpenclawConfig): Promise<ExpectedGateway | null> {
  const lock = await readGatewayLock(config);
  if (lock !== null) return { port: lock.port, because: "ran" };
  const { gateway } = config.value;
  const isLocal = isJsonObject(gateway) && gateway["mode"] !== "remote";
  return isLocal || namedPort(config) !== null ? { port: gatewayPort(config), because: "configured" } : null;
}

/** The variables by which `openclaw` finds the gateway of a state directory. */
async function reloadVariables(stateDir: string | null, environment: Environment): Promise<Variables> {
  const { variables, home } = environment;
  if (stateDir === null) return variables;
  const named = { OPENCLAW_STATE_DIR: expandHome(stateDir, home) };
  const usual = await readOpenclawConfig(environment, null);
  const { stateDirectory } = await readOpenclawConfig(environment, stateDir);
  if (stateDirectory === usual.stateDirectory) return { ...variables, ...named };
  const profile = profileOf(stateDirectory, usual.home);
  return { ...(profile === null ? withoutGateway(variables) : profileVariables(variables, profile)), ...named };
}

/** The port that the gateway of an OpenClaw listens on (openclaw/openclaw, src/config/paths.ts). */
export function gatewayPort(config: OpenclawConfig): number {
  const { value, variables, versionHint } = config;
  const named = namedPort(config);
  const { gateway } = value;
  const port = isJsonObject(gateway) ? gateway["port"] : null;
  if (named !== null) return named;
  if (typeof port === "number" && Number.isFinite(port) && port > 0) return port;
  const profile = variables["OPENCLAW_PROFILE"]?.trim() ?? "";
  const isNamed = /^[a-z0-9][a-z0-9_-]{0,63}$/i.test(profile) && profile.toLowerCase() !== "default";
  return isNamed && hasProfilePorts(versionHint) ? profilePort(profile) : DEFAULT_PORT;
}

function namedPort({ variables }: OpenclawConfig): number | null {
  return portIn(variables["OPENCLAW_GATEWAY_PORT"]) ?? portIn(variables["CLAWDBOT_GATEWAY_PORT"]);
}

/** Up to 2026.7 profiles have no ports of their own; a config that names no version is taken for one of today. */
function hasProfilePorts(versionHint: string | null): boolean {
  return versionHint === null || !isBefore(versionHint, "2026.8");
}

/** A hash of the profile's name (FNV-1a, 32 bits). */
function profilePort(profile: string): number {
  let hash = 2_166_136_261;
  for (const byte of Buffer.from(profile, "utf8")) hash = Math.imul(hash ^ byte, 16_777_619) >>> 0;
  return 20_000 + (hash % 40_000);
}

/** `PORT`, `HOST:PORT` or `[ADDRESS]:PORT`; null for anything else. */
function portIn(value: string | undefined): number | null {
  const [, digits] = /^(?:\[[^\]]+\]:|[^:]+:)?(\d+)$/.exec(value?.trim() ?? "") ?? [];
  const port = Number(digits ?? 0);
  return port > 0 && port <= 65_535 ? port : null;
}

/**
 * Finds the listener on a TCP port of this host, from the kernel's tables and without a connection.
 *
 * @returns the inodes of the sockets, which differ after a restart; null for nobody; `UNKNOWN_LISTENER` if the system has no
 *   such tables: the reload itself then finds out
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
    // The listener only helps; without it the reload itself finds out.
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
