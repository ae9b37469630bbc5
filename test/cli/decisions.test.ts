import { readdir, readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { fenced } from "../support/openclaw-fence.js";
import { PROFILE, replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

/** A home where one agent has a newer login without any proof: it is on hold. */
async function homeWithHold(): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents });
  await home.writeProfile("work", 5);
  await credsyncd(home, ["sync"]);
  return home;
}

/** Beside what the agent has already. */
async function giveProfiles(home: TemporaryHome, profiles: Readonly<Record<string, unknown>>): Promise<void> {
  const own = { [PROFILE]: await home.readProfile("work") };
  await replace(home.storeFile("work"), JSON.stringify({ version: 1, profiles: { ...own, ...profiles } }));
}

describe("adopt", () => {
  test("writes a held target's login to the source, and pushes it", async () => {
    const home = await homeWithHold();
    const { code, stdout } = await credsyncd(home, ["adopt", "openclaw:work"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^the source now holds g\d+:[0-9a-f]{6}, from openclaw:work; pushed to 1 other store\n$/);
    expect(await home.generations(agents)).toEqual([5, 5]);
    expect(await readFile(home.loginFile, "utf8")).toContain(home.token("refresh", 5));
  });

  test("takes the only login of a store that can be the source's, whatever else its agent is signed in to", async () => {
    const home = await homeWithHold();
    await giveProfiles(home, {
      "openai-codex:default": home.profile(7, { fields: { provider: "openai-codex" } }),
      "anthropic:copy": home.profile(1, { fields: { provider: "anthropic" } }),
    });
    const other = await credsyncd(home, ["adopt", "openclaw:work", "--profile", "openai-codex:default"]);
    expect(other).toMatchObject({
      code: 65,
      stderr: expect.stringContaining("nothing to adopt in openai-codex:default") as string,
    });
    expect(await readFile(home.loginFile, "utf8")).toContain(home.token("refresh", 1));
    expect(await credsyncd(home, ["adopt", "openclaw:work"])).toMatchObject({ code: 0, stderr: "" });
    expect(await readFile(home.loginFile, "utf8")).toContain(home.token("refresh", 5));
  });

  test("asks which one where a store has several logins that can be the source's", async () => {
    const home = await homeWithHold();
    await giveProfiles(home, { "anthropic:other": home.profile(6, { fields: { provider: "anthropic" } }) });
    const { code, stderr } = await credsyncd(home, ["adopt", "openclaw:work"]);
    expect(code).toBe(64);
    expect(stderr).toContain("openclaw:work has several logins: anthropic:claude-cli, anthropic:other");
    expect(await home.generations(agents)).toEqual([1, 5]);
  });

  test.each([
    ["openclaw:nobody", 64, /there is no store openclaw:nobody/],
    ["openclaw:main", 65, /openclaw:main has nothing to adopt/],
  ])("of %s exits %i and changes nothing", async (store, expected, message) => {
    const home = await homeWithHold();
    const { code, stderr } = await credsyncd(home, ["adopt", store]);
    expect(code).toBe(expected);
    expect(stderr).toMatch(message);
    expect(await home.generations(agents)).toEqual([1, 5]);
  });
});

describe("history", () => {
  test("shows rotations, writes and holds, oldest first", async () => {
    const home = await homeWithHold();
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    const { code, stdout } = await credsyncd(home, ["history"]);
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/).slice(1, 3));
    expect(events).toEqual([
      ["first-sight", "claude-code"],
      ["held", "openclaw:work"],
      ["rotation", "claude-code"],
      ["written", "openclaw:main"],
    ]);
  });

  test("--limit shows the newest, --json a line an event", async () => {
    const home = await homeWithHold();
    const { stdout } = await credsyncd(home, ["history", "--json", "--limit", "1"]);
    expect(JSON.parse(stdout)).toMatchObject({ event: "held", store: "openclaw:work", detail: "target-newer" });
  });

  test("--since leaves out what happened before", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await credsyncd(home, ["sync"]);
    const since = new Date().toISOString();
    const count = async (...args: readonly string[]): Promise<number> =>
      (await credsyncd(home, ["history", "--json", ...args])).stdout.split("\n").length - 1;
    expect(await count("--since", "1h")).toBe(1);
    expect(await count("--since", since)).toBe(0);
    expect(await count("--since", "2020-01-01")).toBe(1);
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await count("--since", since)).toBe(2);
    expect(await count("--since", since, "--limit", "1")).toBe(1);
  });

  test("of a home where nothing happened says so and leaves no trace", async () => {
    const home = await TemporaryHome.create();
    expect(await credsyncd(home, ["history"])).toEqual({ code: 0, stdout: "nothing happened yet\n", stderr: "" });
    expect(await readdir(home.path)).toEqual([".claude"]);
  });

  test("--limit takes a whole number only", async () => {
    const home = await TemporaryHome.create();
    expect(await credsyncd(home, ["history", "--limit", "all"])).toMatchObject({ code: 64 });
    expect(await credsyncd(home, ["history", "--since", "then"])).toMatchObject({ code: 64 });
  });
});

describe("restore", () => {
  test("waits for a refresh that is under way there, and puts back over one that failed", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 5);
    await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    const restore = ["restore", "--store", "openclaw:work", "--at", "2", "--yes"];
    const refreshed = (failed: boolean): Readonly<Record<string, unknown>> =>
      fenced(home.profile(1), { profile: PROFILE, failed });
    await home.writeProfile("work", 1, { fields: refreshed(false) });
    expect(await credsyncd(home, restore)).toMatchObject({
      code: 75,
      stderr: expect.stringContaining("is refreshing") as string,
    });
    expect(await home.readProfile("work")).toEqual(refreshed(false));
    await home.writeProfile("work", 1, { fields: refreshed(true) });
    expect(await credsyncd(home, restore)).toMatchObject({ code: 0 });
    expect(await home.generationOf("work")).toBe(5);
  });

  test("lists the backups and puts one back", async () => {
    const home = await homeWithHold();
    await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    expect(await home.generationOf("work")).toBe(1);
    const list = await credsyncd(home, ["restore", "--list", "--json"]);
    const [backup] = (JSON.parse(list.stdout) as { backups: { store: string; at: string }[] }).backups;
    expect(backup).toMatchObject({ store: "openclaw:work", profile: "anthropic:claude-cli" });
    const restored = await credsyncd(home, ["restore", "--store", "openclaw:work", "--at", backup?.at ?? "", "--yes"]);
    expect(restored).toMatchObject({ code: 0 });
    expect(restored.stderr).toContain("openclaw:work follows the source");
    expect(await home.readProfile("work")).toEqual(home.profile(5));
  });

  test("asks, and takes no answer for no", async () => {
    const home = await homeWithHold();
    await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    const { code, stderr } = await credsyncd(home, ["restore", "--store", "openclaw:work", "--at", "2"]);
    expect(code).toBe(1);
    expect(stderr).toContain("nothing was restored");
    expect(await home.generationOf("work")).toBe(1);
  });

  test("of a time that no backup has exits 64", async () => {
    const home = await homeWithHold();
    const args = ["restore", "--store", "openclaw:work", "--at", "1999"];
    expect(await credsyncd(home, args)).toMatchObject({ code: 64, stdout: "" });
  });

  test("says that there is nothing to list", async () => {
    const home = await TemporaryHome.create({ agents });
    expect(await credsyncd(home, ["restore", "--list"])).toMatchObject({ code: 0, stdout: "there are no backups\n" });
  });

  test("names the stores that have backups where this one has none", async () => {
    const home = await homeWithHold();
    await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    const { code, stdout } = await credsyncd(home, ["restore", "--store", "openclaw:wrok", "--list"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "there are no backups of openclaw:wrok; of others: openclaw:work\n" });
  });
});

describe("config init", () => {
  test("writes a commented configuration that is good, and shows what it would do", async () => {
    const home = await TemporaryHome.create({ agents });
    const { code, stdout, stderr } = await credsyncd(home, ["config", "init", "--yes"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `wrote ${home.configFile}\n` });
    expect(stderr).toMatch(/openclaw:work +anthropic:claude-cli +oauth/);
    expect(await readFile(home.configFile, "utf8")).toMatch(/^\/\/ credsyncd/);
    expect(await credsyncd(home, ["config", "check"])).toMatchObject({ code: 0, stdout: `${home.configFile} is good\n` });
    expect(await home.generations(agents)).toEqual([1, 1]);
  });

  test.each([
    ["f", { kind: "openclaw", share: "full" }],
    ["a", { kind: "openclaw", share: "access-only", expiryMargin: "5m" }],
    ["", { kind: "openclaw", share: "full" }],
  ])("asked how much of the login agents are given, and answered %j, writes that", async (answer, target) => {
    const home = await TemporaryHome.create({ agents });
    const { code, stderr } = await credsyncd(home, ["config", "init"], {}, "pipe", `${answer}\n`);
    expect(code).toBe(0);
    expect(stderr).toMatch(/token only: Claude Code alone refreshes.*\n.*agents wait until Claude Code is used again/);
    const shown = JSON.parse((await credsyncd(home, ["config", "show"])).stdout) as { targets: unknown };
    expect(shown.targets).toEqual([target]);
  });

  test("does not overwrite one, good or bad", async () => {
    const home = await TemporaryHome.create({ agents });
    for (const text of ["{}", "{ broken"]) {
      await home.writeConfig(text);
      const { code, stderr } = await credsyncd(home, ["config", "init", "--yes"]);
      expect(code).toBe(78);
      expect(stderr).toContain("exists already");
      expect(await readFile(home.configFile, "utf8")).toBe(text);
    }
  });
});
