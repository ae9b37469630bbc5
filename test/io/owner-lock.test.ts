import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { mkdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/app/system.js";
import type { Clock } from "../../src/domain/clock.js";
import { Predecessors, SharedOwnerLocks, takeOwnerLock, withOwnerLock } from "../../src/io/owner-lock.js";
import { ownIdentity, pidSpaceOf, startTimeOf } from "../../src/io/process-identity.js";
import { temporaryName } from "../../src/io/temporary-file.js";
import { becomes } from "../support/condition.js";
import { runFailing } from "../support/failing-calls.js";
import { runMounted } from "../support/mount-namespace.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const run = promisify(execFile);
const signal = new AbortController().signal;
/** No process has it: it is above the highest that systems give. */
const DEAD_PID = 2 ** 22 + 1;
const NOW = Date.UTC(2026, 10, 21, 12);
const SECOND = 1000;
const none = new Predecessors();
const elsewhere = pidSpaceOf({ ...ownIdentity(), pidNamespace: "pid:[1]" });

/** A clock whose waits pass at once. */
class QuickClock implements Clock {
  #passedMs = 0;
  readonly waits: number[] = [];
  /** Called at each wait. */
  onWait: () => void = () => undefined;

  now(): number {
    return NOW + this.#passedMs;
  }

  monotonic(): number {
    return this.#passedMs;
  }

  sleep(durationMs: number): Promise<void> {
    this.#passedMs += durationMs;
    this.waits.push(durationMs);
    this.onWait();
    return Promise.resolve();
  }
}

class Gate {
  open: () => void = () => undefined;
  readonly passed = new Promise<void>((resolve) => {
    this.open = resolve;
  });
}

async function lockPath(): Promise<string> {
  return join(await temporaryDirectory(), "auth-profiles.json.lock");
}

/** Leaves a file as another program did, so long ago. */
async function leave(path: string, content: string, ageMs: number): Promise<void> {
  await writeFile(path, content);
  const then = new Date(NOW - ageMs);
  await utimes(path, then, then);
}

function payload(fields: Readonly<Record<string, unknown>>, ageMs: number): string {
  return JSON.stringify({ createdAt: new Date(NOW - ageMs).toISOString(), ...fields }, null, 2);
}

function take(path: string, clock: Clock = new QuickClock(), waitMs = 1000): Promise<() => void> {
  return takeOwnerLock(path, { staleMs: 30_000, waitMs, clock, predecessors: none }, signal);
}

describe("the lock file (R10)", () => {
  test("is what OpenClaw writes: private, two spaces, pid, time and start time; and among which processes the pid counts", async () => {
    const path = await lockPath();
    const startTime = startTimeOf(process.pid);
    const release = await take(path);
    expect(await readFile(path, "utf8")).toBe(
      `{\n  "pid": ${String(process.pid)},\n  "createdAt": "2026-11-21T12:00:00.000Z"${
        startTime === null ? "" : `,\n  "starttime": ${String(startTime)}`
      },\n  "pidSpace": "${pidSpaceOf(ownIdentity())}"\n}`,
    );
    expect(statSync(path).mode & 0o777).toBe(0o600);
    release();
    expect(existsSync(path)).toBe(false);
  });

  test("is gone after an action that throws, and the action's own error comes out", async () => {
    const path = await lockPath();
    const action = withOwnerLock(path, { staleMs: 0, waitMs: 0, clock: new QuickClock(), predecessors: none }, signal, () => {
      expect(existsSync(path)).toBe(true);
      return Promise.reject(new Error("the disk is on fire"));
    });
    await expect(action).rejects.toThrow("the disk is on fire");
    expect(existsSync(path)).toBe(false);
  });

  test("is waited for with growing pauses, and then the store is locked", async () => {
    const path = await lockPath();
    const held = payload({ pid: process.pid }, 0);
    await leave(path, held, 0);
    const clock = new QuickClock();
    await expect(take(path, clock)).rejects.toMatchObject({ code: "locked", message: expect.stringContaining(path) as string });
    expect(clock.waits).toEqual([10, 20, 40, 80, 160, 250, 250, 250]);
    expect(await readFile(path, "utf8")).toBe(held);
  });

  test("is taken as soon as its holder lets it go", async () => {
    const path = await lockPath();
    const release = await take(path);
    const clock = new QuickClock();
    clock.onWait = release;
    (await take(path, clock))();
    expect(clock.waits).toEqual([10]);
  });

  test("is not waited for any longer once the wait is called off", async () => {
    const path = await lockPath();
    await leave(path, payload({ pid: process.pid }, 0), 0);
    const clock = new QuickClock();
    const options = { staleMs: 30_000, waitMs: 60_000, clock, predecessors: none };
    await expect(takeOwnerLock(path, options, AbortSignal.abort())).rejects.toMatchObject({ code: "locked" });
    expect(clock.waits).toEqual([]);
  });

  test.each<[name: string, content: string, ageMs: number, broken: boolean]>([
    ["a dead process, 31 s old", payload({ pid: DEAD_PID }, 31 * SECOND), 31 * SECOND, true],
    ["a dead process, 29 s old", payload({ pid: DEAD_PID }, 29 * SECOND), 29 * SECOND, false],
    ["a dead process, its file touched since", payload({ pid: DEAD_PID }, 31 * SECOND), 0, true],
    ["a dead process, dated an hour ahead by a clock set back", payload({ pid: DEAD_PID }, -3600 * SECOND), 0, true],
    ["a dead process without a date, 31 s old", `{"pid":${String(DEAD_PID)}}`, 31 * SECOND, true],
    ["a dead process without a date, 29 s old", `{"pid":${String(DEAD_PID)}}`, 29 * SECOND, false],
    ["a live process, a day old", payload({ pid: process.pid }, 86_400 * SECOND), 86_400 * SECOND, false],
    ["a live process and an odd date", `{"pid":${String(process.pid)},"createdAt":12}`, 86_400 * SECOND, false],
    ["a live process and no start time", payload({ pid: process.pid, starttime: null }, 86_400 * SECOND), 86_400 * SECOND, false],
    ["a live process of another user", payload({ pid: 1 }, 86_400 * SECOND), 86_400 * SECOND, false],
    ["a credsyncd in another container, 179 s old", payload({ pid: DEAD_PID, pidSpace: elsewhere }, 179 * SECOND), 0, false],
    ["a credsyncd in another container, 181 s old", payload({ pid: process.pid, pidSpace: elsewhere }, 181 * SECOND), 0, true],
    ["a dead credsyncd of this container", payload({ pid: DEAD_PID, pidSpace: pidSpaceOf(ownIdentity()) }, 31 * SECOND), 0, true],
    ["nobody, 181 s old", "", 181 * SECOND, true],
    ["nobody, 179 s old", "", 179 * SECOND, false],
    ["half a payload, 179 s old", `{"pid": ${String(DEAD_PID)}, "crea`, 179 * SECOND, false],
    ["half a payload, 181 s old", `{"pid": ${String(DEAD_PID)}, "crea`, 181 * SECOND, true],
    ["what is no process (0), 31 s old", payload({ pid: 0 }, 31 * SECOND), 31 * SECOND, false],
    ["what is no process (-1), 181 s old", payload({ pid: -1 }, 181 * SECOND), 181 * SECOND, true],
    ["what is no process (1.5), 181 s old", payload({ pid: 1.5 }, 181 * SECOND), 181 * SECOND, true],
    ["what is no process (2^40), 181 s old", payload({ pid: 2 ** 40 }, 181 * SECOND), 181 * SECOND, true],
  ])("that names %s: broken is %s", async (_name, content, ageMs, broken) => {
    const path = await lockPath();
    await leave(path, content, ageMs);
    if (broken) {
      (await take(path, new QuickClock(), 0))();
      expect(existsSync(path)).toBe(false);
    } else {
      await expect(take(path, new QuickClock(), 0)).rejects.toMatchObject({ code: "locked" });
      expect(await readFile(path, "utf8")).toBe(content);
    }
  });

  test.skipIf(startTimeOf(process.pid) === null)("whose pid is another process's by now is broken", async () => {
    const path = await lockPath();
    await leave(path, payload({ pid: process.pid, starttime: 1 }, 31 * SECOND), 31 * SECOND);
    (await take(path, new QuickClock(), 0))();
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["another program's", payload({ pid: DEAD_PID }, 0)],
    ["this program's next one", payload({ pid: process.pid, starttime: startTimeOf(process.pid) }, -31 * SECOND)],
    ["not written yet", ""],
  ])("that was taken away meanwhile is not removed where it is %s", async (_whose, content) => {
    const path = await lockPath();
    const release = await take(path);
    await writeFile(path, content);
    release();
    expect(await readFile(path, "utf8")).toBe(content);
  });

  test("that is gone at the release is no failure", async () => {
    const path = await lockPath();
    const release = await take(path);
    await rm(path);
    expect(release).not.toThrow();
  });

  test("that is a link into nowhere is held by someone, and nothing spins", async () => {
    const path = await lockPath();
    await symlink(`${path}.gone`, path);
    const clock = new QuickClock();
    await expect(take(path, clock)).rejects.toMatchObject({ code: "locked" });
    expect(clock.waits).toHaveLength(8);
  });

  test("that is a directory is named in the error", async () => {
    const path = await lockPath();
    await mkdir(path);
    await expect(take(path)).rejects.toMatchObject({ code: "not-a-file", message: expect.stringContaining(path) as string });
  });
});

describe("a lock with a heartbeat", () => {
  const heartbeat = { everyMs: 3 * SECOND, silentMs: 30 * SECOND };
  const takeFrom = (path: string, clock: Clock): Promise<() => void> =>
    takeOwnerLock(path, { staleMs: 0, waitMs: 40 * SECOND, clock, predecessors: none, heartbeat }, signal);

  test("is touched while someone has it", async () => {
    const path = await lockPath();
    const quick = { everyMs: 5, silentMs: 30 * SECOND };
    const release = await takeOwnerLock(
      path,
      { staleMs: 0, waitMs: 0, clock: systemClock, predecessors: none, heartbeat: quick },
      signal,
    );
    await utimes(path, 0, 0);
    await becomes(() => statSync(path).mtimeMs > 0, true);
    release();
  });

  test("is not touched once it is somebody else's", async () => {
    const path = await lockPath();
    const beats: number[] = [];
    const quick = { everyMs: 5, silentMs: 30 * SECOND };
    const options = { staleMs: 0, waitMs: 0, clock: systemClock, predecessors: none, heartbeat: quick };
    const [release, other] = [await takeOwnerLock(path, options, signal), `${path}.other`];
    await leave(path, "theirs", 3600 * SECOND);
    const { mtimeMs } = statSync(path);
    // The beats of another lock, which was taken later, tell that the first one's time has come.
    const releaseOther = await takeOwnerLock(other, options, signal);
    await becomes(() => {
      if (statSync(other).mtimeMs !== beats.at(-1)) beats.push(statSync(other).mtimeMs);
      return beats.length > 3;
    }, true);
    releaseOther();
    expect(statSync(path).mtimeMs).toBe(mtimeMs);
    release();
    expect(readFileSync(path, "utf8")).toBe("theirs");
  });

  test("of a holder in another container is broken once it made no beat for 30 s, and not before", async () => {
    const path = await lockPath();
    await leave(path, payload({ pid: process.pid, pidSpace: elsewhere }, 3600 * SECOND), 3600 * SECOND);
    const clock = new QuickClock();
    (await takeFrom(path, clock))();
    expect(clock.monotonic()).toBeGreaterThan(30 * SECOND);
    expect(clock.monotonic()).toBeLessThan(31 * SECOND);
  });

  test("of a holder in another container that touches it is left to it", async () => {
    const path = await lockPath();
    const held = payload({ pid: DEAD_PID, pidSpace: elsewhere }, 3600 * SECOND);
    await leave(path, held, 3600 * SECOND);
    const clock = new QuickClock();
    clock.onWait = () => {
      const beats = Math.floor(clock.monotonic() / (3 * SECOND));
      utimesSync(path, beats, beats);
    };
    await expect(takeFrom(path, clock)).rejects.toMatchObject({ code: "locked" });
    expect(await readFile(path, "utf8")).toBe(held);
  });
});

describe("the lock of a credsyncd that was killed while it wrote", () => {
  const left = payload({ pid: DEAD_PID, starttime: 4711 }, SECOND);
  const takeAfter = (path: string, predecessor: string): Promise<() => void> => {
    const predecessors = new Predecessors();
    predecessors.add(predecessor);
    return takeOwnerLock(path, { staleMs: 180 * SECOND, waitMs: 0, clock: new QuickClock(), predecessors }, signal);
  };

  test("is broken at once", async () => {
    const path = await lockPath();
    await leave(path, left, SECOND);
    (await takeAfter(path, payload({ pid: DEAD_PID, starttime: 4711 }, 60 * SECOND)))();
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["another process had its pid", payload({ pid: DEAD_PID, starttime: 4712 }, SECOND)],
    ["its pid was one in another container", payload({ pid: DEAD_PID, starttime: 4711, pidSpace: elsewhere }, SECOND)],
    ["nothing but a pid is known of it", payload({ pid: DEAD_PID }, SECOND)],
    ["nothing is known of it", ""],
  ])("is waited for where %s", async (_, predecessor) => {
    const path = await lockPath();
    await leave(path, left, SECOND);
    await expect(takeAfter(path, predecessor)).rejects.toMatchObject({ code: "locked" });
    expect(await readFile(path, "utf8")).toBe(left);
  });
});

describe("a command that fails, and leaves a lock that cannot be removed,", () => {
  test("says both, and leaves the state directory to the next start as a killed one does", async (context) => {
    const script = new URL("faulty.mjs", import.meta.url);
    const faults = ["unlink:error=EROFS:when=2+1"];
    const outcome = await runFailing(context, script, faults, "command-that-fails", await temporaryDirectory());
    expect(outcome).toMatchObject({ ended: "no space is left", said: 2 });
    expect(outcome).toMatchObject({ left: expect.arrayContaining(["lock", "state.lock"]) as string[] });
  });
});

describe("a killed credsyncd's locks of which one cannot be removed", () => {
  test("are gone but for that one, and it is removed later", async (context) => {
    const script = new URL("faulty.mjs", import.meta.url);
    const faults = ["unlink:error=EIO:when=1"];
    const outcome = await runFailing(context, script, faults, "forsaken-locks", await temporaryDirectory());
    expect(outcome).toEqual({ left: 1, stuck: [], after: [] });
  });
});

describe("what a killed credsyncd left half done beside a lock", () => {
  test("is removed by the next one that has the lock, and nothing else is", async () => {
    const path = await lockPath();
    const directory = dirname(path);
    const others = ["auth-profiles.json", "auth-profiles.json.6f1c9b3e.tmp", "credsyncd-.tmp", "sessions"];
    const leftovers = [temporaryName(join(directory, "auth-profiles.json")), temporaryName(path)];
    for (const name of [...others.map((name) => join(directory, name)), ...leftovers]) await writeFile(name, "");
    (await take(path))();
    expect(readdirSync(directory).sort()).toEqual(others.sort());
  });
});

describe("on a full disk", () => {
  test("no lock without a payload is left behind", async (context) => {
    const script = new URL("mounted.mjs", import.meta.url);
    const outcome = await runMounted(context, script, "lock-on-full-disk", await temporaryDirectory());
    expect(outcome).toEqual({ outcome: "ENOSPC", left: false });
  });
});

describe("a lock that cannot be removed", () => {
  test("fails nothing, is reported, and is taken again at once by the process that left it", async (context) => {
    const script = new URL("mounted.mjs", import.meta.url);
    const directory = await temporaryDirectory();
    const outcome = await runMounted(context, script, "lock-released-read-only", directory);
    const reason = `cannot write ${join(directory, "lock")}: the file system is read-only`;
    expect(outcome).toEqual({ released: "done", stuck: [reason], taken: "done", stuckAfter: 0, left: [] });
  });

  test("is not taken away once it is somebody else's", async () => {
    const path = await lockPath();
    const predecessors = new Predecessors();
    await mkdir(path);
    predecessors.release(path, "ours");
    expect(predecessors.removeStuck()).toHaveLength(1);
    await rm(path, { recursive: true });
    await writeFile(path, "theirs");
    expect(predecessors.removeStuck()).toEqual([]);
    expect(await readFile(path, "utf8")).toBe("theirs");
  });
});

describe("a temporary file of a lock that cannot be removed", () => {
  const script = new URL("faulty.mjs", import.meta.url);

  test("is in nobody's way, and is removed later", async (context) => {
    const outcome = await runFailing(context, script, ["unlink:error=EROFS:when=1..2"], "lock", await temporaryDirectory());
    const temporary = "lock.credsyncd-ID.tmp";
    expect(outcome).toEqual({ held: ["lock", temporary], left: [temporary], stuck: [], after: [] });
  });

  test("is reported as long as it is there", async (context) => {
    const directory = await temporaryDirectory();
    const outcome = await runFailing(context, script, ["unlink:error=EROFS:when=1+1"], "lock", directory);
    const reason = ": the file system is read-only";
    const path = join(directory, "lock");
    expect(outcome).toMatchObject({
      stuck: [
        `lock: cannot write ${path}${reason}`,
        expect.stringMatching(`^temporary file: cannot write ${path}.credsyncd-.*.tmp${reason}$`),
      ],
    });
  });

  test("is looked for once more before the state directory is let go", async (context) => {
    const faults = ["unlink:error=EIO:when=2..3"];
    const outcome = await runFailing(context, script, faults, "state-lock", await temporaryDirectory());
    expect(outcome).toEqual({ left: ["state"], stuck: [] });
  });
});

describe("several processes", () => {
  test("that count one file up lose nothing, OpenClaw's own among them", async () => {
    const path = await lockPath();
    const counter = `${path}.counter`;
    await writeFile(counter, "0");
    const child = (script: string): Promise<unknown> =>
      run(process.execPath, [fileURLToPath(new URL(script, import.meta.url)), path, counter, "20"]);
    await Promise.all([child("increment.mjs"), child("increment.mjs"), child("openclaw-peer.mjs")]);
    expect(readFileSync(counter, "utf8")).toBe("60");
    expect(existsSync(path)).toBe(false);
  });

  test("that find a dead one's lock break it once", async () => {
    const path = await lockPath();
    const counter = `${path}.counter`;
    await writeFile(counter, "0");
    await writeFile(path, JSON.stringify({ pid: DEAD_PID, createdAt: new Date(Date.now() - 60_000).toISOString() }));
    const script = fileURLToPath(new URL("increment.mjs", import.meta.url));
    await Promise.all(Array.from({ length: 3 }, () => run(process.execPath, [script, path, counter, "5"])));
    expect(readFileSync(counter, "utf8")).toBe("15");
  });
});

describe("actions of one process that share a lock", () => {
  test("have it from the first to the last of them", async () => {
    const path = await lockPath();
    const locks = new SharedOwnerLocks();
    const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors: none };
    const gates = [new Gate(), new Gate()] as const;
    const [first, second] = gates.map((gate) => locks.withLock(path, options, signal, () => gate.passed));
    await expect(take(path, new QuickClock(), 0)).rejects.toMatchObject({ code: "locked" });
    gates[0].open();
    await first;
    expect(existsSync(path)).toBe(true);
    gates[1].open();
    await second;
    expect(existsSync(path)).toBe(false);
  });

  test("all fail while another process has it, and the next one asks again", async () => {
    const path = await lockPath();
    const locks = new SharedOwnerLocks();
    const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors: none };
    const release = await take(path, systemClock);
    const attempt = (): Promise<string> => locks.withLock(path, options, signal, () => Promise.resolve("done"));
    for (const result of await Promise.allSettled([attempt(), attempt()])) expect(result.status).toBe("rejected");
    expect(existsSync(path)).toBe(true);
    release();
    await expect(attempt()).resolves.toBe("done");
    expect(existsSync(path)).toBe(false);
  });
});
