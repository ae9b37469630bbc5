import { writeFileSync } from "node:fs";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse.js";
import { readAlerts } from "../../src/app/alert-memory.js";
import { readDaemonStatus } from "../../src/app/status.js";
import { Failure, StoreError } from "../../src/domain/errors.js";
import { emptyLedger, type LedgerEvent } from "../../src/domain/ledger.js";
import { isPresentable, looksLikeToken, spelledOut } from "../../src/domain/presentable.js";
import { Backups } from "../../src/io/backups.js";
import { readKey } from "../../src/io/fingerprint.js";
import { LedgerFile } from "../../src/io/ledger-file.js";
import { isForsaken, takeOwnerLock } from "../../src/io/owner-lock.js";
import { readHolder, runningDaemon } from "../../src/io/run-lock.js";
import { SwitchJournalFile } from "../../src/io/switch-journal.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { ClaudeCodeStore, claudeDirectories } from "../../src/programs/claude-code/store.js";
import { readAuthPreferences } from "../../src/programs/openclaw/auth-config.js";
import { discoverOpenclaw, openclawAuthRules, openclawStateDirectory } from "../../src/programs/openclaw/discovery.js";
import { OpenclawJsonChoice } from "../../src/programs/openclaw/json-choice.js";
import { OpenclawJsonStore } from "../../src/programs/openclaw/json.js";
import { agentLayout, OpenclawSqliteStore } from "../../src/programs/openclaw/sqlite.js";
import { environmentIn } from "../support/environment.js";
import { copyOpenclaw } from "../support/fixtures.js";
import { leaksIn, secretPart } from "../support/marked-secret.js";
import { inDatabase } from "../support/raw-database.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const signal = new AbortController().signal;
const RUNS = { numRuns: 150 };
const SECRETS = ["access", "refresh", "key"].map(secretPart);
const [access = "", refresh = "", key = ""] = SECRETS;
const END = 4_102_444_800_000;

/** Obstacles for parsers, for any position. */
const burrs = [
  `"__proto__":{"polluted":true},`,
  `"constructor":{"prototype":{"polluted":true}},`,
  `"__proto__"`,
  "1e999",
  "-0",
  "9007199254740993",
  "-1e-400",
  '"\\ud800"',
  '"\\u0000"',
  "\u0000",
  "\ufeff",
  "\u2028",
  "{",
  "[",
  "}",
  "]",
  '"',
  "\\",
  ",",
  "null",
  `"${access}"`,
  "//",
  "[".repeat(2000),
  '{"a":'.repeat(2000),
];

type Edit =
  | { readonly kind: "put"; readonly at: number; readonly what: string }
  | { readonly kind: "cut" | "copy"; readonly at: number; readonly length: number }
  | { readonly kind: "byte"; readonly at: number; readonly byte: number };

const at = fc.double({ min: 0, max: 1, noNaN: true });
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant("put" as const), at, what: fc.oneof(fc.constantFrom(...burrs), fc.string({ unit: "binary" })) }),
  fc.record({ kind: fc.constantFrom("cut" as const, "copy" as const), at, length: fc.nat(60) }),
  fc.record({ kind: fc.constant("byte" as const), at, byte: fc.nat(255) }),
);

/** Bytes that were a document once, or never were. */
function spoiled(...documents: readonly string[]): fc.Arbitrary<Buffer> {
  const edited = fc
    .tuple(fc.constantFrom(...documents), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([document, edits]) => edits.reduce(spoil, Buffer.from(document)));
  return fc.oneof(
    { weight: 8, arbitrary: edited },
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  );
}

function spoil(bytes: Buffer, change: Edit): Buffer {
  const place = Math.floor(change.at * bytes.length);
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  switch (change.kind) {
    case "put":
      return Buffer.concat([before, Buffer.from(change.what), after]);
    case "byte":
      return Buffer.concat([before, Buffer.from([change.byte]), after]);
    case "cut":
      return Buffer.concat([before, after.subarray(change.length)]);
    case "copy":
      return Buffer.concat([before, after.subarray(0, change.length), after]);
  }
}

/** Returns the outcome, or null for a failure with a message; anything else that is thrown is a bug. */
async function outcomeOf<Value>(action: () => Value | Promise<Value>): Promise<Value | null> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof Failure)) throw error;
    const told = `${error.message}\n${error.hint ?? ""}`;
    expect(error.message).not.toBe("");
    expect(leaksIn(told, SECRETS)).toEqual([]);
    expect(spelledOut(told)).toBe(told);
    return null;
  }
}

/** Runs an action on many spoiled documents, each replacing the one before. */
function always(documents: readonly string[], path: string, action: () => unknown): Promise<void> {
  return fc.assert(
    fc.asyncProperty(spoiled(...documents), async (bytes) => {
      writeFileSync(path, bytes, { mode: 0o600 });
      await outcomeOf(action);
    }),
    RUNS,
  );
}

async function placeFor(...names: readonly string[]): Promise<string> {
  const path = join(await temporaryDirectory(), ...names);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  return path;
}

afterEach(() => {
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect(Object.keys(Object.prototype)).toEqual([]);
});

const profiles = {
  version: 1,
  profiles: {
    "anthropic:claude-cli": { type: "oauth", provider: "claude-cli", access, refresh, expires: END, email: "a@example.com" },
    "openai:key": { type: "api_key", provider: "openai", key },
    "google:token": { type: "token", provider: "google", token: key, expires: END },
  },
  order: { anthropic: ["anthropic:claude-cli"] },
  lastGood: { openai: "openai:key" },
  usageStats: { "anthropic:claude-cli": { errorCount: 2, cooldownUntil: END } },
};
const storeText = JSON.stringify(profiles, null, 1);
const loginText = JSON.stringify({
  claudeAiOauth: { accessToken: access, refreshToken: refresh, expiresAt: END, scopes: ["user:inference"], accountUuid: "u" },
});
const openclawText = JSON.stringify({
  meta: { lastTouchedVersion: "2026.4.15" },
  gateway: { port: 1, auth: { token: key } },
  agents: { list: [{ id: "main" }, { id: "work", agentDir: "~/work" }] },
  auth: { order: { anthropic: ["anthropic:claude-cli"] }, profiles: { "a:b": { provider: "a", mode: "oauth" } } },
});

describe("anything at all, read as", () => {
  test("Claude Code's login, is a snapshot or a sentence", async () => {
    const home = await temporaryDirectory();
    const environment = environmentIn(home);
    const store = new ClaudeCodeStore("claude-code", claudeDirectories(environment), environment);
    await mkdir(dirname(store.path), { mode: 0o700 });
    await always([loginText], store.path, async () => {
      const { profiles: found } = await store.read();
      for (const { content, image, surroundings } of found) {
        expect(leaksIn(JSON.stringify(content), SECRETS)).toEqual([]);
        surroundings();
        await outcomeOf(image);
      }
    });
  });

  test("Claude Code's account, never keeps the login from being read", async () => {
    const home = await temporaryDirectory();
    const environment = environmentIn(home);
    const store = new ClaudeCodeStore("claude-code", claudeDirectories(environment), environment);
    await mkdir(dirname(store.path), { mode: 0o700 });
    await writeFile(store.path, loginText, { mode: 0o600 });
    const account = JSON.stringify({ oauthAccount: { accountUuid: "u", emailAddress: "a@example.com" } });
    await always([account], join(home, ".claude.json"), async () => {
      expect((await store.read()).profiles).toHaveLength(1);
    });
  });

  test("an agent's profiles, is a snapshot or a sentence, and so is its choice", async () => {
    const file = await placeFor("agents", "work", "agent", "auth-profiles.json");
    const environment = environmentIn(dirname(file));
    const store = new OpenclawJsonStore("openclaw:work", dirname(file), dirname(file), environment);
    const choice = new OpenclawJsonChoice("openclaw:work", file, dirname(file), environment);
    await always([storeText], file, async () => {
      await outcomeOf(() => choice.readChoice());
      await outcomeOf(() => store.readActive());
      for (const { id, content, image } of (await store.read()).profiles) {
        expect(isPresentable(id)).toBe(true);
        expect(leaksIn(JSON.stringify({ id, content }), SECRETS)).toEqual([]);
        await outcomeOf(image);
      }
    });
  });

  test("the notes on profiles, says what is in use or a sentence", async () => {
    const file = await placeFor("agent", "auth-profiles.json");
    const environment = environmentIn(dirname(file));
    await writeFile(file, storeText, { mode: 0o600 });
    const store = new OpenclawJsonStore("openclaw:work", dirname(file), dirname(file), environment);
    const choice = new OpenclawJsonChoice("openclaw:work", file, dirname(file), environment);
    const { order, lastGood, usageStats } = profiles;
    await always([JSON.stringify({ order, lastGood, usageStats })], join(dirname(file), "auth-state.json"), async () => {
      await outcomeOf(() => choice.readChoice());
      expect(leaksIn(JSON.stringify(await store.readActive()), SECRETS)).toEqual([]);
    });
  });

  test("openclaw.json, gives agents within the home or a sentence", async () => {
    const home = await temporaryDirectory();
    const environment = environmentIn(home);
    const state = join(home, ".openclaw");
    await mkdir(state, { mode: 0o700 });
    await always([openclawText], join(state, "openclaw.json"), async () => {
      const { agents, problem } = await discoverOpenclaw(state, [], environment);
      for (const { directory, refusal } of agents) {
        expect(refusal !== null || `${directory}/`.startsWith(`${home}/`)).toBe(true);
        if (refusal !== null) await outcomeOf(() => Promise.reject(refusal));
      }
      if (problem !== null) await outcomeOf(() => Promise.reject(problem.error));
      await openclawAuthRules(environment, null);
      const { lineOf, ...preferences } = await readAuthPreferences(state, environment);
      lineOf(["auth", "order", "anthropic"]);
      expect(leaksIn(JSON.stringify(preferences), SECRETS)).toEqual([]);
    });
  });

  test("what openclaw.json includes, and OpenClaw's .env, give agents within the home or a sentence", async () => {
    const home = await temporaryDirectory();
    const environment = environmentIn(home);
    const state = join(home, ".openclaw");
    await mkdir(state, { mode: 0o700 });
    const config = '{ "$include": "a.json5", "agents": { "list": [{ "id": "own", "agentDir": "~/${A}" }] } }';
    await writeFile(join(state, "openclaw.json"), config, { mode: 0o600 });
    await writeFile(join(state, "a.json5"), "{}", { mode: 0o600 });
    const isSane = async (): Promise<void> => {
      const { agents, problem } = await discoverOpenclaw(await openclawStateDirectory(environment, null), [], environment);
      for (const { directory, refusal } of agents) {
        expect(refusal !== null || `${directory}/`.startsWith(`${home}/`)).toBe(true);
        if (refusal !== null) await outcomeOf(() => Promise.reject(refusal));
      }
      if (problem !== null) await outcomeOf(() => Promise.reject(problem.error));
    };
    await always(["A=b\nOPENCLAW_STATE_DIR=~/x\nOPENCLAW_CONFIG_PATH='/x'\n"], join(state, ".env"), isSane);
    await writeFile(join(state, ".env"), "A=b", { mode: 0o600 });
    await always([openclawText, '{ "agents": { "$include": ["a.json5", "b.json5"] } }'], join(state, "a.json5"), isSane);
  });

  test("credsyncd's own configuration, is one or a sentence", async () => {
    const document = `{ source: { kind: "claude-code" }, targets: [{ kind: "openclaw" }], agents: { "x-*": "pinned" },
      alerts: { command: ["a"] }, agentDirs: ["/srv"], "${key}": "${access}", settle: { quietMs: 5 } }`;
    await fc.assert(
      fc.asyncProperty(spoiled(document, document.replace(`"${key}": "${access}",`, "")), async (bytes) => {
        await outcomeOf(() => parseConfig(bytes.toString("utf8"), "/somewhere/config.json5"));
      }),
      RUNS,
    );
  });

  test("the ledger, gives the events that are whole", async () => {
    const path = await placeFor("ledger.jsonl");
    const event: LedgerEvent = { kind: "hold", at: 1, store: "s", profile: "p", reason: null };
    const line = JSON.stringify(event);
    await fc.assert(
      fc.asyncProperty(spoiled(line, `{"kind":"key","at":1,"keyId":"k"}`), async (bytes) => {
        writeFileSync(path, Buffer.concat([Buffer.from(`${line}\n`), bytes, Buffer.from(`\n${line}\n`)]), { mode: 0o600 });
        const ledger = new LedgerFile(path, "other key", new Leftovers());
        expect(await ledger.load()).toEqual(emptyLedger);
        const events = await ledger.events();
        expect([events[0], events.at(-1)]).toEqual([event, event]);
        for (const { at: time } of events) expect(() => new Date(time).toISOString()).not.toThrow();
      }),
      RUNS,
    );
  });

  test("the journal, is a switch or a sentence", async () => {
    const path = await placeFor("journal", "switch-a.json");
    const change = { path: ["profiles", "a"], before: `"${access}"`, after: null, copiedFrom: null, next: null };
    const place = { name: "openclaw:work", format: "openclaw-json", path: "/x", stateDirectory: "/y" };
    const record = { version: 1, id: "a", at: 1, phase: "prepared", provider: "p", profile: "q", donor: null };
    await always([JSON.stringify({ ...record, parts: [{ place, changes: [change] }] })], path, async () => {
      for (const { at: time } of await new SwitchJournalFile(dirname(path), new Leftovers()).list()) new Date(time).toISOString();
    });
  });

  test("a backup, is one or is passed over", async () => {
    const path = await placeFor("backups", "1-a-b.json");
    const backup = { at: 1, store: "openclaw:work", profile: "p", fingerprint: "f", image: `"${access}"` };
    await fc.assert(
      fc.asyncProperty(spoiled(JSON.stringify(backup)), async (bytes) => {
        writeFileSync(path, bytes, { mode: 0o600 });
        for (const { at: time } of await new Backups(dirname(path), new Leftovers(), () => Promise.resolve(false)).list(null))
          new Date(time).toISOString();
      }),
      RUNS,
    );
  });

  test.each<[string, string, (directory: string) => Promise<unknown>]>([
    [
      "alerts.json",
      JSON.stringify({ alerts: [{ kind: "expired", store: "s", profile: null, since: 1, resyncs: 0, raisedAt: 1, saidAt: 1 }] }),
      async (directory) => {
        for (const { since } of await readAlerts(directory)) new Date(since).toISOString();
      },
    ],
    [
      "status.json",
      JSON.stringify({ pid: 1, lastReconcileAt: "x", lastReconcileMs: 1 }),
      (directory) => readDaemonStatus(directory, 1),
    ],
    [
      "run.lock",
      JSON.stringify({ pid: 1, startTime: 1, host: "h", bootId: "b" }),
      (directory) => Promise.all([readHolder(directory), runningDaemon(directory, 0)]),
    ],
  ])("%s, is what it is or none", async (name, document, read) => {
    const path = await placeFor(name);
    await fc.assert(
      fc.asyncProperty(spoiled(document), async (bytes) => {
        writeFileSync(path, bytes, { mode: 0o600 });
        await read(dirname(path));
      }),
      RUNS,
    );
  });

  test("the fingerprint key, is one or a sentence", async () => {
    const path = await placeFor("key");
    await always([`${"0123456789abcdef".repeat(4)}\n`], path, () => readKey(path));
  });

  test("another program's lock, is waited for, or broken once it is old", async () => {
    const path = await placeFor("auth-profiles.json.lock");
    const { clock, predecessors } = environmentIn(dirname(path));
    const payload = JSON.stringify({ pid: 2 ** 30, createdAt: new Date(0).toISOString(), starttime: 1 });
    await fc.assert(
      fc.asyncProperty(spoiled(payload), fc.boolean(), async (bytes, isOld) => {
        await writeFile(path, bytes);
        if (isOld) await utimes(path, 1, 1);
        expect(typeof isForsaken(path)).toBe("boolean");
        const release = await outcomeOf(() => takeOwnerLock(path, { staleMs: 30_000, waitMs: 0, clock, predecessors }, signal));
        release?.();
      }),
      { numRuns: 60 },
    );
  });

  test("a row of an agent's database, is a snapshot or a sentence, and is never written back as something else", async () => {
    const home = await temporaryDirectory();
    await copyOpenclaw("2026.6.11", home);
    const stateDirectory = join(home, ".openclaw");
    const path = join(stateDirectory, "agents", "work", "agent", "openclaw-agent.sqlite");
    const store = new OpenclawSqliteStore(
      { name: "openclaw:work", path, layout: agentLayout, stateDirectory },
      environmentIn(home),
    );
    const value = fc.oneof(
      { weight: 6, arbitrary: spoiled(storeText) },
      fc.constantFrom(1, -0, 1e300, "", "{}", "[]", storeText),
    );
    await fc.assert(
      fc.asyncProperty(value, fc.boolean(), async (row, isText) => {
        await inDatabase(path, (database) => {
          const cast = isText ? "CAST(? AS TEXT)" : "?";
          database.prepare(`UPDATE auth_profile_store SET store_json = ${cast}, updated_at = ?`).run(row, row);
        });
        const snapshot = await outcomeOf(() => store.read());
        const isWhole = !Buffer.isBuffer(row) || Buffer.from(row.toString("utf8")).equals(row);
        if (!isWhole) expect(snapshot).toBeNull();
      }),
      { numRuns: 80 },
    );
  });
});

describe("a row of an agent's database", () => {
  async function withRow(sql: string): Promise<OpenclawSqliteStore> {
    const home = await temporaryDirectory();
    await copyOpenclaw("2026.6.11", home);
    const stateDirectory = join(home, ".openclaw");
    const path = join(stateDirectory, "agents", "work", "agent", "openclaw-agent.sqlite");
    await inDatabase(path, (database) => {
      database.exec(sql);
    });
    return new OpenclawSqliteStore({ name: "openclaw:work", path, layout: agentLayout, stateDirectory }, environmentIn(home));
  }

  test.each([
    ["of 100 MB", "UPDATE auth_profile_store SET store_json = CAST(zeroblob(100000000) AS TEXT)", /100000000 bytes in one row/],
    ["with a NUL behind it", "UPDATE auth_profile_store SET store_json = store_json || char(0)", /is not whole JSON/],
    ["that is no UTF-8", "UPDATE auth_profile_store SET store_json = CAST(x'7b22ff227d' AS TEXT)", /is not UTF-8 text/],
    ["that is a blob", "UPDATE auth_profile_store SET store_json = CAST(store_json AS BLOB)", /in another shape/],
    [
      "behind a trigger that never ends",
      `CREATE TRIGGER t BEFORE UPDATE ON auth_profile_store BEGIN
        SELECT count(*) FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n); END`,
      /has a trigger on auth_profile_store/,
    ],
  ])("%s is refused", async (_what, sql, sentence) => {
    await expect((await withRow(sql)).read()).rejects.toThrow(sentence);
  });
});

describe("a name", () => {
  test.each([
    "anthropic:claude-cli",
    "anthropic:default",
    "openai-codex:firstname.lastname1987@some-company.example.com",
    "openai:org-AbCdEfGh1234567890XyZw12",
    "anthropic:123e4567-e89b-12d3-a456-426614174000",
    "anthropic:My-Very-Long-Agent-Name-For-The-HR-Department-Of-2026",
    "__proto__",
    "../../etc/passwd",
    "über:ü",
    "",
  ])("such as %j is shown", (name) => {
    expect(isPresentable(name)).toBe(true);
  });

  test.each([
    `anthropic:${access}`,
    "x sk-ant-oat01-0123456789abcdef",
    "AIzaSyA1234567890abcdefghijklm",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
    "a\u001b[2J",
    "a\nb",
    "a\u0000",
    "a\u202eb",
    "a".repeat(600),
  ])("such as %j is not", (name) => {
    expect(isPresentable(name)).toBe(false);
  });

  test("with a random token in it is nearly always known for what it is", () => {
    const random = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("base64url"));
    const misses = fc.sample(random, 1000).filter((token) => !looksLikeToken(`anthropic:${token}`));
    expect(misses.length).toBeLessThan(100);
  });
});
