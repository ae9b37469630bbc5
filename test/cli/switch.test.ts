import { existsSync, statSync } from "node:fs";
import { readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { openclawHome, openclawVersions } from "../support/openclaw-home.js";
import { openRaw } from "../support/raw-database.js";
import { NEW, OLD, SwitchHome, type Keeps } from "../support/switch-home.js";

interface SwitchJson {
  readonly committed: boolean;
  readonly stores: readonly {
    store: string;
    result: string;
    from: string | null;
    to: string | null;
    removed: string[];
    note: string | null;
    error?: string;
  }[];
  readonly warnings: readonly { message: string; line: string; hint: string }[];
  readonly verified?: boolean;
  readonly error?: { code: string; message: string; hint: string };
}

const toNew = ["set-active", "--provider", "anthropic", "--profile", NEW];
const oldToNew = ["migrate", "--provider", "anthropic", "--from", OLD, "--to", NEW];

async function json(host: SwitchHome, ...args: readonly string[]): Promise<SwitchJson & { code: number | null; stderr: string }> {
  const { code, stdout, stderr } = await credsyncd(host.home, [...args, "--json"]);
  return { ...(JSON.parse(stdout) as SwitchJson), code, stderr };
}

const kinds: readonly (readonly [string, readonly Keeps[]])[] = [
  ["one file an agent", ["json"]],
  ["notes in a file of their own", ["json-state"]],
  ["databases", ["sqlite"]],
  ["all of these", ["json", "json-state", "sqlite"]],
];

describe.each(kinds)("with %s", (_name, keeps) => {
  test("set-active makes every agent use the profile, clears what kept it waiting, and leaves everything else", async () => {
    const host = await SwitchHome.five(...keeps);
    const before = await host.allTexts();
    const { code, committed, verified, stores } = await json(host, ...toNew);
    expect({ code, committed, verified }).toEqual({ code: 0, committed: true, verified: true });
    expect(stores).toEqual(
      host.names.map((agent) => ({
        store: `openclaw:${agent}`,
        result: "updated",
        from: OLD,
        to: NEW,
        removed: [],
        copied: false,
        note: null,
      })),
    );
    for (const agent of host.names) {
      const was = host.usual(agent);
      expect(await host.content(agent)).toEqual({
        ...was,
        order: { ...was.order, anthropic: [NEW] },
        lastGood: { anthropic: NEW },
        usageStats: { ...was.usageStats, [NEW]: { lastUsed: 5 } },
      });
      const keptIn = host.agents.get(agent);
      if (keptIn !== "json") expect((await host.texts(agent)).profiles).toBe(before[agent]?.profiles);
      expect(existsSync(host.statePath(agent))).toBe(keptIn === "json-state");
    }
    expect(host.leftovers()).toEqual([]);
  });

  test("a second time there is nothing to do", async () => {
    const host = await SwitchHome.five(...keeps);
    await credsyncd(host.home, toNew);
    const before = await host.allTexts();
    const { code, stores } = await json(host, ...toNew);
    expect({ code, results: stores.map(({ result }) => result) }).toEqual({ code: 0, results: Array(5).fill("unchanged") });
    expect(await host.allTexts()).toEqual(before);
  });

  test("--dry-run says the same and changes nothing, not even the state directory", async () => {
    const host = await SwitchHome.five(...keeps);
    const before = await host.allTexts();
    const { code, committed, stores } = await json(host, ...toNew, "--dry-run");
    expect({ code, committed, results: stores.map(({ result, to }) => [result, to]) }).toEqual({
      code: 0,
      committed: false,
      results: Array(5).fill(["would-update", NEW]),
    });
    expect(await host.allTexts()).toEqual(before);
    expect(existsSync(host.home.stateDirectory)).toBe(false);
  });

  test("migrate --remove-stale removes what is left behind, into the backups, and restore puts it back", async () => {
    const host = await SwitchHome.five(...keeps);
    const was = (await host.content("work")).profiles[OLD];
    const { code, stores } = await json(host, ...oldToNew, "--remove-stale");
    expect({ code, removed: stores.map(({ removed }) => removed) }).toEqual({ code: 0, removed: Array(5).fill([OLD]) });
    for (const agent of host.names) expect(Object.keys((await host.content(agent)).profiles)).toEqual([NEW]);
    const { stdout } = await credsyncd(host.home, ["restore", "--store", "openclaw:work", "--list", "--json"]);
    const [backup] = (JSON.parse(stdout) as { backups: { at: string; profile: string; path: string }[] }).backups;
    expect(backup?.profile).toBe(OLD);
    expect(statSync(backup?.path ?? "").mode & 0o777).toBe(0o600);
    await credsyncd(host.home, ["restore", "--store", "openclaw:work", "--at", backup?.at ?? "", "--yes"]);
    expect((await host.content("work")).profiles[OLD]).toEqual(was);
  });

  test("every one of the many profiles that --remove-stale removes can be put back where it was", async () => {
    const host = await SwitchHome.create({ main: keeps[0] ?? "json", work: keeps.at(-1) ?? "json" });
    const stale = ["a", "b", "c", "d", "e", "f", "g"].map((name) => `anthropic:${name}`);
    // One key everywhere, as a script hands it out: each is a copy of the others.
    const keys = Object.fromEntries(stale.map((id) => [id, host.key(id)]));
    for (const agent of host.names) {
      const { profiles, ...notes } = host.usual(agent);
      await host.write(agent, { profiles: { ...keys, ...profiles }, ...notes });
    }
    expect((await json(host, ...toNew, "--remove-stale")).code).toBe(0);
    for (const agent of host.names) {
      const { stdout } = await credsyncd(host.home, ["restore", "--store", `openclaw:${agent}`, "--list", "--json"]);
      const { backups } = JSON.parse(stdout) as { backups: { profile: string }[] };
      expect(backups.map(({ profile }) => profile).sort()).toEqual([...stale, OLD].sort());
    }
  });

  test("an agent without the profile stands in the way of all; --skip-missing leaves it, --copy-from gives it one", async () => {
    const host = await SwitchHome.five(...keeps);
    const { profiles } = host.usual("hr");
    for (const agent of ["main", "hr"])
      await host.write(agent, { ...host.usual(agent), profiles: { [OLD]: profiles[OLD] ?? {} } });
    const before = await host.allTexts();
    const refused = await json(host, ...toNew);
    expect(refused).toMatchObject({ code: 65, committed: false, stores: [] });
    expect(refused.error?.message).toBe(`2 agents have no ${NEW}: openclaw:main, openclaw:hr`);
    expect(refused.error?.hint).toContain("--copy-from");
    expect(await host.allTexts()).toEqual(before);

    const skipped = await json(host, ...toNew, "--skip-missing");
    expect(skipped.code).toBe(0);
    expect(skipped.stores.filter(({ result }) => result === "absent").map(({ store, to }) => [store, to])).toEqual([
      ["openclaw:main", OLD],
      ["openclaw:hr", OLD],
    ]);
    expect(await host.texts("hr")).toEqual(before["hr"]);

    const copied = await json(host, ...toNew, "--copy-from", "work");
    expect(copied.code).toBe(0);
    expect((await host.content("hr")).profiles[NEW]).toEqual(host.usual("work").profiles[NEW]);
    expect(Object.values(await host.orders())).toEqual(Array(5).fill([NEW]));
    expect(host.leftovers()).toEqual([]);
  });
});

describe.each(openclawVersions)("OpenClaw %s", (version) => {
  test("a profile that one agent has is given to all, and becomes the one in use in each place where that version looks", async () => {
    const { home, stores, store } = await openclawHome(version, { generation: null });
    const files = new Map<string, string[]>();
    for (const { path } of stores) files.set(path, (await readdir(join(path, ".."))).sort());
    const key = { type: "api_key", provider: "anthropic", key: home.token("key", 1) };
    await store("openclaw:work").writeProfile(key, "anthropic:key");
    const { code, stdout } = await credsyncd(home, [...toNew.slice(0, -1), "anthropic:key", "--copy-from", "work", "--json"]);
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 0, committed: true, verified: true });
    for (const each of stores) {
      expect(await each.readProfile("anthropic:key")).toEqual(key);
      const beside = (await readdir(join(each.path, ".."))).filter((name) => !/-(wal|shm)$/.test(name));
      expect(beside.sort()).toEqual(files.get(each.path)?.filter((name) => !/-(wal|shm)$/.test(name)));
    }
  });
});

test("an agent without a store of its own is moved with the shared one that is given the profile", async () => {
  const { home, store } = await openclawHome("2026.9.6", { generation: null });
  const [old, key] = ["old", "key"].map((name) => ({ type: "api_key", provider: "anthropic", key: home.token(name, 1) }));
  if (old === undefined || key === undefined) throw new Error("there are no keys");
  await store("openclaw:shared").writeSet({ version: 1, profiles: { [OLD]: old } });
  await store("openclaw:work").writeSet({ version: 1, profiles: { [OLD]: old, "anthropic:key": key } });
  await rm(home.agentDirectory("ops"), { recursive: true });
  const args = [...toNew.slice(0, -1), "anthropic:key", "--copy-from", "work", "--remove-stale", "--json"];
  const { code, stdout } = await credsyncd(home, args);
  expect(code).toBe(0);
  const { stores } = JSON.parse(stdout) as SwitchJson;
  expect(stores.find(({ store: name }) => name === "openclaw:ops")).toMatchObject({ result: "absent", to: "anthropic:key" });
  expect(stores.find(({ store: name }) => name === "openclaw:shared")).toMatchObject({ removed: [OLD] });
  expect(Object.keys((await store("openclaw:shared").readSet()).profiles)).toEqual(["anthropic:key"]);
});

describe("migrate", () => {
  test("leaves agents alone that use another profile, and only replaces the old one where it is mentioned", async () => {
    const host = await SwitchHome.create({ main: "json", work: "json-state", ops: "sqlite" });
    const third = { ...host.usual("ops").profiles, "anthropic:third": host.token("third") };
    await host.write("ops", {
      profiles: third,
      order: { anthropic: ["anthropic:third", OLD] },
      lastGood: { anthropic: "anthropic:third" },
    });
    const { code, stores } = await json(host, ...oldToNew);
    expect({ code, rows: stores.map(({ from, to, result }) => [from, to, result]) }).toEqual({
      code: 0,
      rows: [
        [OLD, NEW, "updated"],
        [OLD, NEW, "updated"],
        ["anthropic:third", "anthropic:third", "updated"],
      ],
    });
    expect((await host.content("ops")).order).toEqual({ anthropic: ["anthropic:third", NEW] });
  });

  test("keeps the rest of the order behind the new profile", async () => {
    const host = await SwitchHome.create({ main: "json" });
    const third = { ...host.usual("main").profiles, "anthropic:third": host.token("third") };
    await host.write("main", { profiles: third, order: { anthropic: [OLD, "anthropic:third", NEW] } });
    await credsyncd(host.home, oldToNew);
    expect((await host.content("main")).order).toEqual({ anthropic: [NEW, "anthropic:third"] });
  });

  test("what a migration left behind can be removed by the same again, which says so", async () => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite" });
    expect((await json(host, ...oldToNew)).code).toBe(0);
    const dry = await credsyncd(host.home, [...oldToNew, "--remove-stale", "--dry-run"]);
    expect(dry.stdout).toContain(`openclaw:work: would remove ${OLD}, into the backups`);
    const { code, stdout } = await credsyncd(host.home, [...oldToNew, "--remove-stale"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`openclaw:work: removed ${OLD}, which is in the backups`);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe(`no agent used ${OLD}; what was left of it was changed`);
  });

  test("a migration that was made before is no error", async () => {
    const host = await SwitchHome.five("json", "sqlite");
    await credsyncd(host.home, [...oldToNew, "--remove-stale"]);
    expect(await json(host, ...oldToNew, "--remove-stale")).toMatchObject({ code: 0, committed: true, verified: true });
  });
});

describe("names", () => {
  const wrong: readonly (readonly [string, readonly string[], RegExp, RegExp])[] = [
    [
      "an unknown provider",
      ["set-active", "--provider", "antropic", "--profile", NEW],
      /no agent knows/,
      /did you mean anthropic\?/,
    ],
    [
      "an unknown profile",
      ["set-active", "--provider", "anthropic", "--profile", "anthropic:nwe"],
      /no agent has/,
      /did you mean anthropic:new\?/,
    ],
    ["the same profile twice", ["migrate", "--provider", "anthropic", "--from", NEW, "--to", NEW], /the same/, /two profiles/],
    [
      "an unknown profile to leave",
      ["migrate", "--provider", "anthropic", "--from", "anthropic:odl", "--to", NEW],
      /no agent has/,
      /did you mean anthropic:old\?/,
    ],
    ["an unknown agent to copy from", [...toNew, "--copy-from", "wrok"], /no agent wrok/, /did you mean work\?/],
    ["agents that are not there", [...toNew, "--agents", "nobody-*"], /no agent takes part/, /agents here: main/],
    [
      "another provider's profile",
      ["set-active", "--provider", "openai", "--profile", NEW],
      /of the provider anthropic/,
      /--provider anthropic/,
    ],
  ];
  test.each(wrong)("%s is a mistake that is explained (64), and nothing is changed", async (_name, args, message, hint) => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite" });
    await host.write("main", {
      ...host.usual("main"),
      profiles: { ...host.usual("main").profiles, "openai:x": { ...host.key("x"), provider: "openai" } },
    });
    const before = await host.allTexts();
    const { code, error } = await json(host, ...args);
    expect(code).toBe(64);
    expect(error?.message).toMatch(message);
    expect(error?.hint).toMatch(hint);
    expect(await host.allTexts()).toEqual(before);
  });

  test.each([
    ["", "--agents names nobody", 'give it a pattern, such as: --agents "work-*"'],
    ["openclaw:work", "no agent takes part in this", "agents here: main, work"],
  ])("agents that --agents %j does not find are a usage error, with a hint that works", async (pattern, message, hint) => {
    const host = await SwitchHome.create({ main: "json", work: "json" });
    const { code, error } = await json(host, ...toNew, "--agents", pattern);
    expect({ code, error }).toEqual({ code: 64, error: { code: "usage", message, hint } });
  });

  test("a missing option is a usage error", async () => {
    const host = await SwitchHome.create({ main: "json" });
    expect(await credsyncd(host.home, ["set-active", "--provider", "anthropic"])).toMatchObject({
      code: 64,
      stderr: expect.stringContaining("--profile") as string,
    });
  });
});

describe("an OAuth login", () => {
  test("is copied only when that is asked for, and the refusal says why", async () => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite" });
    await host.write("main", { profiles: { "anthropic:me": host.login("me") } });
    const args = ["set-active", "--provider", "anthropic", "--profile", "anthropic:me", "--copy-from", "main"];
    const refused = await json(host, ...args, "--agents", "work");
    expect({ code: refused.code, message: refused.error?.message }).toEqual({
      code: 64,
      message: expect.stringMatching(/each refresh token works once/) as string,
    });
    await host.write("work", { profiles: { [OLD]: host.token("work old") } });
    expect((await json(host, ...args, "--copy-oauth")).code).toBe(0);
    // Work sees main's, so nothing is copied: one refresh token has one owner.
    expect(Object.keys((await host.content("work")).profiles)).toEqual([OLD]);
    expect((await host.content("work")).order).toEqual({ anthropic: ["anthropic:me"] });
  });

  test("that another agent alone has is copied with --copy-oauth", async () => {
    const host = await SwitchHome.create({ main: "json", work: "json-state" });
    await host.write("work", { ...host.usual("work"), profiles: { "anthropic:me": host.login("me") } });
    await host.write("main", { profiles: { [OLD]: host.token("main old") } });
    const args = [
      "set-active",
      "--provider",
      "anthropic",
      "--profile",
      "anthropic:me",
      "--copy-from",
      "openclaw:work",
      "--copy-oauth",
    ];
    expect((await json(host, ...args)).code).toBe(0);
    expect((await host.content("main")).profiles["anthropic:me"]).toEqual(host.login("me"));
  });
});

describe("what belongs to others", () => {
  test("a pinned agent stays as it is, and what it inherits is not removed from under it", async () => {
    const host = await SwitchHome.create({ main: "json", work: "json", hr: "sqlite" });
    await host.home.writeConfig(`{ agents: { hr: "pinned" } }`);
    await host.write("hr", { profiles: {}, order: { anthropic: [OLD] } });
    const before = await host.texts("hr");
    const { code, stores } = await json(host, ...toNew, "--remove-stale");
    expect(code).toBe(0);
    expect(stores.find(({ store }) => store === "openclaw:hr")).toMatchObject({ result: "unchanged", from: OLD, to: OLD });
    expect(stores.map(({ removed }) => removed)).toEqual([[], [OLD], []]);
    expect(stores[0]?.note).toMatch(/kept: openclaw:hr is pinned/);
    expect(await host.texts("hr")).toEqual(before);
  });

  test("a pinned agent stays as it is under the name of another one, too", async () => {
    const host = await SwitchHome.five("json");
    await host.home.writeConfig(`{ agents: { hr: "pinned" } }`);
    await rm(host.path("work"));
    await symlink(host.path("hr"), host.path("work"));
    const before = await readFile(host.path("hr"), "utf8");
    const { committed, stores } = await json(host, ...toNew);
    expect(committed).toBe(true);
    expect(await readFile(host.path("hr"), "utf8")).toBe(before);
    expect(stores.find(({ store }) => store === "openclaw:work")).toMatchObject({ result: "unchanged" });
  });

  test("a pinned agent that would follow the shared order is a reason to refuse, with the command that helps", async () => {
    const host = await SwitchHome.create({ main: "json", hr: "json" });
    await host.home.writeConfig(`{ agents: { hr: "pinned" } }`);
    await host.write("hr", { profiles: { "anthropic:hr": host.token("hr") } });
    const before = await host.allTexts();
    const { code, error } = await json(host, ...toNew);
    expect({ code, error }).toMatchObject({
      code: 65,
      error: {
        message: expect.stringMatching(/openclaw:hr is pinned, but uses the order of openclaw:main/) as string,
        hint: expect.stringContaining(`openclaw models auth order set --agent hr --provider anthropic ${OLD}`) as string,
      },
    });
    expect(await host.allTexts()).toEqual(before);
  });

  test("an agent that is ignored is not read", async () => {
    const host = await SwitchHome.create({ main: "json", scratch: "json" });
    await host.home.writeConfig(`{ agents: { "scratch*": "ignore" } }`);
    await writeFile(host.path("scratch"), "not JSON at all");
    expect(await json(host, ...toNew)).toMatchObject({ code: 0, stores: [{ store: "openclaw:main", result: "updated" }] });
  });

  test("--agents changes only these", async () => {
    const host = await SwitchHome.five("json", "sqlite");
    const before = await host.allTexts();
    const { code, stores } = await json(host, ...toNew, "--agents", "{work,ops}");
    expect({ code, stores: stores.map(({ store }) => store) }).toEqual({ code: 0, stores: ["openclaw:work", "openclaw:ops"] });
    for (const agent of ["main", "hr", "lab"]) expect(await host.texts(agent)).toEqual(before[agent]);
  });

  test("the only credential of an agent that is left out is kept", async () => {
    const host = await SwitchHome.create({ main: "json", work: "json" });
    await host.write("work", { profiles: {} });
    const { stores } = await json(host, ...oldToNew, "--remove-stale", "--agents", "main");
    expect(stores).toEqual([]);
  });
});

describe("openclaw.json", () => {
  test("an order and a list that leave the profile out are warned about, with the line to write", async () => {
    const host = await SwitchHome.create({ main: "json" });
    await host.configure({ order: { anthropic: [OLD] }, profiles: { [OLD]: { provider: "anthropic", mode: "token" } } });
    const { code, warnings } = await json(host, ...toNew);
    expect(code).toBe(0);
    expect(warnings.map(({ line }) => line)).toEqual([
      `"anthropic": ["${NEW}","${OLD}"]`,
      `"${NEW}": {"provider":"anthropic","mode":"api_key"}`,
    ]);
    expect(warnings.map(({ hint }) => hint.split(":")[0])).toEqual(["change this entry to", "add this entry there"]);
    const lines = (await readFile(host.home.openclawConfig, "utf8")).split("\n");
    const place = /openclaw\.json:(\d+) \(auth\.order\.anthropic\)/.exec(warnings[0]?.message ?? "");
    expect(lines[Number(place?.[1]) - 1]).toContain(`"anthropic": [`);
  });

  test("a mode that keeps OpenClaw from using the profile is refused, with the line to change", async () => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite" });
    await host.configure({ profiles: { [NEW]: { provider: "anthropic", mode: "oauth" } } });
    const before = await host.allTexts();
    const { code, error } = await json(host, ...toNew);
    expect(code).toBe(65);
    expect(error?.message).toMatch(/openclaw\.json:\d+ .*its mode is oauth, but it is api_key/);
    expect(error?.hint).toContain(`"${NEW}": {"provider":"anthropic","mode":"api_key"}`);
    expect(await host.allTexts()).toEqual(before);
  });
});

describe("what is in the way", () => {
  const spoilt: readonly (readonly [string, Keeps, number, (host: SwitchHome) => Promise<void>])[] = [
    ["a corrupt store", "json", 65, (host) => writeFile(host.path("ops"), `{"version":1,"profiles":{`)],
    ["a store of a later version", "json", 65, (host) => writeFile(host.path("ops"), `{"version":9,"profiles":{}}`)],
    ["a row that is no JSON", "sqlite", 65, (host) => host.writeRows("ops", "{", null)],
    ["a file that is no database", "sqlite", 65, (host) => host.spoilDatabase("ops")],
    ["notes that are no JSON", "json-state", 65, (host) => writeFile(host.statePath("ops"), "{{{")],
  ];
  test.each(spoilt)("%s is named, and nothing is changed", async (_name, keeps, expected, spoil) => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite", ops: keeps });
    const [main, work] = [await host.texts("main"), await host.texts("work")];
    await spoil(host);
    await host.home.age(host.path("ops"));
    const { code, committed, error } = await json(host, ...toNew);
    expect({ code, committed }).toEqual({ code: expected, committed: false });
    expect(error?.message).toContain(host.home.agentDirectory("ops"));
    expect([await host.texts("main"), await host.texts("work")]).toEqual([main, work]);
    expect(host.leftovers()).toEqual([]);
  });

  test.each([
    ["half of a text", `{"version":1,`, "is not whole JSON"],
    ["a key that stands twice", `{"version":1,"order":{"anthropic":[]},"order":{"anthropic":[]}}`, "has the same key twice"],
  ])("notes in a file of their own with %s are named, not the profiles", async (_name, text, reason) => {
    const host = await SwitchHome.create({ main: "json", work: "json-state" });
    const main = await host.texts("main");
    await writeFile(host.statePath("work"), text);
    for (const options of [["--dry-run"], []]) {
      const { code, error } = await json(host, ...toNew, ...options);
      expect({ code, message: error?.message }).toEqual({ code: 65, message: `${host.statePath("work")} ${reason}` });
    }
    expect(await host.texts("main")).toEqual(main);
  });

  test("a profile that has expired in one agent is named", async () => {
    const host = await SwitchHome.create({ main: "json", work: "json" });
    await host.write("work", { ...host.usual("work"), profiles: { [NEW]: host.token("n", { expires: 1000 }) } });
    const { code, error } = await json(host, ...toNew);
    expect({ code, message: error?.message }).toEqual({
      code: 65,
      message: `${NEW} cannot be used in openclaw:work (its token has expired)`,
    });
  });

  test("a lock that stays held ends in 75, and every store is as it was", { timeout: 60_000 }, async () => {
    const host = await SwitchHome.five("json", "sqlite");
    const before = await host.allTexts();
    const lock = `${host.path("ops")}.lock`;
    await writeFile(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
    const { code, committed, stores, stderr } = await json(host, ...toNew);
    expect({ code, committed }).toEqual({ code: 75, committed: false });
    expect(stores.map(({ store, result }) => [store, result])).toContainEqual(["openclaw:ops", "failed"]);
    expect(stderr).toContain(lock);
    await rm(lock);
    expect(await host.allTexts()).toEqual(before);
    expect(host.leftovers()).toEqual([]);
  });

  test("a database that stays locked ends in 75, and every store is as it was", { timeout: 60_000 }, async () => {
    const host = await SwitchHome.five("json", "sqlite");
    const before = await host.allTexts();
    const database = await openRaw(host.path("work"));
    database.exec("BEGIN IMMEDIATE");
    const { code, committed } = await json(host, ...toNew);
    database.exec("ROLLBACK");
    database.close();
    expect({ code, committed }).toEqual({ code: 75, committed: false });
    expect(await host.allTexts()).toEqual(before);
  });
});

describe("what a person reads", () => {
  test("is a table, and the end of it", async () => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite" });
    const { stdout } = await credsyncd(host.home, toNew);
    expect(stdout.split("\n").slice(0, 3)).toEqual([
      "STORE          BEFORE         AFTER          RESULT",
      "openclaw:main  anthropic:old  anthropic:new  updated",
      "openclaw:work  anthropic:old  anthropic:new  updated",
    ]);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe(`all 2 agents use ${NEW} for anthropic`);
  });

  test("status says in words that agents use different profiles, until they are brought together", async () => {
    const host = await SwitchHome.five("json", "sqlite");
    await host.write("ops", { ...host.usual("ops"), order: { anthropic: [NEW] } });
    const { stdout } = await credsyncd(host.home, ["status"]);
    expect(stdout).toContain(
      `split brain for anthropic: openclaw:main, openclaw:work, openclaw:hr, openclaw:lab use ${OLD}; openclaw:ops uses ${NEW}`,
    );
    expect(stdout).toContain(`credsyncd set-active --provider anthropic --profile ${OLD}`);
    await credsyncd(host.home, toNew);
    expect((await credsyncd(host.home, ["status"])).stdout).not.toContain("split brain");
  });

  test("status names the profile that is used instead of one that nobody has, and its command mends it", async () => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite" });
    for (const agent of host.names)
      await host.write(agent, { profiles: { [NEW]: host.key(agent) }, order: { anthropic: [OLD, NEW] } });
    const { stdout } = await credsyncd(host.home, ["status"]);
    expect(stdout).toContain(`credsyncd set-active --provider anthropic --profile ${NEW} - or`);
    expect((await json(host, ...toNew)).code).toBe(0);
    expect((await credsyncd(host.home, ["status"])).stdout).not.toContain("set-active");
  });

  test("status says that an agent's profile is broken", async () => {
    const host = await SwitchHome.create({ main: "json", work: "json" });
    await host.write("work", { ...host.usual("work"), profiles: { [OLD]: host.token("o", { expires: 1000 }) } });
    const { stdout } = await credsyncd(host.home, ["status", "--json"]);
    expect((JSON.parse(stdout) as { splitBrain: unknown[] }).splitBrain).toMatchObject([
      {
        provider: "anthropic",
        agents: [{ store: "openclaw:main", broken: null }, { broken: `${OLD} is meant, but its token has expired` }],
      },
    ]);
  });
});
