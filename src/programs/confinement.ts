import { dirname, join, relative } from "node:path";
import { StoreError } from "../domain/errors.js";
import type { Place } from "../domain/place.js";
import { isInside, isLink, placeOf, realPathOf, refuseDangling } from "../io/real-path.js";

/** A directory by the name that the user knows it by, and behind links. */
interface Root {
  readonly path: string;
  readonly real: string;
}

/** The directories that may contain the stores of one state directory (rule R16b), by their real paths at its creation. */
export class Confinement {
  readonly #roots: readonly Root[];
  readonly #outside: string;
  readonly #hint: (directory: string) => string;

  /**
   * @param roots a directory that cannot be read allows nothing
   * @param outside names the roots for the message about any other place
   * @param hint the user's remedy for a place outside
   */
  constructor(roots: readonly string[], outside: string, hint: (directory: string) => string) {
    this.#roots = roots.flatMap((path) => realPathIfKnown(path).map((real) => ({ path, real })));
    this.#outside = outside;
    this.#hint = hint;
  }

  /** Why a real path is not served, or null. @param what leads there, in words @param directory which one would be allowed */
  refusalOf(real: string, what: string, directory = real): StoreError | null {
    if (this.#roots.some((root) => isInside(real, root.real))) return null;
    return new StoreError("permission", `${what} leads to ${real}, outside of ${this.#outside}`, this.#hint(directory));
  }

  /** The place at a path; links above the directories that the user knows, such as that of a home, make it no other one. */
  placesAt(path: string): Place[] {
    const place = placeOf(path);
    if (place === null) return [];
    const isItself = this.#roots.some(
      (root) => isInside(path, root.path) && join(root.real, relative(root.path, path)) === place.realPath,
    );
    return [{ ...place, isItself: place.isItself || isItself }];
  }
}

/** @throws StoreError `permission` for a place in which other programs' locks would be made elsewhere */
export function refuseOutside(path: string, confinement: Confinement): void {
  const refusal = confinement.refusalOf(realPathOf(path), path);
  if (refusal !== null) throw refusal;
}

/** Anywhere: for the source's own place, where its owner's links are followed as its program follows them. */
export const unconfined = new Confinement(["/"], "the file system", () => "put the file itself there");

/** A directory that a target names, which may belong to a container: its owner's links lead nowhere else. */
export function confinedTo(directory: string): Confinement {
  return new Confinement(
    [directory],
    directory,
    () => "put the file itself there: neither a link nor an agentDir out of that directory is followed",
  );
}

function realPathIfKnown(path: string): string[] {
  try {
    return [realPathOf(path)];
  } catch (error) {
    if (error instanceof StoreError) return [];
    throw error;
  }
}

/** Sees to it that a file is written in the place in which it was read and judged, whatever links are changed meanwhile. */
export class GuardedPath {
  readonly path: string;
  readonly #confinement: Confinement;
  #judged: string | null = null;

  constructor(path: string, confinement: Confinement) {
    this.path = path;
    this.#confinement = confinement;
  }

  /**
   * To be called at each read.
   *
   * @param found where the content was read; null where nothing is there
   * @returns the place's real path
   * @throws StoreError `permission` where links lead out of where it may be, `symlink` for a link to nothing
   */
  judge(found: string | null): string {
    if (found === null) refuseDangling(this.path);
    const real = found ?? realPathOf(this.path);
    const refusal = this.#confinement.refusalOf(real, this.path, dirname(real));
    if (refusal !== null) throw refusal;
    this.#judged = real;
    return real;
  }

  /**
   * To be called before anything is written, a lock too.
   *
   * @returns the real path that was judged
   * @throws StoreError `conflict` where the path leads elsewhere by now
   */
  confirm(): string {
    const judged = this.#judged ?? this.judge(null);
    if (!this.isStill(judged)) {
      const message = `${this.path} leads to another place than when it was read`;
      throw new StoreError("conflict", message, "it is read again automatically");
    }
    return judged;
  }

  /** Checks whether the path still leads to where it led at the judgement; for use right before a rename. */
  isStill(judged = this.#judged): boolean {
    try {
      // A link to nothing has no real path of its own, and would pass for the file to create.
      return realPathOf(this.path) === judged && !isLink(judged);
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
  }
}
