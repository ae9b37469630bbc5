import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/app/system.js";
import { Failure } from "../../src/domain/errors.js";
import { ownIdentity, type ProcessIdentity } from "../../src/io/process-identity.js";
import { readHolder, runningDaemon, takeRunLock, type RunLock } from "../../src/io/run-lock.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** No process has it: it is above the highest that systems give. */
const DEAD_PID = 2 ** 22 + 1;

async function take(directory: string): Promise<RunLock> {
  const lock = await takeRunLock(directory, systemClock, new AbortController().signal);
  onTestFinished(() => lock.release());
  return lock;
}

/** Leaves the files of a daemon that ended before its time. */
async function leaveBehind(directory: string, holder: Partial<ProcessIdentity>, ageMs = 0): Promise<void> {
  await writeFile(join(directory, "run.lock"), JSON.stringify({ ...ownIdentity(), ...holder }));
  const heartbeat = join(directory, "run.lock.held");
  await mkdir(heartbeat);
  const touched = new Date(Date.now() - ageMs);
  await utimes(heartbeat, touched, touched);
}

describe("the run lock (R18)", () => {
  test("names its holder and is private", async () => {
    const directory = await temporaryDirectory();
    await take(directory);
    expect(await readHolder(directory)).toEqual(ownIdentity());
    expect((await stat(join(directory, "run.lock"))).mode & 0o777).toBe(0o600);
    expect(await runningDaemon(directory, Date.now())).toEqual(ownIdentity());
  });

  test("is refused to a second one, by the first one's pid and host", async () => {
    const directory = await temporaryDirectory();
    await take(directory);
    const { pid, host } = ownIdentity();
    const second = takeRunLock(directory, systemClock, new AbortController().signal);
    await expect(second).rejects.toThrow(`credsyncd with pid ${String(pid)} on ${host} already runs`);
    await expect(second).rejects.toMatchObject({ code: "busy", hint: expect.stringContaining("XDG_STATE_HOME") as string });
  });

  test("is free again after its release", async () => {
    const directory = await temporaryDirectory();
    const lock = await takeRunLock(directory, systemClock, new AbortController().signal);
    await lock.release();
    expect(await runningDaemon(directory, Date.now())).toBeNull();
    expect(await readdir(directory)).toEqual(["run.lock"]);
    await take(directory);
  });

  test("goes to exactly one of many that ask at once", async () => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, { pid: DEAD_PID, startTime: null });
    const asked = await Promise.allSettled(Array.from({ length: 5 }, () => take(directory)));
    expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const result of asked) if (result.status === "rejected") expect(result.reason).toBeInstanceOf(Failure);
  });

  test.each<[string, Partial<ProcessIdentity>]>([
    ["whose process is dead", { pid: DEAD_PID, startTime: null }],
    ["whose pid is another process's by now", { pid: process.pid, startTime: 1 }],
    ["from before a reboot", { bootId: "another boot" }],
  ])("is taken over at once from one %s", async (_who, holder) => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, holder);
    expect(await runningDaemon(directory, Date.now())).toBeNull();
    await take(directory);
    expect(await readHolder(directory)).toEqual(ownIdentity());
  });

  test("is taken over at once from one that was killed before it ever signed", async () => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, {});
    await rm(join(directory, "run.lock"));
    await take(directory);
    expect(await readHolder(directory)).toEqual(ownIdentity());
  });

  test("of another host is kept while its heartbeat is fresh, and taken over once it is not", async () => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, { host: "elsewhere", pid: DEAD_PID }, 60_000);
    await expect(take(directory)).rejects.toThrow(`pid ${String(DEAD_PID)} on elsewhere already runs`);
    expect(await runningDaemon(directory, Date.now())).toMatchObject({ host: "elsewhere" });
    await rm(join(directory, "run.lock.held"), { recursive: true });
    await leaveBehind(directory, { host: "elsewhere", pid: DEAD_PID }, 120_000);
    expect(await runningDaemon(directory, Date.now())).toBeNull();
    await take(directory);
  });

  test.each<[string, Partial<ProcessIdentity>, string]>([
    ["another container", { pidNamespace: "pid:[1]" }, `${ownIdentity().host}, in another container, already runs`],
    ["a container that an older version did not name", { pidNamespace: null }, "already runs"],
  ])("of %s is kept while its heartbeat is fresh, whatever its pid is here", async (_where, holder, text) => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, { pid: DEAD_PID, ...holder }, 60_000);
    await expect(take(directory)).rejects.toThrow(text);
    expect(await runningDaemon(directory, Date.now())).toMatchObject({ pid: DEAD_PID });
    await rm(join(directory, "run.lock.held"), { recursive: true });
    await leaveBehind(directory, holder, 120_000);
    expect(await runningDaemon(directory, Date.now())).toBeNull();
    await take(directory);
  });

  test.each(["", "{", `{"pid": "many"}`, "null"])("whose record is %j is kept while its heartbeat is fresh", async (record) => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, {});
    await writeFile(join(directory, "run.lock"), record);
    expect(await readHolder(directory)).toBeNull();
    await expect(take(directory)).rejects.toThrow(/another credsyncd already runs/);
  });

  test("whose record cannot be read is kept, too, and the failure says so", async () => {
    const directory = await temporaryDirectory();
    await leaveBehind(directory, {});
    const record = join(directory, "run.lock");
    await rm(record);
    await symlink("run.lock", record);
    await expect(take(directory)).rejects.toMatchObject({ message: expect.stringContaining(record) as string });
    expect((await readdir(directory)).sort()).toEqual(["run.lock", "run.lock.held"]);
  });

  test("in a directory that is not there is a failure that says what to do", async () => {
    const directory = join(await temporaryDirectory(), "gone");
    await expect(take(directory)).rejects.toMatchObject({ code: "permission", hint: expect.any(String) as string });
  });

  test("leaves no lock of its own when it was refused", async () => {
    const directory = await temporaryDirectory();
    await take(directory);
    const before = await readFile(join(directory, "run.lock"), "utf8");
    await expect(takeRunLock(directory, systemClock, new AbortController().signal)).rejects.toBeInstanceOf(Failure);
    expect((await readdir(directory)).sort()).toEqual(["run.lock", "run.lock.held"]);
    expect(await readFile(join(directory, "run.lock"), "utf8")).toBe(before);
  });
});
