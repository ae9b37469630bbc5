import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath, URL } from "node:url";
import { gunzipSync } from "node:zlib";
import { endOf, SIGN_IN_END_MS } from "../support/ends.mjs";
import { openDatabase } from "./sqlite.mjs";

/** The time of day has no effect: the next regular resync is far away. */
const NO_RESYNC = '{ resync: "0 0 1 1 *" }\n';

const AGENT_DATABASE = fileURLToPath(
  new URL("../fixtures/openclaw/2026.9.6/dot-openclaw/agents/work/agent/openclaw-agent.sqlite.gz", import.meta.url),
);

/** A throw-away home: a made-up Claude Code login and as many OpenClaw agents that follow it as asked for. */
export class BenchHome {
  #generation = 1;

  /** @param {string} path @param {readonly string[]} stores */
  constructor(path, stores) {
    this.path = path;
    this.stores = stores;
  }

  /** @param {number} agents @param configured whether there is a configuration file @returns {Promise<BenchHome>} */
  static async make(agents, { configured = true } = {}) {
    const path = await mkdtemp(join(tmpdir(), "credsyncd-bench-"));
    const ids = Array.from({ length: agents }, (_, index) => `agent-${String(index).padStart(4, "0")}`);
    await mkdir(join(path, ".claude"), { mode: 0o700 });
    await mkdir(join(path, ".openclaw"), { mode: 0o700 });
    await mkdir(join(path, ".config", "credsyncd"), { recursive: true, mode: 0o700 });
    if (configured) await writeFile(join(path, ".config", "credsyncd", "config.json5"), NO_RESYNC);
    await writeFile(
      join(path, ".openclaw", "openclaw.json"),
      JSON.stringify({ agents: { list: ids.map((id) => ({ id })) } }, null, 2),
    );
    const stores = ids.map((id) => join(path, ".openclaw", "agents", id, "agent", "auth-profiles.json"));
    for (const store of stores) {
      await mkdir(join(store, ".."), { recursive: true, mode: 0o700 });
      await writeFile(store, storeText(1), { mode: 0o600 });
    }
    const home = new BenchHome(path, stores);
    await home.#writeLogin();
    return home;
  }

  /**
   * Moves every store into a database as OpenClaw 2026.9.6 has it.
   *
   * @returns {Promise<string[]>} the databases
   */
  async moveIntoDatabases() {
    const empty = gunzipSync(await readFile(AGENT_DATABASE));
    const paths = [];
    for (const store of this.stores) {
      const path = join(dirname(store), "openclaw-agent.sqlite");
      await writeFile(path, empty, { mode: 0o600 });
      const database = await openDatabase(path);
      database.exec("PRAGMA journal_mode = WAL");
      const row = database.prepare("UPDATE auth_profile_store SET store_json = ? WHERE store_key = 'primary'");
      row.run(JSON.stringify(JSON.parse(await readFile(store, "utf8"))));
      database.close();
      await rm(store);
      paths.push(path);
    }
    return paths;
  }

  /**
   * Puts the next generation in the login's place, as Claude Code does.
   *
   * @returns {Promise<number>} when the rename was asked for (ms, `performance.now`)
   */
  async rotate() {
    this.#generation += 1;
    return this.#writeLogin();
  }

  /** Throws unless every store holds the generation that the login holds. */
  async expectInStep() {
    const expected = tokens(this.#generation, "access", "refresh");
    for (const store of this.stores) {
      const { access, refresh } = JSON.parse(await readFile(store, "utf8")).profiles["anthropic:claude-cli"];
      if (access !== expected.access || refresh !== expected.refresh) throw new Error(`${store} was left behind`);
    }
  }

  async remove() {
    await rm(this.path, { recursive: true, force: true });
  }

  async #writeLogin() {
    const login = {
      ...tokens(this.#generation, "accessToken", "refreshToken"),
      expiresAt: endOf(this.#generation),
      refreshTokenExpiresAt: SIGN_IN_END_MS,
      scopes: ["user:inference", "user:profile", "user:sessions:claude_code"],
      subscriptionType: "max",
      rateLimitTier: "default_claude_max_20x",
    };
    const path = join(this.path, ".claude", ".credentials.json");
    await writeFile(`${path}.tmp`, JSON.stringify({ claudeAiOauth: login }), { mode: 0o600, flush: true });
    const renamedAt = performance.now();
    await rename(`${path}.tmp`, path);
    return renamedAt;
  }
}

/** Returns the content of one agent's store: the login, and an API key of its own. @param {number} generation */
export function storeText(generation) {
  const profiles = {
    "anthropic:claude-cli": {
      type: "oauth",
      provider: "claude-cli",
      ...tokens(generation, "access", "refresh"),
      expires: endOf(generation),
    },
    "openai:default": { type: "api_key", provider: "openai", key: "made-up-key" },
  };
  return `${JSON.stringify({ version: 1, profiles }, null, 2)}\n`;
}

/** As long as real ones. */
function tokens(generation, access, refresh) {
  const filler = "x".repeat(80);
  return { [access]: `made-up-access-${filler}-${generation}`, [refresh]: `made-up-refresh-${filler}-${generation}` };
}
