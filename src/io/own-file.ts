import { statSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure, failureCodes, StoreError } from "../domain/errors.js";
import { syncDirectory } from "./atomic-file.js";
import { realPathIfKnown } from "./real-path.js";
import { decodeText, readRegularBytes, refuseForeignOwner } from "./regular-file.js";
import { errnoOf, toStoreError } from "./system-error.js";
import { isTemporaryName, Leftovers, temporaryName } from "./temporary-file.js";

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
export async function replaceOwnFile(path: string, text: string, leftovers = new Leftovers()): Promise<void> {
  await replace(path, text, { mode: 0o600, fsync: true, leftovers });
  await syncDirectory(dirname(path));
}

/** The names of earlier builds for the halves of own files, such as `ledger.jsonl.1234567`. */
const EARLIER_TEMPORARY = /\.\d{1,10}$/;

/**
 * Removes what a killed credsyncd left half done in a directory of its own, if there is such a directory; to be called
 * while no other one writes there.
 *
 * @param of the file that the halves are of; null for all
 */
export function removeOwnLeftovers(directory: string, leftovers: Leftovers, of: string | null = null): void {
  try {
    leftovers.discardAllIn(directory, (name) => {
      return (of === null || name.startsWith(`${of}.`)) && (isTemporaryName(name) || EARLIER_TEMPORARY.test(name));
    });
  } catch (error) {
    // If the directory cannot be listed, whoever needs its content reports it.
    if (errnoOf(error) === null) throw error;
  }
}

/** Replaces a file that other users read (0644): they find the old content or the new. It need not outlive a power cut. */
export async function replacePublicFile(path: string, text: string): Promise<void> {
  await replace(path, text, { mode: 0o644, fsync: false, leftovers: new Leftovers() });
}

interface Replacement {
  readonly mode: number;
  readonly fsync: boolean;
  readonly leftovers: Leftovers;
}

/**
 * npm write-file-atomic writes the text under a name of its own and moves it to a name that only this call knows. This
 * code compares the bytes there with the text before they take the file's place. The package alone would not do: it takes a short
 * write, as a full disk makes it, for a whole one, and two containers that share a directory get the same name from it.
 */
async function replace(path: string, text: string, { mode, fsync, leftovers }: Replacement): Promise<void> {
  const { default: writeFileAtomic } = await import("write-file-atomic");
  // The write reports what is in the way of the path itself.
  const place = realPathIfKnown(path);
  const temporary = temporaryName(place);
  const made: string[] = [];
  try {
    const owner = statSync(place, { throwIfNoEntry: false });
    // A fresh literal each time: the package changes the options that it is given.
    await writeFileAtomic(temporary, text, {
      mode,
      fsync,
      ...(owner === undefined ? {} : { chown: { uid: owner.uid, gid: owner.gid } }),
      tmpfileCreated: (name) => {
        made.push(name);
      },
    });
    refuseUnlessWritten(temporary, text);
    await rename(temporary, place);
  } catch (error) {
    for (const name of [...made, temporary]) leftovers.discard(name);
    throw error;
  }
}

/** @throws a system error that says why the text does not stand there */
function refuseUnlessWritten(path: string, text: string): void {
  if (readBack(path)?.equals(Buffer.from(text)) === true) return;
  // The system says why it took a part alone only where it is asked for the rest.
  writeFileSync(path, text, { flag: "r+" });
  throw Object.assign(new Error(`${path} does not hold what was written there`), { code: "EIO" });
}

/** Null for what is no file any more. @throws a system error */
function readBack(path: string): Buffer | null {
  try {
    return readRegularBytes(path, OWN_MAX_BYTES)?.bytes ?? null;
  } catch (error) {
    if (!(error instanceof StoreError) || errnoOf(error.cause) === null) throw error;
    throw error.cause;
  }
}
