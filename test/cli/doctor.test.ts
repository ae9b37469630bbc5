import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rename, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { keychain } from "../../src/app/doctor/system.js";
import type { DoctorFinding, Patient } from "../../src/app/doctor/finding.js";
import { credsyncd, MAIN } from "../support/command-line.js";
import { runMounted } from "../support/mount-namespace.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { HOUR_MS, PROFILE, TemporaryHome, replace } from "../support/temporary-home.js";

const agents = ["main", "work"];

interface Examined {
  readonly code: number | null;
  readonly findings: readonly DoctorFinding[];
  /** Returns the findings of one check, apart from those that are fine. */
  readonly of: (check: string) => readonly DoctorFinding[];
}

async function examine(home: TemporaryHome, args: readonly string[] = [], variables = {}): Promise<Examined> {
  const { code, stdout } = await credsyncd(home, ["doctor", "--json", ...args], variables);
  const { findings } = JSON.parse(stdout) as { findings: DoctorFinding[] };
  for (const { level, what, why, fix } of findings) {
    expect(what).not.toBe("");
    if (level !== "ok") expect([why, fix]).not.toContain(null);
  }
  return { code, findings, of: (check) => findings.filter((finding) => finding.check === check && finding.level !== "ok") };
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

describe("doctor", () => {
  test("finds nothing wrong where all is well, and changes nothing", async () => {
    const home = await TemporaryHome.create({ agents });
    const config = JSON.parse(await readFile(home.openclawConfig, "utf8")) as object;
    await replace(home.openclawConfig, JSON.stringify({ ...config, meta: { lastTouchedVersion: "2026.5.28" } }));
    const before = await readFile(home.storeFile("main"), "utf8");
    const { code, findings } = await examine(home);
    expect(code).toBe(0);
    expect(findings.filter(({ level }) => level === "error")).toEqual([]);
    expect(new Set(findings.map(({ check }) => check))).toEqual(
      new Set([
        "node",
        "config",
        "daemons",
        "permissions",
        "stores",
        "alerts",
        "symlinks",
        "hard links",
        "locks",
        "clock",
        "state",
        "ledger",
        "inotify",
        "era",
        "whitelists",
        "gateways",
      ]),
    );
    expect(existsSync(home.at(".local"))).toBe(false);
    expect(await readFile(home.storeFile("main"), "utf8")).toBe(before);
  });

  test("reports an agent that the config names and that is absent, since the intended one follows", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ agents: { wrok: "pinned", "scratch-*": "ignore", main: "follow", elsewhere: "ignore" } }`);
    const { code, of } = await examine(home);
    expect(code).toBe(0);
    expect(of("agents").map(({ level, what, fix }) => [level, what, fix])).toEqual([
      ["warning", `agents in the config names "wrok", and there is no such agent`, `did you mean "work"?`],
      ["warning", `agents in the config names "scratch-*", and there is no such agent`, "correct the name, or take it out"],
      ["warning", `agents in the config names "elsewhere", and there is no such agent`, "correct the name, or take it out"],
    ]);
  });

  test("says for a person what is wrong, why it matters and what to do", async () => {
    const home = await TemporaryHome.create({ agents });
    await chmod(home.storeFile("work"), 0o644);
    const { code, stdout } = await credsyncd(home, ["doctor"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^error +permissions: .*auth-profiles\.json is 0644: others may read it$/m);
    expect(stdout).toMatch(/^ +everyone who can read it can use the login$/m);
    expect(stdout).toMatch(/^ +chmod 0600 .*auth-profiles\.json - or: credsyncd doctor --fix$/m);
    expect(stdout).toMatch(/^1 error, \d+ warnings?$/m);
  });

  test("--fix takes from others what they may do, and nothing else", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 0);
    await credsyncd(home, ["sync"]);
    await chmod(home.loginFile, 0o664);
    await chmod(home.storeFile("main"), 0o640);
    await chmod(home.agentDirectory("work"), 0o777);
    await chmod(home.stateDirectory, 0o755);
    await chmod(`${home.stateDirectory}/key`, 0o604);
    expect((await examine(home)).of("permissions")).toHaveLength(5);
    const fixed = await examine(home, ["--fix"]);
    expect(fixed.code).toBe(0);
    expect(fixed.of("permissions").map((finding) => finding.fixed)).toEqual([true, true, true, true, true]);
    expect(await modeOf(home.loginFile)).toBe(0o600);
    expect(await modeOf(home.storeFile("main"))).toBe(0o600);
    expect(await modeOf(home.agentDirectory("work"))).toBe(0o755);
    expect(await modeOf(home.stateDirectory)).toBe(0o700);
    expect(await modeOf(`${home.stateDirectory}/key`)).toBe(0o600);
    expect((await examine(home)).of("permissions")).toEqual([]);
  });

  test("--fix follows no link", async () => {
    const home = await TemporaryHome.create({ agents });
    await writeFile(home.at("elsewhere.json"), await readFile(home.storeFile("work")), { mode: 0o644 });
    await home.remove(home.storeFile("work"));
    await symlink(home.at("elsewhere.json"), home.storeFile("work"));
    const { of } = await examine(home, ["--fix"]);
    expect(of("permissions")).toEqual([]);
    expect(await modeOf(home.at("elsewhere.json"))).toBe(0o644);
    expect(of("symlinks")).toMatchObject([{ level: "warning", what: expect.stringContaining("elsewhere.json") as string }]);
    // A directory of OpenClaw's is no target of its own.
    expect(of("symlinks")[0]?.fix).toContain("remove the link, and sign in there");
  });

  test("names the configuration that cannot be used", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ alert: {} }`);
    const { code, findings } = await examine(home);
    expect(code).toBe(1);
    expect(findings).toMatchObject([{ check: "config", level: "error", fix: 'did you mean "alerts"?' }]);
  });

  test("finds locks that were left behind, not those in use", async () => {
    const home = await TemporaryHome.create({ agents });
    const [old, young] = [`${home.storeFile("work")}.lock`, home.at(".claude", ".storage-write.lock")];
    await writeFile(old, "{}");
    await mkdir(young);
    await mkdir(home.at(".claude.lock"));
    for (const path of [old, home.at(".claude.lock")]) await home.age(path);
    const found = (await examine(home)).of("locks").map(({ fix }) => fix);
    expect(found).toHaveLength(2);
    expect(found.join(" ")).not.toContain(young);
  });

  test("finds files from the future", async () => {
    const home = await TemporaryHome.create({ agents });
    const later = new Date(Date.now() + HOUR_MS);
    await utimes(home.loginFile, later, later);
    expect((await examine(home)).of("clock")).toMatchObject([
      { what: expect.stringMatching(/changed (?:1h|59m).* in the future/) as string },
    ]);
  });

  test("finds copies of a login, and takes from others what they may do with one", async () => {
    const home = await TemporaryHome.create({ agents });
    const copies = [`${home.loginFile}.bak`, `${home.storeFile("main")}.old`] as const;
    await writeFile(copies[0], "{}", { mode: 0o600 });
    await writeFile(copies[1], "{}", { mode: 0o644 });
    const { of, code } = await examine(home);
    expect(of("strays").map(({ level, fix }) => [level, fix])).toEqual(
      copies.map((path) => ["warning", `if it is not needed: rm ${path}`]),
    );
    expect([code, of("permissions").map(({ level, what }) => [level, what.split(" ")[0]])]).toEqual([1, [["error", copies[1]]]]);
    expect((await examine(home, ["--fix"])).of("permissions")).toMatchObject([{ fixed: true }]);
    expect(await modeOf(copies[1])).toBe(0o600);
  });

  test("finds a login that nobody serves any more, and that others may read it", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.configureAgents(["main"]);
    await chmod(home.storeFile("work"), 0o640);
    const { of } = await examine(home);
    expect(of("strays")).toMatchObject([{ level: "info", what: expect.stringContaining("openclaw:work") as string }]);
    expect(of("permissions")).toMatchObject([
      { level: "error", what: expect.stringContaining(home.storeFile("work")) as string },
    ]);
  });

  test("finds a token in the environment, and does not print it", async () => {
    const home = await TemporaryHome.create({ agents });
    const { of } = await examine(home, [], { CLAUDE_CODE_OAUTH_TOKEN: home.token("access", 3) });
    expect(of("strays")).toMatchObject([{ what: "CLAUDE_CODE_OAUTH_TOKEN is set in this environment" }]);
  });

  test("finds what keeps keepWarm from renewing the login, also in the environment of the daemon that runs", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig('{ keepWarm: { command: ["/opt/claude", "auth", "status", "--json"] } }');
    const variables = { CLAUDE_CODE_USE_BEDROCK: "1" };
    const daemon = await RunningDaemon.start(home, { variables });
    const { of } = await examine(home);
    expect(of("keepWarm")).toMatchObject([
      { level: "warning", fix: expect.stringContaining("claude mcp list") as string },
      { level: "warning", what: expect.stringContaining("CLAUDE_CODE_USE_BEDROCK is set") as string },
    ]);
    const said = daemon.lines.filter(({ msg }) => msg === "keepWarm may not renew the login");
    expect(said.map(({ reason }) => reason)).toEqual(of("keepWarm").map(({ what }) => what));

    await home.writeConfig('{ keepWarm: { command: ["claude", "mcp", "list"] } }');
    daemon.signal("SIGHUP");
    await daemon.said("configuration reloaded");
    await daemon.stop();
    expect((await examine(home)).of("keepWarm")).toEqual([]);
  });

  test("says whether a daemon runs, and whether another one does", async () => {
    const home = await TemporaryHome.create({ agents });
    expect((await examine(home)).of("daemons")[0]).toMatchObject({ level: "warning", what: "no daemon runs" });
    const daemon = await RunningDaemon.start(home);
    const other = await RunningDaemon.start(home, { variables: { XDG_STATE_HOME: home.at("other") } });
    const { findings, of } = await examine(home);
    expect(findings).toContainEqual(expect.objectContaining({ what: `the daemon runs, pid ${String(daemon.pid)}` }));
    // Other tests' daemons are this user's, too.
    expect(of("daemons")[0]?.what).toContain(String(other.pid));
    expect(of("daemons")[0]?.what).not.toMatch(new RegExp(`\\b${String(daemon.pid)}\\b`));
  });

  test("says how many lines of the ledger it does not understand", async () => {
    const home = await TemporaryHome.create({ agents });
    await credsyncd(home, ["sync"]);
    const ledger = `${home.stateDirectory}/ledger.jsonl`;
    await writeFile(ledger, `${await readFile(ledger, "utf8")}{"half\n`, { mode: 0o600 });
    expect((await examine(home)).of("ledger")).toMatchObject([{ what: "1 line of ledger.jsonl cannot be understood" }]);
  });

  test("finds that no space is left for its own state", async (context) => {
    const home = await TemporaryHome.create({ agents });
    await home.makeDirectory(home.stateDirectory);
    const script = new URL("./doctor-full-disk.mjs", import.meta.url);
    expect(await runMounted(context, script, MAIN, home.path)).toMatchObject({
      before: [{ level: "ok" }],
      after: [{ level: "error", what: expect.stringMatching(/: 40 KiB are free on its disk$/) as string }],
    });
  });

  test("finds a store that cannot be served, and a source without a login", async () => {
    const home = await TemporaryHome.create({ agents });
    await writeFile(home.storeFile("work"), "{");
    await home.age(home.storeFile("work"));
    await rename(home.loginFile, home.at("gone"));
    const found = (await examine(home)).of("stores");
    expect(found.map(({ level }) => level)).toEqual(["error", "error"]);
    expect(found[1]?.what).toMatch(/^the source claude-code .* is missing/);
    expect(found[1]?.fix).toBe("sign in: claude auth login");
    expect((await examine(home)).of("alerts")).toEqual([]);
  });

  test("tells every alert that holds, and what is behind or held before it is an alert", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(1, { expiresAt: Date.now() - HOUR_MS, signInEndsAt: Date.now() - HOUR_MS });
    await home.writeProfile("main", 0, { expiresAt: Date.now() - 2 * HOUR_MS });
    await home.writeProfile("work", 5, { expiresAt: Date.now() + HOUR_MS });
    const { code, of } = await examine(home);
    expect(code).toBe(1);
    expect(of("alerts").map(({ level, what }) => [level, what.slice(0, what.indexOf(":", 9))])).toEqual([
      ["error", "claude-code"],
      ["error", "claude-code"],
      ["warning", "openclaw:work anthropic"],
      ["warning", "openclaw:main"],
    ]);
    expect(of("alerts")[2]?.fix).toContain("credsyncd adopt openclaw:work");
  });

  describe("of openclaw.json", () => {
    const listed = (profiles: object, order = {}): string =>
      JSON.stringify({ agents: { list: agents.map((id) => ({ id })) }, auth: { profiles, order } });

    test.each([
      ["names no profiles", {}, {}, null],
      ["names the profile", { [PROFILE]: { provider: "claude-cli", mode: "oauth" } }, {}, null],
      ["names another provider's", { "openai:x": { provider: "openai", mode: "api_key" } }, {}, null],
      [
        "names another of its provider",
        { "claude-cli:x": { provider: "claude-cli", mode: "oauth" } },
        {},
        /auth\.profiles names profiles of claude-cli, and not anthropic:claude-cli/,
      ],
      [
        "names it with another mode",
        { [PROFILE]: { provider: "claude-cli", mode: "token" } },
        {},
        /mode is token, the profile is of type oauth/,
      ],
      ["orders without it", {}, { "claude-cli": ["claude-cli:x"] }, /auth\.order\.claude-cli does not name anthropic:claude-cli/],
      ["orders it", {}, { "claude-cli": [PROFILE] }, null],
    ])("that %s", async (_name, profiles, order, problem) => {
      const home = await TemporaryHome.create({ agents });
      await writeFile(home.openclawConfig, listed(profiles, order));
      const found = (await examine(home)).of("whitelists").map(({ what }) => what);
      expect(found).toEqual(problem === null ? [] : [expect.stringMatching(problem) as string]);
    });
  });

  describe("of a gateway that listens", () => {
    async function listening(script: string): Promise<Examined> {
      const home = await TemporaryHome.create({ agents });
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      onTestFinished(() => void server.close());
      await mkdir(home.at("bin"));
      await writeFile(home.at("bin", "openclaw"), `#!/bin/sh\n${script}\n`, { mode: 0o700 });
      const { port } = server.address() as AddressInfo;
      return examine(home, [], { OPENCLAW_GATEWAY_PORT: String(port), PATH: `${home.at("bin")}:${process.env["PATH"] ?? ""}` });
    }

    test("says that it reloads", async () => {
      const { findings, of } = await listening("exit 0");
      expect(of("gateways")).toEqual([]);
      expect(findings.find(({ check }) => check === "gateways")?.what).toMatch(/runs, and reads its stores again/);
    });

    test("says that it does not", async () => {
      const { code, of } = await listening("exit 4");
      expect(code).toBe(1);
      expect(of("gateways")).toMatchObject([{ level: "error", what: expect.stringContaining("exit code 4") as string }]);
    });
  });

  test("on a Mac says whose login is in the Keychain, where it is served", async () => {
    const read = (identity: string): unknown => ({ store: { name: "claude-code" }, snapshot: { identity } });
    const patientWith = (identity: string): Patient =>
      ({ platform: "darwin", result: { observation: { sourceReads: [read(identity)], reads: [] } } }) as unknown as Patient;
    expect(await keychain(patientWith("keychain:Claude Code-credentials:alice"))).toMatchObject([
      { level: "ok", what: "in the Keychain, and served from there: claude-code" },
    ]);
    expect(await keychain(patientWith("1:2"))).toMatchObject([
      { level: "ok", what: expect.stringMatching(/^no login in the Keychain/) as string },
    ]);
  });

  test("says that a variable moves OpenClaw's main store to where nobody looks", async () => {
    const home = await TemporaryHome.create({ agents });
    const elsewhere = (await examine(home, [], { OPENCLAW_AGENT_DIR: "~/elsewhere" })).of("agent-dir");
    expect(elsewhere).toMatchObject([{ level: "warning", what: expect.stringContaining(home.at("elsewhere")) as string }]);
    expect(elsewhere[0]?.fix).toContain("unset OPENCLAW_AGENT_DIR");
    const main = home.storeFile("main").replace(/\/auth-profiles\.json$/, "");
    expect((await examine(home, [], { PI_CODING_AGENT_DIR: main })).of("agent-dir")).toEqual([]);
    const early = (await examine(home, [], { PI_CODING_AGENT_DIR: home.at("elsewhere") })).of("agent-dir");
    expect(early).toMatchObject([{ what: expect.stringContaining("PI_CODING_AGENT_DIR") as string }]);
    await mkdir(home.at(".openclaw/state"));
    await writeFile(home.at(".openclaw/state/openclaw.sqlite"), "");
    expect((await examine(home, [], { PI_CODING_AGENT_DIR: home.at("elsewhere") })).of("agent-dir")).toEqual([]);
  });
});
