import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, parse, resolve, sep } from "node:path";
import type { Place } from "../domain/place.js";
import { StoreError } from "../domain/errors.js";
import { shellWord } from "../domain/shell-word.js";
import { identityOf, isThere } from "./regular-file.js";
import { errnoOf, isAbsent, toStoreError } from "./system-error.js";

/** Resolves the links of a path, as far as it exists. @throws StoreError if they cannot be read */
export function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (!isAbsent(error)) throw toStoreError(error, path, "read");
    return dirname(path) === path ? path : join(realPathOf(dirname(path)), basename(path));
  }
}

/** Resolves the links of a path; returns the path itself if the system cannot. */
export function realPathIfKnown(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return path;
  }
}

/** Checks whether a path is a directory or inside it; both are real paths. */
export function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

/** Returns the place that a path leads to, without reading its content; null if nothing is there or it is unknown. */
export function placeOf(path: string): Place | null {
  try {
    const realPath = realpathSync.native(path);
    return { realPath, isItself: realPath === path, identity: identityOf(statSync(realPath)) };
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}

/** @throws StoreError `symlink` for a link to nothing, which is not the same as nothing */
export function refuseDangling(path: string): void {
  if (!isLink(path) || isThere(path)) return;
  throw new StoreError(
    "symlink",
    `${path} is a symbolic link to nothing`,
    `put back what it leads to, or remove the link: rm ${shellWord(path)}`,
  );
}

/** Checks whether a path is itself a link. @throws StoreError if that is unknown */
export function isLink(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw toStoreError(error, path, "read");
  }
}

/** The links on the way to a path, in the order in which the system follows them. */
export function linksTo(path: string): string[] {
  return new LinkFinder().linksTo(path);
}

/**
 * Returns the paths whose replacement makes a directory another one: the links on the way to it, and in the home the directories
 * above it. The home itself changes all day, and anyone who can replace it can replace everything.
 */
export function waysTo(directory: string, home: string): string[] {
  const ways = linksTo(directory);
  try {
    const real = realPathOf(directory);
    const top = realPathOf(home);
    for (let path = real; path !== top && dirname(path) !== top && isInside(path, top); path = dirname(path)) ways.push(path);
  } catch (error) {
    // A place that cannot be read has no way to it that could be watched.
    if (!(error instanceof StoreError)) throw error;
  }
  return ways;
}

/** The system itself gives up after so many. */
const MOST_LINKS = 40;

/** Finds the links on the way to paths: each may be switched to lead elsewhere. It reads the common parts of paths once. */
export class LinkFinder {
  /** The destination of each link; null for anything else. */
  readonly #seen = new Map<string, string | null>();

  /** @returns the names of the links, in the order in which the system follows them */
  linksTo(path: string): string[] {
    const links: string[] = [];
    let left = partsOf(path);
    let at = parse(path).root;
    while (left.length > 0 && links.length < MOST_LINKS) {
      const [name = "", ...rest] = left;
      const next = join(at, name);
      const target = this.#targetOf(next);
      left = rest;
      if (target === null) at = next;
      else {
        links.push(next);
        const led = resolve(at, target);
        at = parse(led).root;
        left = [...partsOf(led), ...rest];
      }
    }
    return links;
  }

  #targetOf(path: string): string | null {
    const known = this.#seen.get(path);
    if (known !== undefined) return known;
    const target = readLink(path);
    this.#seen.set(path, target);
    return target;
  }
}

function partsOf(path: string): string[] {
  return path
    .slice(parse(path).root.length)
    .split(sep)
    .filter((part) => part !== "");
}

/** Returns null if the path is not a link, or cannot be read. */
function readLink(path: string): string | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : null;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}
