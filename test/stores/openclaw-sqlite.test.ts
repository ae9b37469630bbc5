import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { agentLayout, OpenclawSqliteStore, sharedLayout, type SqliteLayout } from "../../src/stores/openclaw-sqlite.js";
import { environmentIn } from "../support/environment.js";
import { copyOpenclaw, type OpenclawVersion } from "../support/fixtures.js";
import { inDatabase, type RawDatabase } from "../support/raw-database.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { describeContract, type Subject } from "./contract.js";
import { profileSet, spoiltSets } from "./openclaw-document.js";

/** Where a version keeps a set of profiles. */
interface Place {
  readonly version: OpenclawVersion;
  readonly file: string;
  readonly layout: SqliteLayout;
}

interface DatabaseSubject extends Subject {
  readonly stateDirectory: string;
}

async function openPlace({ version, file, layout }: Place): Promise<DatabaseSubject> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw(version, home);
  const path = join(stateDirectory, file);
  const store = new OpenclawSqliteStore({ name: "openclaw:one", path, layout, stateDirectory }, environmentIn(home));
  const { table, keyColumn, key, valueColumn, timeColumn } = layout.profiles;
  const query = `SELECT ${valueColumn} AS text FROM ${table} WHERE ${keyColumn} = '${key}'`;
  return {
    store,
    stateDirectory,
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
