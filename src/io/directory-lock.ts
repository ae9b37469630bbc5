import { lstatSync, rmdirSync } from "node:fs";
import { StoreError } from "../domain/errors.js";
import type { Clock } from "../domain/clock.js";
import { errnoOf } from "./system-error.js";

export interface DirectoryLockOptions {
  /** A lock whose directory was not touched for this long (ms) is broken. */
  readonly staleMs: number;
  /** How often the directory is touched while it is held (ms). */
  readonly touchMs: number;
  readonly waitMs: number;
  readonly clock: Clock;
}

/** A held lock; the signal is aborted when someone else took it away, after which nothing may be written. */
export interface HeldLock {
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

const RETRY_MS = 20;

/**
 * Takes a lock that is a directory, kept alive by its modification time (the protocol of npm proper-lockfile, which
 * Claude Code uses too).
 *
 * @throws StoreError `locked` when it stays held, `not-a-file` where something else stands in its place
 */
export async function takeDirectoryLock(path: string, options: DirectoryLockOptions, signal: AbortSignal): Promise<HeldLock> {
  const { default: lockfile } = await import("proper-lockfile");
  const deadline = options.clock.monotonic() + options.waitMs;
  const lost = new AbortController();
  for (;;) {
    try {
      const release = await lockfile.lock(path, {
        lockfilePath: path,
        realpath: false,
        stale: options.staleMs,
        update: options.touchMs,
        // The package's default throws from a timer, which ends the process.
        onCompromised: (error) => {
          lost.abort(new StoreError("locked", `${path} was taken away by another program`, "it is tried again by itself", error));
        },
      });
      const made = identityOf(path);
      return {
        lost: lost.signal,
        release: () =>
          releaseUnlessLost(release, lost.signal, () => {
            remove(path, made);
          }),
      };
    } catch (error) {
      if (errnoOf(error) === "ENOTDIR" && isThere(path))
        throw new StoreError("not-a-file", `${path} is no directory, which this lock is`, "move it away", error);
      if (errnoOf(error) !== "ELOCKED") throw error;
    }
    if (signal.aborted || options.clock.monotonic() >= deadline) {
      throw new StoreError("locked", `${path} is held by another program`, "it is tried again by itself");
    }
    await options.clock.sleep(RETRY_MS, signal);
  }
}

/** Not behind links; else some part of the path above it is what is no directory. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return false;
  }
}

/** A lock that cannot be removed fails nothing that was done under it: nobody touches it any more, so that it is broken soon. */
async function releaseUnlessLost(release: () => Promise<void>, lost: AbortSignal, removeAgain: () => void): Promise<void> {
  if (lost.aborted) return;
  try {
    await release();
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    // It was taken away in this very moment.
    if (errnoOf(error) !== "ERELEASED" && errnoOf(error) !== "ENOTACQUIRED" && errnoOf(error) !== "ENOENT") removeAgain();
  }
}

function remove(path: string, identity: string | null): void {
  try {
    if (identity !== null && identityOf(path) === identity) rmdirSync(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
  }
}

/** Null where that cannot be told. What another made in its place may have the same number, but not the same time. */
function identityOf(path: string): string | null {
  try {
    const { ino, birthtimeMs } = lstatSync(path);
    return `${String(ino)} ${String(birthtimeMs)}`;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}
