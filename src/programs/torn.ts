import type { Clock } from "../domain/clock.js";
import { StoreError } from "../domain/errors.js";
import { parseJson } from "../io/json-document.js";
import { readRegularFile, type FileReader, type RegularFile } from "../io/regular-file.js";
import type { Environment } from "./environment.js";

/** Programs that write in place finish within this time; what is still not whole then is broken. */
const TORN_FOR_MS = 2000;
const POLL_MS = 50;

/**
 * Parses a store's JSON.
 *
 * @throws StoreError `torn` while the file is so young that its writer may not be finished, `malformed` after that
 */
export function parseOrTorn(file: RegularFile, path: string, clock: Clock): unknown {
  try {
    return parseJson(file.text, path);
  } catch (error) {
    if (!(error instanceof StoreError) || !isYoung(file, clock)) throw error;
    throw new StoreError("torn", `${path} is only half written`, "it is read again in a moment");
  }
}

/**
 * Reads a store's JSON together with its other files. If the caller does not scan again later, it reads a half-written file until
 * the writer has finished or counts as dead.
 *
 * @param read reads all through the given reader
 * @param fileIn the one that is JSON
 */
export async function readWhole<Read>(
  { files, clock, waitsForWriters }: Environment,
  read: (files: FileReader) => Promise<Read>,
  fileIn: (read: Read) => RegularFile | null,
): Promise<Read> {
  const { signal } = new AbortController();
  // A program that writes without a pause is not waited for any longer.
  const deadline = clock.monotonic() + 2 * TORN_FOR_MS;
  for (let from = files; ; from = { read: readRegularFile }) {
    const result = await read(from);
    const file = fileIn(result);
    if (!waitsForWriters || file === null || !isTorn(file, clock) || clock.monotonic() > deadline) return result;
    await clock.sleep(POLL_MS, signal);
  }
}

function isTorn(file: RegularFile, clock: Clock): boolean {
  if (!isYoung(file, clock)) return false;
  try {
    parseJson(file.text, file.realPath);
    return false;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return true;
  }
}

function isYoung({ changedAt }: RegularFile, clock: Clock): boolean {
  return Math.abs(clock.now() - changedAt) <= TORN_FOR_MS;
}
