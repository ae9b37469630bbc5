import { closeSync, fchownSync, fstatSync, fsync, open as openFile, openSync, rename, statSync, writeFileSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { errnoOf } from "./system-error.js";
import { temporaryName } from "./temporary-file.js";

const openLater = promisify(openFile);
const syncLater = promisify(fsync);
const renameLater = promisify(rename);

/**
 * Replaces a file so that every reader sees the old content or the new, and a power cut leaves one of the two.
 *
 * The file is private (0600) whatever it was before, as the owning programs leave it. A single bind-mounted file, whose
 * name cannot be replaced, is written in place and keeps its inode.
 *
 * Only calls that may wait for the disk go through the thread pool (a rename waits while a journal is committed): there
 * are hundreds of small files to write, and each way through the pool takes longer than a call that does not wait. For a
 * thousand stores that is twice as fast as npm write-file-atomic, which resolves the path part by part; our own files are
 * replaced by that (`own-file.ts`).
 *
 * @param path the real path: a symbolic link is not followed here
 * @returns whether it was still wanted; else the old content is there
 */
export async function replaceFile(path: string, text: string, { isStillWanted, discard }: ReplaceOptions): Promise<boolean> {
  const staged = await stageFile({ path, temporary: temporaryName(path), discard }, text);
  return staged.put(isStillWanted);
}

export interface ReplaceOptions {
  /** Asked once the new content is durable, right before it takes the old one's place. */
  readonly isStillWanted: () => boolean;
  /** Removes the temporary file where it does not take that place. */
  readonly discard: (temporary: string) => void;
}

/** A new content that is durable under another name; the file itself is as it was. */
export interface StagedFile {
  /** Puts it in the file's place, as `replaceFile` does. */
  readonly put: (isStillWanted: () => boolean) => Promise<boolean>;
  readonly discard: () => void;
}

/**
 * The first half of `replaceFile`, which takes the space on the disk.
 *
 * @param place of it `temporary` is a name in the same directory
 */
export async function stageFile(place: StagePlace, text: string): Promise<StagedFile> {
  const { path, temporary } = place;
  const discard = (): void => {
    place.discard(temporary);
  };
  try {
    await writeDurably(temporary, text, ownerOf(path));
  } catch (error) {
    // One that was there before is somebody's; it is not removed.
    if (errnoOf(error) !== "EEXIST") discard();
    throw error;
  }
  const put = async (isStillWanted: () => boolean): Promise<boolean> => {
    try {
      if (!isStillWanted()) {
        discard();
        return false;
      }
      await renameLater(temporary, path);
    } catch (error) {
      discard();
      if (!isBoundName(error)) throw error;
      await writeInPlace(path, text);
      return true;
    }
    await syncDirectory(dirname(path));
    return true;
  };
  return { put, discard };
}

interface StagePlace extends Pick<ReplaceOptions, "discard"> {
  readonly path: string;
  readonly temporary: string;
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
 * after it, and where a full disk refuses it. The file is private before anything of the new text is in it.
 */
async function writeInPlace(path: string, text: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await makePrivate(file);
    const bytes = Buffer.from(text);
    const { size } = await file.stat();
    const before = Buffer.alloc(Math.max(size, bytes.length), " ");
    await file.read(before, 0, size, 0);
    if (size < bytes.length) await extend(file, size, bytes.length);
    const padded = size > bytes.length ? Buffer.concat([bytes, Buffer.alloc(size - bytes.length, " ")]) : bytes;
    await overwrite(file, padded, before);
    await file.sync();
    if (padded.length > bytes.length) await file.truncate(bytes.length);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws where others could go on reading it: better an old login than a new one for everyone */
async function makePrivate(file: FileHandle): Promise<void> {
  if (((await file.stat()).mode & 0o777) !== 0o600) await file.chmod(0o600);
}

/**
 * Overwrites a file in place, and puts the old bytes back if that fails: a copy-on-write file system may run out of space midway.
 */
async function overwrite(file: FileHandle, bytes: Buffer, before: Buffer): Promise<void> {
  try {
    await writeWhole(file, bytes);
  } catch (error) {
    await writeWhole(file, before);
    throw error;
  }
}

/** The system may take less than it is given, and says why not more only when it is asked again. */
async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let written = 0; written < bytes.length;)
    written += (await file.write(bytes, written, bytes.length - written, written)).bytesWritten;
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
