import { chmod, chown, link, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { StoreError } from "../../../src/domain/errors.js";
import { refuseUntrustedFile } from "../../../src/io/trusted-file.js";
import { readOpenclawConfig, variablesOfAgents } from "../../../src/programs/openclaw/config.js";
import { discoverOpenclaw, openclawAuthRules, openclawStateDirectory } from "../../../src/programs/openclaw/discovery.js";
import { readAuthPreferences } from "../../../src/programs/openclaw/auth-config.js";
import { environmentIn } from "../../support/environment.js";
import { leaveFile } from "../../support/store-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { gatewayPort } from "../../../src/programs/openclaw/gateway.js";

// Each case was seen in OpenClaw 2026.3.11, 2026.5.28, 2026.7.1 and 2026.9.6, unless it says otherwise.

type Files = Readonly<Record<string, string>>;

/** A home with these files; `@` in them is the home. */
async function homeWith(files: Files): Promise<string> {
  const home = await temporaryDirectory();
  await mkdir(join(home, ".openclaw"));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await leaveFile(join(home, path), text.replaceAll("@", home));
  }
  return home;
}

interface Found {
  /** A line an agent: its directory below the home, or why that cannot be known. */
  readonly agents: readonly string[];
  readonly problem: string | null;
  readonly files: readonly string[];
  readonly stateDirectory: string;
}

async function find(home: string, variables: Files = {}, stateDir: string | null = null): Promise<Found> {
  const given = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, value.replaceAll("@", home)]));
  const environment = environmentIn(home, given);
  const below = (text: string): string => text.replaceAll(`${home}/`, "");
  const layout = await discoverOpenclaw(await openclawStateDirectory(environment, stateDir), [], environment);
  return {
    agents: layout.agents.map(({ id, directory, refusal, configured }) => {
      const where = refusal === null ? below(directory) : below(refusal.message);
      return `${id}: ${where}${configured ? "" : " (not configured)"}`;
    }),
    problem: layout.problem === null ? null : below(layout.problem.error.message),
    files: layout.files.map(below),
    stateDirectory: below(layout.stateDirectory),
  };
}

const CONFIG = ".openclaw/openclaw.json";
const usual = (id: string): string => `${id}: .openclaw/agents/${id}/agent`;
/** A chain of files of which each includes the next. */
const chain = (length: number): Files =>
  Object.fromEntries(
    Array.from({ length }, (_, at) => [
      `.openclaw/${String(at)}.json5`,
      at === length - 1 ? `{list:[{id:"deep"}]}` : `{$include:"${String(at + 1)}.json5"}`,
    ]),
  );

describe("what openclaw.json includes", () => {
  test.each<[string, Files, readonly string[]]>([
    [
      "is the section whose place it takes",
      { [CONFIG]: `{agents:{$include:"./a.json5"}}`, ".openclaw/a.json5": `{list:[{id:"a"},{id:"b",agentDir:"~/b"}]}` },
      [usual("a"), "b: b"],
    ],
    [
      "is the whole file",
      { [CONFIG]: `{$include:"./a.json5"}`, ".openclaw/a.json5": `{agents:{list:[{id:"a"}]}}` },
      [usual("a")],
    ],
    [
      "is merged from several files and what stands beside them, with lists one behind the other",
      {
        [CONFIG]: `{$include:["./a.json5","./b.json5"],agents:{list:[{id:"c"}]}}`,
        ".openclaw/a.json5": `{agents:{list:[{id:"a"}]}}`,
        ".openclaw/b.json5": `{agents:{list:[{id:"b"}]}}`,
      },
      [usual("a"), usual("b"), usual("c")],
    ],
    [
      "is one agent of the list, over which its siblings count",
      {
        [CONFIG]: `{agents:{list:[{id:"m"},{$include:"./a.json5"},{$include:"./b.json5",agentDir:"~/over"}]}}`,
        ".openclaw/a.json5": `{id:"a",agentDir:"~/a"}`,
        ".openclaw/b.json5": `{id:"b",agentDir:"~/b"}`,
      },
      [usual("m"), "a: a", "b: over"],
    ],
    [
      "is one of the entries",
      { [CONFIG]: `{agents:{entries:{m:{},A:{$include:"./a.json5"}}}}`, ".openclaw/a.json5": `{agentDir:"~/a"}` },
      [usual("m"), "a: a"],
    ],
    [
      "is found from the file that includes it",
      {
        [CONFIG]: `{agents:{$include:"./more/a.json5"}}`,
        ".openclaw/more/a.json5": `{$include:"b.json5"}`,
        ".openclaw/more/b.json5": `{list:[{id:"a"}]}`,
      },
      [usual("a")],
    ],
    ["goes ten files deep", { [CONFIG]: `{agents:{$include:"0.json5"}}`, ...chain(10) }, [usual("deep")]],
  ])("%s", async (_what, files, expected) => {
    const home = await homeWith(files);
    const found = await find(home);
    expect(found).toMatchObject({ agents: expected, problem: null });
    expect(found.files).toEqual(expect.arrayContaining(Object.keys(files)));
  });

  const agentsHere = { ".openclaw/agents/live/agent/auth-profiles.json": "{}" };
  const live = [usual("live")];
  test.each<[string, Files, RegExp]>([
    ["that is not there", { [CONFIG]: `{agents:{$include:"./a.json5"}}` }, /includes .*a\.json5, which is not there$/],
    [
      "outside of its directory",
      { [CONFIG]: `{agents:{$include:"../a.json5"}}`, "a.json5": "{}" },
      /outside of .*INCLUDE_ROOTS$/,
    ],
    [
      "that includes it",
      { [CONFIG]: `{agents:{$include:"a.json5"}}`, ".openclaw/a.json5": `{$include:"openclaw.json"}` },
      /includes .*openclaw\.json, which includes it in turn$/,
    ],
    ["eleven files deep", { [CONFIG]: `{agents:{$include:"0.json5"}}`, ...chain(11) }, /more than 10 files deep$/],
    ["that is no JSON5", { [CONFIG]: `{agents:{$include:"a.json5"}}`, ".openclaw/a.json5": "{" }, /a\.json5 is not JSON5/],
    ["by a number", { [CONFIG]: `{agents:{$include:5}}` }, /has an \$include that names no file$/],
    [
      "that is a list beside other keys",
      { [CONFIG]: `{agents:{$include:"a.json5",x:1}}`, ".openclaw/a.json5": "[]" },
      /what it includes is no object$/,
    ],
  ])("is an error of openclaw.json where it is a file %s, and no agent is taken for gone", async (_what, files, reason) => {
    const { agents, problem } = await find(await homeWith({ ...files, ...agentsHere }));
    expect(agents).toEqual(live);
    expect(problem).toMatch(reason);
  });

  test("with a second name is refused, as OpenClaw refuses it", async () => {
    const home = await homeWith({ [CONFIG]: `{agents:{$include:"a.json5"}}`, "a.json5": `{list:[{id:"a"}]}`, ...agentsHere });
    await link(join(home, "a.json5"), join(home, ".openclaw", "a.json5"));
    expect((await find(home)).problem).toMatch(/a\.json5 has a second name/);
    await rm(join(home, ".openclaw", "a.json5"));
    await symlink(join(home, "a.json5"), join(home, ".openclaw", "a.json5"));
    expect((await find(home)).problem).toMatch(/a\.json5, a link, which is outside of/);
  });

  test.each<[string, Files, Files]>([
    ["the environment", {}, { OPENCLAW_INCLUDE_ROOTS: "/nowhere:@/more" }],
    [".env", { ".openclaw/.env": "OPENCLAW_INCLUDE_ROOTS=~/more\n" }, {}],
  ])("may be in directories that OPENCLAW_INCLUDE_ROOTS names in %s", async (_where, files, variables) => {
    const include = { [CONFIG]: `{agents:{$include:"../more/a.json5"}}`, "more/a.json5": `{list:[{id:"a"}]}` };
    expect(await find(await homeWith({ ...include, ...files }), variables)).toMatchObject({
      agents: [usual("a")],
      problem: null,
    });
  });

  test("is found beside the name of a linked openclaw.json, not beside the file that the link leads to", async () => {
    const home = await homeWith({
      "etc/openclaw.json": `{agents:{$include:"a.json5"}}`,
      "etc/a.json5": `{list:[{id:"wrong"}]}`,
      ".openclaw/a.json5": `{list:[{id:"right"}]}`,
    });
    await symlink(join(home, "etc", "openclaw.json"), join(home, CONFIG));
    expect(await find(home)).toMatchObject({ agents: [usual("right")], problem: null });
  });

  test("hides no agent where it is missing in another part, and is an error all the same", async () => {
    const home = await homeWith({ [CONFIG]: `{channels:{$include:"gone.json5"},agents:{list:[{id:"a"}]}}` });
    const { agents, problem } = await find(home);
    expect(agents).toEqual([usual("a")]);
    expect(problem).toMatch(/gone\.json5, which is not there$/);
  });

  test("is read a thousand times at most", async () => {
    const many = (next: string): string => `{$include:${JSON.stringify(Array.from({ length: 100 }, () => next))}}`;
    const home = await homeWith({
      [CONFIG]: `{agents:${many("a.json5")}}`,
      ".openclaw/a.json5": many("b.json5"),
      ".openclaw/b.json5": many("c.json5"),
      ".openclaw/c.json5": "{}",
    });
    expect((await find(home)).problem).toMatch(/more than 1000 times$/);
  });

  test("is refused beyond a number of bytes", async () => {
    const large = `{list:[{id:"a"}],notes:"${"x".repeat(1_900_000)}"}`;
    const nine = JSON.stringify(Array.from({ length: 9 }, () => "a.json5"));
    const home = await homeWith({ [CONFIG]: `{agents:{$include:${nine}}}`, ".openclaw/a.json5": large });
    expect((await find(home)).problem).toMatch(/includes more than 16777216 bytes$/);
  });

  test("goes on counting while one of its files is missing, and is watched for", async () => {
    const home = await homeWith({
      [CONFIG]: `{agents:{$include:"a.json5"}}`,
      ".openclaw/a.json5": `{list:[{id:"a",agentDir:"~/a"}]}`,
    });
    const environment = environmentIn(home);
    const discover = (): ReturnType<typeof discoverOpenclaw> => discoverOpenclaw(join(home, ".openclaw"), [], environment);
    await discover();
    await rm(join(home, ".openclaw", "a.json5"));
    const { agents, problem, files } = await discover();
    expect(agents.map(({ id, directory }) => [id, directory])).toEqual([["a", join(home, "a")]]);
    expect(problem?.error.code).toBe("malformed");
    expect(files).toContain(join(home, ".openclaw", "a.json5"));
  });
});

describe("a variable in openclaw.json", () => {
  const agentIn = (agentDir: string): string => `agents:{list:[{id:"a",agentDir:${JSON.stringify(agentDir)}}]}`;
  test.each<[string, Files, Files, string]>([
    ["comes from the environment", { [CONFIG]: `{${agentIn("${A}/x")}}` }, { A: "@/a" }, "a: a/x"],
    ["is the home", { [CONFIG]: `{${agentIn("${HOME}/x")}}` }, {}, "a: x"],
    ["comes from .env", { [CONFIG]: `{${agentIn("~/${A}/x")}}`, ".openclaw/.env": "export A='a b' # why\n" }, {}, "a: a b/x"],
    [
      "comes from the environment before .env",
      { [CONFIG]: `{${agentIn("~/${A}")}}`, ".openclaw/.env": "A=b" },
      { A: "a" },
      "a: a",
    ],
    ["comes from env.vars", { [CONFIG]: `{env:{vars:{A:"a"}},${agentIn("~/${A}/x")}}` }, {}, "a: a/x"],
    ["comes from env itself, up to 2026.7", { [CONFIG]: `{env:{A:"a"},${agentIn("~/${A}/x")}}` }, {}, "a: a/x"],
    [
      "comes from .env before env.vars",
      { [CONFIG]: `{env:{vars:{A:"a"}},${agentIn("~/${A}")}}`, ".openclaw/.env": "A=b" },
      {},
      "a: b",
    ],
    [
      "comes from env.vars where .env empties it",
      { [CONFIG]: `{env:{vars:{A:"a"}},${agentIn("~/${A}")}}`, ".openclaw/.env": "A=" },
      {},
      "a: a",
    ],
    ["is literal after $$", { [CONFIG]: `{${agentIn("~/$${A}/x")}}` }, { A: "a" }, "a: ${A}/x"],
    ["has capitals only", { [CONFIG]: `{${agentIn("~/${a}/x")}}` }, { a: "b" }, "a: ${a}/x"],
    [
      "comes from gateway.env (from 2026.4)",
      { [CONFIG]: `{${agentIn("~/${A}")}}`, ".config/openclaw/gateway.env": "A=a" },
      {},
      "a: a",
    ],
  ])("%s", async (_what, files, variables, expected) => {
    expect(await find(await homeWith(files), variables)).toMatchObject({ agents: [expected], problem: null });
  });

  test.each<[string, Files, Files]>([
    ["nowhere", {}, {}],
    ["to nothing", {}, { LAB: "" }],
    ["with another one in it, which OpenClaw leaves out", {}, {}],
  ])("that is set %s is an error of the agent that needs it, and of no other", async (what, files, variables) => {
    const block = what.startsWith("with") ? `env:{vars:{LAB:"\${B}/x",B:"b"}},` : "";
    const home = await homeWith({
      [CONFIG]: `{${block}agents:{list:[{id:"a"},{id:"Lab",agentDir:"\${LAB}/x"}]},channels:{x:{token:"\${NONE}"}}}`,
      ".openclaw/agents/lab/agent/auth-profiles.json": "{}",
      ".openclaw/agents/old/agent/auth-profiles.json": "{}",
      ...files,
    });
    // `old` may be where the variable leads.
    const refusal = "lab: the agentDir of lab in openclaw.json needs the variable LAB, which is not set";
    expect(await find(home, variables)).toMatchObject({ agents: [usual("a"), refusal], problem: null });
  });

  test("in an id that is not set is an error of openclaw.json", async () => {
    const home = await homeWith({
      [CONFIG]: `{agents:{list:[{id:"\${WHO}"}]}}`,
      ".openclaw/agents/x/agent/auth-profiles.json": "{}",
    });
    expect(await find(home)).toMatchObject({
      agents: [usual("x")],
      problem: "agents.list.0.id in openclaw.json needs the variable WHO, which is not set",
    });
    expect((await find(home, { WHO: "Me" })).agents).toEqual([usual("me"), `${usual("x")} (not configured)`]);
  });

  test("of this process says nothing of an OpenClaw elsewhere, as in a container", async () => {
    const home = await homeWith({ "box/openclaw.json": `{agents:{list:[{id:"a",agentDir:"@/box/\${KEY}"}]}}` });
    const { agents } = await find(home, { KEY: "a-secret" }, "~/box");
    expect(agents).toEqual(["a: the agentDir of a in openclaw.json needs the variable KEY, which is not set"]);
  });

  test("is handed to a service where an agent's directory needs it", async () => {
    const home = await homeWith({
      [CONFIG]: `{agents:{list:[{id:"a",agentDir:"\${A}/\${B}/\${HOME}"}]},gateway:{auth:{token:"\${GATEWAY}"}}}`,
      ".openclaw/.env": "B=b",
    });
    expect(await variablesOfAgents(environmentIn(home, { A: "/a", GATEWAY: "a-secret" }))).toEqual({ A: "/a" });
  });

  test("stands in what is said of profiles and in nothing else that is shown", async () => {
    const home = await homeWith({
      [CONFIG]: `{$include:"a.json5"}`,
      ".openclaw/a.json5": `{auth:{order:{anthropic:["anthropic:\${WHO}"]},profiles:{"anthropic:me":{provider:"\${P}"}}}}`,
    });
    const environment = environmentIn(home, { WHO: "me", P: "anthropic" });
    const rules = await openclawAuthRules(environment, null);
    expect(rules.order.get("anthropic")).toEqual(["anthropic:me"]);
    expect(rules.profiles.get("anthropic:me")).toEqual({ provider: "anthropic", mode: null });
    const { order, profiles } = await readAuthPreferences(join(home, ".openclaw"), environment);
    expect([order, profiles]).toEqual([
      { anthropic: ["anthropic:me"] },
      { "anthropic:me": { provider: "anthropic", mode: null } },
    ]);
  });
});

describe("the openclaw.json that counts", () => {
  const work = `{agents:{list:[{id:"work"}]}}`;
  test.each<[string, Files, Files, readonly string[]]>([
    ["is named by OPENCLAW_CONFIG_PATH", { "etc/c.json": work }, { OPENCLAW_CONFIG_PATH: "~/etc/c.json" }, [usual("work")]],
    ["is named in .env", { "etc/c.json": work, ".openclaw/.env": "OPENCLAW_CONFIG_PATH=~/etc/c.json" }, {}, [usual("work")]],
    [
      "has a .env of its own beside it (from 2026.4)",
      {
        "etc/c.json": `{agents:{list:[{id:"work",agentDir:"~/\${A}/\${B}"}]}}`,
        "etc/.env": "A=other\nB=b",
        ".openclaw/.env": "A=a",
      },
      { OPENCLAW_CONFIG_PATH: "@/etc/c.json" },
      ["work: a/b"],
    ],
    [
      "is in the state directory of OPENCLAW_STATE_DIR",
      { "s/openclaw.json": work },
      { OPENCLAW_STATE_DIR: "~/s" },
      ["work: s/agents/work/agent"],
    ],
    [
      "is in the state directory that .env names, whose .env counts after it",
      {
        "s/openclaw.json": `{agents:{list:[{id:"work",agentDir:"~/\${A}/\${B}"}]}}`,
        "s/.env": "A=other\nB=b",
        ".openclaw/.env": "OPENCLAW_STATE_DIR=~/s\nA=a",
      },
      {},
      ["work: a/b"],
    ],
    [
      "is in the home that .env names",
      { "oh/.openclaw/openclaw.json": `{agents:{list:[{id:"work",agentDir:"~/x"}]}}`, ".openclaw/.env": "OPENCLAW_HOME=~/oh" },
      {},
      ["work: oh/x"],
    ],
    [
      "is not moved by .env where the environment empties the variable",
      { [CONFIG]: work, ".openclaw/.env": "OPENCLAW_STATE_DIR=~/s" },
      { OPENCLAW_STATE_DIR: "" },
      [usual("work")],
    ],
    [
      "moves the state directory by its env block",
      { [CONFIG]: `{env:{vars:{OPENCLAW_STATE_DIR:"~/s"}},agents:{list:[{id:"work"}]}}`, "s/x": "" },
      {},
      ["work: s/agents/work/agent"],
    ],
    ["may have its older name", { ".openclaw/clawdbot.json": work }, {}, [usual("work")]],
    ["may be in the older directory", { ".clawdbot/clawdbot.json": work }, {}, [usual("work")]],
    ["is the newer one of two", { [CONFIG]: work, ".openclaw/clawdbot.json": "{}" }, {}, [usual("work")]],
    [
      "is not the profile's that OPENCLAW_PROFILE names",
      { [CONFIG]: work, ".openclaw-team/openclaw.json": "{}" },
      { OPENCLAW_PROFILE: "team" },
      [usual("work")],
    ],
  ])("%s", async (_what, files, variables, expected) => {
    const found = await find(await homeWith(files), variables);
    expect(found).toMatchObject({ agents: expected, problem: null });
    expect(found.files).toEqual(expect.arrayContaining(Object.keys(files).filter((path) => /c\.json$|\.env$/.test(path))));
  });

  test("is a profile's where a target names its directory, without what the environment says of the usual one", async () => {
    const home = await homeWith({
      ".openclaw-team/openclaw.json": `{agents:{list:[{id:"a",agentDir:"\${A}/x"}]}}`,
      "etc/c.json": work,
    });
    const variables = { OPENCLAW_CONFIG_PATH: "@/etc/c.json", A: "@/.openclaw-team/a" };
    expect(await find(home, variables, "~/.openclaw-team")).toMatchObject({
      agents: ["a: .openclaw-team/a/x"],
      stateDirectory: ".openclaw-team",
    });
    expect((await find(home, variables, "~/.openclaw")).agents).toEqual([usual("work")]);
  });

  test("is an error where .env names it by something that must not be shown", async () => {
    const home = await homeWith({
      ".openclaw/.env": "OPENCLAW_CONFIG_PATH=~/sk-ant-oat01-AAAAAAAAAAAAAAAAAAAAAAAA",
      [CONFIG]: work,
    });
    expect(await find(home)).toMatchObject({
      agents: [],
      problem: ".openclaw/.env: OPENCLAW_CONFIG_PATH is no path that can be shown",
    });
  });

  test("is an error where the variable names a file that is not there, and no agent is taken for gone", async () => {
    const home = await homeWith({ ".openclaw/agents/live/agent/auth-profiles.json": "{}" });
    const { agents, problem } = await find(home, { OPENCLAW_CONFIG_PATH: "~/gone.json" });
    expect(agents).toEqual([usual("live")]);
    expect(problem).toBe("OPENCLAW_CONFIG_PATH names gone.json, and there is no such file");
  });

  test("is still the newer one while that is replaced beside an older one", async () => {
    const home = await homeWith({ [CONFIG]: work, ".openclaw/clawdbot.json": "{}" });
    const environment = environmentIn(home);
    await discoverOpenclaw(join(home, ".openclaw"), [], environment);
    await rm(join(home, CONFIG));
    const { problem, agents } = await discoverOpenclaw(join(home, ".openclaw"), [], environment);
    expect([problem?.error.code, agents.length]).toEqual(["malformed", 1]);
  });

  test.each<[string, Files]>([
    [".env", { ".openclaw/.env": "OPENCLAW_STATE_DIR=%" }],
    ["env block", { [CONFIG]: `{env:{vars:{OPENCLAW_STATE_DIR:"%"}}}` }],
  ])("moves no login out of the home by its %s without the user's word", async (_where, files) => {
    const elsewhere = await temporaryDirectory();
    const text = `{agents:{list:[{id:"a"},{id:"b",agentDir:"${elsewhere}/b"}]}}`;
    await leaveFile(join(elsewhere, "openclaw.json"), text);
    const home = await homeWith(
      Object.fromEntries(Object.entries(files).map(([path, text]) => [path, text.replace("%", elsewhere)])),
    );
    const environment = environmentIn(home);
    const { agents, problem } = await discoverOpenclaw(await openclawStateDirectory(environment, null), [], environment);
    expect([agents, problem?.error.code, problem?.error.hint]).toEqual([
      [],
      "permission",
      `if that is meant, add it to the config of credsyncd: agentDirs: ["${elsewhere}"]`,
    ]);
    const allowed = await discoverOpenclaw(elsewhere, [elsewhere], environment);
    expect(allowed.agents.map(({ id, refusal }) => [id, refusal])).toEqual([
      ["a", null],
      ["b", null],
    ]);
    expect(allowed.problem).toBeNull();
  });

  test("is no way out of the home by OPENCLAW_HOME in .env", async () => {
    const elsewhere = await temporaryDirectory();
    await mkdir(join(elsewhere, ".openclaw"));
    const home = await homeWith({ ".openclaw/.env": `OPENCLAW_HOME=${elsewhere}`, [CONFIG]: "{}" });
    expect((await find(home)).problem).toMatch(/moves its state directory to .*, outside of this user's home$/);
  });

  test("with agents elsewhere counts before there is a state directory", async () => {
    const home = await temporaryDirectory();
    await leaveFile(join(home, "c.json"), `{agents:{list:[{id:"a",agentDir:"~/a"}]}}`);
    expect((await find(home, { OPENCLAW_CONFIG_PATH: "~/c.json" })).agents).toEqual(["a: a"]);
  });
});

test("an agent that only the list names is not taken for gone where entries stand beside it", async () => {
  const home = await homeWith({
    [CONFIG]: `{agents:{list:[{id:"a"}],entries:{B:{}}}}`,
    ".openclaw/agents/a/agent/auth-profiles.json": "{}",
  });
  expect((await find(home)).agents).toEqual([usual("b")]);
});

test("files behind links are watched where they are", async () => {
  const home = await homeWith({ "etc/openclaw.json": "{}", "etc/env": "A=a" });
  await symlink(join(home, "etc", "openclaw.json"), join(home, CONFIG));
  await symlink(join(home, "etc", "env"), join(home, ".openclaw", ".env"));
  const { files } = await find(home);
  expect(files).toEqual(expect.arrayContaining([CONFIG, "etc/openclaw.json", ".openclaw/.env", "etc/env"]));
});

describe("an agentDir that is relative", () => {
  const config = `{agents:{list:[{id:"a",agentDir:"rel/a"}]}}`;
  const [inHome, inState] = ["rel/a/auth-profiles.json", ".openclaw/rel/a/auth-profiles.json"];
  test.each<[string, Files, string]>([
    ["the home, from which systemd starts it", { [inHome]: "{}" }, "a: rel/a"],
    ["the state directory, from which launchd starts it", { [inState]: "{}" }, "a: .openclaw/rel/a"],
    ["where its credentials are", { [inHome]: "{}", ".openclaw/rel/a/notes": "" }, "a: rel/a"],
  ])("is below %s", async (_where, files, expected) => {
    expect((await find(await homeWith({ [CONFIG]: config, ...files }))).agents).toEqual([expected]);
  });

  test.each<[string, Files, RegExp]>([
    ["nowhere", {}, /there is no rel\/a and no \.openclaw\/rel\/a$/],
    ["in both", { [inHome]: "{}", [inState]: "{}" }, /it may be rel\/a or \.openclaw\/rel\/a$/],
  ])("and is %s is an error of that agent", async (_where, files, reason) => {
    const { agents } = await find(await homeWith({ [CONFIG]: config, ...files }));
    expect(agents).toEqual([expect.stringMatching(reason)]);
  });
});

describe("a gateway's port", () => {
  test.each<[string, Files, Files, number]>([
    ["is in .env", { ".openclaw/.env": "OPENCLAW_GATEWAY_PORT=18999" }, {}, 18_999],
    ["may have a host in front", {}, { OPENCLAW_GATEWAY_PORT: "127.0.0.1:18999" }, 18_999],
    ["may have an address in front", {}, { OPENCLAW_GATEWAY_PORT: "[::1]:18999" }, 18_999],
    ["is not what cannot be one", { [CONFIG]: `{gateway:{port:18001}}` }, { OPENCLAW_GATEWAY_PORT: "x" }, 18_001],
    ["is in an included file", { [CONFIG]: `{gateway:{$include:"g.json5"}}`, ".openclaw/g.json5": "{port:18001}" }, {}, 18_001],
    ["is in the env block", { [CONFIG]: `{env:{vars:{OPENCLAW_GATEWAY_PORT:"18002"}},gateway:{port:18001}}` }, {}, 18_002],
    [
      "is the profile's (from 2026.8)",
      { [CONFIG]: `{meta:{lastTouchedVersion:"2026.9.6"}}` },
      { OPENCLAW_PROFILE: "team" },
      21_612,
    ],
    [
      "is the usual one for a profile before",
      { [CONFIG]: `{meta:{lastTouchedVersion:"2026.7.1"}}` },
      { OPENCLAW_PROFILE: "team" },
      18_789,
    ],
    ["is the usual one for the profile default", {}, { OPENCLAW_PROFILE: "Default" }, 18_789],
  ])("%s", async (_what, files, variables, expected) => {
    const environment = environmentIn(await homeWith(files), variables);
    expect(gatewayPort(await readOpenclawConfig(environment, null))).toBe(expected);
  });

  test("of a profile that a target names is not that of the usual gateway", async () => {
    const home = await homeWith({ ".openclaw-team/x": "" });
    const config = await readOpenclawConfig(environmentIn(home, { OPENCLAW_GATEWAY_PORT: "18999" }), "~/.openclaw-team");
    expect(gatewayPort(config)).toBe(21_612);
  });
});

describe("a file of another user's", () => {
  const ME = 1000;
  test.skipIf(process.getuid?.() !== 0)("counts where it is root's, and nobody else can change or replace it", async () => {
    const home = await temporaryDirectory();
    await chmod(home, 0o755);
    const path = join(home, "openclaw.json");
    await leaveFile(path, "{}");
    const reasonFor = (uid: number, mode: number): string | null => {
      try {
        refuseUntrustedFile(path, { uid, mode }, ME);
        return null;
      } catch (error) {
        const { code, message, hint } = error as StoreError;
        return `${code}: ${message} - ${hint}`.replaceAll(home, "");
      }
    };
    expect([reasonFor(ME, 0o666), reasonFor(0, 0o444)]).toEqual([null, null]);
    expect(reasonFor(0, 0o664)).toBe(
      "foreign-owner: /openclaw.json can be changed by others than root - see that it says what root meant, then: chmod go-w /openclaw.json",
    );
    expect(reasonFor(1001, 0o644)).toBe(
      "foreign-owner: /openclaw.json belongs to user 1001, who is neither this user nor root - run credsyncd as user 1001, whose it is",
    );
    await chmod(home, 0o777);
    expect(reasonFor(0, 0o444)).toMatch(/^foreign-owner: .* others can replace it in /);
    await chmod(home, 0o1777);
    expect(reasonFor(0, 0o444)).toBeNull();
    await chown(home, 1001, 1001);
    expect(reasonFor(0, 0o444)).toMatch(/^foreign-owner: .* its directory .* to user 1001, who can replace it/);
  });

  test.skipIf(process.getuid?.() !== 0)(
    "is an error of the place, with its variables or without, and hides no agent",
    async () => {
      const home = await homeWith({
        [CONFIG]: `{agents:{$include:"a.json5"}}`,
        ".openclaw/a.json5": `{list:[{id:"a"}]}`,
        ".openclaw/agents/live/agent/auth-profiles.json": "{}",
      });
      await chown(join(home, ".openclaw", "a.json5"), 12_345, 12_345);
      expect(await find(home)).toMatchObject({
        agents: [usual("live")],
        problem: expect.stringMatching(/a\.json5 belongs to user 12345/) as string,
      });
      await rm(join(home, CONFIG));
      await writeFile(join(home, ".openclaw", ".env"), "OPENCLAW_STATE_DIR=/elsewhere");
      await chown(join(home, ".openclaw", ".env"), 12_345, 12_345);
      // Its variables may lead to another OpenClaw's files.
      expect(await find(home)).toMatchObject({
        agents: [],
        problem: expect.stringMatching(/\.env belongs to user 12345/) as string,
      });
    },
  );
});
