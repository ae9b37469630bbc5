import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isAlive, ownIdentity, startTimeOf } from "../../src/io/process-identity.js";

/** No process has it: it is above the highest that systems give. */
const DEAD_PID = 2 ** 22 + 1;
const hasProc = existsSync("/proc/self/stat");

describe("a process", () => {
  test("that runs is alive, by its pid and by its start time", () => {
    const { pid, startTime } = ownIdentity();
    expect(pid).toBe(process.pid);
    expect(isAlive(pid, null)).toBe(true);
    expect(isAlive(pid, startTime)).toBe(true);
  });

  test("that ended is not", async () => {
    const child = spawn(process.execPath, ["--eval", ""]);
    const pid = child.pid ?? 0;
    expect(isAlive(pid, null)).toBe(true);
    await once(child, "close");
    expect(isAlive(pid, null)).toBe(false);
    expect(isAlive(DEAD_PID, null)).toBe(false);
  });

  test("that took over the pid of another is not that one", ({ skip }) => {
    if (!hasProc) skip("needs /proc");
    const { pid, startTime } = ownIdentity();
    expect(isAlive(pid, (startTime ?? 0) + 1)).toBe(false);
  });

  test("has the start time that OpenClaw's locks name, whatever its name is", ({ skip }) => {
    if (!hasProc) skip("needs /proc");
    expect(startTimeOf(process.pid)).toBeGreaterThan(0);
    expect(startTimeOf(DEAD_PID)).toBeNull();
    const before = process.title;
    process.title = "a) b (c 1 2";
    try {
      expect(startTimeOf(process.pid)).toBe(ownIdentity().startTime);
    } finally {
      process.title = before;
    }
  });

  test("is of one host, one boot and one namespace of pids", ({ skip }) => {
    if (!hasProc) skip("needs /proc");
    const { host, bootId, pidNamespace } = ownIdentity();
    expect(host).not.toBe("");
    expect(bootId).toMatch(/^[0-9a-f-]{36}$/);
    expect(pidNamespace).toMatch(/^pid:\[\d+\]$/);
  });
});
