import { dirname } from "node:path";
import { StoreError } from "../../domain/errors.js";
import type { FieldChange, Choice, ChoiceStore, Side, StagedChoice } from "../../domain/choice.js";
import type { Place } from "../../domain/place.js";
import type { Revision, StoreName } from "../../domain/store.js";
import type { SqliteDatabase } from "../../io/sqlite-database.js";
import { realPathOf } from "../../io/real-path.js";
import { toStoreError } from "../../io/system-error.js";
import { GuardedPath, unconfined, type Confinement } from "../confinement.js";
import type { Environment } from "../environment.js";
import { absentChoice, EMPTY_NOTES, readChoice, choiceRevision, textsTowards, type ChoiceTexts } from "./choice.js";
import { identifyDatabase, inWriteTransaction, whileBriefly } from "./database-file.js";
import { refreshedByChanges } from "./choice-locks.js";
import { refuseUnknownSchema } from "./schema.js";
import { withRefreshLocks } from "./refresh-lock.js";
import { readRow, type RowPlace, type SqliteStoreOptions } from "./sqlite.js";

/** A switch does its own waiting. */
const neverWaits = AbortSignal.abort();

/**
 * The choice of an agent of OpenClaw from 2026.6.5 on, or of all of them.
 *
 * Like OpenClaw, it creates the row of notes if there is none, and removes it when it is empty. It creates no table and no row of
 * profiles.
 */
export class OpenclawSqliteChoice implements ChoiceStore {
  readonly format = "openclaw-sqlite";
  readonly name: StoreName;
  readonly path: string;
  readonly stateDirectory: string;
  readonly #layout: SqliteStoreOptions["layout"];
  readonly #environment: Environment;
  readonly #confinement: Confinement;
  readonly #guard: GuardedPath;

  constructor({ name, path, layout, stateDirectory, confinement = unconfined }: SqliteStoreOptions, environment: Environment) {
    this.name = name;
    this.path = path;
    this.stateDirectory = stateDirectory;
    this.#layout = layout;
    this.#environment = environment;
    this.#confinement = confinement;
    this.#guard = new GuardedPath(path, confinement);
  }

  places(): readonly Place[] {
    return this.#confinement.placesAt(this.path);
  }

  async readChoice(): Promise<Choice> {
    const identity = await identifyDatabase(this.path, this.#environment);
    this.#guard.judge(identity === null ? null : realPathOf(this.path));
    if (identity === null) return absentChoice;
    const { aside } = await this.#environment.databases.reader(this.path, identity);
    const texts = await whileBriefly(this.#environment.clock, () => aside.transaction("read", () => this.#textsIn(aside)));
    return readChoice(texts, identity, this.#environment.clock.now());
  }

  async stage(changes: readonly FieldChange[], side: Side, expected: Revision): Promise<StagedChoice | null> {
    const isThere = await this.#inTransaction((database) => {
      const texts = this.#textsIn(database);
      if (choiceRevision(texts) !== expected) throw this.#conflict();
      return textsTowards(texts, changes, side).length === 0;
    });
    if (isThere) return null;
    const refreshed = refreshedByChanges(changes, this.path);
    const commit = (): Promise<Revision> => this.#commit(changes, side);
    return {
      commit: async (signal) => {
        try {
          return await withRefreshLocks(this.stateDirectory, refreshed, this.#environment, signal, commit);
        } catch (error) {
          throw toStoreError(error, this.path, "write");
        }
      },
      // The commit works from what it finds, so that nothing gets old meanwhile.
      isCurrent: () => Promise.resolve(true),
      discard: () => Promise.resolve(),
    };
  }

  /** A write transaction must last milliseconds, so it never spans several stores. */
  hold(): Promise<null> {
    return Promise.resolve(null);
  }

  /** Nothing is staged on the disk. */
  sweep(): Promise<void> {
    return Promise.resolve();
  }

  /** Looks, compares every value and writes in one transaction: nobody can come between. */
  #commit(changes: readonly FieldChange[], side: Side): Promise<Revision> {
    const now = this.#environment.clock.now();
    return this.#inTransaction((database) => {
      const texts = this.#textsIn(database);
      const target = settled(textsTowards(texts, changes, side).at(-1) ?? texts);
      const { profiles, state } = target;
      if (profiles !== null && profiles !== texts.profiles) putRow(database, this.#layout.profiles, profiles, now);
      if (state === null && texts.state !== null) removeRow(database, this.#layout.state);
      if (state !== null && state !== texts.state) putRow(database, this.#layout.state, state, now);
      return choiceRevision(target);
    });
  }

  #textsIn(database: SqliteDatabase): ChoiceTexts {
    const { profiles, state, newestSchema } = this.#layout;
    refuseUnknownSchema(database, newestSchema, this.path);
    return {
      profiles: readRow(database, profiles, this.path)?.text ?? null,
      state: readRow(database, state, this.path)?.text ?? null,
      // Without the table the notes go beside the profiles, where OpenClaw reads them too.
      keepsStateApart: database.hasTable(state.table),
      paths: { profiles: this.path, state: this.path },
    };
  }

  #inTransaction<Result>(action: (database: SqliteDatabase) => Result): Promise<Result> {
    const options = { conflict: this.#conflict, signal: neverWaits };
    return inWriteTransaction(this.#guard.confirm(), this.#environment, options, (database) => {
      const result = action(database);
      if (!this.#guard.isStill()) throw this.#conflict();
      return result;
    });
  }

  readonly #conflict = (): StoreError =>
    new StoreError("conflict", `${this.name} in ${dirname(this.path)} changed meanwhile`, "try again in a moment");
}

/** As OpenClaw leaves it: notes that say nothing are no row. */
function settled(texts: ChoiceTexts): ChoiceTexts {
  return texts.state === EMPTY_NOTES ? { ...texts, state: null } : texts;
}

function putRow(
  database: SqliteDatabase,
  { table, keyColumn, key, valueColumn, timeColumn }: RowPlace,
  text: string,
  now: number,
): void {
  database.change(
    `INSERT INTO ${table} (${keyColumn}, ${valueColumn}, ${timeColumn}) VALUES (?, ?, ?)
      ON CONFLICT (${keyColumn}) DO UPDATE SET ${valueColumn} = excluded.${valueColumn}, ${timeColumn} = excluded.${timeColumn}`,
    key,
    text,
    now,
  );
}

function removeRow(database: SqliteDatabase, { table, keyColumn, key }: RowPlace): void {
  database.change(`DELETE FROM ${table} WHERE ${keyColumn} = ?`, key);
}
