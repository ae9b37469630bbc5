import { randomUUID } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { endOf } from "../support/ends.mjs";
import { replaceDurably } from "../support/replace-durably.mjs";

const { DatabaseSync } = process.getBuiltinModule?.("node:sqlite") ?? (await import("@photostructure/sqlite"));

/** OpenClaw's: ten tries, 100 ms after the first, twice as long after each. */
const LOCK_TRIES = 10;
const LOCK_FIRST_RETRY_MS = 100;
const LOCK_LONGEST_RETRY_MS = 10_000;
const KEPT_SESSIONS = 200;
const START_TIME = startTime();

/** The profile that follows the source. */
export const LOGIN = "anthropic:claude-cli";

/** OpenClaw's notes on a profile that failed, which credsyncd clears when it heals the profile. */
const PENALTIES = ["cooldownUntil", "cooldownReason", "errorCount"];

/** The two tokens of a generation, as long as real ones. @param {number} generation */
export function tokensOf(generation) {
  const filler = "x".repeat(80);
  return { access: `made-up-access-${filler}-${generation}`, refresh: `made-up-refresh-${filler}-${generation}` };
}

/** @param {number} generation */
export function loginProfile(generation) {
  return {
    type: "oauth",
    provider: "claude-cli",
    ...tokensOf(generation),
    expires: endOf(generation),
    email: "agent@example.com",
    unknownField: { kept: [1, 2.5, "three"] },
  };
}

/** The generation that a profile holds, or null where it is not one whole login. */
export function generationOf(profile) {
  const generation = Number(/-(\d+)$/.exec(profile?.refresh ?? "")?.[1]);
  const whole = JSON.stringify(profile) === JSON.stringify(loginProfile(generation));
  return whole ? generation : null;
}

/** Returns the content of a store after so many turns of the gateways. @param {Record<string, number>} turns by gateway */
export function contentOf(generation, turns) {
  const profiles = { [LOGIN]: loginProfile(generation) };
  const usageStats = { [LOGIN]: { lastUsed: 1 } };
  for (const [gateway, count] of Object.entries(turns)) {
    profiles[`openai:${gateway}`] = { type: "api_key", provider: "openai", key: "made-up-key", metadata: { count } };
    usageStats[`openai:${gateway}`] = { lastUsed: 1, uses: count };
  }
  return { set: { version: 1, profiles }, notes: { version: 1, usageStats } };
}

/** The generation and the gateways' turns that a content tells; turns that the two halves tell differently count as lost. */
export function readingOf({ set, notes }) {
  const turns = {};
  for (const [id, { metadata }] of Object.entries(set.profiles)) {
    if (id === LOGIN) continue;
    turns[id.slice("openai:".length)] = metadata.count === notes.usageStats[id]?.uses ? metadata.count : -1;
  }
  return { generation: generationOf(set.profiles[LOGIN]), turns };
}

/** Checks whether a content is exactly what it should be, penalties aside. */
export function isExactly(content, generation, turns) {
  const { [LOGIN]: used, ...others } = content.notes.usageStats;
  const kept = Object.fromEntries(Object.entries(used).filter(([name]) => !PENALTIES.includes(name)));
  const notes = { ...content.notes, usageStats: { [LOGIN]: kept, ...others } };
  return JSON.stringify({ set: content.set, notes }) === JSON.stringify(contentOf(generation, turns));
}

/** One more turn of a gateway; a turn that fails leaves a penalty on the login. */
function countTurn({ set, notes }, gateway, fails) {
  set.profiles[`openai:${gateway}`].metadata.count += 1;
  notes.usageStats[`openai:${gateway}`].uses += 1;
  if (!fails) return;
  Object.assign(notes.usageStats[LOGIN], { cooldownUntil: Date.now() + 30_000, cooldownReason: "auth", errorCount: 1 });
}

/** @typedef {{ agent: string, kind: "one-file" | "two-files" | "snapshot" | "database", directory: string }} Place */

/** The store of an agent. @param {Place} place */
export function openStore(place) {
  return place.kind === "database" ? new Database(place) : new Files(place);
}

/** `auth-profiles.json`, from 2026.4.7 with `auth-state.json` beside it. */
class Files {
  #profiles;
  #state;
  #lock;
  /** The snapshot that a gateway of 2026.3.22 and earlier keeps in memory and writes back. */
  #snapshot = null;

  constructor({ agent, kind, directory }) {
    this.agent = agent;
    this.kind = kind;
    this.#profiles = join(directory, "auth-profiles.json");
    this.#state = kind === "two-files" ? join(directory, "auth-state.json") : null;
    this.#lock = `${this.#profiles}.lock`;
  }

  create(content) {
    mkdirSync(dirname(this.#profiles), { recursive: true, mode: 0o700 });
    this.#write(content);
  }

  /** Throws where it is not whole. */
  read() {
    const set = JSON.parse(readFileSync(this.#profiles, "utf8"));
    if (this.#state !== null) return { set, notes: JSON.parse(readFileSync(this.#state, "utf8")) };
    const { usageStats, ...others } = set;
    return { set: others, notes: { version: 1, usageStats } };
  }

  /** Restarts the gateway, which reads everything once. */
  restart() {
    this.#snapshot = this.kind === "snapshot" ? this.read() : null;
  }

  /**
   * @param {{ gateway: string, fails: boolean, holdMs: number }} turn
   * @returns {Promise<{ generation: number, waitedMs: number }>} what the login was under the lock, before it
   */
  async turn({ gateway, fails, holdMs }, random) {
    const startedAt = performance.now();
    await this.#takeLock(random);
    const waitedMs = performance.now() - startedAt;
    try {
      const content = this.#snapshot ?? this.read();
      // A refresh of 2026.4.15 and earlier runs under this lock.
      if (holdMs > 0) await pause(holdMs);
      countTurn(content, gateway, fails);
      this.#write(content);
      return { generation: generationOf(content.set.profiles[LOGIN]), waitedMs };
    } finally {
      rmSync(this.#lock);
    }
  }

  /** Another content takes the place of what is there, under the lock. */
  async replace(content, random) {
    await this.#takeLock(random);
    try {
      this.#write(content);
    } finally {
      rmSync(this.#lock);
    }
  }

  async #takeLock(random) {
    for (let attempt = 1; ; attempt++) {
      if (this.#createLock()) return;
      if (attempt > LOCK_TRIES) throw new LockTimeout();
      const waitMs = Math.min(LOCK_FIRST_RETRY_MS * 2 ** (attempt - 1), LOCK_LONGEST_RETRY_MS);
      await pause(waitMs * (1 + random()));
    }
  }

  #createLock() {
    try {
      const file = openSync(this.#lock, "wx", 0o600);
      writeFileSync(file, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString(), ...START_TIME }, null, 2));
      closeSync(file);
      return true;
    } catch (error) {
      if (error.code === "EEXIST") return false;
      throw error;
    }
  }

  #write({ set, notes }) {
    if (this.#state !== null) {
      replace(this.#profiles, textOf(set));
      replace(this.#state, textOf(notes));
      return;
    }
    const text = textOf({ ...set, usageStats: notes.usageStats });
    if (this.kind === "snapshot") writeFileSync(this.#profiles, text, { mode: 0o600 });
    else replace(this.#profiles, text);
  }

  close() {}
}

/** A gateway's patience is at its end. */
export class LockTimeout extends Error {}

/** The two rows of `openclaw-agent.sqlite`, beside the sessions in the same file. */
class Database {
  kind = "database";
  #path;
  #database = null;

  constructor({ agent, directory }) {
    this.agent = agent;
    this.#path = join(directory, "openclaw-agent.sqlite");
  }

  create(content) {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    this.#open.exec("PRAGMA journal_mode = WAL");
    for (const name of ["store", "state"]) {
      this.#open.exec(
        `CREATE TABLE auth_profile_${name} (${name}_key TEXT NOT NULL PRIMARY KEY, ${name}_json TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT`,
      );
    }
    this.#open.exec("CREATE TABLE sessions (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT");
    this.#open.prepare("INSERT INTO auth_profile_store VALUES ('primary', ?, 1)").run(JSON.stringify(content.set));
    this.#open.prepare("INSERT INTO auth_profile_state VALUES ('primary', ?, 1)").run(JSON.stringify(content.notes));
    this.close();
  }

  read() {
    const row = this.#open
      .prepare(
        "SELECT (SELECT store_json FROM auth_profile_store) AS store, (SELECT state_json FROM auth_profile_state) AS state",
      )
      .get();
    return { set: JSON.parse(row.store), notes: JSON.parse(row.state) };
  }

  restart() {
    this.close();
  }

  async turn({ gateway, fails }) {
    const startedAt = performance.now();
    this.#open.exec("BEGIN IMMEDIATE");
    const waitedMs = performance.now() - startedAt;
    const content = this.read();
    const generation = generationOf(content.set.profiles[LOGIN]);
    countTurn(content, gateway, fails);
    const now = Date.now();
    this.#open.prepare("UPDATE auth_profile_store SET store_json = ?, updated_at = ?").run(JSON.stringify(content.set), now);
    this.#open.prepare("UPDATE auth_profile_state SET state_json = ?, updated_at = ?").run(JSON.stringify(content.notes), now);
    this.#open.prepare("INSERT INTO sessions (text) VALUES (?)").run("x".repeat(2000));
    this.#open.prepare("DELETE FROM sessions WHERE id <= (SELECT max(id) FROM sessions) - ?").run(KEPT_SESSIONS);
    this.#open.exec("COMMIT");
    return { generation, waitedMs };
  }

  /** Another content takes the place of what is there. */
  async replace({ set, notes }) {
    this.#open.exec("BEGIN IMMEDIATE");
    this.#open.prepare("UPDATE auth_profile_store SET store_json = ?").run(JSON.stringify(set));
    this.#open.prepare("UPDATE auth_profile_state SET state_json = ?").run(JSON.stringify(notes));
    this.#open.exec("COMMIT");
  }

  close() {
    this.#database?.close();
    this.#database = null;
  }

  get #open() {
    if (this.#database === null) {
      this.#database = new DatabaseSync(this.#path);
      this.#database.exec("PRAGMA busy_timeout = 5000");
    }
    return this.#database;
  }
}

function textOf(value) {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function replace(path, text) {
  replaceDurably(path, `${path}.${randomUUID()}.tmp`, text);
}

/** When this process started, as the kernel counts it; from 2026.5.28 locks name it too. */
function startTime() {
  if (!existsSync("/proc/self/stat")) return {};
  const stat = readFileSync("/proc/self/stat", "utf8");
  return { starttime: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) };
}
