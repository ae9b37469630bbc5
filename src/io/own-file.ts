import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Failure, failureCodes, StoreError } from "../domain/errors.js";
import { syncDirectory } from "./atomic-file.js";
import { decodeText, readRegularBytes, refuseForeignOwner } from "./regular-file.js";
import { errnoOf, toStoreError } from "./system-error.js";
import type { Leftovers } from "./temporary-file.js";

/** Far above what credsyncd itself writes into one file. */
export const OWN_MAX_BYTES = 256 * 1024 * 1024;

/**
 * The text of a file of credsyncd's own.
 *
 * @returns null where there is none
 * @throws StoreError for what is no file of this user's, too large, or no UTF-8
 */
export function readOwnText(path: string): string | null {
  const file = readRegularBytes(path, OWN_MAX_BYTES, ({ uid }) => {
    refuseForeignOwner(path, uid);
  });
  return file === null ? null : decodeText(file.bytes, path);
}

/** The same; null also for what cannot be a file of its own, where that can be done without. */
export function readOwnFile(path: string): Promise<string | null> {
  return Promise.resolve(readOwnFileNow(path));
}

/** As `readOwnFile`, without a moment for others. */
export function readOwnFileNow(path: string): string | null {
  try {
    return readOwnText(path);
  } catch (error) {
    if (error instanceof StoreError) return null;
    throw error;
  }
}

/** Why something of credsyncd's own cannot be read. @param hint what to do about one that stays as it is */
export function toOwnFailure(error: unknown, path: string, hint: string): Failure {
  const failure = toStoreError(error, path, "read");
  const code = failureCodes[failure.code];
  // A transient fault, or another user's file, is no reason to remove or move anything.
  return new Failure(code, failure.message, code === "bad-data" ? hint : failure.hint, error);
}

/**
 * Replaces a file of credsyncd's own state (0600): a reader, and a power cut, finds the old content or the new.
 *
 * @param leftovers what keeps in mind the half of a file that could not be removed; without it the next start does it
 */
export async function replaceOwnFile(path: string, text: string, leftovers?: Leftovers): Promise<void> {
  const temporaries: string[] = [];
  try {
    await replace(path, text, { mode: 0o600, fsync: true }, (temporary) => {
      temporaries.push(temporary);
    });
  } catch (error) {
    for (const temporary of temporaries) leftovers?.discard(temporary);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** The names that npm write-file-atomic gives to what is to take a file's place. */
const TEMPORARY = /\.\d{1,10}$/;

/**
 * Removes what a killed credsyncd left half done in a directory of its own, if there is such a directory; to be called
 * while no other one writes there.
 */
export function removeOwnLeftovers(directory: string, leftovers: Leftovers, of: string | null = null): void {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const isMeant = of === null || entry.name.startsWith(`${of}.`);
      if (isMeant && entry.isFile() && TEMPORARY.test(entry.name)) leftovers.discard(join(directory, entry.name));
    }
  } catch (error) {
    // If the directory cannot be listed, whoever needs its content reports it.
    if (errnoOf(error) === null) throw error;
  }
}

/** Replaces a file that other users read (0644): they find the old content or the new. It need not outlive a power cut. */
export async function replacePublicFile(path: string, text: string): Promise<void> {
  await replace(path, text, { mode: 0o644, fsync: false });
}

async function replace(
  path: string,
  text: string,
  options: { readonly mode: number; readonly fsync: boolean },
  onMade: (temporary: string) => void = () => undefined,
): Promise<void> {
  const { default: writeFileAtomic } = await import("write-file-atomic");
  // The package takes a short write, as a full disk makes it, for a whole one, so the text is written for it here.
  // A fresh literal each time: it changes the options that it is given.
  await writeFileAtomic(path, "", {
    ...options,
    tmpfileCreated: (temporary) => {
      onMade(temporary);
      writeFileSync(temporary, text, { flag: "r+" });
    },
  });
}
