import { closeSync, constants, fstatSync, openSync, readFileSync, realpathSync, statSync, type Stats } from "node:fs";
import { StoreError } from "../domain/errors.js";
import { isAbsent, toStoreError } from "./system-error.js";

/** Far above any real credential file, far below what would hurt. */
const MAX_BYTES = 4 * 1024 * 1024;

export interface RegularFile {
  readonly text: string;
  /** Where the name leads to, behind symbolic links. */
  readonly realPath: string;
  readonly identity: string;
  readonly bytes: number;
  readonly mode: number;
  /** Epoch ms. */
  readonly changedAt: number;
}

/**
 * Reads a small text file that belongs to this user.
 *
 * @returns null where nothing is there
 * @throws StoreError for a device or pipe, another owner, too many bytes, bytes that are no UTF-8, or a failed read
 */
export function readRegularFile(path: string, maxBytes = MAX_BYTES): Promise<RegularFile | null> {
  // Handing each call of a small read to the thread pool takes longer than the whole read, and there are hundreds.
  return new Promise((resolve) => {
    resolve(readNow(path, maxBytes));
  });
}

function readNow(path: string, maxBytes: number): RegularFile | null {
  try {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = fstatSync(file);
      if (!stat.isFile())
        throw new StoreError("not-a-file", `${path} is not a regular file`, "replace it by the program's own file");
      refuseForeignOwner(path, stat.uid);
      if (stat.size > maxBytes) {
        const hint = "no credential file is that large: move it away and sign in again, or restore it";
        throw new StoreError("too-large", `${path} has ${String(stat.size)} bytes, more than ${String(maxBytes)}`, hint);
      }
      const text = decode(readFileSync(file), path);
      return {
        text,
        realPath: realpathSync.native(path),
        identity: identityOf(stat),
        bytes: stat.size,
        mode: stat.mode,
        changedAt: stat.mtimeMs,
      };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isAbsent(error)) return null;
    throw toStoreError(error, path, "read");
  }
}

/** Whether nothing was put in a file's place and nothing was written into it since it was read; null: still absent. */
export function isUnchanged(path: string, file: RegularFile | null): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || file === null) return stat === undefined && file === null;
  const isSameFile = identityOf(stat) === file.identity;
  return isSameFile && stat.mtimeMs === file.changedAt && stat.size === file.bytes;
}

function identityOf({ dev, ino }: Stats): string {
  return `${String(dev)}:${String(ino)}`;
}

/** Another user's file is theirs: writing it would change its owner, and following it would trust them. */
export function refuseForeignOwner(path: string, uid: number): void {
  const own = process.geteuid?.();
  if (own === undefined || uid === own) return;
  throw new StoreError(
    "foreign-owner",
    `${path} belongs to user ${String(uid)}, not to user ${String(own)}`,
    `run credsyncd as the user that owns it, or: chown ${String(own)} '${path}'`,
  );
}

function decode(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new StoreError("malformed", `${path} is not UTF-8 text`, "restore it, or sign in again", error);
  }
}
