import { StoreError } from "../../domain/errors.js";
import type { Definition, Questioned } from "../../io/sqlite-database.js";

/** The newest known schema of `state/openclaw.sqlite`; 2026.9.6 has it. */
export const NEWEST_STATE_SCHEMA = 18;

/** A table of OpenClaw's that is read here, as every version from 2026.6.5 to 2026.9.6 makes it, STRICT from 2026.8.1. */
interface TableShape {
  readonly key: string;
  /** Every column's type, and whether it always has a value. */
  readonly columns: Readonly<Record<string, "TEXT" | "INTEGER" | "TEXT NOT NULL" | "INTEGER NOT NULL">>;
}

const SCHEMA_META = "schema_meta";

const shapes: Readonly<Record<string, TableShape>> = {
  auth_profile_store: textByKey("store_key", "store_json", "updated_at"),
  auth_profile_state: textByKey("state_key", "state_json", "updated_at"),
  config_machine_state: textByKey("state_key", "value_json", "updated_at_ms"),
  [SCHEMA_META]: {
    key: "meta_key",
    columns: {
      meta_key: "TEXT NOT NULL",
      role: "TEXT NOT NULL",
      schema_version: "INTEGER NOT NULL",
      agent_id: "TEXT",
      app_version: "TEXT",
      created_at: "INTEGER NOT NULL",
      updated_at: "INTEGER NOT NULL",
    },
  },
};

function textByKey(key: string, value: string, time: string): TableShape {
  return { key, columns: { [key]: "TEXT NOT NULL", [value]: "TEXT NOT NULL", [time]: "INTEGER NOT NULL" } };
}

/** The version that the database states in two places, the later of the two. */
function schemaVersion(database: Questioned, path: string): number {
  const stated = Number(database.row("PRAGMA user_version")?.["user_version"]);
  if (!hasOwnTable(database, SCHEMA_META, path)) return stated;
  const version = "CASE typeof(schema_version) WHEN 'integer' THEN CAST(schema_version AS REAL) END";
  const meta = database.row(
    `SELECT ${version} AS version FROM ${SCHEMA_META} WHERE ${isRow("meta_key", SCHEMA_META)}`,
    "primary",
  );
  return Math.max(stated, Number(meta?.["version"] ?? 0));
}

/**
 * Refuses a database of a later OpenClaw than is known: its rows may mean something else by then.
 *
 * @throws StoreError `unsupported`
 */
export function refuseUnknownSchema(database: Questioned, newest: number, path: string): void {
  const version = schemaVersion(database, path);
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

/**
 * Checks whether a database has a table exactly as OpenClaw makes it. Computed parts of a definition (a generated column, a
 * check, a trigger, an index on an expression, a view with its name) would run in the middle of a read or a write, and may never
 * end.
 *
 * @throws StoreError `unsupported` for one of another shape: nothing of it may be read or written
 */
export function hasOwnTable(database: Questioned, table: string, path: string): boolean {
  const definitions = database.definitionsOn(table);
  const shape = shapes[table];
  if (definitions.length === 0) return false;
  if (shape !== undefined && isAsMade(definitions, table, shape)) return true;
  const trigger = definitions.some(({ type }) => type === "trigger");
  throw trigger
    ? new StoreError("unsupported", `${path} has a trigger on ${table}`, "drop it: OpenClaw makes none; the store is left alone")
    : new StoreError(
        "unsupported",
        `${path} keeps ${table} in another shape than OpenClaw makes it`,
        "update credsyncd if OpenClaw was updated, else let OpenClaw repair it: openclaw doctor --fix; the store is left alone",
      );
}

/** One table, and the index that SQLite itself makes for its key. */
function isAsMade(definitions: readonly Definition[], table: string, shape: TableShape): boolean {
  const tables = definitions.filter(({ type, name, sql }) => type === "table" && name === table && sql !== null);
  const keys = definitions.filter(
    ({ type, name, sql }) => type === "index" && name === `sqlite_autoindex_${table}_1` && sql === null,
  );
  if (tables.length !== 1 || keys.length > 1 || tables.length + keys.length !== definitions.length) return false;
  return hasShape(tables[0]?.sql ?? "", table, shape);
}

/** A name of letters, as it is or in any quotes. */
const NAME = String.raw`(?:\w+|"\w+"|\`\w+\`|\[\w+\])`;
const TABLE = new RegExp(String.raw`^CREATE TABLE\s*(${NAME})\s*\(([^()]*)\)\s*(?:STRICT)?\s*$`, "i");
const COLUMN = new RegExp(String.raw`^\s*(${NAME})\s+(.*?)\s*$`, "s");

/** Only columns of names, types, NOT NULL and one PRIMARY KEY: whatever else the words say, they say too much. */
function hasShape(sql: string, table: string, { key, columns }: TableShape): boolean {
  const [, name = "", body = ""] = TABLE.exec(sql) ?? [];
  if (unquoted(name) !== table) return false;
  const missing = new Map(Object.entries(columns));
  for (const words of body.split(",")) {
    const [, column = "", rest = ""] = COLUMN.exec(words) ?? [];
    const wanted = missing.get(unquoted(column));
    if (wanted === undefined || !missing.delete(unquoted(column))) return false;
    const isKey = unquoted(column) === key;
    const said = rest.replaceAll(/\s+/g, " ").toUpperCase();
    if (said !== (isKey ? `${wanted} PRIMARY KEY` : wanted)) return false;
  }
  return missing.size === 0;
}

function unquoted(name: string): string {
  return name.replaceAll(/["`[\]]/g, "");
}

/** So many rows of a table are gone through for one of a key; OpenClaw's have dozens. */
const MOST_ROWS = 10_000;
/** Longer than any key of a row that is read (bytes). */
const MOST_KEY_BYTES = 100;

/**
 * The condition for the row of a key, its one parameter. Its index is not used: its entries may be of any size, and are read
 * whole to be compared.
 */
export function isRow(keyColumn: string, table: string): string {
  const keys = `SELECT rowid AS id, CASE WHEN octet_length(${keyColumn}) <= ${String(MOST_KEY_BYTES)} THEN ${keyColumn} END AS name
    FROM ${table} NOT INDEXED LIMIT ${String(MOST_ROWS)}`;
  return `rowid = (SELECT id FROM (${keys}) WHERE name = ?)`;
}
