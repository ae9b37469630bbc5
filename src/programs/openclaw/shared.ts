import * as z from "zod/mini";
import { StoreError } from "../../domain/errors.js";
import { hasOwnTable, isRow, NEWEST_STATE_SCHEMA, refuseUnknownSchema } from "./schema.js";
import { parseJson } from "../../io/json-document.js";
import type { Questioned } from "../../io/sqlite-database.js";
import { identifyDatabase, whileBriefly } from "./database-file.js";
import type { Environment } from "../environment.js";

const TABLE = "config_machine_state";
/** OpenClaw's has 23 bytes. */
const LONGEST_OWNERSHIP = 10_000;
const OWNERSHIP_KEY = "auth.sharedStore";

/** OpenClaw itself refuses a row with any other key or value. */
const ownershipShape = z.strictObject({ location: z.enum(["state-db", "legacy-main"]) });

/** Version 2026.9.3 has 16; from 2026.9.4 on, which brought the fences, it is later. */
const LAST_SCHEMA_WITHOUT_FENCES = 16;

/** 2026.8.1 has it, and sends no profile of Claude Code's own id; up to 2026.7.35 (1) and the first beta of 2026.8.1 all did. */
const FIRST_SCHEMA_WITHOUT_CLAUDE_CLI = 15;

/** The place of the store that OpenClaw's agents share. */
export interface SharedStorePlace {
  /** In the state database, or (as before 2026.8.1) with agent main. */
  readonly location: "state-db" | "legacy-main";
  /** True if the version that made the database surely puts a marker in place of the tokens while it refreshes. */
  readonly hasFences: boolean;
  /** True if the version that made the database sends a profile with the id `anthropic:claude-cli`. */
  readonly sendsClaudeCli: boolean;
}

/**
 * Finds the store that OpenClaw's agents share.
 *
 * @throws StoreError `unsupported` for an unknown word: nothing shared may be written then
 */
export async function sharedStorePlace(stateDatabase: string, environment: Environment): Promise<SharedStorePlace> {
  const identity = await identifyDatabase(stateDatabase, environment);
  if (identity === null)
    throw new StoreError("conflict", `${stateDatabase} is not there any more`, "it is looked at again by itself");
  const database = await environment.databases.reader(stateDatabase, identity);
  const { version, row } = await whileBriefly(environment.clock, () =>
    database.atOnce(() => {
      refuseUnknownSchema(database, NEWEST_STATE_SCHEMA, stateDatabase);
      const version = Number(database.row("PRAGMA user_version")?.["user_version"]);
      return { version, row: ownershipIn(database, stateDatabase) };
    }),
  );
  const hasFences = version > LAST_SCHEMA_WITHOUT_FENCES;
  const sendsClaudeCli = version < FIRST_SCHEMA_WITHOUT_CLAUDE_CLI;
  if (row === null) return { location: "legacy-main", hasFences, sendsClaudeCli };
  const ownership = ownershipShape.safeParse(parseJson(row, stateDatabase));
  if (ownership.success) return { location: ownership.data.location, hasFences, sendsClaudeCli };
  throw new StoreError(
    "unsupported",
    `${stateDatabase} says in a way that is not known where the shared store is`,
    "update credsyncd; the shared store is left alone",
  );
}

/** Reads the row. A value that is no text, although the table is strict, is unknown. */
function ownershipIn(database: Questioned, path: string): string | null {
  if (!hasOwnTable(database, TABLE, path)) return null;
  const text = `CASE WHEN octet_length(value_json) <= ${String(LONGEST_OWNERSHIP)} THEN CAST(value_json AS TEXT) ELSE '' END`;
  const row = database.row(`SELECT ${text} AS text FROM ${TABLE} WHERE ${isRow("state_key", TABLE)}`, OWNERSHIP_KEY);
  return row === null ? null : String(row["text"]);
}
