import { cp, mkdir, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { StoreError } from "../../../src/domain/errors.js";
import { discoverOpenclaw, normalizeAgentId, openclawStateDirectory } from "../../../src/programs/openclaw/discovery.js";
import { locateOpenclawSource, lookAround, openclawStores, usualOpenclaw } from "../../../src/programs/openclaw/stores.js";
import { environmentIn } from "../../support/environment.js";
import { copyOpenclaw, type OpenclawVersion } from "../../support/fixtures.js";
import { inDatabase } from "../../support/raw-database.js";
import { leaveFile } from "../../support/store-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const { signal } = new AbortController();

/** A home whose OpenClaw has this config and these files. */
async function makeOpenclaw(config: string | null, files: readonly string[] = []): Promise<string> {
  const home = await temporaryDirectory();
  const stateDirectory = join(home, ".openclaw");
  await mkdir(stateDirectory);
  if (config !== null) await leaveFile(join(stateDirectory, "openclaw.json"), config);
  for (const file of files) await leaveFile(join(stateDirectory, file), "");
  return home;
}

/** The state database of a real one, in which its shared store is. */
async function copySharedInto(home: string): Promise<void> {
  const stateDirectory = await copyOpenclaw("2026.9.6", await temporaryDirectory());
  await cp(join(stateDirectory, "state"), join(home, ".openclaw", "state"), { recursive: true });
}

/** Lists the agents found, a line each, with paths below the home. */
async function find(home: string, variables: Record<string, string> = {}): Promise<string[]> {
  const environment = environmentIn(home, variables);
  const { agents } = await discoverOpenclaw(await openclawStateDirectory(environment, null), [], environment);
  return agents.map(({ id, directory, keeps, hasFile, configured }) => {
    const notes = `${hasFile && keeps !== "json" ? " retired" : ""}${configured ? "" : " unconfigured"}`;
    return `${id} ${keeps}${notes} ${directory.replace(`${home}/`, "")}`;
  });
}

const agentsIn = (...ids: readonly string[]): string[] => ids.map((id) => `${id} json .openclaw/agents/${id}/agent`);

describe("the agents of an OpenClaw", () => {
  test.each<[string, string | null, string[]]>([
    ["there is just main without a config", null, agentsIn("main")],
    ["there is just main in a config that names none", "{}", agentsIn("main")],
    ["there is just main in an empty list", `{"agents":{"list":[]}}`, agentsIn("main")],
    ["are those of the list", `{"agents":{"list":[{"id":"main"},{"id":"work"}]}}`, agentsIn("main", "work")],
    ["are those of the list alone, with or without main", `{"agents":{"list":[{"id":"work"}]}}`, agentsIn("work")],
    ["are those of the entries", `{"agents":{"entries":{"main":{},"work":{}}}}`, agentsIn("main", "work")],
    ["are those of the entries where both are there", `{"agents":{"list":[{"id":"a"}],"entries":{"b":{}}}}`, agentsIn("b")],
    ["are each named once", `{"agents":{"list":[{"id":"Work"},{"id":"work "}]}}`, agentsIn("work")],
    ["are main where they have no id", `{"agents":{"list":[{"name":"x"}]}}`, agentsIn("main")],
    ["may stand in JSON5", `// a comment\n{agents: {list: [{id: 'work',},],},}`, agentsIn("work")],
  ])("%s", async (_what, config, expected) => {
    expect(await find(await makeOpenclaw(config))).toEqual(expected);
  });

  test.each<[string, (home: string) => string, string]>([
    ["absolute", (home) => join(home, "elsewhere"), "elsewhere"],
    ["below the home", () => "~/elsewhere", "elsewhere"],
    ["below the state directory", () => "elsewhere", ".openclaw/elsewhere"],
    ["blank", () => "  ", ".openclaw/agents/work/agent"],
  ])("may have a directory that is %s", async (_what, agentDir, expected) => {
    const home = await makeOpenclaw(null);
    const config = JSON.stringify({ agents: { list: [{ id: "work", agentDir: agentDir(home) }] } });
    await leaveFile(join(home, ".openclaw", "openclaw.json"), config);
    expect(await find(home)).toEqual([`work json ${expected}`]);
  });

  test.each(["/elsewhere", "~/elsewhere"])("have ~ expanded to OPENCLAW_HOME, here %s", async (openclawHome) => {
    const home = await makeOpenclaw(`{"agents":{"list":[{"id":"work","agentDir":"~/work"}]}}`);
    const environment = environmentIn(home, { OPENCLAW_HOME: openclawHome });
    const { agents } = await discoverOpenclaw(join(home, ".openclaw"), [], environment);
    expect(agents.map(({ directory }) => directory)).toEqual([`${openclawHome.replace("~", home)}/work`]);
    expect(await openclawStateDirectory(environment, null)).toBe(`${openclawHome.replace("~", home)}/.openclaw`);
  });

  test("that are there and not configured are marked, if they have credentials", async () => {
    const files = ["agents/main/agent/auth-profiles.json", "agents/old/agent/auth-profiles.json", "agents/empty/agent/notes"];
    const home = await makeOpenclaw(`{"agents":{"list":[{"id":"main"}]}}`, files);
    expect(await find(home)).toEqual([...agentsIn("main"), "old json unconfigured .openclaw/agents/old/agent"]);
  });

  test("are not taken for unconfigured where a config names the same directory by another name or a link", async () => {
    const home = await makeOpenclaw(null, ["agents/Work/agent/auth-profiles.json", "agents/real/agent/auth-profiles.json"]);
    await symlink(join(home, ".openclaw", "agents", "real"), join(home, ".openclaw", "agents", "link"));
    const agentDir = join(home, ".openclaw", "agents", "Work", "agent");
    const config = JSON.stringify({ agents: { list: [{ id: "work", agentDir }, { id: "link" }] } });
    await leaveFile(join(home, ".openclaw", "openclaw.json"), config);
    expect(await find(home)).toEqual(["work json .openclaw/agents/Work/agent", "link json .openclaw/agents/link/agent"]);
  });

  test.each(["{ agents: [[ ", "[1]", `{"agents":5}`, `{"agents":{"list":{"id":"x"}}}`, `{"agents":{"list":["x"]}}`])(
    "are those whose directories exist while the config is %s, and a finding says so",
    async (config) => {
      const home = await makeOpenclaw(config, ["agents/work/agent/auth-profiles.json"]);
      expect(await find(home)).toEqual(agentsIn("work"));
      const { problem } = await discoverOpenclaw(join(home, ".openclaw"), [], environmentIn(home));
      expect(problem).toMatchObject({
        path: join(home, ".openclaw", "openclaw.json"),
        error: { code: "malformed", hint: expect.any(String) as string },
      });
    },
  );

  test("show nothing of a config that is broken", async () => {
    const home = await makeOpenclaw(`{ "gateway": { "token": "a-secret" `);
    const { problem } = await discoverOpenclaw(join(home, ".openclaw"), [], environmentIn(home));
    expect(problem?.error.message).not.toContain("a-secret");
  });

  test("are an empty list if there is no OpenClaw", async () => {
    const home = await temporaryDirectory();
    expect(await find(home)).toEqual([]);
  });
});

describe("where an agent keeps its credentials", () => {
  const file = "agents/main/agent/auth-profiles.json";
  const database = "agents/main/agent/openclaw-agent.sqlite";
  const shared = "state/openclaw.sqlite";
  test.each<[string[], string]>([
    [[], "json"],
    [[file], "json"],
    [[database], "sqlite"],
    [[file, database], "sqlite retired"],
    [[shared], "inherits"],
    [[file, shared], "inherits retired"],
    [[database, shared], "sqlite"],
    [[file, database, shared], "sqlite retired"],
  ])("is found from the files %j: %s", async (files, expected) => {
    expect(await find(await makeOpenclaw("{}", files))).toEqual([`main ${expected} .openclaw/agents/main/agent`]);
  });
});

describe("a place that cannot be read", () => {
  const directory = "agents/work/agent";
  const file = `${directory}/auth-profiles.json`;
  const database = `${directory}/openclaw-agent.sqlite`;
  const shared = "state/openclaw.sqlite";
  const config = `{"agents":{"list":[{"id":"work"}]}}`;

  /** Links that lead in a circle stand for a place that nobody can look at, whoever runs the tests. */
  async function obscure(home: string, ...parts: readonly string[]): Promise<string> {
    const path = join(home, ...parts);
    await rm(path, { recursive: true, force: true });
    await mkdir(dirname(path), { recursive: true });
    await symlink(basename(path), path);
    return path;
  }

  async function locate(home: string): Promise<{ stores: string[]; findings: string[] }> {
    const environment = environmentIn(home);
    const { stores, findings } = openclawStores(await lookAround(usualOpenclaw, environment), usualOpenclaw, environment);
    const reads = stores.map(async ({ store }) => {
      const outcome = await store.read(signal).then(
        () => "read",
        (error: unknown) => (error as StoreError).message,
      );
      return `${store.name} ${outcome}`;
    });
    return {
      stores: await Promise.all(reads),
      findings: findings.map(({ store, kind, error }) => `${store} ${kind} ${error?.message ?? ""}`.trim()),
    };
  }
  test.each([
    ["a list", (id: string) => ({ list: [{ id: "work" }, { id }] })],
    ["entries", (id: string) => ({ entries: { work: {}, [id]: {} } })],
  ])("name no agent in %s whose id is built like a token, and say so", async (_what, agentsOf) => {
    const id = "sk-ant-ort01-QzR7tK9wLm3XpV5nB8dF2hJ6sG4aYc1e";
    const home = await makeOpenclaw(JSON.stringify({ agents: agentsOf(id) }), [
      `agents/${id.toLowerCase()}/agent/auth-profiles.json`,
    ]);
    const { stores, findings } = await locate(home);
    expect(stores).toEqual([
      "openclaw:work read",
      "openclaw:(agent 2) the id of (agent 2) in openclaw.json is built like a token, so that it must not be shown",
    ]);
    expect(JSON.stringify([stores, findings]).toLowerCase()).not.toContain("qzr7");
  });

  const circle = (path: string): string => `cannot read ${path}: its symbolic links lead in a circle`;

  test.each<[what: string, files: string[], obscured: string, named: string]>([
    ["its directory", [], directory, directory],
    ["its database, where it might inherit", [file, shared], database, database],
    ["its database, where there may be a file", [file], database, database],
    ["its file", [], file, file],
  ])("of an agent, %s, is reported, and the agent neither vanishes nor inherits", async (_what, files, obscured, named) => {
    const home = await makeOpenclaw(
      config,
      files.filter((name) => name !== shared),
    );
    if (files.includes(shared)) await copySharedInto(home);
    await obscure(home, ".openclaw", obscured);
    const { stores, findings } = await locate(home);
    expect(stores.filter((line) => line.startsWith("openclaw:work"))).toEqual([
      `openclaw:work ${circle(join(home, ".openclaw", named))}`,
    ]);
    expect(findings).toEqual([]);
  });

  test("of an OpenClaw, its state database, is reported for what may depend on it, and for nothing else", async () => {
    const home = await temporaryDirectory();
    const stateDirectory = await copyOpenclaw("2026.9.6", home);
    const path = await obscure(home, ".openclaw", shared);
    for (const end of ["", "-wal", "-shm"])
      await rm(join(stateDirectory, `agents/ops/agent/openclaw-agent.sqlite${end}`), { force: true });
    const { stores, findings } = await locate(home);
    expect(stores.sort()).toEqual([`openclaw:main ${circle(path)}`, `openclaw:ops ${circle(path)}`, "openclaw:work read"]);
    expect(findings).toEqual([`openclaw:shared error ${circle(path)}`]);
  });

  test("of an OpenClaw, the directory of its agents, is reported: it may hide what all inherit from", async () => {
    const home = await makeOpenclaw(`{"agents":{"list":[{"id":"work","agentDir":"~/work"}]}}`);
    const path = await obscure(home, ".openclaw", "agents");
    expect(await locate(home)).toEqual({ stores: ["openclaw:work read"], findings: [`openclaw error ${circle(path)}`] });
  });

  test("is no OpenClaw that is not there, and no other takes its place", async () => {
    const home = await temporaryDirectory();
    await mkdir(join(home, ".clawdbot", "agents", "main", "agent"), { recursive: true });
    const path = await obscure(home, ".openclaw");
    expect(await locate(home)).toEqual({ stores: [], findings: [`openclaw error ${circle(path)}`] });
  });

  test("where agentDir leads, is not served", async () => {
    const home = await makeOpenclaw(`{"agents":{"list":[{"id":"work","agentDir":"~/link/work"}]}}`);
    const path = await obscure(home, "link");
    const { stores } = await locate(home);
    expect(stores).toEqual([`openclaw:work ${circle(join(path, "work"))}`]);
  });

  test.each([directory, "agents", ""])(
    "of the source, here %j, is a failure, and no source that is missing",
    async (obscured) => {
      const home = await makeOpenclaw(obscured === "agents" ? "{ broken" : config);
      await obscure(home, ".openclaw", obscured);
      const spec = { openclaw: usualOpenclaw, agent: "work", named: ["a:b"], matches: () => true, text: "a:b" };
      const { stores } = await locateOpenclawSource(spec, environmentIn(home));
      await expect(stores[0].read(signal)).rejects.toMatchObject({ code: expect.stringMatching(/symlink|malformed/) as string });
    },
  );
});

describe("an agent's id", () => {
  test.each([
    ["main", "main"],
    [" Work ", "work"],
    ["a_b-c9", "a_b-c9"],
    ["my agent!", "my-agent"],
    ["--x--", "x"],
    ["ünï", "n"],
    ["", "main"],
    ["///", "main"],
    ["a".repeat(70), "a".repeat(64)],
    ["__proto__", "__proto__"],
  ])("%j becomes %j", (name, id) => {
    expect(normalizeAgentId(name)).toBe(id);
  });
});

describe("OpenClaw's state directory", () => {
  test.each<[string[], Record<string, string>, string]>([
    [[], {}, ".openclaw"],
    [[".openclaw", ".clawdbot"], {}, ".openclaw"],
    [[".clawdbot", ".moltbot"], {}, ".clawdbot"],
    [[".moldbot"], {}, ".moldbot"],
    [[".moltbot"], {}, ".moltbot"],
    [[".openclaw"], { OPENCLAW_STATE_DIR: "~/moved" }, "moved"],
    [[".openclaw"], { CLAWDBOT_STATE_DIR: "~/older" }, "older"],
    [[".openclaw"], { OPENCLAW_STATE_DIR: "~/moved", CLAWDBOT_STATE_DIR: "~/older" }, "moved"],
    [[".openclaw"], { OPENCLAW_STATE_DIR: " " }, ".openclaw"],
  ])("among %j with %j is %s", async (present, variables, expected) => {
    const home = await temporaryDirectory();
    for (const name of present) await mkdir(join(home, name));
    expect(await openclawStateDirectory(environmentIn(home, variables), null)).toBe(join(home, expected));
  });

  test("is below OPENCLAW_HOME where that is set, and is what the config of credsyncd says before all", async () => {
    const [home, other] = [await temporaryDirectory(), await temporaryDirectory()];
    expect(await openclawStateDirectory(environmentIn(home, { OPENCLAW_HOME: other }), null)).toBe(join(other, ".openclaw"));
    const moved = environmentIn(home, { OPENCLAW_STATE_DIR: "/elsewhere" });
    expect(await openclawStateDirectory(moved, "~/mine")).toBe(join(home, "mine"));
  });
});

describe("the stores of a real OpenClaw", () => {
  async function locate(
    version: OpenclawVersion,
    change: (stateDirectory: string) => Promise<unknown> = () => Promise.resolve(),
  ) {
    const home = await temporaryDirectory();
    const stateDirectory = await copyOpenclaw(version, home);
    await change(stateDirectory);
    const { stores, findings } = openclawStores(
      await lookAround(usualOpenclaw, environmentIn(home)),
      usualOpenclaw,
      environmentIn(home),
    );
    return {
      stores: stores.map(({ store }) => `${store.name} ${store.format} ${store.path.replace(`${stateDirectory}/`, "")}`),
      findings: findings.map(({ store, kind, error }) => [store, kind, error?.code ?? "-"].join(" ")),
    };
  }
  const files = ["main", "work", "ops"].map((id) => `openclaw:${id} openclaw-json agents/${id}/agent/auth-profiles.json`);
  const databases = ["main", "work", "ops"].map(
    (id) => `openclaw:${id} openclaw-sqlite agents/${id}/agent/openclaw-agent.sqlite`,
  );

  test.each<[OpenclawVersion, string[], string[]]>([
    ["2026.3.11", files, []],
    ["2026.4.15", files, []],
    ["2026.5.28", files, []],
    ["2026.6.11", databases, []],
    ["2026.9.6", ["openclaw:shared openclaw-sqlite state/openclaw.sqlite", ...databases.slice(1)], ["openclaw:main inherits -"]],
  ])("%s are found", async (version, stores, findings) => {
    expect(await locate(version)).toEqual({ stores, findings });
  });

  test("are found without the shared one while its place is not understood, and a finding says so", async () => {
    const located = await locate("2026.9.6", (stateDirectory) =>
      inDatabase(join(stateDirectory, "state", "openclaw.sqlite"), (database) => {
        database.exec(`UPDATE config_machine_state SET value_json = '{"location":"mars"}' WHERE state_key = 'auth.sharedStore'`);
      }),
    );
    expect(located.stores).toEqual(databases.slice(1));
    expect(located.findings).toContain("openclaw:shared error unsupported");
  });

  test("are found without the shared one while its database is not one, and a finding says so", async () => {
    const located = await locate("2026.9.6", async (stateDirectory) => {
      const path = join(stateDirectory, "state", "openclaw.sqlite");
      for (const end of ["", "-wal", "-shm"]) await rm(`${path}${end}`, { force: true });
      await mkdir(path);
    });
    expect(located.stores).toEqual(databases.slice(1));
    expect(located.findings.filter((line) => line.includes("error"))).toHaveLength(1);
  });

  test("are the databases if older files are beside them, and a finding says so", async () => {
    const located = await locate("2026.6.11", (stateDirectory) =>
      leaveFile(join(stateDirectory, "agents", "work", "agent", "auth-profiles.json"), "{}"),
    );
    expect(located).toEqual({ stores: databases, findings: ["openclaw:work retired -"] });
  });
});
