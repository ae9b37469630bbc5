import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endOf, SIGN_IN_END_MS } from "../support/ends.mjs";

const { DatabaseSync } = await import("node:sqlite").catch(() => import("@photostructure/sqlite"));

const JSON_AGENTS = ["main", "ada", "bob", "cleo", "dan"];
const SQLITE_AGENTS = ["eve", "fay", "gus"];
const CONFIG = '{ resync: "0 0 1 1 *", settle: { quietMs: 20, capMs: 200 }, reload: { openclaw: "off" } }\n';

/** A throw-away home: a made-up login, five agents with a JSON store and three with a database, one of each in disgrace. */
export class CrashHome {
  #readers = new Map();

  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  static async make() {
    const home = new CrashHome(mkdtempSync(join(tmpdir(), "credsyncd-crash-")));
    for (const directory of [".claude", ".openclaw", ".config/credsyncd"]) {
      mkdirSync(join(home.path, directory), { recursive: true, mode: 0o700 });
    }
    writeFileSync(join(home.path, ".config", "credsyncd", "config.json5"), CONFIG);
    const list = [...JSON_AGENTS, ...SQLITE_AGENTS].map((id) => ({ id }));
    writeFileSync(join(home.path, ".openclaw", "openclaw.json"), JSON.stringify({ agents: { list } }, null, 2));
    for (const agent of JSON_AGENTS) home.makeFile(agent, 1);
    for (const agent of SQLITE_AGENTS) home.makeDatabase(agent);
    home.#writeLogin(1);
    return home;
  }

  /** The login is renewed. */
  rotate(generation) {
    this.#writeLogin(generation);
  }

  /** Causes an event without news: credsyncd scans everything again, as at every resync. */
  nudge() {
    const now = new Date();
    utimesSync(join(this.path, ".claude", ".credentials.json"), now, now);
  }

  copy() {
    const path = mkdtempSync(join(tmpdir(), "credsyncd-crash-"));
    cpSync(this.path, path, { recursive: true, preserveTimestamps: true });
    return new CrashHome(path);
  }

  /** Keeps the databases open from now on, as gateways do: reading them then changes no file beside them. */
  keepOpen() {
    for (const agent of SQLITE_AGENTS) {
      const path = this.databaseOf(agent);
      this.#readers.set(path, new DatabaseSync(path, { readOnly: true }));
    }
  }

  remove() {
    for (const reader of this.#readers.values()) reader.close();
    rmSync(this.path, { recursive: true, force: true });
  }

  /** The generation that every store holds, or `torn`; the source is the first. */
  look() {
    return [
      ["source", () => this.#readLogin()],
      ...JSON_AGENTS.map((agent) => [agent, () => readFileSync(this.fileOf(agent), "utf8")]),
      ...SQLITE_AGENTS.map((agent) => [agent, () => this.#readDatabase(agent)]),
    ].map(([name, read]) => ({ name, generation: generationIn(read) }));
  }

  /** The locks that lie about; `named`: whoever meets it can tell that its holder is dead. */
  locks() {
    const names = this.names().filter((name) => /(?<!run)\.lock$/.test(name));
    return names.map((name) => ({ name, named: /"pid": ?\d+/.test(readFileSync(join(this.path, name), "utf8")) }));
  }

  /** Every file and directory in it; a database's log comes and goes with whoever has it open. */
  names() {
    return readdirSync(this.path, { recursive: true }).filter((name) => !/-(wal|shm)$/.test(name));
  }

  directoryOf(agent) {
    return join(this.path, ".openclaw", "agents", agent, "agent");
  }

  fileOf(agent) {
    return join(this.directoryOf(agent), "auth-profiles.json");
  }

  databaseOf(agent) {
    return join(this.directoryOf(agent), "openclaw-agent.sqlite");
  }

  makeFile(agent, generation) {
    mkdirSync(this.directoryOf(agent), { recursive: true, mode: 0o700 });
    writeFileSync(this.fileOf(agent), `${JSON.stringify(profiles(generation), null, 2)}\n`, { mode: 0o600 });
    if (agent === "ada")
      writeFileSync(join(this.directoryOf(agent), "auth-state.json"), JSON.stringify(disgrace), { mode: 0o600 });
  }

  /** The two tables as OpenClaw 2026.6.11 makes them. */
  makeDatabase(agent) {
    mkdirSync(this.directoryOf(agent), { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(this.databaseOf(agent));
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

  /** In the form of the other stores, so that all are judged in one way. */
  #readLogin() {
    const { claudeAiOauth: login } = JSON.parse(readFileSync(join(this.path, ".claude", ".credentials.json"), "utf8"));
    const { accessToken: access, refreshToken: refresh, expiresAt: expires } = login;
    const whole = profiles(1);
    Object.assign(whole.profiles["anthropic:claude-cli"], { access, refresh, expires });
    return JSON.stringify(whole);
  }

  #readDatabase(agent) {
    const path = this.databaseOf(agent);
    const database = this.#readers.get(path) ?? new DatabaseSync(path);
    try {
      const { integrity_check: integrity } = database.prepare("PRAGMA integrity_check").get();
      if (integrity !== "ok") return "";
      return database.prepare("SELECT store_json AS text FROM auth_profile_store").get().text;
    } finally {
      if (!this.#readers.has(path)) database.close();
    }
  }

  #writeLogin(generation) {
    const { access, refresh, expires } = profiles(generation).profiles["anthropic:claude-cli"];
    const login = {
      accessToken: access,
      refreshToken: refresh,
      expiresAt: expires,
      refreshTokenExpiresAt: SIGN_IN_END_MS,
      scopes: ["user:inference"],
    };
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
        expires: endOf(generation),
      },
      "openai:default": { type: "api_key", provider: "openai", key: "made-up-key" },
    },
  };
}

/** @returns which generation a whole store holds, else `torn` */
function generationIn(read) {
  try {
    const content = JSON.parse(read());
    const generation = Number(content.profiles["anthropic:claude-cli"].access.split("-").at(-1));
    return JSON.stringify(content) === JSON.stringify(profiles(generation)) ? generation : "torn";
  } catch {
    return "torn";
  }
}
