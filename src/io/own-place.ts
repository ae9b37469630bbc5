import { statSync, type Stats } from "node:fs";
import { dirname, isAbsolute, relative } from "node:path";
import { Failure } from "../domain/errors.js";
import { errnoOf } from "./system-error.js";
import { userName } from "./user-group.js";

/** The owner of places that the system or an image made for everyone: this user may use a home of root's that is writable. */
const SYSTEM = 0;

/**
 * Refuses to create another user's files for this user. Root in the home of whoever called sudo leaves files there that their
 * owner cannot write, and a home that does not exist is nobody's.
 *
 * @param path the place to create; it may exist already
 * @throws Failure `permission` for another user's home or directory, `config` for a home that is none
 */
export function refuseForeignPlace(path: string, home: string): void {
  const own = process.geteuid?.();
  if (own === undefined) return;
  refuseForeignHome(path, home, own);
  // Its users judge a place that already exists.
  if (statsOf(path) !== null) return;
  const { directory, uid } = nearest(dirname(path));
  if (uid === own || uid === SYSTEM) return;
  throw new Failure(
    "permission",
    `${directory} belongs to ${nameOf(uid)}, not to ${nameOf(own)}: nothing is made there`,
    `name a place of your own (XDG_STATE_HOME, XDG_CONFIG_HOME, --config), or run it as that user: ${asUser(uid)}`,
  );
}

function refuseForeignHome(path: string, home: string, own: number): void {
  const stats = statsOf(home);
  if (stats?.isDirectory() !== true) {
    if (!isWithin(path, home)) return;
    const reason = stats === null ? "does not exist" : "is no directory";
    throw new Failure(
      "config",
      `the home directory ${home} ${reason}`,
      "set HOME to a directory of yours, or have this one made",
    );
  }
  if (stats.uid === own || stats.uid === SYSTEM) return;
  const elsewhere = own === SYSTEM ? "for root's own logins: sudo -H credsyncd …" : "or set HOME to your own";
  throw new Failure(
    "permission",
    `the home directory ${home} belongs to ${nameOf(stats.uid)}, not to ${nameOf(own)}: nothing is made there`,
    `run it as that user: ${asUser(stats.uid)}; ${elsewhere}`,
  );
}

function isWithin(path: string, directory: string): boolean {
  const way = relative(directory, path);
  return way !== ".." && !way.startsWith("../") && !isAbsolute(way);
}

/** Finds the nearest existing directory of a path. */
function nearest(path: string): { readonly directory: string; readonly uid: number } {
  const stats = statsOf(path);
  if (stats !== null) return { directory: path, uid: stats.uid };
  return dirname(path) === path ? { directory: path, uid: SYSTEM } : nearest(dirname(path));
}

/** Null where nothing is there, or where this user may not look: making anything there fails for a reason of its own. */
function statsOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}

function nameOf(uid: number): string {
  const name = userName(uid);
  return name === null ? `user ${String(uid)}` : `user ${String(uid)} (${name})`;
}

function asUser(uid: number): string {
  return `sudo -u ${userName(uid) ?? `'#${String(uid)}'`} -H credsyncd …`;
}
