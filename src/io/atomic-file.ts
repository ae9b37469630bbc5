import { randomUUID } from "node:crypto";
import {
  closeSync,
  fchownSync,
  fstatSync,
  fsync,
  open as openFile,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { errnoOf } from "./system-error.js";

const openLater = promisify(openFile);
const syncLater = promisify(fsync);

/**
 * Replaces a file so that every reader sees the old content or the new, and a power cut leaves one of the two.
 *
 * The file is private (0600) whatever it was before, as the owning programs leave it. A single bind-mounted file, whose
 * name cannot be replaced, is written in place and keeps its inode.
 *
 * Only calls that may wait for the disk go through the thread pool: there are hundreds of small files to write, and each
 * way through the pool takes longer than a call that does not wait. For a thousand stores that is twice as fast as
 * npm write-file-atomic, which resolves the path part by part; our own files are replaced by that (`own-file.ts`).
 *
 * @param path the real path: a symbolic link is not followed here
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeDurably(temporary, text, ownerOf(path));
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    if (!isBoundName(error)) throw error;
    await writeInPlace(path, text);
    return;
  }
  await syncDirectory(dirname(path));
}

async function writeDurably(path: string, text: string, owner: Owner | null): Promise<void> {
  const file = await openLater(path, "wx", 0o600);
  try {
    writeFileSync(file, text);
    if (owner !== null) keepOwner(file, owner);
    await syncLater(file);
  } finally {
    closeSync(file);
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Null where nothing is there. */
function ownerOf(path: string): Owner | null {
  return statSync(path, { throwIfNoEntry: false }) ?? null;
}

/** Leaves a file with the group it had; a user who is not in that group cannot, and gets their own. */
function keepOwner(file: number, owner: Owner): void {
  const made = fstatSync(file);
  if (made.uid === owner.uid && made.gid === owner.gid) return;
  try {
    fchownSync(file, owner.uid, owner.gid);
  } catch (error) {
    if (errnoOf(error) !== "EPERM" && errnoOf(error) !== "EINVAL") throw error;
  }
}

/** A rename onto a mount point fails with EBUSY; some container file systems answer EXDEV. */
function isBoundName(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "EBUSY" || errno === "EXDEV";
}

/**
 * One write over the old text, both padded to one length with white space, so that the content is whole JSON before it,
 * after it, and where a full disk refuses it.
 */
async function writeInPlace(path: string, text: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const bytes = Buffer.from(text);
    const { size } = await file.stat();
    if (size < bytes.length) await extend(file, size, bytes.length);
    const padded = size > bytes.length ? Buffer.concat([bytes, Buffer.alloc(size - bytes.length, " ")]) : bytes;
    await file.write(padded, 0, padded.length, 0);
    await file.sync();
    if (padded.length > bytes.length) await file.truncate(bytes.length);
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Takes the space before the old text is touched. */
async function extend(file: FileHandle, size: number, length: number): Promise<void> {
  try {
    const { bytesWritten } = await file.write(Buffer.alloc(length - size, " "), 0, length - size, size);
    if (bytesWritten < length - size) throw Object.assign(new Error("no space is left"), { code: "ENOSPC" });
    await file.sync();
  } catch (error) {
    await file.truncate(size);
    throw error;
  }
}

/** Makes a rename in the directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = openSync(path, "r");
  try {
    await syncLater(directory);
  } finally {
    closeSync(directory);
  }
}
