import type { Clock } from "../domain/clock.js";
import { StoreError } from "../domain/errors.js";
import { parseJson } from "../io/json-document.js";
import type { RegularFile } from "../io/regular-file.js";

/** Programs that write in place finish within this time; what is still not whole then is broken. */
const TORN_FOR_MS = 2000;

/**
 * Parses a store's JSON.
 *
 * @throws StoreError `torn` while the file is so young that its writer may not be finished, `malformed` after that
 */
export function parseOrTorn(file: RegularFile, path: string, clock: Clock): unknown {
  try {
    return parseJson(file.text, path);
  } catch (error) {
    if (!(error instanceof StoreError) || Math.abs(clock.now() - file.changedAt) > TORN_FOR_MS) throw error;
    throw new StoreError("torn", `${path} is only half written`, "it is read again in a moment");
  }
}
