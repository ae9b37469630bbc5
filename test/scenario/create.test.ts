import { existsSync, statSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { openclawHome, type OpenclawHome } from "../support/openclaw-home.js";
import type { OpenclawVersion } from "../support/fixtures.js";
import { endOf, PROFILE, TemporaryHome } from "../support/temporary-home.js";

type Json = Record<string, unknown>;

const KEY = "openai:default";

/** A home whose agent main (or what it shares) has these profiles, and whose other agents have none. */
async function homeWith(
  version: OpenclawVersion,
  config: string,
  profilesOf: (home: TemporaryHome) => Readonly<Record<string, Json>>,
): Promise<OpenclawHome> {
  const openclaw = await openclawHome(version, { generation: null });
  const owner = version === "2026.9.6" ? "openclaw:shared" : "openclaw:main";
  for (const store of openclaw.stores)
    await store.writeSet({ version: 1, profiles: store.name === owner ? profilesOf(openclaw.home) : {} });
  await openclaw.home.writeConfig(config);
  return openclaw;
}

function keyOf(home: TemporaryHome, generation = 1, fields: Json = {}): Json {
  return { type: "api_key", provider: "openai", key: home.token("key", generation), ...fields };
}

async function sync({ home }: OpenclawHome, ...args: readonly string[]) {
  const { code, stdout, stderr } = await credsyncd(home, ["sync", "--json", ...args]);
  const report = JSON.parse(stdout) as { readonly writes: readonly { readonly store: string; readonly result: string }[] };
  return { code, stderr, written: report.writes.map(({ store, result }) => [store, result]) };
}

async function ids(openclaw: OpenclawHome): Promise<Record<string, string[]>> {
  const entries = openclaw.stores.map(async (store) => [store.name, Object.keys((await store.readSet()).profiles)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

const source = (policy: string, agent = "main"): string =>
  `{ source: { kind: "openclaw", agent: "${agent}" }, profiles: ["openai:*", "anthropic:*"], create: "${policy}" }`;

describe("an agent that lacks a profile of the source", () => {
  test("is given none unless the user wants it", async () => {
    const openclaw = await homeWith("2026.4.15", source("never"), (home) => ({ [KEY]: keyOf(home) }));
    expect(await sync(openclaw)).toMatchObject({ code: 0, written: [] });
  });

  test("is given it, made after the source's, and it follows from then on", async () => {
    const metadata = { metadata: { team: "blue" }, email: "anna@example.com" };
    const openclaw = await homeWith("2026.4.15", source("always"), (home) => ({ [KEY]: keyOf(home, 1, metadata) }));
    expect(await sync(openclaw)).toMatchObject({
      code: 0,
      written: [
        ["openclaw:work", "written"],
        ["openclaw:ops", "written"],
      ],
    });
    expect(await openclaw.store("openclaw:work").readProfile(KEY)).toEqual(keyOf(openclaw.home, 1, metadata));
    await openclaw.store("openclaw:main").writeProfile(keyOf(openclaw.home, 2, metadata), KEY);
    expect((await sync(openclaw)).code).toBe(0);
    expect(await openclaw.store("openclaw:ops").readProfile(KEY)).toEqual(keyOf(openclaw.home, 2, metadata));
    expect((await sync(openclaw)).written).toEqual([]);
  });

  test("is not given it again once it was removed there, except by an order", async () => {
    const openclaw = await homeWith("2026.4.15", source("always"), (home) => ({ [KEY]: keyOf(home) }));
    await sync(openclaw);
    await openclaw.store("openclaw:work").removeProfile(KEY);
    await openclaw.store("openclaw:main").writeProfile(keyOf(openclaw.home, 2), KEY);
    expect((await sync(openclaw)).written).toEqual([["openclaw:ops", "written"]]);
    expect((await credsyncd(openclaw.home, ["status"])).stdout).toMatch(/openclaw:work +openai:default +absent/);
    expect((await sync(openclaw, "--force", "openclaw:work")).written).toEqual([["openclaw:work", "written"]]);
    expect(await openclaw.store("openclaw:work").readProfile(KEY)).toEqual(keyOf(openclaw.home, 2));
  });

  test("is not given it where it is pinned", async () => {
    const config = source("always").replace(" }", ` }, agents: { work: "pinned" }`);
    const openclaw = await homeWith("2026.4.15", config, (home) => ({ [KEY]: keyOf(home) }));
    expect((await sync(openclaw)).written).toEqual([["openclaw:ops", "written"]]);
  });

  test("and whose provider it lacks too is given all of that provider, if main has it not", async () => {
    const openclaw = await homeWith("2026.4.15", source("when-provider-missing", "work"), () => ({}));
    const { home } = openclaw;
    await openclaw.store("openclaw:work").writeProfile(keyOf(home), KEY);
    await openclaw.store("openclaw:work").writeProfile(keyOf(home, 2), "openai:second");
    // Agents use main's profile as theirs.
    expect((await sync(openclaw)).written).toEqual([["openclaw:main", "written"]]);
    expect(await ids(openclaw)).toMatchObject({ "openclaw:main": [KEY, "openai:second"], "openclaw:ops": [] });
    expect((await sync(openclaw)).written).toEqual([]);
  });

  test("and has the provider is given nothing", async () => {
    const openclaw = await homeWith("2026.4.15", source("when-provider-missing", "work"), (home) => ({
      "openai:own": keyOf(home, 7),
    }));
    await openclaw.store("openclaw:work").writeProfile(keyOf(openclaw.home), KEY);
    expect((await sync(openclaw)).written).toEqual([]);
  });

  test("shows what it would be given before it is", async () => {
    const openclaw = await homeWith("2026.4.15", source("always"), (home) => ({ [KEY]: keyOf(home) }));
    expect((await sync(openclaw, "--dry-run")).written).toEqual([
      ["openclaw:work", "would-write"],
      ["openclaw:ops", "would-write"],
    ]);
    expect(await ids(openclaw)).toMatchObject({ "openclaw:work": [], "openclaw:ops": [] });
  });
});

describe("an agent without a file", () => {
  test("is given one of its own, private, in OpenClaw's shape", async () => {
    const openclaw = await homeWith("2026.3.11", source("always"), (home) => ({ [KEY]: keyOf(home) }));
    const { home } = openclaw;
    await rm(home.storeFile("work"));
    expect((await sync(openclaw)).code).toBe(0);
    const text = await readFile(home.storeFile("work"), "utf8");
    expect(text).toBe(`${JSON.stringify({ version: 1, profiles: { [KEY]: keyOf(home) } }, null, 2)}\n`);
    expect(statSync(home.storeFile("work")).mode & 0o777).toBe(0o600);
    expect(existsSync(`${home.storeFile("work")}.lock`)).toBe(false);
  });

  test("and without a directory is given nothing", async () => {
    const openclaw = await homeWith("2026.3.11", source("always"), (home) => ({ [KEY]: keyOf(home) }));
    await rm(openclaw.home.agentDirectory("work"), { recursive: true });
    expect((await sync(openclaw)).written).toEqual([["openclaw:ops", "written"]]);
    expect(existsSync(openclaw.home.agentDirectory("work"))).toBe(false);
  });

  test("that OpenClaw does not know is given nothing", async () => {
    const openclaw = await homeWith("2026.3.11", source("always"), (home) => ({ [KEY]: keyOf(home) }));
    await mkdir(openclaw.home.agentDirectory("stranger"), { recursive: true });
    await sync(openclaw);
    expect(existsSync(openclaw.home.storeFile("stranger"))).toBe(false);
  });
});

describe("agents with databases", () => {
  test.each(["2026.6.11", "2026.9.6"] as const)("inherit in %s, so that no copy is made", async (version) => {
    const openclaw = await homeWith(version, source("always"), (home) => ({ [KEY]: keyOf(home) }));
    expect(await sync(openclaw)).toMatchObject({ code: 0, written: [] });
  });

  test.each([
    ["2026.6.11", "openclaw:main"],
    ["2026.9.6", "openclaw:shared"],
  ] as const)("of %s get what another agent has once, in the store that they share", async (version, owner) => {
    const openclaw = await homeWith(version, source("always", "work"), () => ({}));
    await openclaw.store("openclaw:work").writeProfile(keyOf(openclaw.home), KEY);
    expect((await sync(openclaw)).written).toEqual([[owner, "written"]]);
    expect(await openclaw.store(owner).readProfile(KEY)).toEqual(keyOf(openclaw.home));
    expect(await openclaw.store("openclaw:ops").readProfile(KEY)).toBeNull();
    expect((await sync(openclaw)).written).toEqual([]);
  });

  test("whose shared store has no row yet are given nothing, and no file appears", async () => {
    const openclaw = await homeWith("2026.9.6", source("always", "work"), () => ({}));
    await openclaw.store("openclaw:work").writeProfile(keyOf(openclaw.home), KEY);
    await openclaw.store("openclaw:shared").removeRow();
    expect((await sync(openclaw)).written).toEqual([]);
    for (const agent of ["main", "work", "ops"]) expect(existsSync(openclaw.home.storeFile(agent))).toBe(false);
  });
});

describe("Claude Code's login", () => {
  const config = `{ create: "always", targets: [{ kind: "openclaw", share: "access-only" }] }`;

  const ofFiles = ["2026.3.11", "2026.4.15", "2026.5.28"] as const;
  test.each(ofFiles)("is made in every agent of %s that lacks it, so that its turns send it", async (version) => {
    const openclaw = await homeWith(version, config, () => ({}));
    const { home } = openclaw;
    await home.writeLogin(1);
    expect((await sync(openclaw)).written).toHaveLength(3);
    expect(await openclaw.store("openclaw:ops").readProfile()).toEqual({
      type: "oauth",
      provider: "anthropic",
      access: home.token("access", 1),
      expires: endOf(1) + 5 * 60_000,
    });
    expect((await credsyncd(home, ["status", "--check"])).code).toBe(0);
    await home.writeLogin(2);
    await sync(openclaw);
    expect(await openclaw.store("openclaw:work").generation(PROFILE)).toBe(2);
  });

  test("is made once in the store that agents of 2026.6.11 share, so that their turns send it", async () => {
    const openclaw = await homeWith("2026.6.11", config, () => ({}));
    await openclaw.home.writeLogin(1);
    expect((await sync(openclaw)).written).toEqual([["openclaw:main", "written"]]);
    expect(await openclaw.store("openclaw:main").readProfile()).toMatchObject({ provider: "anthropic" });
  });

  test("is made under the id that OpenClaw sends where it leaves the usual one to Claude Code, which is kept fresh", async () => {
    const openclaw = await homeWith("2026.9.6", config, () => ({}));
    const { home } = openclaw;
    await home.writeLogin(2);
    await openclaw.store("openclaw:ops").writeProfile(home.profile(1));
    expect((await sync(openclaw)).written).toEqual([
      ["openclaw:shared", "written"],
      ["openclaw:ops", "written"],
    ]);
    expect(Object.keys((await openclaw.store("openclaw:shared").readSet()).profiles)).toEqual(["anthropic:default"]);
    expect(await openclaw.store("openclaw:ops").generation()).toBe(2);
  });
});

test("a word that is no policy is an error", async () => {
  const home = await TemporaryHome.create();
  await home.writeConfig(`{ create: "sometimes" }`);
  const { code, stderr } = await credsyncd(home, ["config", "check"]);
  expect(code).toBe(78);
  expect(stderr).toMatch(/create must be "never", "when-provider-missing" or "always"/);
});
