import { StoreError } from "../domain/errors.js";
import { readRegularBytes } from "./regular-file.js";

/** Far above any real one. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Checks whether a group is one user's own: it has the user's name and no other members. Many systems give each user one, and a
 * umask (002) that lets it write. A group that only a directory service knows is nobody's own, since it may have members that
 * this host cannot see.
 */
export function isOwnGroup(gid: number, uid: number): boolean {
  return isOwnGroupIn({ passwd: textOf("/etc/passwd"), group: textOf("/etc/group") }, gid, uid);
}

/** The same, by the texts of the system's files (passwd(5), group(5)). */
export function isOwnGroupIn(files: { readonly passwd: string; readonly group: string }, gid: number, uid: number): boolean {
  const users = linesOf(files.passwd).map(([name = "", , id, primary]) => ({ name, uid: Number(id), gid: Number(primary) }));
  const groups = linesOf(files.group)
    .filter(([, , id]) => Number(id) === gid)
    .map(([name = "", , , members = ""]) => ({ name, members: members.split(",").filter((member) => member !== "") }));
  const own = new Set(users.filter((user) => user.uid === uid).map(({ name }) => name));
  const isAlone = users.every((user) => user.gid !== gid || user.uid === uid);
  return isAlone && groups.length > 0 && groups.every(({ name, members }) => [name, ...members].every((each) => own.has(each)));
}

/** A user's name; null for one that the system's files do not know. */
export function userName(uid: number): string | null {
  return linesOf(textOf("/etc/passwd")).find(([, , id]) => Number(id) === uid)?.[0] ?? null;
}

function linesOf(text: string): string[][] {
  return text.split("\n").flatMap((line) => (/^[^#:]/.test(line) ? [line.split(":")] : []));
}

function textOf(path: string): string {
  try {
    return readRegularBytes(path, MAX_BYTES)?.bytes.toString("utf8") ?? "";
  } catch (error) {
    if (error instanceof StoreError) return "";
    throw error;
  }
}
