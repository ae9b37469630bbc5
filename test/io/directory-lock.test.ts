import { mkdir, readdir, rm, rmdir, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import lockfile from "proper-lockfile";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/daemon/system.js";
import { StoreError } from "../../src/domain/errors.js";
import { takeDirectoryLock, type HeldLock } from "../../src/io/directory-lock.js";
import { becomes } from "../support/condition.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const signal = new AbortController().signal;

async function newPath(): Promise<string> {
  return join(await temporaryDirectory(), ".lock");
}

async function take(path: string, waitMs = 0): Promise<HeldLock> {
  const held = await takeDirectoryLock(path, { staleMs: 60_000, touchMs: 1000, waitMs, clock: systemClock }, signal);
  onTestFinished(() => held.release());
  return held;
}

/** What a peer does that uses the package by itself, as Claude Code does. */
function takeAsPeer(path: string): Promise<() => Promise<void>> {
  return lockfile.lock(dirname(path), { lockfilePath: path, stale: 10_000 });
}

describe("a directory lock", () => {
  test("excludes a peer of the same protocol, and is free after its release", async () => {
    const path = await newPath();
    const held = await take(path);
    await expect(takeAsPeer(path)).rejects.toMatchObject({ code: "ELOCKED" });
    await held.release();
    expect(await readdir(dirname(path))).toEqual([]);
    const release = await takeAsPeer(path);
    await release();
  });

  test("is excluded by a peer, which keeps it", async () => {
    const path = await newPath();
    const release = await takeAsPeer(path);
    const failed = take(path);
    await expect(failed).rejects.toBeInstanceOf(StoreError);
    await expect(failed).rejects.toMatchObject({ code: "locked" });
    expect((await stat(path)).isDirectory()).toBe(true);
    await release();
  });

  test("is waited for", async () => {
    const path = await newPath();
    const release = await takeAsPeer(path);
    const waiting = take(path, 20_000);
    await release();
    expect((await waiting).lost.aborted).toBe(false);
  });

  test("is waited for no longer once it is asked to stop", async () => {
    const path = await newPath();
    await mkdir(path);
    const options = { staleMs: 60_000, touchMs: 1000, waitMs: 600_000, clock: systemClock };
    const stop = new AbortController();
    const waiting = takeDirectoryLock(path, options, stop.signal);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: "locked" });
  });

  test("goes to one of many at a time", async () => {
    const path = await newPath();
    let [inside, most] = [0, 0];
    const work = async (): Promise<void> => {
      const held = await takeDirectoryLock(path, { staleMs: 60_000, touchMs: 1000, waitMs: 20_000, clock: systemClock }, signal);
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      await held.release();
    };
    await Promise.all(Array.from({ length: 10 }, work));
    expect(most).toBe(1);
  });

  test("whose holder died is broken, and one that is merely old in years of others' rules is not", async () => {
    const path = await newPath();
    await mkdir(path);
    const touched = (ageMs: number): Promise<void> => utimes(path, new Date(), new Date(Date.now() - ageMs));
    await touched(50_000);
    await expect(take(path)).rejects.toMatchObject({ code: "locked" });
    await touched(61_000);
    expect((await take(path)).lost.aborted).toBe(false);
  });

  test("that was taken away says so, and its release does not remove the next one's", async () => {
    const path = await newPath();
    const held = await take(path);
    await rmdir(path);
    const release = await takeAsPeer(path);
    await utimes(path, new Date(), new Date(Date.now() + 5000));
    await becomes(() => held.lost.aborted, true);
    expect(held.lost.reason).toMatchObject({ code: "locked" });
    await held.release();
    expect((await stat(path)).isDirectory()).toBe(true);
    await rm(path, { recursive: true });
    await release().catch(() => undefined);
  });

  test("in a directory that is not there is an error of the system", async () => {
    const path = join(await newPath(), "gone", ".lock");
    await expect(take(path)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
