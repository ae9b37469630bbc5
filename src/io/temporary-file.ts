import { randomUUID } from "node:crypto";
import { readdirSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { StoreError } from "../domain/errors.js";
import { isAbsent, toStoreError } from "./system-error.js";

/** npm write-file-atomic puts a number behind the name that it is given. */
const OWN_TEMPORARY = /\.credsyncd-[0-9a-f-]{36}\.tmp(?:\.\d{1,10})?$/;

/** A name beside a file for what is to take its place, which no other program gives. */
export function temporaryName(path: string): string {
  return join(dirname(path), `${basename(path)}.credsyncd-${randomUUID()}.tmp`);
}

/** Checks whether a name is one of `temporaryName`. */
export function isTemporaryName(name: string): boolean {
  return OWN_TEMPORARY.test(name);
}

/** A temporary file that could not be removed, though nobody needs it any more. */
export interface Leftover {
  readonly path: string;
  readonly error: StoreError;
}

/**
 * Removes temporary files, and remembers those that cannot be removed: they may have a full login. Names are used only once
 * (`temporaryName`), so a file that is later at the same name is still the one to remove.
 */
export class Leftovers {
  readonly #paths = new Set<string>();

  /** Fails nothing: what the file was made for is done, or has failed for a reason of its own. */
  readonly discard = (path: string): void => {
    if (remove(path) === null) this.#paths.delete(path);
    else this.#paths.add(path);
  };

  /**
   * Discards what a killed credsyncd left half done in a directory. To be called under the lock that guards its files, so
   * that nobody is at work on them; whoever only wants the lock makes another temporary file when its own is gone.
   *
   * @param isHalf tells halves by their names
   */
  discardAllIn(directory: string, isHalf: (name: string) => boolean = isTemporaryName): void {
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isFile() && isHalf(entry.name)) this.discard(join(directory, entry.name));
  }

  /** Tries once more. @returns those that still cannot be removed */
  discardAgain(): Leftover[] {
    return [...this.#paths].flatMap((path) => {
      const error = remove(path);
      if (error === null) this.#paths.delete(path);
      return error === null ? [] : [{ path, error }];
    });
  }
}

/** @returns why it is still there; null once it is not */
function remove(path: string): StoreError | null {
  try {
    unlinkSync(path);
    return null;
  } catch (error) {
    return isAbsent(error) ? null : toStoreError(error, path, "write");
  }
}
