import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errnoOf, isAbsent } from "./system-error.js";

/** The identity of a lock's holder, distinct from a later process with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/PID/stat` (clock ticks since boot); null where the system has none. */
  readonly startTime: number | null;
  readonly host: string;
  /** Changes at every boot; null where the system has none. */
  readonly bootId: string | null;
  /** The namespace that the pid counts in, as in a container; null where the system has none. */
  readonly pidNamespace: string | null;
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  const pidNamespace = linkAt("/proc/self/ns/pid");
  return { pid: process.pid, startTime: startTimeOf(process.pid), host: hostname(), bootId: bootId(), pidNamespace };
}

/** A name for all processes among which a pid names one: those of one namespace of one running kernel. */
export function pidSpaceOf({ host, bootId, pidNamespace }: ProcessIdentity): string {
  return `${bootId ?? host} ${pidNamespace ?? "-"}`;
}

/**
 * When a process started (clock ticks since boot).
 *
 * @returns null where the system does not say, or where its /proc counts the pids of another namespace
 */
export function startTimeOf(pid: number): number | null {
  if (pid === process.pid) return startTimeIn("/proc/self/stat");
  return linkAt("/proc/self") === String(process.pid) ? startTimeIn(`/proc/${String(pid)}/stat`) : null;
}

function startTimeIn(path: string): number | null {
  const stat = readIfPresent(path);
  if (stat === null) return null;
  // The program's name stands in parentheses and may hold anything, so fields are counted from its end.
  const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(afterName[19]);
  return Number.isSafeInteger(ticks) ? ticks : null;
}

/** Checks whether a process with this pid lives in this pid namespace, and has this start time if one is given. */
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
  return orNull(() => readFileSync(path, "utf8"));
}

function linkAt(path: string): string | null {
  return orNull(() => readlinkSync(path));
}

function orNull(read: () => string): string | null {
  try {
    return read();
  } catch (error) {
    // A process that ends while it is read gives ESRCH.
    if (isAbsent(error) || ["ESRCH", "EACCES", "EPERM"].includes(errnoOf(error) ?? "")) return null;
    throw error;
  }
}
