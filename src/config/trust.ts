import { realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Failure } from "../domain/errors.js";
import { isReadOnly } from "../io/trusted-file.js";
import { isOwnGroup } from "../io/user-group.js";
import { shellWord } from "../domain/shell-word.js";

/** The owner and mode of a file, or of the directory that it is in. */
export interface Standing {
  readonly path: string;
  readonly isDirectory: boolean;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** Decides who may own and who may write a configuration. */
export interface Trust {
  readonly uid: number;
  /** Checks whether a group has no members but this user. */
  readonly isOwnGroup: (gid: number) => boolean;
  /** Checks whether nobody at all can write there, whatever the mode says: a ConfigMap is mounted with mode 0777. */
  readonly isReadOnly: (path: string) => boolean;
}

interface Distrust {
  readonly reason: string;
  readonly hint: string;
}

const ROOT = 0;
const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;
/** Only who owns a file may replace it there, as in /tmp. */
const STICKY = 0o1000;

/**
 * Refuses a configuration that somebody else can have written, as ssh does: it names commands that run as this user. Its
 * directories count, too: there another file could be put in its place.
 *
 * @param file the file itself, as it was opened
 * @throws Failure `config` that names the command which mends it
 */
export function refuseUntrusted(path: string, file: Pick<Standing, "uid" | "gid" | "mode">): void {
  const uid = process.geteuid?.();
  if (uid === undefined) return;
  const trust: Trust = { uid, isOwnGroup: (gid) => isOwnGroup(gid, uid), isReadOnly };
  const directories = new Set([dirname(path), dirname(realpathSync.native(path))]);
  const standings = [...directories].map((directory) => standingOf(directory, statSync(directory), true));
  for (const standing of [standingOf(path, file, false), ...standings]) {
    const distrust = distrustIn(standing, trust);
    if (distrust !== null) throw new Failure("config", `the configuration cannot be used: ${distrust.reason}`, distrust.hint);
  }
}

/** Why a file, or a directory, is not to be trusted; null where only this user and root can have written there. */
export function distrustIn({ path, isDirectory, uid, gid, mode }: Standing, trust: Trust): Distrust | null {
  const danger = isDirectory ? "commands that run as this user are read there" : "it names commands that run as this user";
  const look = `see that ${isDirectory ? "what is there" : "what it says"} is yours, then`;
  if (uid !== trust.uid && uid !== ROOT) {
    const reason = `${path} belongs to user ${String(uid)}, who is neither this user nor root: ${danger}`;
    return { reason, hint: `${look}: chown ${String(trust.uid)} ${shellWord(path)}` };
  }
  const isSticky = isDirectory && (mode & STICKY) !== 0;
  const byOthers = (mode & WRITABLE_BY_OTHERS) !== 0;
  const byGroup = (mode & WRITABLE_BY_GROUP) !== 0 && !trust.isOwnGroup(gid);
  if (isSticky || (!byOthers && !byGroup) || trust.isReadOnly(path)) return null;
  const who = byOthers ? "everyone" : `its group (${String(gid)})`;
  const reason = `${path} is ${(mode & 0o777).toString(8).padStart(4, "0")}, so that ${who} may change it: ${danger}`;
  return { reason, hint: `${look}: chmod go-w ${shellWord(path)}` };
}

function standingOf(path: string, { uid, gid, mode }: Pick<Standing, "uid" | "gid" | "mode">, isDirectory: boolean): Standing {
  return { path, isDirectory, uid, gid, mode };
}
