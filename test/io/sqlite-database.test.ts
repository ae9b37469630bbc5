import { copyFile, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { StoreError } from "../../src/domain/errors.js";
import { SqliteDatabase, SqliteReaders } from "../../src/io/sqlite-database.js";
import { inDatabase, openRaw } from "../support/raw-database.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** A database with one table of one row, in a directory whose name means something in an address. */
async function makeDatabase(): Promise<string> {
  const path = join(await temporaryDirectory(), "a b%20?#é.sqlite");
  await inDatabase(path, (database) => {
    database.exec("CREATE TABLE t (n INTEGER, text TEXT); INSERT INTO t VALUES (1, 'one')");
  });
  return path;
}

async function open(path: string, access: "read" | "write"): Promise<SqliteDatabase> {
  const database = await SqliteDatabase.open(path, access);
  onTestFinished(() => {
    database.close();
  });
  return database;
}

describe("a database", () => {
  test("is never made where there is none", async () => {
    const directory = await temporaryDirectory();
    for (const access of ["read", "write"] as const) {
      await expect(SqliteDatabase.open(join(directory, "none.sqlite"), access)).rejects.toBeInstanceOf(StoreError);
    }
    expect(await readdir(directory)).toEqual([]);
  });

  test("is opened without a trace in the process, however often", async () => {
    const before: unknown = Reflect.get(process, "emitWarning");
    await open(await makeDatabase(), "read");
    expect(Reflect.get(process, "emitWarning")).toBe(before);
  });

  test("is read and written, whatever its name", async () => {
    const database = await open(await makeDatabase(), "write");
    expect(database.hasTable("t")).toBe(true);
    expect(database.hasTable("u")).toBe(false);
    expect(database.change("UPDATE t SET text = ? WHERE n = ?", "two", 1)).toBe(1);
    expect(database.row("SELECT text FROM t WHERE n = ?", 1)).toEqual({ text: "two" });
    expect(database.row("SELECT text FROM t WHERE n = ?", 2)).toBeNull();
  });

  test("with a log is on the disk when it was written, whichever SQLite does it", async () => {
    const path = await makeDatabase();
    await inDatabase(path, (database) => {
      database.exec("PRAGMA journal_mode = WAL");
    });
    const database = await open(path, "write");
    expect(database.change("UPDATE t SET text = 'two'")).toBe(1);
    expect(database.row("PRAGMA synchronous")).toEqual({ synchronous: 2 });
  });

  test("that was opened for reading is not written", async () => {
    const database = await open(await makeDatabase(), "read");
    expect(() => database.change("DELETE FROM t")).toThrow(expect.objectContaining({ code: "permission" }) as Error);
  });

  test("has nothing of a transaction that failed, and goes on", async () => {
    const database = await open(await makeDatabase(), "write");
    const failure = new Error("a reason of its own");
    expect(() =>
      database.transaction("write", () => {
        database.change("DELETE FROM t");
        throw failure;
      }),
    ).toThrow(failure);
    expect(database.transaction("read", () => database.row("SELECT count(*) AS count FROM t"))).toEqual({ count: 1 });
  });

  test("that is full says so, though SQLite may have rolled back on its own, and goes on", async () => {
    const database = await open(await makeDatabase(), "write");
    database.row("PRAGMA max_page_count = 1");
    const fill = (): number => database.change("UPDATE t SET text = ?", "x".repeat(1_000_000));
    expect(() => database.transaction("write", fill)).toThrow(expect.objectContaining({ code: "no-space" }) as Error);
    expect(database.row("SELECT text FROM t")).toEqual({ text: "one" });
    const isOver = (): never => {
      database.change("ROLLBACK");
      throw new StoreError("no-space", "no space is left", "free some");
    };
    expect(() => database.transaction("write", isOver)).toThrow(expect.objectContaining({ code: "no-space" }) as Error);
  });

  test.each(["SELECT missing FROM t", "SELECT * FROM missing", "nonsense"])(
    "whose shape does not fit %s is not supported",
    async (sql) => {
      const database = await open(await makeDatabase(), "read");
      expect(() => database.row(sql)).toThrow(expect.objectContaining({ code: "unsupported" }) as Error);
    },
  );

  test("shows no parameter of a statement that failed", async () => {
    const database = await open(await makeDatabase(), "write");
    expect(() => database.change("UPDATE missing SET text = ?", "a-secret")).toThrow(/^(?!.*a-secret)/);
  });
});

describe("connections for reading", () => {
  test("are one for a database, however many ask at once", async () => {
    const path = await makeDatabase();
    const readers = new SqliteReaders();
    const connections = await Promise.all([1, 2, 3].map(() => readers.reader(path, "1")));
    for (const connection of connections) expect(connection.row("SELECT n FROM t")).toEqual({ n: 1 });
    expect(new Set(connections).size).toBe(1);
    readers.forget(path);
  });

  test("are made again for a database that took another's place", async () => {
    const path = await makeDatabase();
    const readers = new SqliteReaders();
    const before = await readers.reader(path, "1");
    const after = await readers.reader(path, "2");
    expect(after).not.toBe(before);
    expect(after.row("SELECT n FROM t")).toEqual({ n: 1 });
    readers.forget(path);
  });

  test("are closed for databases that nobody names any more, and only for these", async () => {
    const [kept, dropped] = [await makeDatabase(), await makeDatabase()];
    const readers = new SqliteReaders();
    const connection = await readers.reader(kept, "1");
    await readers.reader(dropped, "1");
    readers.keepOnly([kept, "/no/such/database"]);
    expect(readers.databaseOf(dropped)).toBeNull();
    expect(await readers.reader(kept, "1")).toBe(connection);
    readers.keepOnly([]);
  });

  test("are closed for a database that is not there any more, whoever names it", async () => {
    const path = await makeDatabase();
    const readers = new SqliteReaders();
    await readers.reader(path, "1");
    await rm(path);
    readers.keepOnly([path]);
    expect(readers.databaseOf(path)).toBeNull();
  });
});

describe("what was asked of a database", () => {
  /** A reader that asked for the text, and the hands of another program. */
  async function asked() {
    const path = await makeDatabase();
    const peer = await openRaw(path);
    onTestFinished(() => {
      peer.close();
    });
    peer.exec("PRAGMA journal_mode = WAL; CREATE TABLE sessions (text TEXT)");
    const readers = new SqliteReaders();
    const { dev, ino } = await stat(path);
    const reader = await readers.reader(path, `${String(dev)}:${String(ino)}`);
    onTestFinished(() => {
      readers.forget(path);
    });
    const ask = (): unknown => [reader.hasTable("u"), reader.row("SELECT text FROM t WHERE n = ?", 1)];
    return { path, peer, readers, ask };
  }

  test("is no news while the answers stay, whatever else is written", async () => {
    const { path, peer, readers, ask } = await asked();
    ask();
    expect(readers.isNews(path)).toBe(false);
    for (let turn = 0; turn < 5; turn++) {
      peer.exec(`INSERT INTO sessions VALUES ('${String(turn)}'); UPDATE t SET text = 'one'; INSERT INTO t VALUES (2, 'other')`);
      expect(readers.isNews(path)).toBe(false);
    }
  });

  test.each([
    "UPDATE t SET text = 'two'",
    "UPDATE t SET text = x'6f6e65'",
    "UPDATE t SET text = NULL",
    "DELETE FROM t",
    "CREATE TABLE u (x)",
    "DROP TABLE t",
  ])("is news after %s, until it is asked again", async (sql) => {
    const { path, peer, readers, ask } = await asked();
    ask();
    peer.exec(sql);
    expect(readers.isNews(path)).toBe(true);
    expect(readers.isNews(path)).toBe(true);
    if (sql.startsWith("DROP")) return;
    ask();
    expect(readers.isNews(path)).toBe(false);
  });

  test("is news where nothing was asked, nobody asked, the file is gone, or another took its place", async () => {
    const { path, readers, ask } = await asked();
    expect(readers.isNews(path)).toBe(true);
    expect(readers.isNews(`${path}-another`)).toBe(true);
    ask();
    expect(readers.isNews(path)).toBe(false);
    await rename(path, `${path}.old`);
    expect(readers.isNews(path)).toBe(true);
    await copyFile(`${path}.old`, path);
    expect(readers.isNews(path)).toBe(true);
  });

  test("holds no lock between two questions: the owner can fold its log in", async () => {
    const { path, peer, readers, ask } = await asked();
    ask();
    readers.isNews(path);
    peer.exec("INSERT INTO sessions VALUES ('x')");
    expect(peer.prepare("PRAGMA wal_checkpoint(TRUNCATE)").all()).toEqual([{ busy: 0, log: 0, checkpointed: 0 }]);
  });

  test("is kept by the database that a file belongs to, itself or as its log", async () => {
    const { path, readers } = await asked();
    expect([path, `${path}-wal`, `${path}-shm`, "/elsewhere"].map((file) => readers.databaseOf(file))).toEqual([
      path,
      path,
      null,
      null,
    ]);
  });
});
