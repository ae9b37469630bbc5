import { stat } from "node:fs/promises";
import * as z from "zod/mini";
import { StoreError } from "../domain/errors.js";
import { parseJson } from "../io/json-document.js";
import { toStoreError } from "../io/system-error.js";
import type { Environment } from "./environment.js";

const TABLE = "config_machine_state";
const OWNERSHIP_KEY = "auth.sharedStore";

/** OpenClaw itself refuses a row with any other key or value. */
const ownershipShape = z.strictObject({ location: z.enum(["state-db", "legacy-main"]) });

/**
 * Where OpenClaw keeps the store that its agents share: in the state database, or (as before 2026.8.1) with agent main.
 *
 * @throws StoreError `unsupported` for a word that is not known: nothing shared may be written then
 */
export async function sharedStoreLocation(stateDatabase: string, environment: Environment): Promise<"state-db" | "legacy-main"> {
  const database = await environment.databases.reader(stateDatabase, await identityOf(stateDatabase));
  if (!database.hasTable(TABLE)) return "legacy-main";
  const row = database.row(`SELECT value_json AS text FROM ${TABLE} WHERE state_key = ?`, OWNERSHIP_KEY);
  if (row === null) return "legacy-main";
  const ownership = ownershipShape.safeParse(parseJson(String(row["text"]), stateDatabase));
  if (ownership.success) return ownership.data.location;
  throw new StoreError(
    "unsupported",
    `${stateDatabase} says in a way that is not known where the shared store is`,
    "update credsyncd; the shared store is left alone",
  );
}

async function identityOf(path: string): Promise<string> {
  try {
    const { dev, ino } = await stat(path);
    return `${String(dev)}:${String(ino)}`;
  } catch (error) {
    throw toStoreError(error, path, "read");
  }
}
