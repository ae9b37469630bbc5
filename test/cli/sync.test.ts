import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryName } from "../../src/io/temporary-file.js";
import { credsyncd } from "../support/command-line.js";
import { credsyncdTraced } from "../support/failing-calls.js";
import { HOUR_MS, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

interface SyncJson {
  readonly schemaVersion: 1;
  readonly writes: readonly { store: string; profiles: string[]; result: string }[];
  readonly holds: readonly { store: string; profile: string; reason: string; hint: string }[];
  readonly errors: readonly { store: string; error: string; hint: string }[];
  readonly source: { store: string; state: string };
}

async function syncJson(home: TemporaryHome, ...args: readonly string[]): Promise<SyncJson & { code: number | null }> {
  const { code, stdout } = await credsyncd(home, ["sync", "--json", ...args]);
  return { code, ...(JSON.parse(stdout) as SyncJson) };
}

describe("sync", () => {
  test("brings every agent to the source's login, says which it wrote, and exits 0", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 0);
    const { code, stdout, stderr } = await credsyncd(home, ["sync"]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "written  openclaw:work  anthropic:claude-cli\n", stderr: "" });
    expect(await home.generations(agents)).toEqual([1, 1]);
  });

  test("says where nothing follows, and which store could not be forced", async () => {
    const home = await TemporaryHome.create({ agents });
    await writeFile(home.storeFile("work"), `{"version":1,"profiles":{}}`);
    const { stdout } = await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    expect(stdout).toMatch(/^everything is in sync with g1:.*\nnot forced {2}openclaw:work: it holds no profile that follows/);
    await writeFile(home.storeFile("main"), `{"version":1,"profiles":{}}`);
    expect((await credsyncd(home, ["sync"])).stdout).toMatch(/^nothing follows g1:[0-9a-f]{6}: no store holds such a profile\n/);
  });

  test("where there is no OpenClaw says how to name it, as every command does that would need one", async () => {
    const home = await TemporaryHome.create();
    const none =
      /^nothing follows g1:[0-9a-f]{6}: no agents found that could use this login\n +name OpenClaw's directory in the config: /;
    expect((await credsyncd(home, ["sync"])).stdout).toMatch(none);
    expect((await credsyncd(home, ["status"])).stdout).toMatch(
      /\nno agents found that could use this login\n +name OpenClaw's directory/,
    );
    expect((await credsyncd(home, ["doctor"])).stdout).toMatch(
      /warning stores: no agents found that could use this login\n.*\n +name OpenClaw/,
    );
    expect((await credsyncd(home, ["adopt", "openclaw:main"])).stderr).toContain("hint: name OpenClaw's directory in the config");
  });

  test("gives a command that a shell takes as it stands, whatever the directory is called", async () => {
    const home = await TemporaryHome.create();
    await home.writeConfig(`{ targets: [{ kind: "claude-code", dir: "~/ann's new box", share: "full" }] }`);
    await home.makeDirectory(home.at("ann's new box"));
    await writeFile(home.at("ann's new box", ".credentials.json"), home.login(5), { mode: 0o600 });
    const { holds } = await syncJson(home, "--dry-run");
    const command = /credsyncd sync --force .*$/.exec(holds[0]?.hint ?? "")?.[0] ?? "";
    const said = execFileSync("sh", ["-c", `credsyncd() { printf '%s\\n' "$@"; }; ${command}`], { encoding: "utf8" });
    expect(said.trimEnd().split("\n")).toEqual(["sync", "--force", "claude-code:~/ann's new box"]);
    expect((await syncJson(home, ...said.trimEnd().split("\n").slice(1))).writes).toMatchObject([{ result: "written" }]);
  });

  test("removes what a killed one left half written, beside every login that it may have been about to write", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "~/box" }] }`);
    await home.makeDirectory(home.at("box"));
    await credsyncd(home, ["sync"]);
    const files = [home.loginFile, home.at("box", ".credentials.json"), home.storeFile("work")];
    for (const path of files) await writeFile(temporaryName(path), home.token("access", 1), { mode: 0o600 });
    const killed = { pid: 2 ** 22 + 1, createdAt: new Date().toISOString(), starttime: 4711 };
    await writeFile(join(home.stateDirectory, "state.lock"), JSON.stringify(killed));
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    const names = await Promise.all(files.map(async (path) => readdir(dirname(path))));
    expect(names.flat().filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("that cannot remove a lock says so, and the next one waits for it no moment", async (context) => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(2);
    const lock = `${home.storeFile("work")}.lock`;
    const faults = ["-P", lock, "-e", "trace=unlink", "-e", "inject=unlink:error=EACCES"];
    const { code, stderr } = await credsyncdTraced(context, home, faults, ["sync"]);
    expect(code).toBe(0);
    expect(stderr).toContain(`credsyncd: warning: cannot write ${lock}: permission denied\ncredsyncd: hint: remove it: `);
    expect(existsSync(lock)).toBe(true);
    await home.writeLogin(3);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    expect(await home.generations(agents)).toEqual([3, 3]);
    expect([existsSync(lock), existsSync(join(home.stateDirectory, "state.lock"))]).toEqual([false, false]);
  });

  test("has nothing to do a second time", async () => {
    const home = await TemporaryHome.create({ agents });
    await credsyncd(home, ["sync"]);
    const before = await readFile(home.storeFile("main"), "utf8");
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^everything is in sync with g1:[0-9a-f]{6}\n$/) as string,
    });
    expect(await readFile(home.storeFile("main"), "utf8")).toBe(before);
  });

  test("--json says the same for a script", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 0);
    expect(await syncJson(home)).toMatchObject({
      code: 0,
      schemaVersion: 1,
      writes: [{ store: "openclaw:work", profiles: ["anthropic:claude-cli"], result: "written" }],
      holds: [],
      errors: [],
      source: { store: "claude-code", state: "becomes-live" },
      durationMs: expect.any(Number) as number,
    });
  });

  test("keeps its state to this user", async () => {
    const home = await TemporaryHome.create({ agents });
    await credsyncd(home, ["sync"]);
    expect(statSync(home.stateDirectory).mode & 0o777).toBe(0o700);
    for (const name of await readdir(home.stateDirectory))
      expect(statSync(`${home.stateDirectory}/${name}`).mode & 0o077, name).toBe(0);
  });

  test("exits 69 and says why when there is no login", async () => {
    const home = await TemporaryHome.create({ agents });
    await rm(home.loginFile);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect({ code, stdout }).toEqual({
      code: 69,
      stdout: "source missing  nobody is signed in to Claude Code\n  sign in: claude auth login\n",
    });
  });

  test("exits 69 and says why, with what to do, when the login cannot be read", async () => {
    const home = await TemporaryHome.create({ agents });
    await writeFile(home.loginFile, home.login(2).slice(0, 50));
    await home.age(home.loginFile);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(code).toBe(69);
    expect(stdout).toMatch(/^source unreadable {2}.*is not whole JSON\n {2}let its own program repair it/);
    expect(stdout).not.toContain("--force");
  });

  test("exits 69 and says so when the source is logged out, also beside another trouble", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(1, { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } });
    await writeFile(home.storeFile("work"), "{");
    await home.age(home.storeFile("work"));
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(code).toBe(69);
    expect(stdout).toMatch(/^source logged-out {2}Claude Code is logged out\n {2}sign in: claude auth login$/m);
    expect(stdout).toMatch(/error {2}openclaw:work: .* is not whole JSON/);
  });

  test("exits 3 when a store cannot be understood, and writes the others", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("main", 0);
    await writeFile(home.storeFile("work"), "{");
    await home.age(home.storeFile("work"));
    const result = await syncJson(home);
    expect(result).toMatchObject({ code: 3, errors: [{ store: "openclaw:work" }], writes: [{ store: "openclaw:main" }] });
    expect(result.errors[0]?.hint).toBeTruthy();
    expect(await home.generationOf("main")).toBe(1);
  });

  test("exits 3 when a drift is on hold, and says how to decide", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 5);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(code).toBe(3);
    expect(stdout).toMatch(/^held {2}openclaw:work {2}anthropic:claude-cli: this agent has a newer login than Claude Code/);
    expect(stdout).toContain("credsyncd adopt openclaw:work");
    expect(stdout).toContain("credsyncd sync --force openclaw:work");
    expect(await home.generationOf("work")).toBe(5);
  });
});

describe("sync --dry-run", () => {
  test("says what would be written, and changes nothing on disk", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 0);
    const { code, stdout } = await credsyncd(home, ["sync", "--dry-run"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "would write  openclaw:work  anthropic:claude-cli\n" });
    expect(await home.generations(agents)).toEqual([1, 0]);
    expect(existsSync(home.at(".local"))).toBe(false);
    expect((await readdir(home.path)).sort()).toEqual([".claude", ".openclaw"]);
  });

  test("says so where an agent's rotation would be adopted", async () => {
    const home = await TemporaryHome.create({ agents });
    const spent = { expiresAt: Date.now() - HOUR_MS };
    await home.writeLogin(1, spent);
    for (const agent of agents) await home.writeProfile(agent, 1, spent);
    await credsyncd(home, ["sync"]);
    await home.writeProfile("work", 2);
    const planned = await syncJson(home, "--dry-run");
    expect(planned.writes).toEqual([
      { store: "claude-code", profiles: ["claudeAiOauth"], result: "would-write" },
      { store: "openclaw:main", profiles: ["anthropic:claude-cli"], result: "would-write" },
    ]);
    const done = await syncJson(home);
    expect(done.writes).toEqual(planned.writes.map((write) => ({ ...write, result: "written" })));
  });
});

describe("sync --force", () => {
  test("overrides the hold of the store that is named, and of no other", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("main", 5);
    await home.writeProfile("work", 6);
    expect(await syncJson(home, "--force", "openclaw:work")).toMatchObject({
      code: 3,
      writes: [{ store: "openclaw:work", result: "written" }],
      holds: [{ store: "openclaw:main", reason: "target-newer" }],
    });
    expect(await home.generations(agents)).toEqual([5, 1]);
  });

  test("without a name accepts what the source holds", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(2);
    expect(await syncJson(home)).toMatchObject({ code: 0 });
    await home.writeLogin(1);
    expect(await syncJson(home)).toMatchObject({ code: 3, source: { state: "source-rolled-back" } });
    expect(await syncJson(home, "--force")).toMatchObject({ code: 0 });
    expect(await home.generations(agents)).toEqual([1, 1]);
  });

  test("with a name that no store has exits 64 before anything is written", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("main", 0);
    const { code, stderr } = await credsyncd(home, ["sync", "--force", "openclaw:wrok"]);
    expect(code).toBe(64);
    expect(stderr).toBe(
      "credsyncd: error: there is no store openclaw:wrok\ncredsyncd: hint: stores here: claude-code, openclaw:main, openclaw:work\n",
    );
    expect(await home.generations(agents)).toEqual([0, 1]);
  });
});
