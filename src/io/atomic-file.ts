import { open } from "node:fs/promises";
import { dirname } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { errnoOf } from "./system-error.js";

/**
 * Replaces a file so that every reader sees the old content or the new, and a power cut leaves one of the two.
 *
 * The file is private (0600) whatever it was before, as the owning programs leave it. A single bind-mounted file, whose
 * name cannot be replaced, is written in place and keeps its inode.
 *
 * @param path the real path: a symbolic link is not followed here
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  try {
    // A fresh literal each time: the package writes into the options that it is given.
    await writeFileAtomic(path, text, { mode: 0o600, fsync: true });
  } catch (error) {
    if (!isBoundName(error)) throw error;
    await writeInPlace(path, text);
    return;
  }
  await syncDirectory(dirname(path));
}

/** A rename onto a mount point fails with EBUSY; some container file systems answer EXDEV. */
function isBoundName(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "EBUSY" || errno === "EXDEV";
}

/** One write, padded to the old length with white space, so that at no moment the content is other than whole JSON. */
async function writeInPlace(path: string, text: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const bytes = Buffer.from(text);
    const { size } = await file.stat();
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

/** Makes a rename in the directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
