import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { readFile, stat, statfs, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod/mini";
import type { Clock } from "../domain/clock.js";
import { StoreError } from "../domain/errors.js";
import { isAlive, startTimeOf } from "./process-identity.js";
import { errnoOf, isAbsent } from "./system-error.js";

/**
 * OpenClaw's lock file: created exclusively, names its holder, removed by unlink.
 *
 * Versions to 5.7 break it when the pid is dead or after 30 s, later ones only when the pid is dead, and one without a
 * payload never; so the payload follows at once, and it is held for less than a second.
 */
export interface LockOptions {
  /** A lock whose holder is dead is broken at this age (ms), the longest rule of any version. */
  readonly staleMs: number;
  /** How long to wait for another holder (ms). */
  readonly waitMs: number;
  readonly clock: Clock;
}

/** No version of OpenClaw holds a lock longer than this without having written who it is. */
const NAMELESS_STALE_MS = 180_000;
const FIRST_RETRY_MS = 10;
const LONGEST_RETRY_MS = 250;
/** `statfs` types of file systems whose holders may be on another host: NFS, SMB, CIFS, SMB2, 9p, FUSE, Ceph. */
const NETWORK_FILE_SYSTEMS = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x00c36400]);

const OWN_START_TIME = startTimeOf(process.pid);

const payloadShape = z.object({ pid: z.number(), createdAt: z.string(), starttime: z.optional(z.number()) });

/**
 * Runs an action while holding the lock.
 *
 * @throws StoreError `locked` when the lock stays held, or whatever the action throws; the lock is released in any case
 */
export async function withOwnerLock<Result>(
  path: string,
  options: LockOptions,
  signal: AbortSignal,
  action: () => Promise<Result>,
): Promise<Result> {
  const release = await takeOwnerLock(path, options, signal);
  try {
    return await action();
  } finally {
    release();
  }
}

/**
 * Takes the lock.
 *
 * @returns what releases it
 * @throws StoreError `locked` when it stays held
 */
export async function takeOwnerLock(path: string, options: LockOptions, signal: AbortSignal): Promise<() => void> {
  await acquire(path, options, signal);
  return () => {
    release(path);
  };
}

/** Lets actions of this process share a lock against other programs: the first takes it, the last releases it. */
export class SharedOwnerLocks {
  readonly #held = new Map<string, { users: number; readonly taken: Promise<void> }>();

  /** As `withOwnerLock`, where another action of this process may hold the lock already. */
  async withLock<Result>(
    path: string,
    options: LockOptions,
    signal: AbortSignal,
    action: () => Promise<Result>,
  ): Promise<Result> {
    const lock = this.#held.get(path) ?? { users: 0, taken: acquire(path, options, signal) };
    this.#held.set(path, lock);
    lock.users += 1;
    let isTaken = false;
    try {
      await lock.taken;
      isTaken = true;
      return await action();
    } finally {
      lock.users -= 1;
      if (lock.users === 0) this.#held.delete(path);
      if (lock.users === 0 && isTaken) release(path);
    }
  }
}

async function acquire(path: string, options: LockOptions, signal: AbortSignal): Promise<void> {
  const deadline = options.clock.monotonic() + options.waitMs;
  for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
    if (create(path, options.clock)) return;
    if (await breakStale(path, options)) continue;
    if (signal.aborted || options.clock.monotonic() >= deadline) {
      throw new StoreError(
        "locked",
        `${path} is held by another program`,
        "it is tried again by itself; if it lasts, see which program the lock file names",
      );
    }
    await options.clock.sleep(retryMs, signal);
  }
}

/** Creates the lock and its payload without a pause in between: a nameless lock can block its owner for good. */
function create(path: string, clock: Clock): boolean {
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
  try {
    const payload = {
      pid: process.pid,
      createdAt: new Date(clock.now()).toISOString(),
      ...(OWN_START_TIME === null ? {} : { starttime: OWN_START_TIME }),
    };
    writeSync(file, JSON.stringify(payload, null, 2));
  } finally {
    closeSync(file);
  }
  return true;
}

async function breakStale(path: string, { staleMs, clock }: LockOptions): Promise<boolean> {
  try {
    const text = await readFile(path, "utf8");
    const { mtimeMs, ino } = await stat(path);
    if (!isStale(text, mtimeMs, staleMs, clock.now())) return false;
    if (NETWORK_FILE_SYSTEMS.has((await statfs(dirname(path))).type)) return false;
    // Another waiter may have broken it meanwhile, and hold a lock of its own by now.
    if ((await stat(path)).ino !== ino || (await readFile(path, "utf8")) !== text) return true;
    await unlink(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return true;
    throw error;
  }
}

function isStale(text: string, mtimeMs: number, staleMs: number, now: number): boolean {
  const payload = parsePayload(text);
  if (payload === null) return now - mtimeMs > NAMELESS_STALE_MS;
  const createdAt = Date.parse(payload.createdAt);
  const age = now - (Number.isNaN(createdAt) ? mtimeMs : createdAt);
  return age > staleMs && !isAlive(payload.pid, payload.starttime ?? null);
}

function parsePayload(text: string): z.infer<typeof payloadShape> | null {
  try {
    const parsed = payloadShape.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Removes the lock unless someone took it away: a holder that was too slow must not remove the next one's. */
function release(path: string): void {
  try {
    const payload = parsePayload(readFileSync(path, "utf8"));
    if (payload?.pid === process.pid) unlinkSync(path);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}
