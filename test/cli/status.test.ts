import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { credsyncd, MAIN } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { HOUR_MS, replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];
const time = z.iso.datetime();
const generation = z.string().regex(/^g(?:\d+|\?):[0-9a-f]{6}$/);

/** The contract of `status --json`; fields may be added. */
const contract = z.looseObject({
  schemaVersion: z.literal(1),
  at: time,
  daemon: z.looseObject({
    running: z.boolean(),
    pid: z.number().nullable(),
    lastReconcileAt: time.nullable(),
    lastReconcileMs: z.number().nullable(),
  }),
  source: z.looseObject({
    store: z.string(),
    state: z.enum(["ok", "expiring", "expired", "logged-out", "missing", "unreadable"]),
    generation: generation.nullable(),
    expiresAt: time.nullable(),
    signInEndsAt: time.nullable(),
    account: z.string().nullable(),
  }),
  stores: z.array(
    z.looseObject({
      store: z.string(),
      path: z.string(),
      format: z.string(),
      profiles: z.array(
        z.looseObject({
          profile: z.string(),
          type: z.enum(["oauth", "token", "api_key"]).nullable(),
          binding: z.enum(["follow", "pinned", "ignore"]),
          state: z.enum(["in-sync", "drift", "held", "absent", "error", "separate"]),
          reason: z.string().nullable(),
          generation: generation.nullable(),
          expiresAt: time.nullable(),
        }),
      ),
      active: z.record(z.string(), z.string()),
      error: z.string().nullable(),
    }),
  ),
  alerts: z.array(z.looseObject({ kind: z.string(), store: z.string(), since: z.nullable(time), message: z.string() })),
  summary: z.looseObject({
    stores: z.number(),
    inSync: z.number(),
    drift: z.number(),
    held: z.number(),
    errors: z.number(),
  }),
});

async function report(home: TemporaryHome, ...args: readonly string[]): Promise<z.infer<typeof contract>> {
  const { stdout } = await credsyncd(home, ["status", "--json", ...args]);
  return contract.parse(JSON.parse(stdout));
}

async function checkCode(home: TemporaryHome, ...args: readonly string[]): Promise<number | null> {
  return (await credsyncd(home, ["status", "--check", ...args])).code;
}

/** Everyone holds generation 1, which ends after this long; the ledger knows it. */
async function homeEndingIn(durationMs: number, signInEndsInMs = 1000 * HOUR_MS): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents });
  const expiresAt = Date.now() + durationMs;
  await home.writeLogin(1, { expiresAt, signInEndsAt: Date.now() + signInEndsInMs });
  for (const agent of agents) await home.writeProfile(agent, 1, { expiresAt });
  await credsyncd(home, ["sync"]);
  return home;
}

describe("status", () => {
  test("is a table of what every store holds", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 0);
    await credsyncd(home, ["sync"]);
    await home.writeProfile("work", 0);
    const { code, stdout, stderr } = await credsyncd(home, ["status"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^source {2}claude-code {2}ok {2}g1:[0-9a-f]{6} {2}expires in \d+h/);
    expect(stdout).toContain("daemon  not running");
    expect(stdout).toMatch(/^STORE +PROFILE +STATE +GENERATION +EXPIRES$/m);
    expect(stdout).toMatch(/^openclaw:main +anthropic:claude-cli +in-sync +g1:[0-9a-f]{6} +expires in \d+h/m);
    expect(stdout).toMatch(/^openclaw:work +anthropic:claude-cli +drift/m);
    expect(stdout).toMatch(/^1 of 2 stores in sync, 1 behind$/m);
  });

  test("--json keeps its contract in every state", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work", "held", "pinned", "broken", "gone", "ignored"] });
    await home.writeConfig(`{ agents: { pinned: "pinned", ignored: "ignore" } }`);
    await home.writeProfile("work", 0);
    await home.writeProfile("held", 7);
    await writeFile(home.storeFile("broken"), "{");
    await home.age(home.storeFile("broken"));
    await rm(home.agentDirectory("gone"), { recursive: true });
    await home.writeProfile("stranger", 1);
    const parsed = await report(home);
    const states = parsed.stores.map(({ store, profiles, error }) => [store, profiles[0]?.state ?? null, error !== null]);
    expect(states).toEqual([
      ["openclaw:main", "in-sync", false],
      ["openclaw:work", "drift", false],
      ["openclaw:held", "held", false],
      ["openclaw:pinned", "separate", false],
      ["openclaw:broken", null, true],
      ["openclaw:gone", null, false],
      ["openclaw:ignored", null, false],
    ]);
    expect(parsed.summary).toEqual({ stores: 7, inSync: 1, drift: 1, held: 1, errors: 1 });
    expect(parsed["unconfigured"]).toMatchObject([{ store: "openclaw:stranger" }]);
  });

  test("--json keeps its contract without any login", async () => {
    const home = await TemporaryHome.create({ generation: null });
    expect((await report(home)).source).toMatchObject({ state: "missing", generation: null });
  });

  test("changes nothing, and leaves no state directory", async () => {
    const home = await TemporaryHome.create({ agents });
    const before = await readFile(home.storeFile("main"), "utf8");
    await credsyncd(home, ["status"]);
    expect(existsSync(home.at(".local"))).toBe(false);
    expect(await readFile(home.storeFile("main"), "utf8")).toBe(before);
  });

  test("masks the account", async () => {
    const home = await TemporaryHome.create({ agents });
    const email = home.email("owner");
    const account = { accountUuid: "0c8f1c1e-0000-4000-8000-000000000000", emailAddress: email };
    await writeFile(home.at(".claude.json"), JSON.stringify({ oauthAccount: account }));
    expect((await report(home)).source.account).toBe(`${email.slice(0, 1)}***@example.com`);
  });

  test("names the profile that an agent uses", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const state = { order: { anthropic: ["anthropic:claude-cli"] } };
    await writeFile(home.storeFile("main").replace("auth-profiles", "auth-state"), JSON.stringify(state));
    expect((await report(home)).stores[0]?.active).toEqual({ anthropic: "anthropic:claude-cli" });
  });
});

describe("status --watch", () => {
  test("shows what changed, with --json a line each, until it is interrupted", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    const child = spawn(process.execPath, [MAIN, "status", "--watch", "--json"], {
      env: home.environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const ended = once(child, "close");
    const looks: z.infer<typeof contract>[] = [];
    createInterface(child.stdout).on("line", (line) => {
      home.spoken.push(line);
      looks.push(contract.parse(JSON.parse(line)));
    });
    const states = (): unknown => looks.at(-1)?.stores.map(({ profiles }) => profiles[0]?.state);
    await becomes(states, ["in-sync", "in-sync"]);
    await home.writeProfile("work", 0, { expiresAt: Date.now() + HOUR_MS });
    await becomes(states, ["in-sync", "drift"]);
    expect(looks[0]?.daemon.running).toBe(false);
    child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
  });

  test("fits a terminal, and gives it nothing but its own to obey", async () => {
    const many = Array.from({ length: 30 }, (_, index) => `a${String(index)}`);
    const home = await TemporaryHome.create({ agents: many });
    const terminal = "data:text/javascript,Object.assign(process.stdout,{isTTY:true,rows:16,columns:60})";
    const child = spawn(process.execPath, ["--import", terminal, MAIN, "status", "--watch"], {
      env: home.environment({ CLAUDE_CONFIG_DIR: home.at("\u001b]0;title\u0007") }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let shown = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (shown += text));
    await becomes(() => shown.includes("in sync"), true);
    home.spoken.push(shown);
    const [, look = ""] = shown.split("\u001b[H\u001b[2J");
    expect(look).toContain("title");
    expect(look).not.toContain("\u001b]");
    const lines = look.split("\n").map((line) => stripVTControlCharacters(line));
    expect(lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / 60)), 0)).toBeLessThanOrEqual(16);
    expect(lines.slice(-3)).toEqual([
      expect.stringMatching(/^… \d+ more lines: credsyncd status$/) as string,
      expect.stringMatching(/^\d+ of \d+ stores in sync/) as string,
      "",
    ]);
  });

  test("does not go with --check", async () => {
    const home = await TemporaryHome.create();
    expect(await credsyncd(home, ["status", "--watch", "--check"])).toMatchObject({ code: 64 });
  });
});

describe("status --check", () => {
  test("exits 0 when all is good", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    expect(await checkCode(home)).toBe(0);
  });

  test("exits 1 when the login has expired", async () => {
    const home = await homeEndingIn(-HOUR_MS);
    expect(await checkCode(home)).toBe(1);
    expect((await report(home)).source.state).toBe("expired");
  });

  test("exits 1 when the login is missing, logged out or unreadable", async () => {
    const home = await TemporaryHome.create({ agents });
    await rm(home.loginFile);
    expect(await checkCode(home)).toBe(1);
    await home.writeLogin(1, { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } });
    expect(await checkCode(home)).toBe(1);
    await home.writeLogin(1, { fields: { scopes: "none" } });
    expect(await checkCode(home)).toBe(1);
  });

  test("exits 1 when a following agent holds an expired login", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    await home.writeProfile("work", 1, { expiresAt: Date.now() - HOUR_MS });
    expect(await checkCode(home)).toBe(1);
  });

  test("does not count an expired login on hold: it may be another's", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    await home.writeProfile("work", 8, { id: "anthropic:mine", expiresAt: Date.now() - HOUR_MS });
    expect((await report(home)).stores[1]?.profiles[0]).toMatchObject({ state: "held", reason: "unknown-origin" });
    expect(await checkCode(home)).toBe(3);
  });

  test("does not count an expired login of a pinned agent", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    await home.writeConfig(`{ agents: { work: "pinned" } }`);
    await home.writeProfile("work", 8, { expiresAt: Date.now() - HOUR_MS });
    expect(await checkCode(home)).toBe(0);
  });

  test("exits 2 when the login ends within the window", async () => {
    const home = await homeEndingIn(HOUR_MS / 2);
    expect(await checkCode(home)).toBe(2);
    expect(await checkCode(home, "--expiring-within", "10m")).toBe(0);
  });

  test("takes the window from --expiring-within, else from the configuration", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    expect(await checkCode(home, "--expiring-within", "6h")).toBe(2);
    expect((await report(home, "--expiring-within", "6h")).source.state).toBe("expiring");
    await home.writeConfig(`{ alerts: { expiringWithin: "1d" } }`);
    expect(await checkCode(home)).toBe(2);
    expect(await checkCode(home, "--expiring-within", "1h 30m")).toBe(0);
  });

  test("exits 2 when the sign-in is about to end", async () => {
    const home = await homeEndingIn(5 * HOUR_MS, 24 * HOUR_MS);
    expect(await checkCode(home)).toBe(2);
  });

  test("exits 3 when an agent is behind, held or cannot be read", async () => {
    const home = await homeEndingIn(5 * HOUR_MS);
    await home.writeProfile("work", 0, { expiresAt: Date.now() + HOUR_MS });
    expect(await checkCode(home)).toBe(3);
    await writeFile(home.storeFile("work"), "{");
    await home.age(home.storeFile("work"));
    expect(await checkCode(home)).toBe(3);
  });

  test("expired beats expiring beats held", async () => {
    const home = await homeEndingIn(HOUR_MS / 2);
    await home.writeProfile("main", 8);
    expect(await checkCode(home)).toBe(2);
    await home.writeProfile("work", 1, { expiresAt: Date.now() - HOUR_MS });
    expect(await checkCode(home)).toBe(1);
  });
});

test("without a daemon's memory, a hold is as old as the ledger says, and one without a record shows no age", async () => {
  const home = await TemporaryHome.create({ agents: ["main", "work"] });
  await credsyncd(home, ["sync"]);
  await home.writeProfile("work", 5);
  await credsyncd(home, ["sync"]);
  await writeFile(home.storeFile("main"), "[]");
  const { stdout } = await credsyncd(home, ["history", "--json"]);
  const events = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; at: string; store: string });
  const hold = events.find(({ event, store }) => event === "held" && store === "openclaw:work");
  const { alerts } = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as { alerts: Record<string, unknown>[] };
  expect(hold?.at).toMatch(/^\d{4}-/);
  expect(alerts).toHaveLength(2);
  expect(alerts).toContainEqual(expect.objectContaining({ kind: "target-newer", since: hold?.at }) as unknown);
  expect(alerts).toContainEqual(expect.objectContaining({ kind: "store-error", store: "openclaw:main", since: null }) as unknown);
  const ledger = join(home.stateDirectory, "ledger.jsonl");
  const heldAt = String(Date.parse(hold?.at ?? ""));
  await writeFile(ledger, (await readFile(ledger, "utf8")).replaceAll(heldAt, String(Number(heldAt) - HOUR_MS)));
  const table = (await credsyncd(home, ["status"])).stdout;
  // The table shows its age once.
  expect(table).toMatch(/alert +target-newer [^(\n]* since 1h [^(\n]*ago\n/);
  expect(table).not.toMatch(/alert +store-error .* since /);
});

test("an alert about another home of Claude Code names its login, as the table does", async () => {
  const home = await TemporaryHome.create();
  const box = home.at("box", ".claude");
  await home.writeConfig(JSON.stringify({ targets: [{ kind: "claude-code", dir: box }] }));
  await mkdir(box, { recursive: true, mode: 0o700 });
  await credsyncd(home, ["sync"]);
  const login = JSON.parse(await readFile(home.loginFile, "utf8")) as { claudeAiOauth: object };
  const stub = { ...login.claudeAiOauth, accessToken: "", refreshToken: "" };
  await replace(join(box, ".credentials.json"), JSON.stringify({ claudeAiOauth: stub }));
  const { stdout } = await credsyncd(home, ["status"]);
  expect(stdout).toMatch(new RegExp(`^alert +\\S+ +claude-code:${box} claudeAiOauth: `, "m"));
});
