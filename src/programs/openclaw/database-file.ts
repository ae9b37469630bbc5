import { stat } from "node:fs/promises";
import type { Clock } from "../../domain/clock.js";
import { StoreError } from "../../domain/errors.js";
import { refuseForeignDirectory, refuseForeignOwner } from "../../io/regular-file.js";
import { SqliteDatabase } from "../../io/sqlite-database.js";
import { isAbsent, toStoreError } from "../../io/system-error.js";
import type { Environment } from "../environment.js";

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

/** How long another's transaction is waited for in any case (ms): an owner's lasts milliseconds. */
const BRIEFLY_MS = 50;
/** How long a writer waits for it (ms), if it has nothing else to do. */
const WAIT_MS = 1000;
const RETRY_MS = 10;

const neverAborted = new AbortController().signal;

/** Tries again for a moment while another program keeps the database busy; nobody else stands still meanwhile. */
export function whileBriefly<Result>(clock: Clock, action: () => Result): Promise<Result> {
  return whileBusy(clock, BRIEFLY_MS, neverAborted, () => Promise.resolve(action()));
}

async function whileBusy<Result>(
  clock: Clock,
  waitMs: number,
  signal: AbortSignal,
  action: () => Promise<Result>,
): Promise<Result> {
  const startedAt = clock.monotonic();
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "locked") throw error;
      const waitedMs = clock.monotonic() - startedAt;
      if (waitedMs >= (signal.aborted ? Math.min(waitMs, BRIEFLY_MS) : waitMs)) throw error;
      await clock.sleep(RETRY_MS, waitedMs < BRIEFLY_MS ? neverAborted : signal);
    }
  }
}

interface WriteOptions {
  /** The error if the database is gone. */
  readonly conflict: () => StoreError;
  /** Ends the wait for another writer. */
  readonly signal: AbortSignal;
}

/**
 * Does everything in one write transaction on a database that exists, which takes milliseconds: a gateway waits for no
 * longer than 5 s. The action may be done again where another writer came in between.
 *
 * @throws StoreError the conflict where there is no database any more
 */
export async function inWriteTransaction<Result>(
  path: string,
  environment: Environment,
  { conflict, signal }: WriteOptions,
  action: (database: SqliteDatabase) => Result,
): Promise<Result> {
  try {
    return await whileBusy(environment.clock, WAIT_MS, signal, async () => {
      if ((await identifyDatabase(path, environment)) === null) throw conflict();
      const database = await SqliteDatabase.open(path, "write");
      try {
        return database.transaction("write", () => action(database));
      } finally {
        database.close();
      }
    });
  } catch (error) {
    throw toStoreError(error, path, "write");
  }
}
