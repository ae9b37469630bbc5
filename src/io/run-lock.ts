import { rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import type { Clock } from "../domain/clock.js";
import { Failure, StoreError } from "../domain/errors.js";
import { readOwnFile, replaceOwnFile } from "./own-file.js";
import { takeDirectoryLock, type HeldLock } from "./directory-lock.js";
import { isThere } from "./regular-file.js";
import { isAlive, ownIdentity, type ProcessIdentity } from "./process-identity.js";
import { errnoOf, isAbsent } from "./system-error.js";

/** A daemon on another host, or in another pid namespace, counts as running until its heartbeat is this old (ms). */
const STALE_MS = 90_000;
const HEARTBEAT_MS = 30_000;
/** Taking the lock takes milliseconds; one who was killed at it holds the others up for this long. */
const TURN_STALE_MS = 5000;
const TURN_WAIT_MS = 15_000;

const holderShape = z.object({
  pid: z.int32().check(z.positive()),
  startTime: z.nullable(z.number()),
  host: z.string(),
  bootId: z.nullable(z.string()),
  pidNamespace: z._default(z.nullable(z.string()), null),
});

/** The lock that lets one daemon run a state directory (rule R18): `run.lock` says who, `run.lock.held` is its heartbeat. */
export interface RunLock {
  /** Aborted when another daemon took the state directory over. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

/**
 * Takes the state directory for this daemon.
 *
 * @throws Failure `busy` that names the daemon that has it
 */
export async function takeRunLock(stateDirectory: string, clock: Clock, signal: AbortSignal): Promise<RunLock> {
  const turn = await takeTurn(stateDirectory, clock, signal);
  try {
    return await takeInTurn(stateDirectory, clock, signal);
  } finally {
    await turn.release();
  }
}

/**
 * Makes daemons that start at the same moment take turns. Otherwise one could read the record while another has the heartbeat but
 * has not signed yet. It would see the name of a dead daemon, and take the living one's heartbeat away.
 */
async function takeTurn(stateDirectory: string, clock: Clock, signal: AbortSignal): Promise<HeldLock> {
  const path = join(stateDirectory, "run.lock.turn");
  try {
    return await takeDirectoryLock(path, { staleMs: TURN_STALE_MS, touchMs: 1000, waitMs: TURN_WAIT_MS, clock }, signal);
  } catch (error) {
    if (error instanceof StoreError) throw await refusal(error, stateDirectory);
    if (errnoOf(error) === null) throw error;
    throw new Failure(
      "permission",
      `cannot make ${path}: ${errnoOf(error) ?? ""}`,
      "make the state directory writable, or set XDG_STATE_HOME",
      error,
    );
  }
}

async function takeInTurn(stateDirectory: string, clock: Clock, signal: AbortSignal): Promise<RunLock> {
  const record = join(stateDirectory, "run.lock");
  const heartbeat = join(stateDirectory, "run.lock.held");
  for (let attempt = 0; ; attempt++) {
    try {
      const held = await takeDirectoryLock(heartbeat, { staleMs: STALE_MS, touchMs: HEARTBEAT_MS, waitMs: 0, clock }, signal);
      return await signed(held, record);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code !== "locked") throw await refusal(error, stateDirectory);
    }
    const holder = await readHolder(stateDirectory);
    // Signing is part of a turn, and this is ours: whoever took the heartbeat and never signed was killed in between.
    const isGoneForGood = holder === null ? !(await isSigned(record, stateDirectory)) : isGone(holder);
    if (attempt > 0 || !isGoneForGood) throw alreadyRunning(holder, stateDirectory);
    await removeHeartbeat(heartbeat);
  }
}

/** @throws Failure if that is unknown: a daemon may run */
async function isSigned(record: string, stateDirectory: string): Promise<boolean> {
  try {
    return isThere(record);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw await refusal(error, stateDirectory);
  }
}

async function signed(held: HeldLock, record: string): Promise<RunLock> {
  await replaceOwnFile(record, `${JSON.stringify(ownIdentity())}\n`);
  return held;
}

/** Returns the present or last holder of the state directory; null if there never was one. */
export async function readHolder(stateDirectory: string): Promise<ProcessIdentity | null> {
  try {
    const parsed = holderShape.safeParse(JSON.parse((await readOwnFile(join(stateDirectory, "run.lock"))) ?? "null"));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The daemon that runs this state directory now, or null. */
export async function runningDaemon(stateDirectory: string, now: number): Promise<ProcessIdentity | null> {
  try {
    const { mtimeMs } = await stat(join(stateDirectory, "run.lock.held"));
    const holder = await readHolder(stateDirectory);
    return holder === null || isGone(holder) || now - mtimeMs > STALE_MS ? null : holder;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

/**
 * Checks whether a daemon has certainly ended: it was on this host, before a reboot or with a pid that is dead. A pid of another
 * namespace proves nothing: the heartbeat alone counts.
 */
function isGone(holder: ProcessIdentity): boolean {
  const own = ownIdentity();
  if (holder.host !== own.host) return false;
  if (holder.bootId !== null && own.bootId !== null && holder.bootId !== own.bootId) return true;
  return holder.pidNamespace === own.pidNamespace && !isAlive(holder.pid, holder.startTime);
}

async function removeHeartbeat(heartbeat: string): Promise<void> {
  try {
    await rmdir(heartbeat);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

async function refusal(error: StoreError, stateDirectory: string): Promise<Failure> {
  if (error.code === "locked") return alreadyRunning(await readHolder(stateDirectory), stateDirectory);
  return new Failure("general", error.message, error.hint, error);
}

function alreadyRunning(holder: ProcessIdentity | null, stateDirectory: string): Failure {
  return new Failure(
    "busy",
    `${nameOf(holder)} already runs the state directory ${stateDirectory}`,
    "stop that one first, or give this one another XDG_STATE_HOME",
  );
}

function nameOf(holder: ProcessIdentity | null): string {
  if (holder === null) return "another credsyncd";
  const own = ownIdentity();
  const isElsewhere = holder.host === own.host && holder.pidNamespace !== own.pidNamespace;
  const where = isElsewhere ? `${holder.host}, in another container,` : holder.host;
  return `credsyncd with pid ${String(holder.pid)} on ${where}`;
}
