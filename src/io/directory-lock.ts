import { lstatSync, mkdir, rmdirSync, stat, statSync, utimes, type Stats } from "node:fs";
import { StoreError } from "../domain/errors.js";
import type { Clock } from "../domain/clock.js";
import { errnoOf } from "./system-error.js";

export interface DirectoryLockOptions {
  /** A lock whose directory was not touched for this long (ms) is broken. */
  readonly staleMs: number;
  /** The interval at which the holder touches the directory (ms). */
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
 * Takes a lock that is a directory, kept alive by its modification time (rule R10; the protocol of npm proper-lockfile, which
 * Claude Code uses too).
 *
 * @throws StoreError `locked` when it stays held, `not-a-file` where something else stands in its place
 */
export async function takeDirectoryLock(path: string, options: DirectoryLockOptions, signal: AbortSignal): Promise<HeldLock> {
  const { default: lockfile } = await import("proper-lockfile");
  const deadline = options.clock.monotonic() + options.waitMs;
  const lost = new AbortController();
  for (;;) {
    const directory = new LockDirectory();
    try {
      const release = await lockfile.lock(path, {
        fs: directory,
        lockfilePath: path,
        realpath: false,
        stale: options.staleMs,
        update: options.touchMs,
        // The package's default throws from a timer, which ends the process.
        onCompromised: (error) => {
          lost.abort(new StoreError("locked", `${path} was taken away by another program`, "it is tried again by itself", error));
        },
      });
      return {
        lost: lost.signal,
        release: () =>
          releaseUnlessLost(release, lost.signal, () => {
            removeOnceMore(path, directory);
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
    removeAgain();
  }
}

function removeOnceMore(path: string, directory: LockDirectory): void {
  try {
    directory.rmdirSync(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
  }
}

type Done = (error: NodeJS.ErrnoException | null) => void;

/**
 * The part of the file system that proper-lockfile uses for one lock. The package removes a lock at its release, at the end
 * of the process, and where it found a stale one, without another look: by then another program may have taken it over,
 * and made a directory of its own in its place. Here that one stays.
 */
class LockDirectory {
  /** The directory as this process last touched it; null while the lock is not its own. */
  #own: Stats | null = null;
  /** Another's directory as it was when it was found stale. */
  #stale: Stats | null = null;

  readonly mkdir = (path: string, done: Done): void => {
    mkdir(path, (error) => {
      if (error === null) this.#own = this.#lookAt(path);
      done(error);
    });
  };

  readonly stat = (path: string, done: (error: NodeJS.ErrnoException | null, stats: Stats) => void): void => {
    stat(path, (error, stats) => {
      if (error === null) this.#stale = stats;
      done(error, stats);
    });
  };

  readonly utimes = (path: string, atime: Date, mtime: Date, done: Done): void => {
    utimes(path, atime, mtime, (error) => {
      const now = error === null ? this.#lookAt(path) : null;
      if (now?.ino === this.#own?.ino) this.#own = now;
      done(error);
    });
  };

  /** Removes the directory without a pause after the check. */
  readonly rmdir = (path: string, done: Done): void => {
    try {
      this.rmdirSync(path);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
      done(error as NodeJS.ErrnoException);
      return;
    }
    done(null);
  };

  readonly rmdirSync = (path: string): void => {
    if (this.#isAsItWas(path)) rmdirSync(path);
  };

  #isAsItWas(path: string): boolean {
    const then = this.#own ?? this.#stale;
    const now = this.#lookAt(path);
    return then !== null && now !== null && isSame(now, then);
  }

  /** Null where nothing can be seen there. */
  #lookAt(path: string): Stats | null {
    try {
      return statSync(path);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
      return null;
    }
  }
}

/** Compares times too: a directory that another process made in its place may have the same inode. */
function isSame(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.birthtimeMs === other.birthtimeMs && one.mtimeMs === other.mtimeMs;
}
