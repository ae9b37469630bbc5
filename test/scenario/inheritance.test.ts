import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { composeIn } from "../support/composed-daemon.js";
import { agentLayout } from "../../src/programs/openclaw/sqlite.js";
import { openclawHome, OpenclawHands, type OpenclawHome } from "../support/openclaw-home.js";
import { inDatabase } from "../support/raw-database.js";
import { PROFILE } from "../support/temporary-home.js";

interface Report {
  readonly stores: readonly {
    readonly store: string;
    readonly path: string;
    readonly era: string | null;
    readonly versionHint: string | null;
    readonly inherits: unknown;
    readonly profiles: readonly Readonly<Record<string, unknown>>[];
  }[];
  readonly inherits: unknown;
  readonly summary: Readonly<Record<string, number>>;
}

async function reportOf({ home }: OpenclawHome): Promise<Report> {
  return JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Report;
}

async function stateOf(openclaw: OpenclawHome, store: string): Promise<unknown> {
  const { stores } = await reportOf(openclaw);
  return stores.find((status) => status.store === store)?.profiles.find(({ profile }) => profile === PROFILE);
}

/** Leaves only the profile in question, so that no other profile of a fixture is on hold beside it. */
async function withoutOthers(openclaw: OpenclawHome): Promise<OpenclawHome> {
  for (const store of openclaw.stores) await store.writeSet({ version: 1, profiles: { [PROFILE]: openclaw.home.profile(1) } });
  return openclaw;
}

describe("how OpenClaw keeps its stores", () => {
  test.each([
    ["2026.3.11", "json"],
    ["2026.4.15", "json"],
    ["2026.5.28", "json"],
    ["2026.6.11", "sqlite"],
    ["2026.9.6", "sqlite-fenced"],
  ] as const)("%s is %s, with its version as a hint and the path of every store", async (version, era) => {
    const openclaw = await openclawHome(version);
    const { stores } = await reportOf(openclaw);
    expect(stores.map((status) => [status.store, status.era, status.versionHint, status.path])).toEqual(
      openclaw.stores.map(({ name, path }) => [name, era, version, path]),
    );
    const { stdout } = await credsyncd(openclaw.home, ["status", "-v"]);
    expect(stdout).toMatch(/^STORE +PROFILE +STATE +GENERATION +EXPIRES +ERA +VERSION HINT +PATH$/m);
    for (const { name, path } of openclaw.stores)
      expect(stdout).toMatch(new RegExp(`^${name} +${PROFILE} .* ${era} +${version} +${path}$`, "m"));
    expect((await credsyncd(openclaw.home, ["status"])).stdout).not.toContain("VERSION HINT");
  });

  test("with a shared store, made by a version that may have no fences, is sqlite-shared", async () => {
    const openclaw = await openclawHome("2026.9.6");
    await inDatabase(openclaw.store("openclaw:shared").path, (database) => {
      database.exec("PRAGMA user_version = 16");
    });
    expect((await reportOf(openclaw)).stores.map(({ era }) => era)).toEqual(Array(3).fill("sqlite-shared"));
  });

  test.each(["no version", `1 \u001b[31m`, "9".repeat(60), "", 7, null])("shows no hint that is %j", async (version) => {
    const openclaw = await openclawHome("2026.4.15");
    const config = JSON.parse(await readFile(openclaw.home.openclawConfig, "utf8")) as Record<string, unknown>;
    await writeFile(openclaw.home.openclawConfig, JSON.stringify({ ...config, meta: { lastTouchedVersion: version } }));
    const { stores } = await reportOf(openclaw);
    expect(stores.map(({ versionHint }) => versionHint)).toEqual([null, null, null]);
  });
});

describe.each([
  ["2026.6.11", "openclaw:main"],
  ["2026.9.6", "openclaw:shared"],
] as const)("agents of OpenClaw %s, which inherit from %s", (version, shared) => {
  test("are shown with what they inherit, and are given no copy", async () => {
    const openclaw = await withoutOthers(await openclawHome(version));
    const work = openclaw.store("openclaw:work");
    await work.removeProfile();
    const before = await work.readSet();
    await openclaw.home.writeLogin(2);
    await credsyncd(openclaw.home, ["sync"]);
    expect(await work.readSet()).toEqual(before);
    expect(await openclaw.store(shared).generation()).toBe(2);
    const report = await reportOf(openclaw);
    expect(report.stores.map(({ store, inherits }) => [store, inherits])).toEqual([
      [shared, null],
      ["openclaw:work", { store: shared, profiles: [PROFILE] }],
      ["openclaw:ops", null],
    ]);
    expect(report.summary).toEqual({ stores: 3, inSync: 3, drift: 0, held: 0, errors: 0 });
    const { stdout } = await credsyncd(openclaw.home, ["status"]);
    expect(stdout).toMatch(new RegExp(`^openclaw:work +${PROFILE} +inherits from ${shared} +g\\d:[0-9a-f]{6} +expires in`, "m"));
    // OpenClaw 2026.9.6 never sends the profile that all of them have here: in sync is not enough.
    expect(await credsyncd(openclaw.home, ["status", "--check"])).toMatchObject({ code: version === "2026.9.6" ? 3 : 0 });
  });

  test("are reported if a login of their own hides the fresh one, with the remedy", async () => {
    const openclaw = await withoutOthers(await openclawHome(version));
    await credsyncd(openclaw.home, ["sync"]);
    await openclaw.store("openclaw:ops").writeProfile(openclaw.home.profile(9));
    await openclaw.home.writeLogin(2);
    await credsyncd(openclaw.home, ["sync"]);
    expect(await stateOf(openclaw, "openclaw:ops")).toMatchObject({ state: "held", reason: "target-newer", hides: shared });
    expect(await stateOf(openclaw, shared)).toMatchObject({ state: "in-sync", hides: null });
    expect(await stateOf(openclaw, "openclaw:work")).toMatchObject({ state: "in-sync", hides: null });
    const { stdout } = await credsyncd(openclaw.home, ["status"]);
    expect(stdout).toContain(
      `openclaw:ops ${PROFILE}: its agent uses this one, not the one in ${shared}, which is in sync\n  settle it, or remove`,
    );
  });

  test("are not told that where they are pinned, or the shared one is not fresh either", async () => {
    const openclaw = await withoutOthers(await openclawHome(version));
    await credsyncd(openclaw.home, ["sync"]);
    await openclaw.store("openclaw:ops").writeProfile(openclaw.home.profile(9));
    await openclaw.home.writeConfig(`{ agents: { ops: "pinned" } }`);
    expect(await stateOf(openclaw, "openclaw:ops")).toMatchObject({ state: "separate", hides: null });
    await openclaw.home.writeConfig("{}");
    await openclaw.store(shared).writeProfile(openclaw.home.profile(8));
    expect(await stateOf(openclaw, "openclaw:ops")).toMatchObject({ state: "held", hides: null });
  });
});

describe("an agent without a store of its own", () => {
  test("is shown with what it inherits from the shared store", async () => {
    const openclaw = await openclawHome("2026.9.6");
    await credsyncd(openclaw.home, ["sync"]);
    const directory = openclaw.home.agentDirectory("main");
    expect((await reportOf(openclaw)).inherits).toEqual([
      { store: "openclaw:main", path: directory, from: "openclaw:shared", profiles: [PROFILE] },
    ]);
    expect((await credsyncd(openclaw.home, ["status"])).stdout).toMatch(
      new RegExp(`^openclaw:main +${PROFILE} +inherits from openclaw:shared +g1:`, "m"),
    );
  });
});

describe("an agent that is called like the shared store", () => {
  async function homeWithTwins(): Promise<OpenclawHome & { readonly twin: OpenclawHands }> {
    const openclaw = await openclawHome("2026.9.6");
    const { home, store } = openclaw;
    const path = join(home.agentDirectory("shared"), "openclaw-agent.sqlite");
    await mkdir(home.agentDirectory("shared"), { mode: 0o700, recursive: true });
    await writeFile(path, "", { mode: 0o600 });
    // The files of an open database change under a copy of them; this is one whole snapshot.
    await inDatabase(store("openclaw:work").path, (database) => {
      database.exec(`VACUUM INTO '${path}'`);
    });
    await inDatabase(path, (database) => {
      database.exec("PRAGMA journal_mode = WAL");
    });
    const config = JSON.parse(await readFile(home.openclawConfig, "utf8")) as { agents: { entries: Record<string, unknown> } };
    config.agents.entries["shared"] = {};
    await writeFile(home.openclawConfig, JSON.stringify(config));
    return { ...openclaw, twin: new OpenclawHands("openclaw:agents/shared", path, agentLayout) };
  }

  test("is another store, so that a rotation reaches both", async () => {
    const { home, store, twin } = await homeWithTwins();
    const { reconcile } = await composeIn(home);
    await reconcile();
    await home.writeLogin(2);
    const { writes } = await reconcile();
    expect([await store("openclaw:shared").generation(), await twin.generation()]).toEqual([2, 2]);
    const names = ["openclaw:agents/shared", "openclaw:ops", "openclaw:shared", "openclaw:work"];
    expect(writes.map((write) => write.store).sort()).toEqual(names);
  });

  test("is not the source if the shared store is configured", async () => {
    const { home, store, twin } = await homeWithTwins();
    await home.writeConfig(`{ source: { kind: "openclaw", agent: "shared", profile: "${PROFILE}" } }`);
    const { reconcile } = await composeIn(home);
    await reconcile();
    await store("openclaw:shared").writeProfile(home.profile(2));
    await reconcile();
    expect(await twin.generation()).toBe(2);
  });

  test("chooses its own profile", async () => {
    const { home } = await homeWithTwins();
    const { stdout } = await credsyncd(home, [
      "set-active",
      "--provider",
      "claude-cli",
      "--profile",
      PROFILE,
      "--json",
      "--dry-run",
    ]);
    const { stores } = JSON.parse(stdout) as { stores: { store: string }[] };
    expect(stores.map((row) => row.store).filter((name) => name.endsWith("shared"))).toEqual([
      "openclaw:shared",
      "openclaw:agents/shared",
    ]);
  });
});

describe("main's store, which other agents inherit from or copy", () => {
  test.each(["2026.4.15", "2026.6.11"] as const)(
    "is served in %s although the config names other agents only",
    async (version) => {
      const openclaw = await openclawHome(version);
      const path = openclaw.home.openclawConfig;
      const config = JSON.parse(await readFile(path, "utf8")) as { agents: { list: { id: string }[] } };
      config.agents.list = config.agents.list.filter(({ id }) => id !== "main");
      await writeFile(path, JSON.stringify(config));
      await openclaw.home.writeLogin(2);
      const { plan } = await (await composeIn(openclaw.home)).reconcile();
      expect(plan.writes.map(({ target }) => target.store).sort()).toEqual(["openclaw:main", "openclaw:ops", "openclaw:work"]);
      expect(await openclaw.store("openclaw:main").generation()).toBe(2);
    },
  );

  test("is not, where there is a shared store: nobody reads it", async () => {
    const openclaw = await openclawHome("2026.9.6");
    const { home } = openclaw;
    const path = home.openclawConfig;
    const config = JSON.parse(await readFile(path, "utf8")) as { agents: { entries: Record<string, unknown> } };
    delete config.agents.entries["main"];
    await writeFile(path, JSON.stringify(config));
    await home.makeDirectory(home.agentDirectory("main"));
    const database = await readFile(openclaw.store("openclaw:work").path);
    await writeFile(join(home.agentDirectory("main"), "openclaw-agent.sqlite"), database, { mode: 0o600 });
    const { observation } = await (await composeIn(home)).reconcile();
    expect(observation.reads.map(({ target }) => target.store.name)).toEqual([
      "openclaw:shared",
      "openclaw:work",
      "openclaw:ops",
    ]);
  });
});
