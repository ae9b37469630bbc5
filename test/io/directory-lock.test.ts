import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/app/system.js";
import { StoreError } from "../../src/domain/errors.js";
import { takeDirectoryLock, type DirectoryLockOptions, type HeldLock } from "../../src/io/directory-lock.js";
import { becomes } from "../support/condition.js";
import { runFailing } from "../support/failing-calls.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const signal = new AbortController().signal;
const defaults: DirectoryLockOptions = { staleMs: 60_000, touchMs: 5000, waitMs: 0, clock: systemClock };

async function lockPath(): Promise<string> {
  return join(await temporaryDirectory(), ".oauth_refresh.lock");
}

async function take(path: string, options: Partial<DirectoryLockOptions> = {}): Promise<HeldLock> {
  const lock = await takeDirectoryLock(path, { ...defaults, ...options }, signal);
  onTestFinished(() => lock.release());
  return lock;
}

async function failureOf(attempt: Promise<unknown>): Promise<StoreError> {
  const error: unknown = await attempt.catch((thrown: unknown) => thrown);
  if (!(error instanceof StoreError)) throw new Error("it should have failed as a store");
  return error;
}

/** A lock that somebody left there and last touched so long ago. */
function leave(path: string, ageMs: number): void {
  mkdirSync(path);
  touch(path, ageMs);
}

function touch(path: string, ageMs: number): void {
  const then = (Date.now() - ageMs) / 1000;
  utimesSync(path, then, then);
}

type Peer = ChildProcessByStdio<Writable, Readable, null>;

/** A program that takes the lock by the package itself. */
function startPeer(path: string, staleMs = 60_000): Peer {
  const script = fileURLToPath(new URL("lockfile-peer.mjs", import.meta.url));
  const peer = spawn(process.execPath, [script, path, String(staleMs)], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => {
    peer.kill();
  });
  return peer;
}

/** This program, which ends with the lock in hand. */
function startHolder(path: string): Peer {
  const script = fileURLToPath(new URL("directory-lock-holder.mjs", import.meta.url));
  const holder = spawn(process.execPath, [script, path], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => {
    holder.kill();
  });
  return holder;
}

async function says(peer: Peer, word: string): Promise<void> {
  const [data] = (await once(peer.stdout, "data")) as [Buffer];
  expect(data.toString()).toBe(`${word}\n`);
}

describe("a directory lock", () => {
  test("is a directory while someone has it, and gone afterwards", async () => {
    const path = await lockPath();
    const lock = await take(path);
    expect(statSync(path).isDirectory()).toBe(true);
    await lock.release();
    expect(existsSync(path)).toBe(false);
    expect(lock.lost.aborted).toBe(false);
  });

  test("is closed to others of this process while one has it", async () => {
    const path = await lockPath();
    await take(path);
    expect(await failureOf(take(path))).toMatchObject({ code: "locked", message: `${path} is held by another program` });
  });

  test("is taken as soon as it is free", async () => {
    const path = await lockPath();
    const first = await take(path);
    const second = take(path, { waitMs: 5000 });
    await first.release();
    expect((await second).lost.aborted).toBe(false);
  });

  test("goes to one of many at a time", async () => {
    const path = await lockPath();
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      const lock = await take(path, { waitMs: 20_000 });
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      await lock.release();
    };
    await Promise.all(Array.from({ length: 10 }, work));
    expect(most).toBe(1);
  });

  test("is not waited for once the wait is called off", async () => {
    const path = await lockPath();
    await take(path);
    const attempt = takeDirectoryLock(path, { ...defaults, waitMs: 60_000 }, AbortSignal.abort());
    expect((await failureOf(attempt)).code).toBe("locked");
  });

  test.each<[ageMs: number, staleMs: number, broken: boolean]>([
    [59_000, 60_000, false],
    [61_000, 60_000, true],
    [14_000, 15_000, false],
    [16_000, 15_000, true],
  ])("last touched %i ms ago, where %i ms is stale: broken is %s", async (ageMs, staleMs, broken) => {
    const path = await lockPath();
    leave(path, ageMs);
    if (broken) expect((await take(path, { staleMs })).lost.aborted).toBe(false);
    else expect((await failureOf(take(path, { staleMs }))).code).toBe("locked");
  });

  test("of a program excludes this one, which has it as soon as that lets it go", async () => {
    const path = await lockPath();
    const peer = startPeer(path);
    await says(peer, "held");
    expect((await failureOf(take(path))).code).toBe("locked");
    const waiting = take(path, { waitMs: 10_000 });
    peer.stdin.write("go\n");
    expect((await waiting).lost.aborted).toBe(false);
  });

  test("of this program excludes another one", async () => {
    const path = await lockPath();
    const lock = await take(path);
    const before = statSync(path).ino;
    const peer = startPeer(path);
    const held = says(peer, "held");
    expect(statSync(path).ino).toBe(before);
    await lock.release();
    await held;
    expect((await failureOf(take(path))).code).toBe("locked");
  });

  test("is touched while someone has it", async () => {
    const path = await lockPath();
    await take(path, { staleMs: 4000, touchMs: 1000 });
    const { mtimeMs } = statSync(path);
    await becomes(() => statSync(path).mtimeMs > mtimeMs, true);
  });

  test.each<[name: string, take: (path: string) => void]>([
    [
      "takes it away",
      (path) => {
        rmdirSync(path);
      },
    ],
    [
      "takes it for itself",
      (path) => {
        rmdirSync(path);
        leave(path, -5000);
      },
    ],
  ])("is lost where somebody %s, and the process goes on", async (_name, takeAway) => {
    const path = await lockPath();
    const lock = await take(path, { staleMs: 4000, touchMs: 1000 });
    takeAway(path);
    const isThere = existsSync(path);
    await becomes(() => lock.lost.aborted, true);
    expect(lock.lost.reason).toMatchObject({ code: "locked" });
    await lock.release();
    expect(existsSync(path)).toBe(isThere);
  });

  test("that somebody took over is left to them at the release, though nothing was noticed yet", async () => {
    const path = await lockPath();
    const lock = await take(path);
    rmdirSync(path);
    const next = await take(path);
    await lock.release();
    expect([existsSync(path), next.lost.aborted]).toEqual([true, false]);
    await next.release();
    expect(existsSync(path)).toBe(false);
  });

  test("that somebody touched since is theirs, too", async () => {
    const path = await lockPath();
    const lock = await take(path);
    touch(path, 1000);
    await lock.release();
    expect(existsSync(path)).toBe(true);
  });

  test("that somebody took over is left to them at the end of the process", async () => {
    const path = await lockPath();
    const holder = startHolder(path);
    await says(holder, "held");
    rmdirSync(path);
    leave(path, 0);
    holder.stdin.write("go\n");
    await once(holder, "close");
    expect(existsSync(path)).toBe(true);
  });

  test("is gone at the end of a process that has it still", async () => {
    const path = await lockPath();
    const holder = startHolder(path);
    await says(holder, "held");
    holder.stdin.write("go\n");
    await once(holder, "close");
    expect(existsSync(path)).toBe(false);
  });

  test("that is stale goes to exactly one of many that find it so at once", async () => {
    const path = await lockPath();
    leave(path, 61_000);
    const asked = await Promise.allSettled(Array.from({ length: 20 }, () => take(path)));
    expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("whose directory was removed is released without complaint", async () => {
    const path = await lockPath();
    const lock = await take(path);
    rmdirSync(path);
    await lock.release();
    await lock.release();
  });

  test("that cannot be made is an error of the system, for its user to judge", async () => {
    const path = join(await temporaryDirectory(), "gone", "lock");
    await expect(take(path)).rejects.toMatchObject({ code: "ENOENT" });
    writeFileSync(join(path, "..", "..", "file"), "");
    await expect(take(join(path, "..", "..", "file", "lock"))).rejects.toMatchObject({ code: "ENOTDIR" });
  });
});

describe("a lock that cannot be removed", () => {
  test.for([
    ["once is removed all the same", "rmdir:error=EIO:when=1", []],
    ["at all fails nothing, and is broken as soon as it is old enough", "rmdir:error=EROFS:when=1+1", ["lock"]],
  ] as const)("%s", async ([, fault, left], context) => {
    const script = new URL("faulty.mjs", import.meta.url);
    const outcome = await runFailing(context, script, [fault], "directory-lock", await temporaryDirectory());
    expect(outcome).toEqual({ released: "done", left });
  });
});
