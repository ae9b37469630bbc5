/** The parts of SQLite that a test needs to be another program. */
export interface RawDatabase {
  exec(sql: string): void;
  prepare(sql: string): { all(...parameters: unknown[]): unknown[]; run(...parameters: unknown[]): unknown };
  close(): void;
}

interface SqliteModule {
  readonly DatabaseSync: new (path: string) => RawDatabase;
}

/** Opens a database as its own program would. */
export async function openRaw(path: string): Promise<RawDatabase> {
  const builtin = process.getBuiltinModule("node:sqlite") as unknown as SqliteModule | undefined;
  const { DatabaseSync } = builtin ?? (await import("@photostructure/sqlite"));
  return new DatabaseSync(path);
}

/** Opens a database for one action. */
export async function inDatabase<Result>(path: string, action: (database: RawDatabase) => Result): Promise<Result> {
  const database = await openRaw(path);
  try {
    return action(database);
  } finally {
    database.close();
  }
}
