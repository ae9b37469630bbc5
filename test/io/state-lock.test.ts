import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/app/system.js";
import type { Clock } from "../../src/domain/clock.js";
import { Predecessors } from "../../src/io/owner-lock.js";
import { ownIdentity, pidSpaceOf } from "../../src/io/process-identity.js";
import { StateDirectoryLock } from "../../src/io/state-lock.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const signal = new AbortController().signal;
/** A clock whose waits pass at once. */
function quickClock(): Clock {
  let passedMs = 0;
  return {
    now: () => systemClock.now(),
    monotonic: () => passedMs,
    sleep: (durationMs) => {
      passedMs += durationMs;
      return Promise.resolve();
    },
  };
}

async function lockPath(): Promise<string> {
  return join(await temporaryDirectory(), "state.lock");
}

function lockAt(path: string, clock = systemClock, predecessors = new Predecessors()): StateDirectoryLock {
  return new StateDirectoryLock(path, clock, predecessors);
}

describe("the state directory's lock", () => {
  test("lets one at a time in, in turn", async () => {
    const path = await lockPath();
    let inside = 0;
    let most = 0;
    const enter = (): Promise<number> =>
      lockAt(path).withLock(signal, async () => {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        return inside;
      });
    expect(await Promise.all([enter(), enter(), enter()])).toEqual([0, 0, 0]);
    expect(most).toBe(1);
    expect(existsSync(path)).toBe(false);
  });

  test("is let go after a failure, which comes out as it is", async () => {
    const path = await lockPath();
    const lock = lockAt(path);
    await expect(lock.withLock(signal, () => Promise.reject(new RangeError("inside")))).rejects.toThrow(RangeError);
    expect(existsSync(path)).toBe(false);
  });

  test("of a process that died is not waited for", async () => {
    const path = await lockPath();
    writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, createdAt: new Date(Date.now() - 5).toISOString() }));
    const clock = { ...quickClock(), sleep: () => Promise.reject(new Error("it should not wait")) };
    expect(await lockAt(path, clock).withLock(signal, () => Promise.resolve("in"))).toBe("in");
  });

  test("tells who died while it had it, since that one may have had other programs' locks", async () => {
    const path = await lockPath();
    const dead = JSON.stringify({ pid: 2 ** 22 + 1, createdAt: new Date().toISOString(), starttime: 4711 });
    writeFileSync(path, dead);
    const predecessors = new Predecessors();
    expect(predecessors.include(dead)).toBe(false);
    await lockAt(path, systemClock, predecessors).withLock(signal, () => Promise.resolve());
    expect(predecessors.include(dead)).toBe(true);
  });

  test("of a process that died has what that one left cleaned up first, once, and again after a failure", async () => {
    const path = await lockPath();
    writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, createdAt: new Date(0).toISOString() }));
    const said: string[] = [];
    const lock = new StateDirectoryLock(path, systemClock, new Predecessors(), () => {
      said.push("clean up");
      return said.length === 1 ? Promise.reject(new RangeError("once")) : Promise.resolve();
    });
    const work = (): Promise<number> => lock.withLock(signal, () => Promise.resolve(said.push("work")));
    await expect(work()).rejects.toThrow(RangeError);
    await work();
    await work();
    expect(said).toEqual(["clean up", "clean up", "work", "work"]);
  });

  test("of a process in another container is taken over after its silence, within the wait of one command", async () => {
    const path = await lockPath();
    const pidSpace = pidSpaceOf({ ...ownIdentity(), pidNamespace: "pid:[1]" });
    writeFileSync(path, JSON.stringify({ pid: process.pid, createdAt: new Date(0).toISOString(), pidSpace }));
    const clock = quickClock();
    expect(await lockAt(path, clock).withLock(signal, () => Promise.resolve("in"))).toBe("in");
    expect(clock.monotonic()).toBeGreaterThan(30_000);
  });

  test("of a process that lives is waited for, and then the other one is busy", async () => {
    const path = await lockPath();
    const held = JSON.stringify({ pid: process.pid, createdAt: new Date(0).toISOString() });
    writeFileSync(path, held);
    const attempt = lockAt(path, quickClock()).withLock(signal, () => Promise.resolve());
    await expect(attempt).rejects.toMatchObject({ name: "Failure", code: "busy", hint: expect.any(String) as string });
    expect(readFileSync(path, "utf8")).toBe(held);
  });

  test.each<[name: string, path: (directory: string) => string]>([
    ["in a directory that is not there", (directory) => join(directory, "gone", "state.lock")],
    [
      "in the place of a directory",
      (directory) => {
        mkdirSync(join(directory, "state.lock"));
        return join(directory, "state.lock");
      },
    ],
  ])("that cannot be made, %s, is not mistaken for a busy one", async (_name, makePath) => {
    const path = makePath(await temporaryDirectory());
    const attempt = lockAt(path, quickClock()).withLock(signal, () => Promise.resolve());
    await expect(attempt).rejects.toMatchObject({ code: "general", message: expect.stringContaining(path) as string });
  });
});
