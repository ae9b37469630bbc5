import { execFileSync } from "node:child_process";
import { chown, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Environment } from "../../../src/programs/environment.js";
import { sharedStorePlace } from "../../../src/programs/openclaw/shared.js";
import { agentLayout, OpenclawSqliteStore, sharedLayout, type SqliteLayout } from "../../../src/programs/openclaw/sqlite.js";
import { environmentIn } from "../../support/environment.js";
import { copyOpenclaw, type OpenclawVersion } from "../../support/fixtures.js";
import { inDatabase, openRaw, type RawDatabase } from "../../support/raw-database.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { describeContract, failureOf, loginOf, patchFor, summaryOf, type Subject } from "../contract.js";
import { profileSet, spoiltSets } from "./document.js";

const signal = new AbortController().signal;
const isRoot = process.geteuid?.() === 0;

/** The place of a set of profiles in one version. */
interface Place {
  readonly version: OpenclawVersion;
  readonly file: string;
  readonly layout: SqliteLayout;
}

interface DatabaseSubject extends Subject {
  readonly stateDirectory: string;
  readonly environment: Environment;
}

async function openPlace({ version, file, layout }: Place): Promise<DatabaseSubject> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw(version, home);
  const path = join(stateDirectory, file);
  const environment = environmentIn(home);
  const store = new OpenclawSqliteStore({ name: "openclaw:one", path, layout, stateDirectory }, environment);
  const { table, keyColumn, key, valueColumn, timeColumn } = layout.profiles;
  const query = `SELECT ${valueColumn} AS text FROM ${table} WHERE ${keyColumn} = '${key}'`;
  return {
    store,
    stateDirectory,
    environment,
    readText: () => inDatabase(path, (database) => (database.prepare(query).all() as { text: string }[])[0]?.text ?? null),
    writeText: (text) =>
      inDatabase(path, (database) => {
        const sql = `INSERT INTO ${table} (${keyColumn}, ${valueColumn}, ${timeColumn}) VALUES (?, ?, 1)
          ON CONFLICT DO UPDATE SET ${valueColumn} = excluded.${valueColumn}, ${timeColumn} = 1`;
        database.prepare(sql).run(key, text);
      }),
    remove: () =>
      inDatabase(path, (database) => {
        database.prepare(`DELETE FROM ${table} WHERE ${keyColumn} = ?`).run(key);
      }),
    surroundings: async () => ({
      inode: (await stat(path)).ino,
      database: await inDatabase(path, (database) => everythingBut(database, layout)),
    }),
    reader: { path, query },
  };
}

/** All rows of all tables but the set of profiles, the schema, and the pragmas that live in the file. */
function everythingBut(database: RawDatabase, { profiles }: SqliteLayout): unknown {
  const schema = database.prepare("SELECT type, name, sql FROM sqlite_master ORDER BY name").all() as {
    type: string;
    name: string;
    sql: string | null;
  }[];
  const tables = schema.filter(({ type, sql }) => type === "table" && !/VIRTUAL/i.test(sql ?? ""));
  const rows = tables.map(({ name }) => {
    const isProfiles = name === profiles.table;
    const condition = isProfiles ? ` WHERE ${profiles.keyColumn} <> '${profiles.key}'` : "";
    return [name, database.prepare(`SELECT * FROM "${name}"${condition}`).all()];
  });
  const pragmas = ["user_version", "application_id", "journal_mode", "page_size", "auto_vacuum", "encoding"].map((name) =>
    database.prepare(`PRAGMA ${name}`).all(),
  );
  return { schema, rows, pragmas };
}

const agent = (version: OpenclawVersion): Place => {
  return { version, file: "agents/ops/agent/openclaw-agent.sqlite", layout: agentLayout };
};
const sharedWithMain: Place = {
  version: "2026.6.11",
  file: "agents/main/agent/openclaw-agent.sqlite",
  layout: agentLayout,
};
const sharedInState: Place = { version: "2026.9.6", file: "state/openclaw.sqlite", layout: sharedLayout };

const agentHolds = (end: string): string[] => [
  "anthropic:opskey anthropic api_key sk-ant-api03…OPSK0003",
  `anthropic:default anthropic oauth sk-ant-oat01-FAKE-OPSACC-00000004 sk-ant-ort01-FAKE-OPSREF-00000004 ${end} of ? ops@example.com`,
  `anthropic:claude-cli claude-cli oauth sk-ant-oat01-FAKE-CLIACC-00000007 sk-ant-ort01-FAKE-CLIREF-00000007 ${end}`,
];
const sharedHolds = ["anthropic:manual anthropic token sk-ant-oat01…MAIN0001 null"];

const places: readonly (readonly [string, Place, readonly string[]])[] = [
  ["an agent, 2026.6.11", agent("2026.6.11"), agentHolds("1797816456000")],
  ["an agent, 2026.9.6", agent("2026.9.6"), agentHolds("1797816344000")],
  ["all agents, 2026.6.11", sharedWithMain, sharedHolds],
  ["all agents, 2026.9.6", sharedInState, sharedHolds],
];

for (const [name, place, holds] of places) {
  describeContract({
    ...profileSet,
    name: `openclaw-sqlite of ${name}`,
    open: () => openPlace(place),
    holds,
    active: {},
    spoilt: spoiltSets,
  });
}

async function openDocument(place: Place = agent("2026.9.6")): Promise<DatabaseSubject> {
  const subject = await openPlace(place);
  await subject.writeText(profileSet.document(loginOf(0)));
  return subject;
}

async function write({ store }: Subject): Promise<void> {
  const { revision } = await store.read(signal);
  await store.write([patchFor(profileSet, loginOf(1))], revision, signal);
}

/** A program that has the database open. */
async function openAsPeer({ store }: Subject): Promise<RawDatabase> {
  const peer = await openRaw(store.path);
  onTestFinished(() => {
    peer.close();
  });
  return peer;
}

describe("an OpenClaw database", () => {
  test("that another program is writing makes the store locked, and is written once it is free", async () => {
    const subject = await openDocument();
    const peer = await openAsPeer(subject);
    peer.exec("BEGIN IMMEDIATE");
    expect((await failureOf(write(subject))).code).toBe("locked");
    expect((await subject.store.read(signal)).profiles.map(({ id }) => id)).toContain(profileSet.profile);
    peer.exec("COMMIT");
    await write(subject);
    expect(await subject.readText()).toBe(profileSet.document(loginOf(1)));
  });

  test("that a gateway has open shows it the new login at once", async () => {
    const subject = await openDocument();
    const gateway = await openAsPeer(subject);
    const look = gateway.prepare(subject.reader.query ?? "");
    expect(look.all()).toEqual([{ text: profileSet.document(loginOf(0)) }]);
    await write(subject);
    expect(look.all()).toEqual([{ text: profileSet.document(loginOf(1)) }]);
    gateway.exec("UPDATE auth_profile_store SET updated_at = 2");
    expect((await subject.store.read(signal)).changedAt).toBe(2);
  });

  test("that was replaced by another one is read again", async () => {
    const subject = await openDocument();
    const before = await subject.store.read(signal);
    const content = await readFile(subject.store.path);
    await rm(subject.store.path);
    await writeFile(subject.store.path, content, { mode: 0o600 });
    await subject.writeText(profileSet.document(loginOf(2)));
    const after = await subject.store.read(signal);
    expect(after.identity).not.toBe(before.identity);
    expect(after.revision).not.toBe(before.revision);
  });

  test("that is not there is a store that does not exist, and is not made", async () => {
    const subject = await openDocument();
    await subject.store.read(signal);
    for (const end of ["", "-wal", "-shm"]) await rm(`${subject.store.path}${end}`, { force: true });
    expect(await subject.store.read(signal)).toMatchObject({ revision: "absent", identity: null, profiles: [] });
    expect(await subject.store.readActive(signal)).toEqual({});
    await failureOf(subject.store.write([patchFor(profileSet, loginOf(1))], "absent", signal));
    expect((await readdir(dirname(subject.store.path))).filter((name) => name.endsWith(".sqlite"))).toEqual([]);
  });

  test.each(["DROP TABLE auth_profile_store", "ALTER TABLE auth_profile_store RENAME TO auth_profile_store_old"])(
    "after %s is refused, and gets no table",
    async (sql) => {
      const subject = await openDocument();
      const { revision } = await subject.store.read(signal);
      await inDatabase(subject.store.path, (database) => {
        database.exec(sql);
      });
      const error = await failureOf(subject.store.read(signal));
      expect(error.code).toBe("unsupported");
      expect(error.message).toContain("has no table auth_profile_store");
      expect((await failureOf(subject.store.write([patchFor(profileSet, loginOf(1))], revision, signal))).code).toBe(
        "unsupported",
      );
      const tables = await inDatabase(subject.store.path, (database) =>
        database.prepare("SELECT name FROM sqlite_master WHERE name = 'auth_profile_store'").all(),
      );
      expect(tables).toEqual([]);
    },
  );

  test.each<[string, string]>([
    ["with its columns renamed", "ALTER TABLE auth_profile_store RENAME COLUMN store_json TO store_text"],
    [
      "that keeps bytes where text belongs",
      "CREATE TABLE s2 (store_key TEXT, store_json BLOB, updated_at INTEGER); INSERT INTO s2 VALUES ('primary', x'7b7d', 1); DROP TABLE auth_profile_store; ALTER TABLE s2 RENAME TO auth_profile_store",
    ],
    [
      "that keeps nothing where text belongs",
      "CREATE TABLE s2 (store_key TEXT, store_json TEXT, updated_at INTEGER); INSERT INTO s2 VALUES ('primary', NULL, 1); DROP TABLE auth_profile_store; ALTER TABLE s2 RENAME TO auth_profile_store",
    ],
  ])("%s is not supported, and is left as it is", async (_what, sql) => {
    const subject = await openDocument();
    const { revision } = await subject.store.read(signal);
    await inDatabase(subject.store.path, (database) => {
      database.exec(sql);
    });
    const before = await dump(subject);
    expect((await failureOf(subject.store.read(signal))).code).toBe("unsupported");
    expect((await failureOf(subject.store.write([patchFor(profileSet, loginOf(1))], revision, signal))).code).toBe("unsupported");
    expect(await dump(subject)).toEqual(before);
  });

  const columns = "store_key TEXT NOT NULL PRIMARY KEY, store_json TEXT NOT NULL, updated_at INTEGER NOT NULL";
  const instead = (definition: string): string => `ALTER TABLE auth_profile_store RENAME TO mine; ${definition}`;
  const filled = `INSERT INTO auth_profile_store (store_key, store_json, updated_at) SELECT store_key, store_json, updated_at FROM mine`;

  // Each computes next to nothing; what another one computes may never end.
  test.each<[string, string]>([
    ["a column that is computed", "ALTER TABLE auth_profile_store ADD COLUMN more TEXT AS (store_key || 'x')"],
    ["one column more", "ALTER TABLE auth_profile_store ADD COLUMN more TEXT"],
    [
      "a value that is computed",
      instead(
        `CREATE TABLE auth_profile_store (store_key TEXT NOT NULL PRIMARY KEY, store_json TEXT NOT NULL AS (store_key || 'x'), updated_at INTEGER NOT NULL)`,
      ),
    ],
    ["a check", instead(`CREATE TABLE auth_profile_store (${columns}, CHECK (length(store_json) > 0)); ${filled}`)],
    ["a default", instead(`CREATE TABLE auth_profile_store (${columns} DEFAULT (1 + 1)); ${filled}`)],
    ["a reference", instead(`CREATE TABLE auth_profile_store (${columns} REFERENCES mine)`)],
    [
      "an order of its own",
      instead(
        `CREATE TABLE auth_profile_store (store_key TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, store_json TEXT NOT NULL, updated_at INTEGER NOT NULL); ${filled}`,
      ),
    ],
    ["no rows with numbers", instead(`CREATE TABLE auth_profile_store (${columns}) WITHOUT ROWID; ${filled}`)],
    ["words that hide others", instead(`CREATE TABLE auth_profile_store (${columns} /* NOT NULL */); ${filled}`)],
    ["a view in its place", instead("CREATE VIEW auth_profile_store AS SELECT * FROM mine")],
    ["an index", "CREATE INDEX mine ON auth_profile_store (updated_at)"],
    ["an index on what is computed", "CREATE INDEX mine ON auth_profile_store (length(store_json))"],
    ["an index on a part of it", "CREATE INDEX mine ON auth_profile_store (updated_at) WHERE length(store_json) > 0"],
    ["a trigger", "CREATE TRIGGER mine AFTER UPDATE ON auth_profile_store BEGIN SELECT 1; END"],
    ["a version that is computed", "ALTER TABLE schema_meta ADD COLUMN more TEXT AS (meta_key || 'x')"],
  ])("that has %s is refused unread, and is left as it is", async (_what, sql) => {
    const subject = await openDocument();
    const { revision } = await subject.store.read(signal);
    await inDatabase(subject.store.path, (database) => {
      database.exec(sql);
    });
    const before = await readFile(subject.store.path);
    expect(subject.environment.databases.isNews(subject.store.path)).toBe(true);
    expect(await failureOf(subject.store.read(signal))).toMatchObject({ code: "unsupported" });
    const patch = patchFor(profileSet, loginOf(1));
    expect((await failureOf(subject.store.write([patch], revision, signal))).code).toBe("unsupported");
    expect((await readFile(subject.store.path)).equals(before)).toBe(true);
  });

  test.each<[string, string]>([
    ["STRICT or not", `CREATE TABLE auth_profile_store (${columns}) STRICT`],
    [
      "in quotes, as an upgrade leaves them",
      `CREATE TABLE "auth_profile_store" (\n\t"store_key" text not null primary key,\n [store_json] TEXT  NOT NULL,\n \`updated_at\` INTEGER NOT NULL)`,
    ],
  ])("whose table is as OpenClaw makes it, %s, is served", async (_what, sql) => {
    const subject = await openDocument();
    await inDatabase(subject.store.path, (database) => {
      database.exec(`${instead(sql)}; ${filled}; DROP TABLE mine`);
    });
    await write(subject);
    expect(await subject.readText()).toBe(profileSet.document(loginOf(1)));
  });

  test("that was made over while it was open is judged again before anything of it is read", async () => {
    const subject = await openDocument();
    await subject.store.read(signal);
    await inDatabase(subject.store.path, (database) => {
      database.exec("CREATE INDEX mine ON auth_profile_store (length(store_json))");
    });
    expect((await failureOf(subject.store.read(signal))).code).toBe("unsupported");
    await inDatabase(subject.store.path, (database) => {
      database.exec("DROP INDEX mine");
    });
    expect((await subject.store.read(signal)).profiles).not.toEqual([]);
  });

  test("that has more tables than any OpenClaw makes is refused", async () => {
    const subject = await openDocument();
    await inDatabase(subject.store.path, (database) => {
      database.exec(
        `BEGIN; ${Array.from({ length: 5001 }, (_, index) => `CREATE TABLE t${String(index)} (x);`).join("")} COMMIT`,
      );
    });
    expect(await failureOf(subject.store.read(signal))).toMatchObject({
      code: "too-large",
      message: expect.stringContaining("more tables and indexes") as string,
    });
  });

  test("with a version beyond all numbers in its own row is refused", async () => {
    const subject = await openDocument();
    await inDatabase(subject.store.path, (database) => {
      database.exec("UPDATE schema_meta SET schema_version = 9223372036854775807");
    });
    expect((await failureOf(subject.store.read(signal))).code).toBe("unsupported");
  });

  test("with a time beyond all numbers is read nevertheless", async () => {
    const subject = await openDocument();
    await inDatabase(subject.store.path, (database) => {
      database.exec("UPDATE auth_profile_store SET updated_at = 9223372036854775807");
    });
    expect((await subject.store.read(signal)).profiles).not.toEqual([]);
    await write(subject);
    expect(await subject.readText()).toBe(profileSet.document(loginOf(1)));
  });

  test.each<[string, Place, string]>([
    ["as its pragma says", agent("2026.9.6"), "PRAGMA user_version = 24"],
    ["as its own row says", agent("2026.9.6"), "UPDATE schema_meta SET schema_version = 24 WHERE meta_key = 'primary'"],
    ["as the pragma of the shared one says", sharedInState, "PRAGMA user_version = 19"],
    ["as the pragma of an early one says", agent("2026.6.11"), "PRAGMA user_version = 99"],
  ])("of a later schema than is known, %s, is refused and left as it is", async (_what, place, sql) => {
    const subject = await openDocument(place);
    const { revision } = await subject.store.read(signal);
    await inDatabase(subject.store.path, (database) => {
      database.exec(sql);
    });
    const before = await subject.readText();
    const error = await failureOf(subject.store.read(signal));
    expect(error).toMatchObject({ code: "unsupported", hint: expect.stringContaining("update credsyncd") as string });
    expect(error.message).toMatch(/schema version \d+, and \d+ is the newest that is known/);
    const patch = patchFor(profileSet, loginOf(1));
    expect((await failureOf(subject.store.write([patch], revision, signal))).code).toBe("unsupported");
    expect(await subject.readText()).toBe(before);
  });

  test.each([16, 18])("of the known schema %i of a shared one is served", async (version) => {
    const subject = await openDocument(sharedInState);
    await inDatabase(subject.store.path, (database) => {
      database.exec(`PRAGMA user_version = ${String(version)}`);
    });
    await write(subject);
    expect(await subject.readText()).toBe(profileSet.document(loginOf(1)));
  });

  test.each<[string, (path: string) => Promise<unknown>, string]>([
    ["is a text", (path) => writeFile(path, profileSet.document(loginOf(0)).repeat(10)), "malformed"],
    ["is cut short", (path) => truncate(path, 5000), "malformed"],
    [
      "was written over in its middle",
      async (path) => {
        const bytes = await readFile(path);
        await writeFile(path, bytes.fill(0xa5, 4096, bytes.length));
      },
      "malformed",
    ],
    ["is a directory", (path) => mkdir(path), "not-a-file"],
    ["is a pipe", (path) => Promise.resolve(execFileSync("mkfifo", [path])), "not-a-file"],
  ])("that %s is refused", async (_what, spoil, code) => {
    const subject = await openDocument();
    const content = await readFile(subject.store.path);
    for (const end of ["", "-wal", "-shm"]) await rm(`${subject.store.path}${end}`, { force: true });
    if (code === "malformed") await writeFile(subject.store.path, content);
    await spoil(subject.store.path);
    expect((await failureOf(subject.store.read(signal))).code).toBe(code);
    const patch = patchFor(profileSet, loginOf(1));
    expect((await failureOf(subject.store.write([patch], "a revision", signal))).code).toBe(code);
  });

  test("that is empty is a store that does not exist, and stays empty", async () => {
    const subject = await openDocument();
    for (const end of ["", "-wal", "-shm"]) await rm(`${subject.store.path}${end}`, { force: true });
    await writeFile(subject.store.path, "");
    expect((await subject.store.read(signal)).revision).toBe("absent");
    await failureOf(subject.store.write([patchFor(profileSet, loginOf(1))], "absent", signal));
    expect((await stat(subject.store.path)).size).toBe(0);
  });

  test("that belongs to another user is refused", async ({ skip }) => {
    if (!isRoot) skip("needs the right to give a file away");
    const subject = await openDocument();
    await chown(subject.store.path, 12_345, 12_345);
    expect((await failureOf(subject.store.read(signal))).code).toBe("foreign-owner");
    const patch = patchFor(profileSet, loginOf(1));
    expect((await failureOf(subject.store.write([patch], "a revision", signal))).code).toBe("foreign-owner");
  });
});

async function dump({ store }: Subject): Promise<unknown> {
  return inDatabase(store.path, (database) => database.prepare("SELECT * FROM auth_profile_store").all());
}

describe("the penalties of a profile that is healed", () => {
  const punished = JSON.stringify({
    version: 1,
    order: { anthropic: ["anthropic:default"] },
    usageStats: {
      [profileSet.profile]: {
        lastUsed: 7,
        errorCount: 3,
        failureCounts: { auth: 3 },
        cooldownUntil: 9e15,
        cooldownReason: "auth",
      },
      "anthropic:default": { errorCount: 1, cooldownUntil: 5, disabledUntil: 6, disabledReason: "billing" },
    },
  });
  const pardoned = JSON.stringify({
    version: 1,
    order: { anthropic: ["anthropic:default"] },
    usageStats: {
      [profileSet.profile]: { lastUsed: 7 },
      "anthropic:default": { errorCount: 1, cooldownUntil: 5, disabledUntil: 6, disabledReason: "billing" },
    },
  });

  test.each([agent("2026.6.11"), agent("2026.9.6"), sharedInState])(
    "are taken back in the state row of $version, $file",
    async (place) => {
      const subject = await openDocument(place);
      const { table, keyColumn, key, valueColumn, timeColumn } = place.layout.state;
      await inDatabase(subject.store.path, (database) => {
        const insert = `INSERT INTO ${table} (${keyColumn}, ${valueColumn}, ${timeColumn}) VALUES (?, ?, 1)`;
        database.prepare(insert).run(key, punished);
      });
      expect(await subject.store.readActive(signal)).toEqual({ anthropic: "anthropic:default" });
      await write(subject);
      const rows = await inDatabase(subject.store.path, (database) =>
        database.prepare(`SELECT ${valueColumn} AS text FROM ${table} WHERE ${keyColumn} = ?`).all(key),
      );
      expect(rows).toEqual([{ text: pardoned }]);
    },
  );

  test("stay where the write did not happen", async () => {
    const subject = await openDocument();
    await inDatabase(subject.store.path, (database) => {
      database.prepare("INSERT INTO auth_profile_state VALUES ('primary', ?, 1)").run(punished);
    });
    await failureOf(subject.store.write([patchFor(profileSet, loginOf(1))], "another revision", signal));
    const rows = await inDatabase(subject.store.path, (database) =>
      database.prepare("SELECT state_json AS text FROM auth_profile_state").all(),
    );
    expect(rows).toEqual([{ text: punished }]);
  });
});

describe("the place of the shared store", () => {
  async function locationWith(value: string | null): Promise<string> {
    const { store, environment } = await openPlace(sharedInState);
    await inDatabase(store.path, (database) => {
      if (value === null) database.exec("DELETE FROM config_machine_state WHERE state_key = 'auth.sharedStore'");
      else database.prepare("UPDATE config_machine_state SET value_json = ? WHERE state_key = 'auth.sharedStore'").run(value);
    });
    return (await sharedStorePlace(store.path, environment)).location;
  }

  test.each<[string | null, string]>([
    [`{"location":"state-db"}`, "state-db"],
    [`{"location":"legacy-main"}`, "legacy-main"],
    [null, "legacy-main"],
  ])("is read from the row %s", async (value, location) => {
    expect(await locationWith(value)).toBe(location);
  });

  test("was with agent main before there was such a row", async () => {
    const { stateDirectory, environment } = await openPlace(agent("2026.6.11"));
    expect(await sharedStorePlace(join(stateDirectory, "state", "openclaw.sqlite"), environment)).toEqual({
      location: "legacy-main",
      hasFences: false,
      sendsClaudeCli: true,
    });
  });

  test("is unknown if the database is gone or is not one", async () => {
    const { stateDirectory, environment } = await openPlace(agent("2026.6.11"));
    const gone = join(stateDirectory, "gone.sqlite");
    expect((await failureOf(sharedStorePlace(gone, environment))).code).toBe("conflict");
    const config = join(stateDirectory, "openclaw.json");
    expect((await failureOf(sharedStorePlace(config, environment))).code).toBe("malformed");
  });

  test.each([
    [`{"location":"elsewhere"}`, "unsupported"],
    [`{"location":"state-db","since":1}`, "unsupported"],
    [`"state-db"`, "unsupported"],
    ["{}", "unsupported"],
    ["state-db", "malformed"],
  ])("is not guessed from the row %s", async (value, code) => {
    expect((await failureOf(locationWith(value))).code).toBe(code);
  });
});

test("what the fixture of an agent of 2026.6.11 holds is in order of its text", async () => {
  const { store } = await openPlace({ ...agent("2026.6.11"), file: "agents/work/agent/openclaw-agent.sqlite" });
  expect((await store.read(signal)).profiles.map(summaryOf)).toEqual([
    "anthropic:work anthropic token sk-ant-oat01…WORK0002 null",
    "anthropic:expired anthropic oauth sk-ant-oat01-FAKE-EXPACC-00000005 sk-ant-ort01-FAKE-EXPREF-00000005 1795217256000 of ? exp@example.com",
    "anthropic:exptok anthropic token sk-ant-oat01-FAKE-EXPTOK-00000006 1795217256000",
  ]);
  expect(await store.readActive(signal)).toEqual({ anthropic: "anthropic:work" });
});
