import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { errnoOf, isAbsent } from "./system-error.js";

/** Who holds a lock, told apart from a later process with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/PID/stat` (clock ticks since boot); null where the system has none. */
  readonly startTime: number | null;
  readonly host: string;
  /** Changes at every boot; null where the system has none. */
  readonly bootId: string | null;
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, startTime: startTimeOf(process.pid), host: hostname(), bootId: bootId() };
}

/** When a process of this host started (clock ticks since boot), or null where that cannot be told. */
export function startTimeOf(pid: number): number | null {
  const stat = readIfPresent(`/proc/${String(pid)}/stat`);
  if (stat === null) return null;
  // The program's name stands in parentheses and may hold anything, so fields are counted from its end.
  const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(afterName[19]);
  return Number.isSafeInteger(ticks) ? ticks : null;
}

/** Whether a process with this pid lives on this host; with a start time given, whether it is that very one. */
export function isAlive(pid: number, startTime: number | null): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, under another user.
    if (errnoOf(error) === "ESRCH") return false;
  }
  const actual = startTimeOf(pid);
  return startTime === null || actual === null || actual === startTime;
}

function bootId(): string | null {
  return readIfPresent("/proc/sys/kernel/random/boot_id")?.trim() ?? null;
}

function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // A process that ends while it is read gives ESRCH.
    if (isAbsent(error) || errnoOf(error) === "ESRCH" || errnoOf(error) === "EACCES") return null;
    throw error;
  }
}
