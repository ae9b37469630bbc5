import { constants } from "node:os";
import { Failure, StoreError, type StoreErrorCode } from "../domain/errors.js";

/** The system's error code (`ENOENT`, …), or null for anything that is not a system error. */
export function errnoOf(error: unknown): string | null {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return null;
  // Other errors carry a `code` too: this program's own, and Node's for wrong arguments (`ERR_…`), which is a bug.
  if (/^E[A-Z0-9]+$/.test(error.code)) return error.code;
  const isUnnamed = error.code === "UNKNOWN" || error.code.startsWith("Unknown system error");
  return isUnnamed && "errno" in error ? nameOf(Number(error.errno)) : null;
}

/** Node has no name for some, such as that of a full quota (EDQUOT): it says them negated, and in two ways. */
function nameOf(number: number): string {
  return Object.entries(constants.errno).find(([, each]) => each === -number)?.[0] ?? `E${String(-number)}`;
}

/** Checks whether an error only means that nothing is at the path, which is an answer and not a failure. */
export function isAbsent(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ENOTDIR";
}

/** Turns a failed file operation into a `StoreError` that names the path, the reason and the next step. */
export function toStoreError(error: unknown, path: string, action: "read" | "write"): StoreError {
  if (error instanceof StoreError) return error;
  const errno = errnoOf(error);
  if (errno === null) throw error;
  const { code, reason, hint } = explain(errno, path, action);
  return new StoreError(code, `cannot ${action} ${path}: ${reason}`, hint, error);
}

/** Calls of Node that change nothing. */
const READING = new Set(["open", "read", "stat", "lstat", "fstat", "scandir", "readlink", "realpath", "access"]);

/** Converts an unexpected system error into a `Failure`, which is reported and retried; returns anything else as it is. */
export function toFailure(error: unknown): unknown {
  if (errnoOf(error) === null) return error;
  const { path, syscall = "" } = error as NodeJS.ErrnoException;
  const { message, hint } = toStoreError(error, path ?? "a file", READING.has(syscall) ? "read" : "write");
  return new Failure("general", message, hint, error);
}

function explain(errno: string, path: string, action: "read" | "write"): { code: StoreErrorCode; reason: string; hint: string } {
  switch (errno) {
    case "EACCES":
    case "EPERM":
      return {
        code: "permission",
        reason: "permission denied",
        hint: `let this user ${action} it, for example: chown "$(id -un)" '${path}'`,
      };
    case "EROFS":
      return {
        code: "permission",
        reason: "the file system is read-only",
        hint: "mount it writable, or set this agent to ignore in the config",
      };
    case "ENOSPC":
    case "EDQUOT":
      return { code: "no-space", reason: "no space is left", hint: "free some space; it is tried again by itself" };
    case "EFBIG":
      return {
        code: "no-space",
        reason: "a file may not be that large here",
        hint: "raise the limit (ulimit -f, or LimitFSIZE= of a unit); it is tried again by itself",
      };
    case "ELOOP":
      return { code: "symlink", reason: "its symbolic links lead in a circle", hint: "replace the link by the file" };
    case "ENOENT":
      return { code: "conflict", reason: "it is not there any more", hint: "it is looked at again by itself" };
    case "ENOTDIR":
      return { code: "not-a-file", reason: "a part of its path is no directory", hint: "move what stands there away" };
    case "EISDIR":
      return { code: "not-a-file", reason: "it is a directory", hint: "move the directory away" };
    case "ENXIO":
      return {
        code: "not-a-file",
        reason: "it is a socket or a device",
        hint: "put the program's own file there, or move it away",
      };
    default:
      return { code: "io", reason: errno, hint: "it is tried again by itself; see the system log if it lasts" };
  }
}

/** Checks whether a hard link failed because the file system (FAT, SMB) has none. */
export function isUnlinkable(error: unknown): boolean {
  return ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(errnoOf(error) ?? "");
}
