import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { StoreError } from "../domain/errors.js";
import { errnoOf } from "./system-error.js";

/** A value of a row or a parameter. */
export type SqliteValue = string | number | bigint | null | Uint8Array;
export type SqliteRow = Readonly<Record<string, SqliteValue>>;

/** The part of `node:sqlite` that is used; `@photostructure/sqlite` has the same. */
interface DatabaseSync {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

interface Statement {
  get(...parameters: SqliteValue[]): unknown;
  all(...parameters: SqliteValue[]): unknown[];
  run(...parameters: SqliteValue[]): { changes: number | bigint };
}

interface SqliteModule {
  readonly DatabaseSync: new (path: string | URL, options: OpenOptions) => DatabaseSync;
}

interface OpenOptions {
  readonly readOnly: boolean;
  /** Else a table of anyone's that refers to a row would be changed with it. */
  readonly enableForeignKeyConstraints: boolean;
  /** Not known to runtimes before Node 25. */
  readonly limits: { readonly length: number; readonly sqlLength: number };
}

/** Far above any row that is read or written here, and any definition of a table (bytes). */
const OPTIONS = { enableForeignKeyConstraints: false, limits: { length: 32 * 1024 * 1024, sqlLength: 1024 * 1024 } };

/** One more than a schema may have, so that counting ends. */
const SCHEMA_SIZE = `SELECT count(*) AS entries, total(bytes) AS bytes
  FROM (SELECT octet_length(sql) AS bytes FROM sqlite_master LIMIT 5001)`;

/** Names that differ in capitals alone are one name to SQLite. */
const DEFINITIONS_ON = `SELECT type, name, sql FROM sqlite_master
  WHERE tbl_name = ? COLLATE NOCASE OR name = ? COLLATE NOCASE LIMIT 101`;

const ANY_TABLE = "SELECT 1 AS found FROM sqlite_master LIMIT 1";

/** The suffix of the log that SQLite keeps beside a database. */
export const WAL_SUFFIX = "-wal";

/** OpenClaw's databases have about 220 tables and indexes, in words of 35 kB. */
const MOST_DEFINITIONS = 5000;
const MOST_DEFINITION_BYTES = 4 * 1024 * 1024;

/** One entry of a database's schema. */
export interface Definition {
  readonly type: string;
  readonly name: string;
  /** Its SQL as its maker wrote it; null for an entry that SQLite made on its own. */
  readonly sql: string | null;
}

/** One connection to a database that another program owns: nothing that it keeps is set, created or compacted. */
export class SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #statements = new Map<string, Statement>();
  #schema: { readonly version: SqliteValue; readonly definitions: Map<string, readonly Definition[]> } | null = null;

  private constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  /**
   * Opens an existing database.
   *
   * @throws StoreError
   */
  static async open(path: string, access: "read" | "write"): Promise<SqliteDatabase> {
    const { DatabaseSync } = await loadModule();
    try {
      const database =
        access === "read" ? new DatabaseSync(path, { ...OPTIONS, readOnly: true }) : openForWriting(DatabaseSync, path);
      // A wait inside SQLite would stop the whole process, so callers wait for a busy database themselves.
      database.exec("PRAGMA busy_timeout = 0");
      // The package is compiled so that a commit to a log does not wait for the disk, and a power cut would undo it.
      if (access === "write") database.exec("PRAGMA synchronous = FULL");
      return new SqliteDatabase(database, path);
    } catch (error) {
      throw toSqliteError(error, path, access);
    }
  }

  /** The first row that a query gives, or null. @throws StoreError */
  row(sql: string, ...parameters: SqliteValue[]): SqliteRow | null {
    return this.#guard("read", () => (this.#prepared(sql).get(...parameters) as SqliteRow | undefined) ?? null);
  }

  hasTable(name: string): boolean {
    return this.definitionsOn(name).some((definition) => definition.type === "table" && definition.name === name);
  }

  hasTables(): boolean {
    return this.row(ANY_TABLE) !== null;
  }

  /**
   * Everything that the schema has under a table's name, or on that table; asked once while the schema stays.
   *
   * It holds for what is read in the same transaction.
   *
   * @throws StoreError `too-large` for a schema that is far larger than any of OpenClaw's
   */
  definitionsOn(table: string): readonly Definition[] {
    const version = this.schemaVersion();
    if (this.#schema?.version !== version) {
      this.#refuseLargeSchema();
      this.#schema = { version, definitions: new Map() };
    }
    const known = this.#schema.definitions.get(table);
    if (known !== undefined) return known;
    const found = this.#guard("read", () => this.#prepared(DEFINITIONS_ON).all(table, table)) as Definition[];
    this.#schema.definitions.set(table, found);
    return found;
  }

  /** Another number after every change of the schema. */
  schemaVersion(): SqliteValue {
    return this.row("PRAGMA schema_version")?.["schema_version"] ?? null;
  }

  #refuseLargeSchema(): void {
    const { entries, bytes } = this.row(SCHEMA_SIZE) ?? {};
    if (Number(entries) <= MOST_DEFINITIONS && Number(bytes) <= MOST_DEFINITION_BYTES) return;
    throw new StoreError(
      "too-large",
      `${this.#path} has more tables and indexes, or longer ones, than any OpenClaw makes`,
      "see which program made them; let OpenClaw repair it: openclaw doctor --fix",
    );
  }

  /** Runs a statement and says how many rows it changed. @throws StoreError */
  change(sql: string, ...parameters: SqliteValue[]): number {
    return this.#guard("write", () => Number(this.#database.prepare(sql).run(...parameters).changes));
  }

  /** Runs an action in one transaction; whatever it throws undoes it. @throws StoreError `locked` while another writes */
  transaction<Result>(kind: "read" | "write", action: () => Result): Result {
    this.#guard(kind, () => {
      this.#database.exec(kind === "write" ? "BEGIN IMMEDIATE" : "BEGIN");
    });
    try {
      const result = action();
      this.#guard(kind, () => {
        this.#database.exec("COMMIT");
      });
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  /** Compiles each of the few frequent queries once. */
  #prepared(sql: string): Statement {
    const present = this.#statements.get(sql);
    if (present !== undefined) return present;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** SQLite itself rolls back after some failures, such as a full disk; then there is nothing left to do. */
  #rollBack(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch (error) {
      if (resultCodeOf(error) !== GENERIC) throw error;
    }
  }

  #guard<Result>(access: "read" | "write", action: () => Result): Result {
    try {
      return action();
    } catch (error) {
      throw toSqliteError(error, this.#path, access);
    }
  }
}

/** The questions to a database, whether or not its answers are remembered. */
export type Questioned = Pick<SqliteReader, "row" | "hasTable" | "hasTables" | "definitionsOn">;

/** One question that was asked of a database, and a hash of its answer. */
interface Question {
  readonly sql: string;
  readonly parameters: readonly SqliteValue[];
  answer: string;
}

/**
 * A connection for reading that stays open, and remembers what it was asked: what other programs write into the same
 * database all day is news only if one of these answers changes.
 */
export class SqliteReader {
  /** For questions whose answers decide nothing, so that they are not remembered. */
  readonly aside: SqliteDatabase;
  readonly #questions = new Map<string, Question>();
  /** The database's own count of commits, when all answers were last known to be as remembered. */
  #version: SqliteValue = null;
  /** The version of the schema that was judged; null for none. */
  #schemaVersion: SqliteValue = null;

  constructor(database: SqliteDatabase) {
    this.aside = database;
  }

  /** The first row that a query gives, or null. @throws StoreError */
  row(sql: string, ...parameters: SqliteValue[]): SqliteRow | null {
    const name = JSON.stringify([sql, ...parameters]);
    // One that fails has no answer to be compared with.
    this.#questions.delete(name);
    this.#version = null;
    const row = this.aside.row(sql, ...parameters);
    this.#questions.set(name, { sql, parameters, answer: answerOf(row) });
    return row;
  }

  hasTable(name: string): boolean {
    return this.definitionsOn(name).some((definition) => definition.type === "table" && definition.name === name);
  }

  hasTables(): boolean {
    return this.row(ANY_TABLE) !== null;
  }

  /** As of the database; another schema is news. */
  definitionsOn(table: string): readonly Definition[] {
    const definitions = this.aside.definitionsOn(table);
    this.#schemaVersion = this.aside.schemaVersion();
    return definitions;
  }

  /** Runs an action in which everything that is read is of one moment. */
  atOnce<Result>(action: () => Result): Result {
    return this.aside.transaction("read", action);
  }

  /** Checks whether any answer since the start may be different now. */
  isNews(): boolean {
    if (this.#questions.size === 0) return true;
    const version = this.aside.row("PRAGMA data_version")?.["data_version"] ?? null;
    if (version !== null && version === this.#version) return false;
    const isNews = this.atOnce(() => {
      // Under another schema nothing is read before that was judged.
      if (this.#schemaVersion !== null && this.#schemaVersion !== this.aside.schemaVersion()) return true;
      for (const { sql, parameters, answer } of this.#questions.values()) {
        if (answerOf(this.aside.row(sql, ...parameters)) !== answer) return true;
      }
      return false;
    });
    if (!isNews) this.#version = version;
    return isNews;
  }

  close(): void {
    this.aside.close();
  }
}

/** Returns a hash of an answer. It keeps nothing of the answer itself, which has logins. */
function answerOf(row: SqliteRow | null): string {
  const hash = createHash("sha256");
  for (const [name, value] of Object.entries(row ?? {}))
    hash
      .update(`${name}\0${typeof value}\0`)
      .update(textOf(value))
      .update("\0");
  return row === null ? "none" : hash.digest("base64");
}

function textOf(value: SqliteValue): string | Uint8Array {
  return value instanceof Uint8Array ? value : String(value);
}

/**
 * Connections for reading that stay open: opening and closing one touches files beside the database, and whoever watches
 * them would take that for news. Between two reads a connection holds no lock.
 */
export class SqliteReaders {
  readonly #open = new Map<string, { readonly identity: string; readonly reader: SqliteReader }>();

  /**
   * Returns a connection to the database that is at a path now.
   *
   * @param identity identifies the file, so that a replaced one gets a new connection
   * @throws StoreError
   */
  async reader(path: string, identity: string): Promise<SqliteReader> {
    const present = this.#open.get(path);
    if (present?.identity === identity) return present.reader;
    this.forget(path);
    const reader = new SqliteReader(await SqliteDatabase.open(path, "read"));
    // Another read may have been faster, and be using its connection.
    const other = this.#open.get(path);
    if (other?.identity === identity) {
      reader.close();
      return other.reader;
    }
    this.forget(path);
    this.#open.set(path, { identity, reader });
    return reader;
  }

  /** The database that a file belongs to, itself or as its log; null where none is open there. */
  databaseOf(file: string): string | null {
    const path = file.endsWith(WAL_SUFFIX) ? file.slice(0, -WAL_SUFFIX.length) : file;
    return this.#open.has(path) ? path : null;
  }

  /** Checks whether the content that was read from a database may have changed since; true also if that is unknown. */
  isNews(path: string): boolean {
    const present = this.#open.get(path);
    try {
      const file = statSync(path, { throwIfNoEntry: false });
      if (present === undefined || file === undefined) return true;
      return present.identity !== `${String(file.dev)}:${String(file.ino)}` || present.reader.isNews();
    } catch (error) {
      if (error instanceof StoreError || errnoOf(error) !== null) return true;
      throw error;
    }
  }

  /** Closes the connection to a database that is not there any more. */
  forget(path: string): void {
    this.#open.get(path)?.reader.close();
    this.#open.delete(path);
  }

  /**
   * Closes the connections to all databases but these, and to those that are not there any more: nobody asks for the one
   * of an agent that went away, or that keeps its logins in files again.
   */
  keepOnly(paths: Iterable<string>): void {
    const kept = new Set(paths);
    for (const path of this.#open.keys()) if (!kept.has(path) || !existsSync(path)) this.forget(path);
  }
}

/** The runtime's own SQLite where it has one (22.13 and later), else the same interface from a package with its binaries inside. */
async function loadModule(): Promise<SqliteModule> {
  return builtinModule() ?? (await import("@photostructure/sqlite"));
}

/** Node 22 warns on stderr, where only credsyncd's own words belong, that the module's interface may still change. */
function builtinModule(): SqliteModule | undefined {
  // The function itself, not a bound one: each call would wrap that of the call before.
  const emitWarning: unknown = Reflect.get(process, "emitWarning");
  process.emitWarning = () => undefined;
  try {
    return process.getBuiltinModule("node:sqlite") as unknown as SqliteModule | undefined;
  } finally {
    Reflect.set(process, "emitWarning", emitWarning);
  }
}

/** Plain opening would make a database where there is none; the runtimes that take no URL yet (before 22.15) still do. */
function openForWriting(DatabaseSync: SqliteModule["DatabaseSync"], path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.searchParams.set("mode", "rw");
  try {
    return new DatabaseSync(url, { ...OPTIONS, readOnly: false });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return new DatabaseSync(path, { ...OPTIONS, readOnly: false });
  }
}

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const GENERIC = 1;
const BUSY = 5;
const LOCKED = 6;
const NO_MEMORY = 7;
const READ_ONLY = 8;
const IO = 10;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const PERMISSION = 3;
const TOO_BIG = 18;
const NOT_A_DATABASE = 26;

/**
 * Converts an error of SQLite. Its own messages have names of tables at most, but the text of a statement may say more, so only
 * the code is kept.
 */
function toSqliteError(error: unknown, path: string, access: "read" | "write"): unknown {
  const code = resultCodeOf(error);
  if (code === null) return error;
  const failed = `cannot ${access} ${path}`;
  switch (code) {
    case GENERIC:
      return new StoreError(
        "unsupported",
        `${failed}: its tables have another shape`,
        "update credsyncd; the store is left alone",
      );
    case BUSY:
    case LOCKED:
      return new StoreError("locked", `${failed}: another program is writing it`, "it is tried again by itself");
    case TOO_BIG:
      return new StoreError(
        "too-large",
        `${failed}: a row or a definition in it is larger than any of OpenClaw's`,
        "let OpenClaw repair it: openclaw doctor --fix",
      );
    case FULL:
      return new StoreError("no-space", `${failed}: no space is left`, "free some space; it is tried again by itself");
    case CORRUPT:
    case NOT_A_DATABASE:
      return new StoreError(
        "malformed",
        `${failed}: it is not a whole database`,
        "restore it, or let OpenClaw repair it: openclaw doctor --fix",
      );
    case READ_ONLY:
    case PERMISSION:
    case CANNOT_OPEN:
      return new StoreError("permission", `${failed}: it cannot be opened`, "let this user read and write it and its directory");
    case IO:
    case NO_MEMORY:
    default:
      return new StoreError(
        "io",
        `${failed}: SQLite's result code ${String(code)}`,
        "it is tried again by itself; see the system log if it lasts",
      );
  }
}

function resultCodeOf(error: unknown): number | null {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : null;
}
