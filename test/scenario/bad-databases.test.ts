import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { openclawHome, type OpenclawHome } from "../support/openclaw-home.js";
import { inDatabase, openRaw } from "../support/raw-database.js";
import { RunningDaemon } from "../support/running-daemon.js";

interface Report {
  readonly stores: readonly { readonly store: string; readonly error: string | null; readonly hint: string | null }[];
}

async function errorIn({ home }: OpenclawHome, store: string): Promise<Report["stores"][number] | undefined> {
  const { stores } = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Report;
  return stores.find((status) => status.store === store && status.error !== null);
}

const sql = (statements: string) => (path: string) =>
  inDatabase(path, (database) => {
    database.exec(statements);
    // Into the file itself, so that its bytes say all.
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  });
const ownership = (value: string) =>
  sql(`UPDATE config_machine_state SET value_json = '${value}' WHERE state_key = 'auth.sharedStore'`);
const overwriteMiddle = async (path: string): Promise<void> => {
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(0xa5, 4096));
};
const anotherShape = `CREATE TABLE other (store_key TEXT, store_json BLOB, updated_at INTEGER);
  INSERT INTO other VALUES ('primary', x'7b7d', 1); DROP TABLE auth_profile_store; ALTER TABLE other RENAME TO auth_profile_store`;

const work = "openclaw:work";
const shared = "openclaw:shared";

describe.each<[string, string, (path: string) => Promise<unknown>, RegExp, RegExp]>([
  ["of a schema that is newer than known", work, sql("PRAGMA user_version = 99"), /schema version 99/, /update credsyncd/],
  [
    "whose own row names a newer schema",
    work,
    sql("UPDATE schema_meta SET schema_version = 99"),
    /schema version 99/,
    /update credsyncd/,
  ],
  ["that is corrupt", work, overwriteMiddle, /not a whole database/, /restore it|openclaw doctor/],
  [
    "that is no database at all",
    work,
    (path) => writeFile(path, "x".repeat(9000)),
    /not a whole database/,
    /restore it|openclaw doctor/,
  ],
  ["without the table of profiles", work, sql("DROP TABLE auth_profile_store"), /no table auth_profile_store/, /openclaw doctor/],
  ["whose row has another shape", work, sql(anotherShape), /in another shape/, /update credsyncd/],
  [
    "whose columns have other names",
    work,
    sql("ALTER TABLE auth_profile_store RENAME COLUMN store_json TO other"),
    /another shape/,
    /update credsyncd/,
  ],
  [
    "whose row holds something else",
    work,
    sql(`UPDATE auth_profile_store SET store_json = '["x"]'`),
    /holds no set of profiles|not a JSON object/,
    /openclaw doctor|./,
  ],
  ["of a newer schema, the shared one", shared, sql("PRAGMA user_version = 99"), /schema version 99/, /update credsyncd/],
  [
    "that says in an unknown way where the shared store is",
    shared,
    ownership(`{"location":"mars"}`),
    /where the shared store is/,
    /update credsyncd/,
  ],
  [
    "that says more than is known of where the shared store is",
    shared,
    ownership(`{"location":"state-db","x":1}`),
    /where the shared store is/,
    /update credsyncd/,
  ],
])("a database %s", (_what, name, spoil, reason, hint) => {
  test("is reported with what to do, is left as it is, and stops no other", async () => {
    const openclaw = await openclawHome("2026.9.6");
    const { home } = openclaw;
    await credsyncd(home, ["sync"]);
    const bad = openclaw.store(name);
    await spoil(bad.path);
    const bytes = await readFile(bad.path);
    const daemon = await RunningDaemon.start(home);
    for (const generation of [2, 3]) {
      await home.writeLogin(generation);
      await daemon.said("credential pushed", { reason: "rotation" });
      const others = openclaw.stores.filter((store) => store !== bad);
      expect(await Promise.all(others.map((store) => store.generation()))).toEqual([generation, generation]);
    }
    expect((await readFile(bad.path)).equals(bytes)).toBe(true);
    const errors = daemon.lines.filter(({ level }) => level === "error");
    expect(errors).toMatchObject([{ msg: "store error", store: name }]);
    expect(errors[0]?.["reason"]).toMatch(reason);
    expect(errors[0]?.["hint"]).toMatch(hint);
    const shown = await errorIn(openclaw, name);
    expect([shown?.error, shown?.hint]).toEqual([expect.stringMatching(reason), expect.stringMatching(hint)]);
    expect(await credsyncd(home, ["status", "--check"])).toMatchObject({ code: 3 });
  });
});

describe("a database that another program keeps locked", () => {
  test("is waited for, stops no other, and is written once it is free", async () => {
    const openclaw = await openclawHome("2026.9.6");
    const { home } = openclaw;
    const daemon = await RunningDaemon.start(home);
    const busy = openclaw.store(work);
    const peer = await openRaw(busy.path);
    onTestFinished(() => {
      peer.close();
    });
    peer.exec("BEGIN IMMEDIATE");
    await home.writeLogin(2);
    const line = await daemon.said("store busy", { store: work });
    expect(line).toMatchObject({ level: "warn", hint: expect.stringContaining("tried again") as string });
    expect(line["reason"]).toMatch(/another program is writing it/);
    expect(await openclaw.store(shared).generation()).toBe(2);
    expect(await openclaw.store("openclaw:ops").generation()).toBe(2);
    peer.exec("COMMIT");
    await daemon.said("resolved", { about: work });
    await becomes(() => busy.generation(), 2);
  });

  test("is waited for where it cannot even be read, as without a log beside it", async () => {
    const openclaw = await openclawHome("2026.9.6");
    await credsyncd(openclaw.home, ["sync"]);
    const busy = openclaw.store(work);
    // Another file, which no connection of this process may still have open.
    const copy = `${busy.path}.copy`;
    await sql(`VACUUM INTO '${copy}'`)(busy.path);
    for (const end of ["-wal", "-shm"]) await rm(`${busy.path}${end}`, { force: true });
    await rename(copy, busy.path);
    const peer = await openRaw(busy.path);
    onTestFinished(() => {
      peer.close();
    });
    peer.exec("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; UPDATE auth_profile_store SET updated_at = 5");
    const daemon = RunningDaemon.launch(openclaw.home);
    await daemon.said("store busy", { store: work });
    await openclaw.home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await openclaw.store(shared).generation()).toBe(2);
    peer.exec("COMMIT");
    await becomes(() => busy.generation(), 2);
  });
});
