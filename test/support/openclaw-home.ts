import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { lookAround, openclawStores, usualOpenclaw } from "../../src/programs/openclaw/stores.js";
import { agentLayout, sharedLayout, type SqliteLayout } from "../../src/programs/openclaw/sqlite.js";
import { environmentOf } from "./composed-daemon.js";
import { copyOpenclaw, type OpenclawVersion } from "./fixtures.js";
import { inDatabase } from "./raw-database.js";
import { readIfPresent } from "./store-file.js";
import { generationIn, PROFILE, replace, TemporaryHome, type HomeOptions } from "./temporary-home.js";

type Json = Record<string, unknown>;

/** A set of profiles, as a file or a row holds it. */
export interface ProfileSet {
  readonly [key: string]: unknown;
  readonly profiles: Readonly<Record<string, Json>>;
}

/** Every version whose stores are kept, from each era. */
export const openclawVersions = ["2026.3.11", "2026.4.15", "2026.5.28", "2026.6.11", "2026.9.6"] as const;

/** A store of a real OpenClaw, and the hands of the program that owns it. */
export class OpenclawHands {
  readonly name: string;
  readonly path: string;
  readonly #layout: SqliteLayout | null;

  constructor(name: string, path: string, layout: SqliteLayout | null) {
    this.name = name;
    this.path = path;
    this.#layout = layout;
  }

  async readSet(): Promise<ProfileSet> {
    return JSON.parse((await this.#readText("profiles")) ?? `{"profiles":{}}`) as ProfileSet;
  }

  /** Writes the set as the owning program does: JSON by a rename, SQLite in one statement. */
  writeSet(set: ProfileSet): Promise<void> {
    return this.#writeText("profiles", JSON.stringify(set));
  }

  async readProfile(id = PROFILE): Promise<Json | null> {
    return (await this.readSet()).profiles[id] ?? null;
  }

  async writeProfile(profile: Json, id = PROFILE): Promise<void> {
    const set = await this.readSet();
    await this.writeSet({ ...set, profiles: { ...set.profiles, [id]: profile } });
  }

  async removeProfile(id = PROFILE): Promise<void> {
    const set = await this.readSet();
    const profiles = Object.fromEntries(Object.entries(set.profiles).filter(([name]) => name !== id));
    await this.writeSet({ ...set, profiles });
  }

  /** Leaves the table, and nothing in it. */
  async removeRow(): Promise<void> {
    if (this.#layout === null) throw new Error("a file has no rows");
    const { table, keyColumn, key } = this.#layout.profiles;
    await inDatabase(this.path, (database) => database.prepare(`DELETE FROM ${table} WHERE ${keyColumn} = ?`).run(key));
  }

  /** The generation of the access token in a profile, or null. */
  async generation(id = PROFILE): Promise<number | null> {
    return generationIn((await this.readProfile(id))?.["access"]);
  }

  /** Reads the program's notes on the use of its profiles; null before it noted anything. */
  async readNotes(): Promise<Json | null> {
    const text = await this.#readText("state");
    return text === null ? null : (JSON.parse(text) as Json);
  }

  /** Writes what the program notes of the use of its profiles. */
  writeNotes(notes: Json): Promise<void> {
    return this.#writeText("state", JSON.stringify(notes));
  }

  /** When the set of profiles was last written: by the row's own time, or the file's. */
  async updatedAt(): Promise<unknown> {
    if (this.#layout === null) return (await stat(this.path)).mtimeMs;
    const { table, keyColumn, key, timeColumn } = this.#layout.profiles;
    return inDatabase(this.path, (database) =>
      database.prepare(`SELECT ${timeColumn} AS time FROM ${table} WHERE ${keyColumn} = ?`).all(key),
    );
  }

  async #readText(what: "profiles" | "state"): Promise<string | null> {
    if (this.#layout === null) return readIfPresent(this.#file(what));
    const { table, keyColumn, key, valueColumn } = this.#layout[what];
    const rows = await inDatabase(this.path, (database) =>
      database.prepare(`SELECT ${valueColumn} AS text FROM ${table} WHERE ${keyColumn} = ?`).all(key),
    );
    return (rows as { text: string }[])[0]?.text ?? null;
  }

  async #writeText(what: "profiles" | "state", text: string): Promise<void> {
    if (this.#layout === null) {
      await replace(this.#file(what), text);
      return;
    }
    const { table, keyColumn, key, valueColumn, timeColumn } = this.#layout[what];
    await inDatabase(this.path, (database) => {
      database.exec("PRAGMA busy_timeout = 5000");
      const sql = `INSERT INTO ${table} (${keyColumn}, ${valueColumn}, ${timeColumn}) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET ${valueColumn} = excluded.${valueColumn}, ${timeColumn} = excluded.${timeColumn}`;
      database.prepare(sql).run(key, text, Date.now());
    });
  }

  #file(what: "profiles" | "state"): string {
    return what === "profiles" ? this.path : join(dirname(this.path), "auth-state.json");
  }
}

export interface OpenclawHome {
  readonly home: TemporaryHome;
  /** Every store that credsyncd serves there. */
  readonly stores: readonly OpenclawHands[];
  readonly store: (name: string) => OpenclawHands;
}

/** A home with the OpenClaw of a version, all of whose stores hold the login of a generation. */
export async function openclawHome(version: OpenclawVersion, { generation = 1 }: HomeOptions = {}): Promise<OpenclawHome> {
  const home = await TemporaryHome.create({ generation });
  await copyOpenclaw(version, home.path);
  const located = openclawStores(await lookAround(usualOpenclaw, environmentOf(home)), usualOpenclaw, environmentOf(home));
  const stores = located.stores.map(({ store: { name, path, format } }) => {
    const layout = format === "openclaw-json" ? null : name === "openclaw:shared" ? sharedLayout : agentLayout;
    return new OpenclawHands(name, path, layout);
  });
  if (generation !== null) for (const store of stores) await store.writeProfile(home.profile(generation));
  const store = (name: string): OpenclawHands => {
    const found = stores.find((each) => each.name === name);
    if (found === undefined) throw new Error(`there is no store ${name}`);
    return found;
  };
  return { home, stores, store };
}
