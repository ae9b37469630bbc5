import { StoreError } from "../domain/errors.js";
import type { Questioned } from "../io/sqlite-database.js";

/** Of `state/openclaw.sqlite`; 2026.9.6 has it. */
export const NEWEST_STATE_SCHEMA = 18;

/** The version that the database states in two places, the later of the two. */
function schemaVersion(database: Questioned): number {
  const stated = Number(database.row("PRAGMA user_version")?.["user_version"]);
  if (!database.hasTable("schema_meta")) return stated;
  const meta = database.row("SELECT schema_version AS version FROM schema_meta WHERE meta_key = 'primary'")?.["version"];
  return Math.max(stated, Number(meta ?? 0));
}

/**
 * Refuses a database of a later OpenClaw than is known: its rows may mean something else by then.
 *
 * @throws StoreError `unsupported`
 */
export function refuseUnknownSchema(database: Questioned, newest: number, path: string): void {
  const version = schemaVersion(database);
  if (version <= newest) return;
  throw new StoreError(
    "unsupported",
    `${path} has schema version ${String(version)}, and ${String(newest)} is the newest that is known`,
    "update credsyncd; the store is left alone",
  );
}

/**
 * Refuses a database without a table that OpenClaw always makes; one that it is just making has none at all.
 *
 * @throws StoreError `unsupported`
 */
export function refuseMissingTable(database: Questioned, table: string, path: string): void {
  if (database.hasTable(table) || !database.hasTables()) return;
  throw new StoreError("unsupported", `${path} has no table ${table}`, "let OpenClaw repair it: openclaw doctor --fix");
}
