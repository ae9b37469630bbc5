import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { secretPart } from "./marked-secret.js";
import { inDatabase } from "./raw-database.js";
import { endOf, replace, TemporaryHome } from "./temporary-home.js";

/** How an agent keeps its store: all in one file, notes in a file of their own, or in a database. */
export type Keeps = "json" | "json-state" | "sqlite";

type Json = Record<string, unknown>;

export const OLD = "anthropic:old";
export const NEW = "anthropic:new";

/** The content of an agent's store. */
export interface StoreContent {
  readonly profiles: Readonly<Record<string, Json>>;
  readonly order?: Json;
  readonly lastGood?: Json;
  readonly usageStats?: Json;
}

/** The tables as OpenClaw 2026.6.11 makes them. */
const TABLES = `
  CREATE TABLE auth_profile_store (store_key TEXT NOT NULL PRIMARY KEY, store_json TEXT NOT NULL, updated_at INTEGER NOT NULL);
  CREATE TABLE auth_profile_state (state_key TEXT NOT NULL PRIMARY KEY, state_json TEXT NOT NULL, updated_at INTEGER NOT NULL);
`;

/** A home whose OpenClaw agents all use `anthropic:old` and have `anthropic:new`, each in its own kind of store. */
export class SwitchHome {
  readonly home: TemporaryHome;
  readonly agents: ReadonlyMap<string, Keeps>;

  private constructor(home: TemporaryHome, agents: ReadonlyMap<string, Keeps>) {
    this.home = home;
    this.agents = agents;
  }

  static async create(agents: Readonly<Record<string, Keeps>>): Promise<SwitchHome> {
    const home = await TemporaryHome.create({ generation: null });
    const host = new SwitchHome(home, new Map(Object.entries(agents)));
    await home.configureAgents(Object.keys(agents));
    for (const agent of host.agents.keys()) await host.write(agent, host.usual(agent));
    return host;
  }

  /** Five agents of the same kinds, in turn. */
  static five(...kinds: readonly Keeps[]): Promise<SwitchHome> {
    const names = ["main", "work", "ops", "hr", "lab"];
    return SwitchHome.create(Object.fromEntries(names.map((name, index) => [name, kinds[index % kinds.length] ?? "json"])));
  }

  get names(): string[] {
    return [...this.agents.keys()];
  }

  secret(name: string): string {
    const part = secretPart(name);
    this.home.secretParts.add(part);
    return `made-up-${part}`;
  }

  token(name: string, fields: Json = {}): Json {
    return { type: "token", provider: "anthropic", token: this.secret(name), ...fields };
  }

  key(name: string): Json {
    return { type: "api_key", provider: "anthropic", key: this.secret(name) };
  }

  login(name: string): Json {
    const [access, refresh] = [this.secret(`${name} access`), this.secret(`${name} refresh`)];
    return { type: "oauth", provider: "anthropic", access, refresh, expires: endOf(1) };
  }

  usual(agent: string): StoreContent {
    return {
      profiles: { [OLD]: this.token(`${agent} old`), [NEW]: this.key(`${agent} new`) },
      order: { anthropic: [OLD], openai: ["openai:x"] },
      lastGood: { anthropic: OLD },
      usageStats: {
        [NEW]: { lastUsed: 5, cooldownUntil: Date.UTC(2099, 0, 1), cooldownReason: "auth", errorCount: 2 },
        [OLD]: { lastUsed: 7 },
      },
    };
  }

  path(agent: string): string {
    const name = this.agents.get(agent) === "sqlite" ? "openclaw-agent.sqlite" : "auth-profiles.json";
    return join(this.home.agentDirectory(agent), name);
  }

  statePath(agent: string): string {
    return join(this.home.agentDirectory(agent), "auth-state.json");
  }

  async write(agent: string, { profiles, ...notes }: StoreContent): Promise<void> {
    const keeps = this.agents.get(agent);
    if (keeps === "sqlite") {
      await this.writeRows(
        agent,
        JSON.stringify({ version: 1, profiles }),
        Object.keys(notes).length === 0 ? null : JSON.stringify({ version: 1, ...notes }),
      );
      return;
    }
    const together = keeps === "json" ? notes : {};
    await replace(this.path(agent), `${JSON.stringify({ version: 1, profiles, ...together }, null, 2)}\n`);
    if (keeps === "json-state") await replace(this.statePath(agent), `${JSON.stringify({ version: 1, ...notes }, null, 2)}\n`);
  }

  async writeRows(agent: string, store: string, state: string | null): Promise<void> {
    const path = this.path(agent);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const isNew = !existsSync(path);
    if (isNew) await writeFile(path, "", { mode: 0o600 });
    await inDatabase(path, (database) => {
      database.exec("PRAGMA busy_timeout = 5000");
      if (isNew) database.exec(`PRAGMA journal_mode = WAL; ${TABLES}`);
      database.prepare("INSERT OR REPLACE INTO auth_profile_store VALUES ('primary', ?, 1)").run(store);
      if (state === null) database.exec("DELETE FROM auth_profile_state");
      else database.prepare("INSERT OR REPLACE INTO auth_profile_state VALUES ('primary', ?, 1)").run(state);
    });
  }

  /** Puts something else in a database's place; its log would make it whole again. */
  async spoilDatabase(agent: string): Promise<void> {
    for (const suffix of ["-wal", "-shm"]) await rm(`${this.path(agent)}${suffix}`, { force: true });
    await writeFile(this.path(agent), "x".repeat(4096));
  }

  /** The exact texts of an agent's store. */
  async texts(agent: string): Promise<{ profiles: string | null; state: string | null }> {
    if (this.agents.get(agent) !== "sqlite")
      return { profiles: await textOf(this.path(agent)), state: await textOf(this.statePath(agent)) };
    return inDatabase(this.path(agent), (database) => {
      const rows = database.prepare("SELECT store_json AS text FROM auth_profile_store").all() as { text: string }[];
      const notes = database.prepare("SELECT state_json AS text FROM auth_profile_state").all() as { text: string }[];
      return { profiles: rows[0]?.text ?? null, state: notes[0]?.text ?? null };
    });
  }

  async allTexts(): Promise<Record<string, { profiles: string | null; state: string | null }>> {
    const entries = [];
    for (const agent of this.names) entries.push([agent, await this.texts(agent)] as const);
    return Object.fromEntries(entries);
  }

  /** Reads the content of an agent's store, whatever place it is in. */
  async content(agent: string): Promise<StoreContent> {
    const { profiles, state } = await this.texts(agent);
    const whole = { profiles: {}, ...(JSON.parse(profiles ?? "{}") as Json), ...(JSON.parse(state ?? "{}") as Json) };
    return Object.fromEntries(Object.entries(whole).filter(([key]) => key !== "version")) as unknown as StoreContent;
  }

  /** The order of every agent for the provider. */
  async orders(): Promise<Record<string, unknown>> {
    const entries = [];
    for (const agent of this.names) entries.push([agent, (await this.content(agent)).order?.["anthropic"]] as const);
    return Object.fromEntries(entries);
  }

  /** On which side of the switch to `anthropic:new` every agent is: as it was, as it should be, or something else. */
  async sides(before: Awaited<ReturnType<SwitchHome["allTexts"]>>): Promise<Record<string, "before" | "after" | "neither">> {
    const entries = [];
    for (const agent of this.names) {
      const [texts, { order, lastGood, usageStats }] = [await this.texts(agent), await this.content(agent)];
      const was = before[agent];
      const isBefore = texts.profiles === was?.profiles && texts.state === was.state;
      const stats = usageStats?.[NEW] as Json | undefined;
      const isAfter =
        JSON.stringify(order?.["anthropic"]) === JSON.stringify([NEW]) &&
        lastGood?.["anthropic"] === NEW &&
        stats?.["cooldownUntil"] === undefined;
      entries.push([agent, isBefore ? "before" : isAfter ? "after" : "neither"] as const);
    }
    return Object.fromEntries(entries);
  }

  /** Files that nothing should leave behind. */
  leftovers(): string[] {
    const directories = [
      ...this.names.map((agent) => this.home.agentDirectory(agent)),
      join(this.home.stateDirectory, "journal"),
    ];
    return directories
      .filter((directory) => existsSync(directory))
      .flatMap((directory) => readdirSync(directory))
      .filter((name) => name.endsWith(".tmp") || name.endsWith(".lock") || name.startsWith("switch-"));
  }

  async configure(auth: Json): Promise<void> {
    const list = this.names.map((id) => ({ id }));
    await replace(this.home.openclawConfig, JSON.stringify({ agents: { list }, auth }, null, 2));
  }
}

async function textOf(path: string): Promise<string | null> {
  return existsSync(path) ? readFile(path, "utf8") : null;
}
