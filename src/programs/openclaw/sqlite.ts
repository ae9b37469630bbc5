import { dirname, join } from "node:path";
import { StoreError } from "../../domain/errors.js";
import type { Secret } from "../../domain/secret.js";
import type { Place } from "../../domain/place.js";
import type { CredentialStore, ProfileId, ProfilePatch, Revision, StoreName, StoreSnapshot } from "../../domain/store.js";
import { changeJson, parseJson, putJson } from "../../io/json-document.js";
import { decodeText } from "../../io/regular-file.js";
import { linksTo, realPathOf } from "../../io/real-path.js";
import { ABSENT, revisionOf } from "../../io/revision.js";
import { WAL_SUFFIX, type SqliteDatabase, type Questioned } from "../../io/sqlite-database.js";
import { toStoreError } from "../../io/system-error.js";
import { GuardedPath, refuseOutside, unconfined, type Confinement } from "../confinement.js";
import type { Environment } from "../environment.js";
import { identifyDatabase, inWriteTransaction, whileBriefly } from "./database-file.js";
import { activeProfiles, profileChanges, readProfiles } from "./profiles.js";
import { withoutPenalties } from "./penalties.js";
import { hasOwnTable, isRow, NEWEST_STATE_SCHEMA, refuseMissingTable, refuseUnknownSchema } from "./schema.js";
import { refreshedBy, refreshLockDirectory, withRefreshLocks, type RefreshedProfile } from "./refresh-lock.js";

/** Far above any real set of profiles, as for a file. */
const MAX_ROW_BYTES = 4 * 1024 * 1024;

/** An agent's database, in its directory. */
export const AGENT_DATABASE = "openclaw-agent.sqlite";
/** The database of all agents, in OpenClaw's state directory. */
export const STATE_DATABASE = join("state", "openclaw.sqlite");

/** One JSON text in one row of a table that OpenClaw made. */
export interface RowPlace {
  readonly table: string;
  readonly keyColumn: string;
  readonly key: string;
  readonly valueColumn: string;
  readonly timeColumn: string;
}

/** The place of a set of profiles in a database, and of OpenClaw's notes on their use. */
export interface SqliteLayout {
  readonly profiles: RowPlace;
  readonly state: RowPlace;
  /** The newest version of the database's own schema that is known: OpenClaw itself refuses a later one than its own. */
  readonly newestSchema: number;
}

/** An agent's `openclaw-agent.sqlite` (OpenClaw from 2026.6.5). */
export const agentLayout: SqliteLayout = { profiles: primaryRow("store"), state: primaryRow("state"), newestSchema: 23 };

/** The shared store in `state/openclaw.sqlite` (OpenClaw from 2026.8.1). */
export const sharedLayout: SqliteLayout = {
  profiles: machineRow("authProfiles.store"),
  state: machineRow("authProfiles.state"),
  newestSchema: NEWEST_STATE_SCHEMA,
};

function primaryRow(name: "store" | "state"): RowPlace {
  const table = `auth_profile_${name}`;
  return { table, keyColumn: `${name}_key`, key: "primary", valueColumn: `${name}_json`, timeColumn: "updated_at" };
}

function machineRow(key: string): RowPlace {
  return { table: "config_machine_state", keyColumn: "state_key", key, valueColumn: "value_json", timeColumn: "updated_at_ms" };
}

export interface SqliteStoreOptions {
  readonly name: StoreName;
  /** The database file. */
  readonly path: string;
  readonly layout: SqliteLayout;
  /** OpenClaw's state directory, where its refresh locks are. */
  readonly stateDirectory: string;
  /** Limits its place; anywhere by default. */
  readonly confinement?: Confinement;
}

/**
 * A set of profiles in an SQLite database that a running gateway holds open.
 *
 * The database and its tables are OpenClaw's: rows are read and updated, nothing is created, and no pragma of it is changed.
 */
export class OpenclawSqliteStore implements CredentialStore {
  readonly format = "openclaw-sqlite";
  readonly name: StoreName;
  readonly path: string;
  readonly marksWith: string;
  readonly #options: SqliteStoreOptions;
  readonly #environment: Environment;
  readonly #confinement: Confinement;
  readonly #guard: GuardedPath;

  constructor(options: SqliteStoreOptions, environment: Environment) {
    this.name = options.name;
    this.path = options.path;
    this.marksWith = options.stateDirectory;
    this.#confinement = options.confinement ?? unconfined;
    this.#guard = new GuardedPath(options.path, this.#confinement);
    this.#options = options;
    this.#environment = environment;
  }

  places(): readonly Place[] {
    return this.#confinement.placesAt(this.path);
  }

  async read(): Promise<StoreSnapshot> {
    const identity = await identifyDatabase(this.path, this.#environment);
    const real = this.#guard.judge(identity === null ? null : realPathOf(this.path));
    if (identity === null) return this.#absent(null, real);
    const database = await this.#environment.databases.reader(this.path, identity);
    const row = await whileBriefly(this.#environment.clock, () =>
      database.atOnce(() => {
        this.#refuseUnknown(database);
        return readRow(database, this.#options.layout.profiles, this.path);
      }),
    );
    return row === null ? this.#absent(identity, real) : this.#snapshot(row, identity, real);
  }

  write(patches: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<void> {
    const change = (text: string): string =>
      changeJson(text, profileChanges(patches, parseJson(text, this.path), this.path), this.path);
    const healed = patches.map(({ profile }) => profile);
    return this.#replace({ expected, locked: refreshedBy(patches), healed, change }, signal);
  }

  restore(profile: ProfileId, image: Secret, expected: Revision, signal: AbortSignal): Promise<void> {
    const change = (text: string): string => putJson(text, ["profiles", profile], image.reveal(), this.path);
    return this.#replace({ expected, locked: [], healed: [], change }, signal);
  }

  async readActive(): Promise<Readonly<Record<string, ProfileId>>> {
    const identity = await identifyDatabase(this.path, this.#environment);
    this.#guard.judge(identity === null ? null : realPathOf(this.path));
    if (identity === null) return {};
    const { aside } = await this.#environment.databases.reader(this.path, identity);
    const { state } = this.#options.layout;
    const row = await whileBriefly(this.#environment.clock, () =>
      aside.transaction("read", () => readRow(aside, state, this.path)),
    );
    return row === null ? {} : activeProfiles(row.text, this.path);
  }

  async #replace(replacement: Replacement, signal: AbortSignal): Promise<void> {
    const { stateDirectory } = this.#options;
    try {
      this.#guard.confirm();
      refuseOutside(refreshLockDirectory(stateDirectory), this.#confinement);
      await withRefreshLocks(stateDirectory, replacement.locked, this.#environment, signal, () =>
        this.#replaceRows(replacement, signal),
      );
      await this.read();
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  async #replaceRows({ expected, healed, change }: Replacement, signal: AbortSignal): Promise<void> {
    const { profiles, state } = this.#options.layout;
    const now = this.#environment.clock.now();
    const options = { conflict: this.#conflict, signal };
    await inWriteTransaction(this.#guard.confirm(), this.#environment, options, (database) => {
      this.#refuseUnknown(database);
      const row = readRow(database, profiles, this.path);
      if (row === null || revisionOf(row.text) !== expected) throw this.#conflict();
      writeRow(database, profiles, change(row.text), now);
      const notes = readRow(database, state, this.path);
      const cleared = notes === null ? null : withoutPenalties(notes.text, healed, this.path);
      if (cleared !== null) writeRow(database, state, cleared, now);
      if (!this.#guard.isStill()) throw this.#conflict();
    });
  }

  #refuseUnknown(database: Questioned): void {
    const { newestSchema, profiles } = this.#options.layout;
    refuseUnknownSchema(database, newestSchema, this.path);
    refuseMissingTable(database, profiles.table, this.path);
  }

  #absent(identity: string | null, real: string): StoreSnapshot {
    return { revision: ABSENT, identity, changedAt: null, files: this.#files(real), profiles: [] };
  }

  #snapshot(row: Row, identity: string, real: string): StoreSnapshot {
    const profiles = readProfiles(parseJson(row.text, this.path), row.text, this.path);
    return { revision: revisionOf(row.text), identity, changedAt: row.updatedAt, files: this.#files(real), profiles };
  }

  /** A write goes to the log beside the database first; the database itself changes later. */
  #files(real: string): string[] {
    const names = real === this.path ? [real] : [...new Set([this.path, ...linksTo(this.path), real])];
    return names.flatMap((path) => [path, `${path}${WAL_SUFFIX}`]);
  }

  readonly #conflict = (): StoreError =>
    new StoreError(
      "conflict",
      `${this.name} in ${dirname(this.path)} changed while it was about to be written`,
      "it is looked at again by itself",
    );
}

interface Replacement {
  readonly expected: Revision;
  /** Profiles whose refresh is locked out meanwhile. */
  readonly locked: readonly RefreshedProfile[];
  /** Profiles whose penalties are cleared. */
  readonly healed: readonly ProfileId[];
  readonly change: (text: string) => string;
}

/** A row as it was read. */
export interface Row {
  readonly text: string;
  readonly updatedAt: number;
}

/**
 * Reads a row of the one moment that the caller's transaction is of.
 *
 * @returns null where the row, or its table, does not exist: no profiles of its own
 */
export function readRow(database: Questioned, place: RowPlace, path: string): Row | null {
  if (!hasOwnTable(database, place.table, path)) return null;
  const value = place.valueColumn;
  const row = database.row(
    // As bytes: read as text, what is no UTF-8 would be mended on the way, and written back so. A time beyond what a
    // number can hold is no reason not to read the row.
    `SELECT typeof(${value}) AS type, octet_length(${value}) AS size, CAST(${place.timeColumn} AS REAL) AS time,
      CASE WHEN octet_length(${value}) <= ${String(MAX_ROW_BYTES)} THEN CAST(${value} AS BLOB) END AS bytes
      FROM ${place.table} WHERE ${isRow(place.keyColumn, place.table)}`,
    place.key,
  );
  if (row === null) return null;
  const { type, size, bytes, time } = row;
  if (type !== "text") {
    throw new StoreError(
      "unsupported",
      `${path} keeps ${place.table} in another shape`,
      "update credsyncd; the store is left alone",
    );
  }
  if (Number(size) > MAX_ROW_BYTES) {
    const hint = "nothing makes it that large: let OpenClaw repair it, openclaw doctor --fix";
    throw new StoreError("too-large", `${path} has ${String(size)} bytes in one row of ${place.table}`, hint);
  }
  return { text: bytes instanceof Uint8Array ? decodeText(bytes, path) : "", updatedAt: Number(time) };
}

function writeRow(database: SqliteDatabase, place: RowPlace, text: string, now: number): void {
  database.change(
    `UPDATE ${place.table} SET ${place.valueColumn} = ?, ${place.timeColumn} = ? WHERE ${isRow(place.keyColumn, place.table)}`,
    text,
    now,
    place.key,
  );
}
