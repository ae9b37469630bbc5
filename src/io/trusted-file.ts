import { accessSync, constants, realpathSync, statSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { StoreError } from "../domain/errors.js";
import { shellWord } from "../domain/shell-word.js";
import { errnoOf, toStoreError } from "./system-error.js";

const ROOT = 0;
const WRITABLE_BY_MORE = 0o022;
/** Only the owner of a file may replace it there. */
const STICKY = 0o1000;

/**
 * Refuses a file that neither this user nor root alone can have written.
 *
 * Root's files count as the system's own (a Nix store, a ConfigMap) where nobody else can change them, and nobody else can
 * put another file in their place.
 *
 * @param path the name of the file, which may be a link
 * @param stat the opened file
 * @param own this user; undefined on a system without such numbers
 * @throws StoreError `foreign-owner` with a hint that changes no other user's file
 */
export function refuseUntrustedFile(path: string, stat: Pick<Stats, "uid" | "mode">, own = process.geteuid?.()): void {
  if (own === undefined || stat.uid === own) return;
  if (stat.uid !== ROOT) {
    const reason = `${path} belongs to user ${String(stat.uid)}, who is neither this user nor root`;
    throw new StoreError("foreign-owner", reason, `run credsyncd as user ${String(stat.uid)}, whose it is`);
  }
  try {
    if (isChangeable(path, stat)) throw changeable(path, "can be changed by others than root");
    for (const directory of new Set([dirname(path), dirname(realpathSync.native(path))])) refuseDirectory(directory, path, own);
  } catch (error) {
    throw toStoreError(error, path, "read");
  }
}

function refuseDirectory(directory: string, path: string, own: number): void {
  const stat = statSync(directory);
  if (stat.uid !== own && stat.uid !== ROOT) {
    const reason = `${path} belongs to root, and its directory ${directory} to user ${String(stat.uid)}, who can replace it`;
    throw new StoreError("foreign-owner", reason, `run credsyncd as user ${String(stat.uid)}, whose it is`);
  }
  if ((stat.mode & STICKY) === 0 && isChangeable(directory, stat)) {
    throw changeable(path, `belongs to root, and others can replace it in ${directory}`, directory);
  }
}

function isChangeable(path: string, { mode }: Pick<Stats, "mode">): boolean {
  return (mode & WRITABLE_BY_MORE) !== 0 && !isReadOnly(path);
}

function changeable(path: string, what: string, place = path): StoreError {
  return new StoreError(
    "foreign-owner",
    `${path} ${what}`,
    `see that it says what root meant, then: chmod go-w ${shellWord(place)}`,
  );
}

/** Checks whether the file system is mounted read-only: a ConfigMap has mode 0777 there. */
export function isReadOnly(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return errnoOf(error) === "EROFS";
  }
}
