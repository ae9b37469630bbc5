// How long `set-active` takes on a large host:  node test/bench/switch.mjs [JSON agents] [SQLite agents]
// Prints the times of five switches there and back, each with the whole program's start and end.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { performance } from "node:perf_hooks";

const { DatabaseSync } = process.getBuiltinModule?.("node:sqlite") ?? (await import("@photostructure/sqlite"));
const MAIN = join(import.meta.dirname, "..", "..", "dist", "cli", "main.js");
const [files, databases] = [Number(process.argv[2] ?? 300), Number(process.argv[3] ?? 20)];
const ROUNDS = 5;
const home = mkdtempSync(join(tmpdir(), "credsyncd-bench-"));
const agents = Array.from({ length: files + databases }, (_, index) => `agent-${index}`);

const profiles = {
  "anthropic:old": { type: "token", provider: "anthropic", token: "made-up-old" },
  "anthropic:new": { type: "api_key", provider: "anthropic", key: "made-up-new" },
};
const notes = { order: { anthropic: ["anthropic:old"] }, lastGood: { anthropic: "anthropic:old" } };

for (const [index, agent] of agents.entries()) {
  const directory = join(home, ".openclaw", "agents", agent, "agent");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (index < files) {
    writeFileSync(join(directory, "auth-profiles.json"), JSON.stringify({ version: 1, profiles }, null, 2), { mode: 0o600 });
    writeFileSync(join(directory, "auth-state.json"), JSON.stringify({ version: 1, ...notes }, null, 2), { mode: 0o600 });
    continue;
  }
  const database = new DatabaseSync(join(directory, "openclaw-agent.sqlite"));
  database.exec(`PRAGMA journal_mode = WAL;
    CREATE TABLE auth_profile_store (store_key TEXT NOT NULL PRIMARY KEY, store_json TEXT NOT NULL, updated_at INTEGER NOT NULL);
    CREATE TABLE auth_profile_state (state_key TEXT NOT NULL PRIMARY KEY, state_json TEXT NOT NULL, updated_at INTEGER NOT NULL);`);
  database.prepare("INSERT INTO auth_profile_store VALUES ('primary', ?, 1)").run(JSON.stringify({ version: 1, profiles }));
  database.prepare("INSERT INTO auth_profile_state VALUES ('primary', ?, 1)").run(JSON.stringify({ version: 1, ...notes }));
  database.close();
}
writeFileSync(join(home, ".openclaw", "openclaw.json"), JSON.stringify({ agents: { list: agents.map((id) => ({ id })) } }));

try {
  const times = [];
  for (let round = 0; round < ROUNDS * 2; round++) {
    const profile = round % 2 === 0 ? "anthropic:new" : "anthropic:old";
    const startedAt = performance.now();
    const stdout = execFileSync(
      process.execPath,
      [MAIN, "set-active", "--provider", "anthropic", "--profile", profile, "--json"],
      {
        env: { HOME: home, PATH: process.env.PATH },
        maxBuffer: 1 << 26,
      },
    );
    times.push(Math.round(performance.now() - startedAt));
    const { committed, verified, stores } = JSON.parse(stdout);
    const updated = stores.filter(({ result }) => result === "updated").length;
    if (!committed || !verified || updated !== agents.length)
      throw new Error(`only ${updated} of ${agents.length} were switched`);
  }
  const sorted = [...times].sort((left, right) => left - right);
  process.stdout.write(
    `${files} JSON + ${databases} SQLite agents: median ${sorted[ROUNDS]} ms, fastest ${sorted[0]} ms, slowest ${sorted.at(-1)} ms\n`,
  );
} finally {
  rmSync(home, { recursive: true, force: true });
}
