import { closeSync, existsSync, linkSync, openSync, readdirSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod/mini";
import type { Clock } from "../domain/clock.js";
import { StoreError } from "../domain/errors.js";
import { isAlive, ownIdentity, pidSpaceOf } from "./process-identity.js";
import { readRegularBytes } from "./regular-file.js";
import { errnoOf, isAbsent, isUnlinkable, toStoreError } from "./system-error.js";
import { Leftovers, temporaryName } from "./temporary-file.js";

/**
 * OpenClaw's lock file (rule R10): created exclusively, names its holder, removed by unlink.
 *
 * Versions to 5.7 break it when the pid is dead or after 30 s. Later ones break it only when the pid is dead, and never one
 * without a payload. So the payload follows at once, and credsyncd keeps the lock for less than a second.
 */
export interface LockOptions {
  /** A lock whose holder is dead is broken at this age (ms), the longest rule of any version. */
  readonly staleMs: number;
  /** How long to wait for another holder (ms). */
  readonly waitMs: number;
  readonly clock: Clock;
  /** Killed credsyncds, whose locks are nobody else's to wait for. */
  readonly predecessors: Predecessors;
  /**
   * True if the caller has just taken another lock there, so that killed credsyncds left nothing more to remove beside this one.
   */
  readonly isTidy?: boolean;
  /** Told what stood in a lock that was broken. */
  readonly onBroken?: (payload: string) => void;
  /** For a lock that credsyncd alone uses: its holder touches it, and one whose pid proves nothing here is dead once it does not. */
  readonly heartbeat?: Heartbeat;
}

export interface Heartbeat {
  readonly everyMs: number;
  /** A waiter breaks the lock once it saw no sign of life for this long (ms, awake). */
  readonly silentMs: number;
}

/** A file that this process could not remove, although it no longer needs it. */
export interface Stuck {
  readonly path: string;
  readonly what: "lock" | "temporary file";
  readonly error: StoreError;
}

/**
 * Processes of credsyncd that were killed during a write. The lock that they left on the state directory names them: only
 * credsyncd takes that lock, and takes it before any other.
 *
 * Their locks on other programs' stores are broken at once, and so are those that this process itself could not remove. Their
 * other files are removed, too.
 */
export class Predecessors {
  readonly #known = new Set<string>();
  /** The content of these locks, by their paths. */
  readonly #stuck = new Map<string, string>();
  /** Temporary files, theirs and this process's own. */
  readonly leftovers = new Leftovers();

  /** Adds the holder of a broken lock. One without a start time looks the same as a later process with its pid. */
  add(payload: string): void {
    const name = nameOf(payload);
    if (name !== null) this.#known.add(name);
  }

  include(payload: string): boolean {
    const name = nameOf(payload);
    return name !== null && this.#known.has(name);
  }

  /** Checks whether this process has released the lock, but could not remove it. */
  hasLeft(path: string, payload: string): boolean {
    return this.#stuck.get(path) === payload;
  }

  /**
   * Removes a lock of this process, or a killed one's, unless someone took it away: a holder that was too slow must not
   * remove the next one's. One that cannot be removed is no failure of what was done under it; it is kept in mind for `removeStuck`.
   */
  release(path: string, payload: string): void {
    if (unlock(path, payload) === null) this.#stuck.delete(path);
    else this.#stuck.set(path, payload);
  }

  /** Tries once more. @returns what still cannot be removed: locks keep other programs waiting */
  removeStuck(): Stuck[] {
    const locks = [...this.#stuck].flatMap(([path, payload]) => {
      const error = unlock(path, payload);
      if (error === null) this.#stuck.delete(path);
      return error === null ? [] : [{ path, what: "lock" as const, error }];
    });
    return [...locks, ...this.leftovers.discardAgain().map((left) => ({ ...left, what: "temporary file" as const }))];
  }
}

/** @returns why it is still there; null once it is not there, or somebody else's */
function unlock(path: string, payload: string): StoreError | null {
  try {
    if (look(path)?.text === payload) unlinkSync(path);
    return null;
  } catch (error) {
    return isAbsent(error) ? null : toStoreError(error, path, "write");
  }
}

function nameOf(payload: string): string | null {
  const { pid, starttime, pidSpace = "" } = parsePayload(payload) ?? {};
  return pid === undefined || starttime === undefined ? null : `${String(pid)} ${String(starttime)} ${pidSpace}`;
}

/** No version of OpenClaw holds a lock longer than this without having written who it is. */
const NAMELESS_STALE_MS = 180_000;
/** Nor does credsyncd, whose pid proves nothing in another container. */
const FOREIGN_STALE_MS = 180_000;
/** Far above what any program writes into a lock. */
const PAYLOAD_MAX_BYTES = 64 * 1024;
const FIRST_RETRY_MS = 10;
const LONGEST_RETRY_MS = 250;
/** `statfs` types of file systems whose holders may be on another host: NFS, SMB, CIFS, SMB2, 9p, FUSE, Ceph. */
const NETWORK_FILE_SYSTEMS = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x00c36400]);

const OWN = ownIdentity();
const OWN_PID_SPACE = pidSpaceOf(OWN);

/** A lock that names a process is that process's, whatever else stands in it. */
const payloadShape = z.object({
  pid: z.int32().check(z.positive()),
  createdAt: z.catch(z.optional(z.string()), undefined),
  starttime: z.catch(z.optional(z.number()), undefined),
  /** Among which processes the pid counts; only credsyncd says so. */
  pidSpace: z.catch(z.optional(z.string()), undefined),
});
type Payload = z.infer<typeof payloadShape>;

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
  const payload = await acquire(path, options, signal);
  const heart = options.heartbeat === undefined ? undefined : beat(path, payload, options.heartbeat);
  return () => {
    clearInterval(heart);
    options.predecessors.release(path, payload);
  };
}

/** Touches a lock as long as it is this process's; a beat that fails is missed. */
function beat(path: string, payload: string, { everyMs }: Heartbeat): NodeJS.Timeout {
  const timer = setInterval(() => {
    if (payloadAt(path) !== payload) return;
    try {
      const now = new Date();
      utimesSync(path, now, now);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
    }
  }, everyMs);
  return timer.unref();
}

/** Checks whether one of credsyncd's own locks is there and its holder is certainly dead. */
export function isForsaken(path: string): boolean {
  const payload = parsePayload(payloadAt(path) ?? "");
  return payload !== null && !isForeign(payload) && !isHolderAlive(payload);
}

/** Removes the locks in a directory, if there is such a directory, that killed credsyncds left, and what they left half done. */
export function removeForsakenLocks(directory: string, predecessors: Predecessors): void {
  try {
    predecessors.leftovers.discardAllIn(directory);
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const payload = name.endsWith(".lock") ? payloadAt(path) : null;
      if (payload !== null && predecessors.include(payload)) predecessors.release(path, payload);
    }
  } catch (error) {
    // If this user may not read or write there, no credsyncd of theirs did.
    if (errnoOf(error) === null) throw error;
  }
}

/** Lets actions of this process share a lock against other programs: the first takes it, the last releases it. */
export class SharedOwnerLocks {
  readonly #held = new Map<string, { users: number; readonly taken: Promise<string> }>();

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
    let payload: string | null = null;
    try {
      payload = await lock.taken;
      return await action();
    } finally {
      lock.users -= 1;
      if (lock.users === 0) this.#held.delete(path);
      if (lock.users === 0 && payload !== null) options.predecessors.release(path, payload);
    }
  }
}

/** @returns what the lock file holds, by which its holder knows it again */
async function acquire(path: string, options: LockOptions, signal: AbortSignal): Promise<string> {
  const deadline = options.clock.monotonic() + options.waitMs;
  const silence = new Silence(options.clock);
  for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
    const payload = create(path, options) ?? ((await breakStale(path, options, silence)) ? create(path, options) : null);
    if (payload !== null) return payload;
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

/**
 * Creates the lock with its payload in it from the first moment: a nameless lock can block its owner for good.
 *
 * @returns the payload, or null if another process has the lock
 */
function create(path: string, { clock, isTidy, predecessors: { leftovers } }: LockOptions): string | null {
  if (existsSync(path)) return null;
  const payload = JSON.stringify(
    {
      pid: process.pid,
      createdAt: new Date(clock.now()).toISOString(),
      ...(OWN.startTime === null ? {} : { starttime: OWN.startTime }),
      pidSpace: OWN_PID_SPACE,
    },
    null,
    2,
  );
  const signed = temporaryName(path);
  try {
    writeNew(signed, payload);
    linkSync(signed, path);
  } catch (error) {
    leftovers.discard(signed);
    // Another took the lock, or took this for what a dead one had left behind.
    if (errnoOf(error) === "EEXIST" || (errnoOf(error) === "ENOENT" && existsSync(dirname(path)))) return null;
    if (!isUnlinkable(error)) throw error;
    return createInPlace(path, payload);
  }
  leftovers.discard(signed);
  if (isTidy !== true) tidyUp(dirname(path), leftovers);
  return payload;
}

/** Removes leftovers. It never throws, since the caller must learn that it has the lock. */
function tidyUp(directory: string, leftovers: Leftovers): void {
  try {
    leftovers.discardAllIn(directory);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
  }
}

/** Creates the lock on a file system without hard links: the payload follows the name without a pause in between. */
function createInPlace(path: string, payload: string): string | null {
  try {
    writeNew(path, payload);
    return payload;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return null;
    throw error;
  }
}

function writeNew(path: string, text: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    writeFileSync(file, text);
  } catch (error) {
    // A full disk takes the name and not the text.
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
}

/** How long a lock was seen to stay as it is. Time in which the computer sleeps does not count: its holder slept, too. */
class Silence {
  readonly #clock: Clock;
  #since = 0;
  #seen: LockFile | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  lastsMs(lock: LockFile): number {
    const now = this.#clock.monotonic();
    if (this.#seen === null || !isSame(this.#seen, lock)) this.#since = now;
    this.#seen = lock;
    return now - this.#since;
  }
}

/** @returns whether the lock is gone */
async function breakStale(path: string, options: LockOptions, silence: Silence): Promise<boolean> {
  try {
    const before = look(path);
    if (before === null) return true;
    const isOwn = options.predecessors.hasLeft(path, before.text);
    if (!isOwn && !options.predecessors.include(before.text) && !isStale(before, options, silence)) return false;
    if (NETWORK_FILE_SYSTEMS.has((await statfs(dirname(path))).type)) return false;
    // Another waiter may have broken it meanwhile and may have its own lock by now; nothing waits after this read.
    const now = look(path);
    if (now === null || !isSame(now, before)) return true;
    unlinkSync(path);
    options.onBroken?.(before.text);
    return true;
  } catch (error) {
    if (isAbsent(error)) return true;
    throw toStoreError(error, path, "write");
  }
}

interface LockFile {
  readonly text: string;
  readonly changedAt: number;
  readonly inode: number;
}

function isSame(one: LockFile, other: LockFile): boolean {
  return one.inode === other.inode && one.changedAt === other.changedAt && one.text === other.text;
}

/** @throws StoreError for what is no lock file, or cannot be read */
function look(path: string): LockFile | null {
  const file = readRegularBytes(path, PAYLOAD_MAX_BYTES);
  if (file === null) return null;
  return { text: file.bytes.toString("utf8"), changedAt: file.stat.mtimeMs, inode: file.stat.ino };
}

/** Reads the content of a lock; null if there is none, or if it is no known lock. */
function payloadAt(path: string): string | null {
  try {
    return look(path)?.text ?? null;
  } catch (error) {
    if (error instanceof StoreError) return null;
    throw error;
  }
}

function isStale(lock: LockFile, { staleMs, heartbeat, clock }: LockOptions, silence: Silence): boolean {
  const payload = parsePayload(lock.text);
  if (payload === null) return clock.now() - lock.changedAt > NAMELESS_STALE_MS;
  const createdAt = Date.parse(payload.createdAt ?? "");
  // If the clock was set back, only the distance means something.
  const age = Math.abs(clock.now() - (Number.isNaN(createdAt) ? lock.changedAt : createdAt));
  if (!isForeign(payload)) return age > staleMs && !isHolderAlive(payload);
  return heartbeat === undefined ? age > Math.max(staleMs, FOREIGN_STALE_MS) : silence.lastsMs(lock) > heartbeat.silentMs;
}

/** Checks whether its pid proves nothing here. OpenClaw writes only a pid, and relies on it wherever it runs. */
function isForeign({ pidSpace = OWN_PID_SPACE }: Payload): boolean {
  return pidSpace !== OWN_PID_SPACE;
}

function isHolderAlive({ pid, starttime }: Payload): boolean {
  return isAlive(pid, starttime ?? null);
}

function parsePayload(text: string): Payload | null {
  try {
    const parsed = payloadShape.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
