import { stat } from "node:fs/promises";
import { StoreError } from "../domain/errors.js";
import { refuseForeignDirectory, refuseForeignOwner } from "../io/regular-file.js";
import { SqliteDatabase } from "../io/sqlite-database.js";
import { isAbsent, toStoreError } from "../io/system-error.js";
import type { Environment } from "./environment.js";

/**
 * Which file a database of OpenClaw's is, so that another in its place is noticed; to be asked before it is opened, which
 * would wait for the writer of a pipe.
 *
 * @returns null where there is none
 * @throws StoreError for anything but a regular file of this user's in a directory of theirs
 */
export async function identifyDatabase(path: string, environment: Environment): Promise<string | null> {
  try {
    const file = await stat(path);
    if (!file.isFile())
      throw new StoreError("not-a-file", `${path} is not a regular file`, "let OpenClaw repair it: openclaw doctor --fix");
    refuseForeignOwner(path, file.uid);
    refuseForeignDirectory(path);
    return `${String(file.dev)}:${String(file.ino)}`;
  } catch (error) {
    if (!isAbsent(error)) throw toStoreError(error, path, "read");
    environment.databases.forget(path);
    return null;
  }
}

/**
 * Does everything in one write transaction on a database that exists, which takes milliseconds: a gateway waits for no
 * longer than 5 s.
 *
 * @throws StoreError the conflict where there is no database any more
 */
export async function inWriteTransaction<Result>(
  path: string,
  environment: Environment,
  conflict: () => StoreError,
  action: (database: SqliteDatabase) => Result,
): Promise<Result> {
  try {
    if ((await identifyDatabase(path, environment)) === null) throw conflict();
    const database = await SqliteDatabase.open(path, "write");
    try {
      return database.transaction("write", () => action(database));
    } finally {
      database.close();
    }
  } catch (error) {
    throw toStoreError(error, path, "write");
  }
}
