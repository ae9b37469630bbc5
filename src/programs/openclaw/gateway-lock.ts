import { createHash } from "node:crypto";
import { join } from "node:path";
import { StoreError } from "../../domain/errors.js";
import { isJsonObject } from "../../io/json-document.js";
import { readRegularFile } from "../../io/regular-file.js";
import { errnoOf } from "../../io/system-error.js";
import type { OpenclawConfig } from "./config.js";

/** The lock that a gateway of OpenClaw 2026.8 or later leaves beside its files while it runs, and after it was killed. */
export interface GatewayLock {
  readonly port: number;
  /** True if its process is there. */
  readonly isAlive: boolean;
}

/**
 * Reads the lock that the gateway of these very files holds (openclaw/openclaw, src/infra/gateway-lock.ts).
 *
 * @returns null where there is none that names a port
 */
export async function readGatewayLock({ stateDirectory, path }: OpenclawConfig): Promise<GatewayLock | null> {
  const uid = process.getuid?.();
  const directory = join(stateDirectory, "tmp", uid === undefined ? "openclaw" : `openclaw-${String(uid)}`);
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 8);
  for (const name of [`gateway.${hash}.lock`, "gateway.state.lock"]) {
    const lock = lockIn(await textOf(join(directory, name)));
    if (lock !== null) return lock;
  }
  return null;
}

/** It is only a help: one that cannot be read is none. */
async function textOf(path: string): Promise<string> {
  try {
    return (await readRegularFile(path))?.text ?? "";
  } catch (error) {
    if (error instanceof StoreError) return "";
    throw error;
  }
}

function lockIn(text: string): GatewayLock | null {
  const payload = objectIn(text);
  const { pid, port, role } = payload;
  // Other programs of OpenClaw take the same lock under a role of their own.
  if (role !== undefined && role !== "gateway") return null;
  if (!isInteger(pid) || !isInteger(port) || port > 65_535) return null;
  return { port, isAlive: isAlive(pid) };
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    // It may just be written.
    return {};
  }
}

function isInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}
