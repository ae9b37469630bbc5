import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { DatabaseSync } = await import("node:sqlite").catch(() => import("@photostructure/sqlite"));

const HOUR_MS = 3_600_000;
const JSON_AGENTS = ["main", "ada", "bob", "cleo", "dan"];
const SQLITE_AGENTS = ["eve", "fay", "gus"];
const NO_RESYNC = '{ resync: "0 0 1 1 *", reload: { openclaw: "off" } }\n';

/** A throw-away home: a made-up login, five agents with a JSON store and three with a database, one of each in disgrace. */
export class CrashHome {
  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  static async make() {
    const home = new CrashHome(mkdtempSync(join(tmpdir(), "credsyncd-crash-")));
    for (const directory of [".claude", ".openclaw", ".config/credsyncd"]) {
      mkdirSync(join(home.path, directory), { recursive: true, mode: 0o700 });
    }
    writeFileSync(join(home.path, ".config", "credsyncd", "config.json5"), NO_RESYNC);
    const list = [...JSON_AGENTS, ...SQLITE_AGENTS].map((id) => ({ id }));
    writeFileSync(join(home.path, ".openclaw", "openclaw.json"), JSON.stringify({ agents: { list } }, null, 2));
    for (const agent of JSON_AGENTS) home.#makeFile(agent);
    for (const agent of SQLITE_AGENTS) home.#makeDatabase(agent);
    home.#writeLogin(1);
    return home;
  }

  /** Lets credsyncd see the first generation everywhere, and then rotates the login. */
  async inStep(sync) {
    await sync();
    this.#writeLogin(2);
  }

  copy() {
    const path = mkdtempSync(join(tmpdir(), "credsyncd-crash-"));
    cpSync(this.path, path, { recursive: true, preserveTimestamps: true });
    return new CrashHome(path);
  }

  remove() {
    rmSync(this.path, { recursive: true, force: true });
  }

  /** What every store holds, `new`, `old` or `torn`, and the names of the torn ones. */
  look() {
    const texts = [
      ...JSON_AGENTS.map((agent) => [agent, () => readFileSync(this.#fileOf(agent), "utf8")]),
      ...SQLITE_AGENTS.map((agent) => [agent, () => this.#readDatabase(agent)]),
    ];
    const stores = texts.map(([agent, read]) => [agent, generationIn(read)]);
    return {
      stores: stores.map(([, generation]) => generation),
      torn: stores.filter(([, generation]) => generation === "torn").map(([agent]) => agent),
    };
  }

  #directoryOf(agent) {
    return join(this.path, ".openclaw", "agents", agent, "agent");
  }

  #fileOf(agent) {
    return join(this.#directoryOf(agent), "auth-profiles.json");
  }

  #databaseOf(agent) {
    return join(this.#directoryOf(agent), "openclaw-agent.sqlite");
  }

  #makeFile(agent) {
    mkdirSync(this.#directoryOf(agent), { recursive: true, mode: 0o700 });
    writeFileSync(this.#fileOf(agent), `${JSON.stringify(profiles(1), null, 2)}\n`, { mode: 0o600 });
    if (agent === "ada")
      writeFileSync(join(this.#directoryOf(agent), "auth-state.json"), JSON.stringify(disgrace), { mode: 0o600 });
  }

  /** The two tables as OpenClaw 2026.6.11 makes them. */
  #makeDatabase(agent) {
    mkdirSync(this.#directoryOf(agent), { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(this.#databaseOf(agent));
    database.exec("PRAGMA journal_mode=WAL");
    for (const name of ["store", "state"]) {
      database.exec(
        `CREATE TABLE auth_profile_${name} (${name}_key TEXT NOT NULL PRIMARY KEY, ${name}_json TEXT NOT NULL, updated_at INTEGER NOT NULL)`,
      );
    }
    database.prepare("INSERT INTO auth_profile_store VALUES ('primary', ?, 1)").run(JSON.stringify(profiles(1)));
    if (agent === "fay")
      database.prepare("INSERT INTO auth_profile_state VALUES ('primary', ?, 1)").run(JSON.stringify(disgrace));
    database.close();
  }

  #readDatabase(agent) {
    const database = new DatabaseSync(this.#databaseOf(agent));
    try {
      const { integrity_check: integrity } = database.prepare("PRAGMA integrity_check").get();
      if (integrity !== "ok") return "";
      return database.prepare("SELECT store_json AS text FROM auth_profile_store").get().text;
    } finally {
      database.close();
    }
  }

  #writeLogin(generation) {
    const { access, refresh, expires } = profiles(generation).profiles["anthropic:claude-cli"];
    const login = { accessToken: access, refreshToken: refresh, expiresAt: expires, scopes: ["user:inference"] };
    const path = join(this.path, ".claude", ".credentials.json");
    writeFileSync(`${path}.new`, JSON.stringify({ claudeAiOauth: login }), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}

const disgrace = {
  version: 1,
  usageStats: { "anthropic:claude-cli": { errorCount: 1, cooldownUntil: 9e12, cooldownReason: "auth" } },
};

function profiles(generation) {
  return {
    version: 1,
    profiles: {
      "anthropic:claude-cli": {
        type: "oauth",
        provider: "claude-cli",
        access: `made-up-access-${generation}`,
        refresh: `made-up-refresh-${generation}`,
        expires: Date.UTC(2099, 0, 1) + generation * HOUR_MS,
      },
      "openai:default": { type: "api_key", provider: "openai", key: "made-up-key" },
    },
  };
}

/** @returns `old` or `new` for a whole store of the first or the second generation, else `torn` */
function generationIn(read) {
  try {
    const content = JSON.stringify(JSON.parse(read()));
    if (content === JSON.stringify(profiles(1))) return "old";
    return content === JSON.stringify(profiles(2)) ? "new" : "torn";
  } catch {
    return "torn";
  }
}
