import { rm, symlink } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { composeIn } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { fenced } from "../support/openclaw-fence.js";
import { openclawHome, openclawVersions, type OpenclawHands, type OpenclawHome } from "../support/openclaw-home.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { endOf, HOUR_MS } from "../support/temporary-home.js";

type Json = Record<string, unknown>;

const KEY = "openai:default";
const LOGIN = "anthropic:default";

interface Situation extends OpenclawHome {
  /** The store that holds what agent main uses. */
  readonly main: OpenclawHands;
  readonly others: readonly OpenclawHands[];
}

/** A home whose OpenClaw is the source; every store holds just these profiles. */
async function openclawSource(
  version: (typeof openclawVersions)[number],
  config: string,
  profilesOf: (home: OpenclawHome["home"]) => Readonly<Record<string, Json>>,
): Promise<Situation> {
  const openclaw = await openclawHome(version, { generation: null });
  const { home, stores, store } = openclaw;
  await home.writeConfig(config);
  for (const each of stores) await each.writeSet({ version: 1, profiles: profilesOf(home) });
  const main = store(version === "2026.9.6" ? "openclaw:shared" : "openclaw:main");
  return { ...openclaw, main, others: stores.filter((each) => each !== main) };
}

const follows = (profile: string): string => `{ source: { kind: "openclaw", profile: "${profile}" } }`;

function apiKey({ home }: Pick<OpenclawHome, "home">, generation: number): Json {
  return { type: "api_key", provider: "openai", key: home.token("key", generation) };
}

function login({ home }: Pick<OpenclawHome, "home">, generation: number, fields: Json = {}): Json {
  return home.profile(generation, { fields: { provider: "anthropic", email: home.email("anna"), ...fields } });
}

async function sync({ home }: OpenclawHome, ...args: readonly string[]) {
  const { code, stdout } = await credsyncd(home, ["sync", "--json", ...args]);
  const report = JSON.parse(stdout) as {
    readonly writes: readonly { readonly store: string; readonly profiles: readonly string[]; readonly result: string }[];
    readonly holds: readonly { readonly store: string; readonly profile: string; readonly reason: string }[];
    readonly sources: readonly Json[];
    readonly source: Json;
  };
  return { code, ...report };
}

async function held(stores: readonly OpenclawHands[], id: string): Promise<(Json | null)[]> {
  return Promise.all(stores.map((store) => store.readProfile(id)));
}

async function backups({ home }: OpenclawHome): Promise<readonly Json[]> {
  const { stdout } = await credsyncd(home, ["restore", "--list", "--json"]);
  return (JSON.parse(stdout) as { backups: Json[] }).backups;
}

describe.each(openclawVersions)("agent main of OpenClaw %s as the source", (version) => {
  test("an API key that is changed there is changed in every agent, once", async () => {
    const openclaw = await openclawSource(version, follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    const { main, others } = openclaw;
    expect(await sync(openclaw)).toMatchObject({ code: 0, writes: [], source: { store: main.name, profile: KEY } });
    await main.writeProfile(apiKey(openclaw, 2), KEY);
    const { code, writes } = await sync(openclaw);
    expect(code).toBe(0);
    expect(writes.map(({ store, profiles, result }) => [store, profiles, result])).toEqual(
      others.map(({ name }) => [name, [KEY], "written"]),
    );
    expect(await held(others, KEY)).toEqual(others.map(() => apiKey(openclaw, 2)));
    expect((await sync(openclaw)).writes).toEqual([]);
  });

  test("an earlier API key that is put back there is put back in every agent", async () => {
    const openclaw = await openclawSource(version, follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    for (const generation of [2, 1, 2, 1]) {
      await openclaw.main.writeProfile(apiKey(openclaw, generation), KEY);
      expect((await sync(openclaw)).code).toBe(0);
      expect(await held(openclaw.others, KEY)).toEqual(openclaw.others.map(() => apiKey(openclaw, generation)));
    }
  });

  test("a token follows, and so does its end alone", async () => {
    const token = ({ home }: Pick<OpenclawHome, "home">, generation: number, end: number): Json => {
      return { type: "token", provider: "anthropic", token: home.token("token", generation), expires: endOf(end) };
    };
    const openclaw = await openclawSource(version, follows("anthropic:manual"), (home) => ({
      "anthropic:manual": token({ home }, 1, 1),
    }));
    await sync(openclaw);
    for (const [generation, end] of [
      [2, 1],
      [2, 9],
      [3, 2],
    ] as const) {
      await openclaw.main.writeProfile(token(openclaw, generation, end), "anthropic:manual");
      expect((await sync(openclaw)).code).toBe(0);
      const all = await held(openclaw.others, "anthropic:manual");
      expect(all).toEqual(openclaw.others.map(() => token(openclaw, generation, end)));
    }
    const endless = token(openclaw, 3, 2);
    delete endless["expires"];
    await openclaw.main.writeProfile(endless, "anthropic:manual");
    await sync(openclaw);
    expect(await held(openclaw.others, "anthropic:manual")).toEqual(openclaw.others.map(() => endless));
    expect((await sync(openclaw)).writes).toEqual([]);
  });

  test("an id token goes with its login, to an agent that lost its own, too, and stays nowhere without it", async () => {
    const codex = ({ home }: Pick<OpenclawHome, "home">, generation: number, fields: Json = {}): Json => {
      return home.profile(generation, { fields: { provider: "openai-codex", accountId: "account", ...fields } });
    };
    const id = "openai-codex:default";
    const openclaw = await openclawSource(version, follows(id), (home) => ({
      [id]: codex({ home }, 1, { idToken: home.token("id", 1) }),
    }));
    const { main, others, home } = openclaw;
    await sync(openclaw);
    await others[0]?.writeProfile(codex(openclaw, 1), id);
    for (const fields of [{ idToken: home.token("id", 2) }, {}]) {
      const generation = "idToken" in fields ? 2 : 3;
      await main.writeProfile(codex(openclaw, generation, fields), id);
      await sync(openclaw);
      expect(await held(others, id)).toEqual(others.map(() => codex(openclaw, generation, fields)));
    }
    expect((await sync(openclaw)).writes).toEqual([]);
  });

  test("a reference takes a key's place, and a key a reference's", async () => {
    const openclaw = await openclawSource(version, follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await sync(openclaw);
    const keyRef = { source: "env", provider: "default", id: "OPENAI_API_KEY" };
    const referring = { type: "api_key", provider: "openai", keyRef };
    await openclaw.main.writeProfile(referring, KEY);
    expect((await sync(openclaw)).code).toBe(0);
    expect(await held(openclaw.others, KEY)).toEqual(openclaw.others.map(() => referring));
    await openclaw.main.writeProfile({ ...referring, keyRef: { ...keyRef, id: "OTHER" } }, KEY);
    expect((await sync(openclaw)).code).toBe(0);
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    expect((await sync(openclaw)).code).toBe(0);
    expect(await held(openclaw.others, KEY)).toEqual(openclaw.others.map(() => apiKey(openclaw, 2)));
  });

  test("a reference to a token takes its place, too", async () => {
    const token = { type: "token", provider: "anthropic" };
    const openclaw = await openclawSource(version, follows("anthropic:manual"), (home) => ({
      "anthropic:manual": { ...token, token: home.token("token", 1) },
    }));
    await sync(openclaw);
    const tokenRef = { source: "file", provider: "vault", id: "/anthropic/token" };
    await openclaw.main.writeProfile({ ...token, tokenRef }, "anthropic:manual");
    expect((await sync(openclaw)).code).toBe(0);
    expect(await held(openclaw.others, "anthropic:manual")).toEqual(openclaw.others.map(() => ({ ...token, tokenRef })));
  });

  test("a login that main refreshed is everyone's, and one that an agent refreshed is main's and then everyone's", async () => {
    const openclaw = await openclawSource(version, follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    const { main, others, stores } = openclaw;
    await sync(openclaw);
    await main.writeProfile(login(openclaw, 2), LOGIN);
    expect((await sync(openclaw)).code).toBe(0);
    expect(await held(others, LOGIN)).toEqual(others.map(() => login(openclaw, 2)));
    await others[0]?.writeProfile(login(openclaw, 3), LOGIN);
    const { code, writes } = await sync(openclaw);
    expect(code).toBe(0);
    expect(writes[0]).toMatchObject({ store: main.name, profiles: [LOGIN], result: "written" });
    expect(await held(stores, LOGIN)).toEqual(stores.map(() => login(openclaw, 3)));
    expect((await sync(openclaw)).writes).toEqual([]);
  });

  test("profiles of two providers that change at once are one write a store", async () => {
    const config = `{ source: { kind: "openclaw" }, profiles: ["openai:*", "anthropic:*"] }`;
    const both = (home: OpenclawHome["home"], generation: number): Readonly<Record<string, Json>> => {
      return { [KEY]: apiKey({ home }, generation), [LOGIN]: login({ home }, generation), "google:default": apiKey({ home }, 1) };
    };
    const openclaw = await openclawSource(version, config, (home) => both(home, 1));
    const { home, main, others } = openclaw;
    const { reconcile } = await composeIn(home);
    expect((await reconcile()).plan.flows.map(({ head }) => head.profile)).toEqual([KEY, LOGIN]);
    await main.writeSet({ version: 1, profiles: { ...both(home, 2), "google:default": apiKey({ home }, 2) } });
    const { writes } = await reconcile();
    expect(writes.map(({ store, profiles, error }) => [store, profiles, error])).toEqual(
      others.map(({ name }) => [name, [KEY, LOGIN], null]),
    );
    for (const store of others) expect((await store.readSet()).profiles).toEqual(both(home, 2));
  });
});

describe("what an agent has of its own", () => {
  test("a key that was edited there is on hold, and overwritten only by an order, with a backup", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await sync(openclaw);
    await openclaw.store("openclaw:work").writeProfile(apiKey(openclaw, 7), KEY);
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    const { code, holds } = await sync(openclaw);
    expect({ code, holds }).toMatchObject({
      code: 3,
      holds: [{ store: "openclaw:work", profile: KEY, reason: "unknown-origin" }],
    });
    expect(await openclaw.store("openclaw:ops").readProfile(KEY)).toEqual(apiKey(openclaw, 2));
    expect((await sync(openclaw, "--force", "openclaw:work")).code).toBe(0);
    expect(await held(openclaw.others, KEY)).toEqual(openclaw.others.map(() => apiKey(openclaw, 2)));
    expect(await backups(openclaw)).toMatchObject([{ store: "openclaw:work", profile: KEY }]);
  });

  test("another key at first sight is a stale copy: overwritten, with a backup", async () => {
    const openclaw = await openclawSource("2026.6.11", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await openclaw.store("openclaw:work").writeProfile(apiKey(openclaw, 7), KEY);
    expect((await sync(openclaw)).code).toBe(0);
    expect(await openclaw.store("openclaw:work").readProfile(KEY)).toEqual(apiKey(openclaw, 1));
    expect(await backups(openclaw)).toMatchObject([{ store: "openclaw:work", profile: KEY }]);
  });

  test("a login at first sight that expires later is on hold; one that does not is overwritten, with a backup", async () => {
    const openclaw = await openclawSource("2026.6.11", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 5) }));
    await openclaw.store("openclaw:work").writeProfile(login(openclaw, 7), LOGIN);
    await openclaw.store("openclaw:ops").writeProfile(login(openclaw, 3), LOGIN);
    expect(await sync(openclaw)).toMatchObject({ code: 3, holds: [{ store: "openclaw:work", reason: "target-newer" }] });
    expect(await openclaw.store("openclaw:work").generation(LOGIN)).toBe(7);
    expect(await openclaw.store("openclaw:ops").generation(LOGIN)).toBe(5);
    expect(await backups(openclaw)).toMatchObject([{ store: "openclaw:ops", profile: LOGIN }]);
    expect(await credsyncd(openclaw.home, ["adopt", "openclaw:work", "--profile", LOGIN])).toMatchObject({ code: 0 });
    expect(await Promise.all(openclaw.stores.map((store) => store.generation(LOGIN)))).toEqual([7, 7, 7]);
  });

  test("the same id of another provider or type is on hold, and never changed", async () => {
    const openclaw = await openclawSource("2026.5.28", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    const [other, token] = [
      { ...apiKey(openclaw, 7), provider: "azure" },
      { type: "token", provider: "openai", token: openclaw.home.token("token", 7) },
    ];
    await openclaw.store("openclaw:work").writeProfile(other, KEY);
    await openclaw.store("openclaw:ops").writeProfile(token, KEY);
    const { code, holds } = await sync(openclaw);
    expect(code).toBe(3);
    expect(holds.map(({ store, reason }) => [store, reason])).toEqual([
      ["openclaw:work", "provider-mismatch"],
      ["openclaw:ops", "type-mismatch"],
    ]);
    expect(await held(openclaw.others, KEY)).toEqual([other, token]);
  });

  test("no order makes a login the source's where that is a key, or another provider's, and the next sync knows of none", async () => {
    const openclaw = await openclawSource("2026.5.28", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await openclaw.store("openclaw:work").writeProfile(login(openclaw, 7, { provider: "openai" }), KEY);
    await openclaw.store("openclaw:ops").writeProfile(login(openclaw, 8), KEY);
    await sync(openclaw);
    for (const store of ["openclaw:work", "openclaw:ops"])
      expect(await credsyncd(openclaw.home, ["adopt", store])).toMatchObject({ code: 65, stdout: "" });
    expect(await openclaw.main.readProfile(KEY)).toEqual(apiKey(openclaw, 1));
    expect((await sync(openclaw)).writes).toEqual([]);
  });

  test("other ids are none of its business, in main neither", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    const work = openclaw.store("openclaw:work");
    await work.writeProfile(apiKey(openclaw, 7), KEY);
    await openclaw.main.writeProfile(login(openclaw, 7, { email: openclaw.home.email("bert") }), "anthropic:bert");
    await openclaw.main.writeProfile(login(openclaw, 2), LOGIN);
    expect((await sync(openclaw)).code).toBe(0);
    await openclaw.main.writeProfile(login(openclaw, 3), LOGIN);
    await sync(openclaw);
    expect(await work.generation(LOGIN)).toBe(3);
    expect(await openclaw.main.generation("anthropic:bert")).toBe(7);
    expect(await work.readProfile(KEY)).toEqual(apiKey(openclaw, 7));
  });

  test("a second copy of the login in an agent, under another id, follows", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    await openclaw.store("openclaw:work").writeProfile(login(openclaw, 1), "anthropic:second");
    await sync(openclaw);
    await openclaw.main.writeProfile(login(openclaw, 2), LOGIN);
    const { writes } = await sync(openclaw);
    expect(writes.find(({ store }) => store === "openclaw:work")?.profiles).toEqual([LOGIN, "anthropic:second"]);
    expect(await openclaw.store("openclaw:work").generation("anthropic:second")).toBe(2);
  });

  test("a pinned agent keeps what it has", async () => {
    const config = `{ source: { kind: "openclaw", profile: "${KEY}" }, agents: { work: "pinned" } }`;
    const openclaw = await openclawSource("2026.3.11", config, (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await sync(openclaw);
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    expect((await sync(openclaw)).writes.map(({ store }) => store)).toEqual(["openclaw:ops"]);
  });
});

describe("what becomes of the source", () => {
  test("another account is on hold until it is accepted", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    await sync(openclaw);
    const bert = login(openclaw, 5, { email: openclaw.home.email("bert") });
    await openclaw.main.writeProfile(bert, LOGIN);
    expect(await sync(openclaw)).toMatchObject({ code: 3, writes: [], source: { state: "account-changed" } });
    expect((await sync(openclaw, "--force")).code).toBe(0);
    expect(await held(openclaw.others, LOGIN)).toEqual(openclaw.others.map(() => bert));
  });

  test("a profile that is not there any more is reported while an agent has it, and then over", async () => {
    const config = `{ source: { kind: "openclaw" }, profiles: ["openai:*"] }`;
    const openclaw = await openclawSource("2026.4.15", config, (home) => {
      return { [KEY]: apiKey({ home }, 1), "openai:old": apiKey({ home }, 8) };
    });
    await sync(openclaw);
    await openclaw.main.removeProfile("openai:old");
    const { code, sources, writes } = await sync(openclaw);
    expect({ code, sources, writes }).toMatchObject({
      code: 3,
      sources: [{ profile: KEY }, { profile: "openai:old", state: "missing" }],
      writes: [],
    });
    for (const store of openclaw.others) await store.removeProfile("openai:old");
    const after = await sync(openclaw);
    expect({ code: after.code, sources: after.sources }).toMatchObject({ code: 0, sources: [{ profile: KEY }] });
    expect(after.sources).toHaveLength(1);
  });

  test("an agent that OpenClaw does not have is an error that names the ones it has", async () => {
    const openclaw = await openclawHome("2026.4.15", { generation: null });
    await openclaw.home.writeConfig(`{ source: { kind: "openclaw", agent: "mian", profile: "${KEY}" } }`);
    const { code, stdout } = await credsyncd(openclaw.home, ["sync"]);
    expect(code).toBe(69);
    expect(stdout).toMatch(/has no agent mian\n.*its agents: main, work, ops/);
  });

  test("no OpenClaw at all is a source without a login", async () => {
    const openclaw = await openclawHome("2026.4.15", { generation: null });
    await rm(openclaw.home.at(".openclaw"), { recursive: true });
    await openclaw.home.writeConfig(follows(KEY));
    const { code, stdout } = await credsyncd(openclaw.home, ["sync"]);
    expect(code).toBe(69);
    expect(stdout).toMatch(/source missing {2}nobody is signed in to openclaw:[\w/]+\n.*sign in: openclaw configure/);
  });

  test("a broken file of the source pushes nothing", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await sync(openclaw);
    await openclaw.main.writeSet({ profiles: [] as never });
    await openclaw.home.age(openclaw.main.path);
    expect(await sync(openclaw)).toMatchObject({ code: 69, writes: [], source: { profile: KEY, state: "unreadable" } });
  });

  test("the chain goes on where Claude Code was the source before", async () => {
    const openclaw = await openclawHome("2026.4.15");
    const { home, stores, store } = openclaw;
    for (const each of stores) await each.writeSet({ version: 1, profiles: { [LOGIN]: login(openclaw, 1) } });
    const config = (source: string): string => `{ ${source}, profiles: ["${LOGIN}"] }`;
    await home.writeConfig(config(`source: { kind: "claude-code" }`));
    await sync(openclaw);
    await home.writeLogin(2);
    await sync(openclaw);
    await home.writeConfig(config(`source: { kind: "openclaw" }`));
    await store("openclaw:work").writeProfile(login(openclaw, 1), LOGIN);
    expect(await sync(openclaw)).toMatchObject({ code: 0, source: { store: "openclaw:main", profile: LOGIN } });
    expect(await store("openclaw:work").generation(LOGIN)).toBe(2);
    await store("openclaw:main").writeProfile(login(openclaw, 3), LOGIN);
    await sync(openclaw);
    expect(await store("openclaw:ops").generation(LOGIN)).toBe(3);
    // Claude Code's own copy is two generations behind by now: it is not pushed, and nothing goes back.
    await home.writeConfig(config(`source: { kind: "claude-code" }`));
    await sync(openclaw);
    expect(await Promise.all(stores.map((each) => each.generation(LOGIN)))).toEqual([3, 3, 3]);
  });

  test("what it brought is not overwritten by another source's login that ends sooner, and can be adopted there", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    const { home, main, stores } = openclaw;
    await sync(openclaw);
    await main.writeProfile(login(openclaw, 5), LOGIN);
    await sync(openclaw);
    await home.writeConfig(`{ source: { kind: "claude-code" }, profiles: ["${LOGIN}"] }`);
    await home.writeLogin(3);
    const { code, holds } = await sync(openclaw);
    expect({ code, reasons: new Set(holds.map(({ reason }) => reason)) }).toEqual({
      code: 3,
      reasons: new Set(["target-newer"]),
    });
    expect(await Promise.all(stores.map((each) => each.generation(LOGIN)))).toEqual([5, 5, 5]);
    expect(await credsyncd(home, ["adopt", main.name])).toMatchObject({ code: 0 });
    expect(await sync(openclaw)).toMatchObject({ code: 0, writes: [], holds: [] });
    await home.writeLogin(6);
    await sync(openclaw);
    expect(await Promise.all(stores.map((each) => each.generation(LOGIN)))).toEqual([6, 6, 6]);
  });

  test("two of its profiles with one login: if one went on, the other is on hold", async () => {
    const config = `{ source: { kind: "openclaw" }, profiles: ["anthropic:*"] }`;
    const openclaw = await openclawSource("2026.4.15", config, (home) => {
      return { [LOGIN]: login({ home }, 1), "anthropic:twin": login({ home }, 1) };
    });
    await sync(openclaw);
    await openclaw.main.writeProfile(login(openclaw, 2), LOGIN);
    const { code, sources } = await sync(openclaw);
    expect({ code, sources }).toMatchObject({ code: 3, sources: [{ state: "becomes-live" }, { state: "source-rolled-back" }] });
    expect(await openclaw.store("openclaw:work").generation("anthropic:twin")).toBe(1);
    expect(await openclaw.store("openclaw:work").generation(LOGIN)).toBe(2);
  });
});

describe("where the source is", () => {
  test("is the shared store, by its name", async () => {
    const config = `{ source: { kind: "openclaw", agent: "shared", profile: "${KEY}" } }`;
    for (const [version, name] of [
      ["2026.6.11", "openclaw:main"],
      ["2026.9.6", "openclaw:shared"],
    ] as const) {
      const openclaw = await openclawSource(version, config, (home) => ({ [KEY]: apiKey({ home }, 1) }));
      expect((await sync(openclaw)).source).toMatchObject({ store: name, state: "becomes-live" });
    }
  });

  test("is an agent's own database for what stands there, and the shared one for the rest", async () => {
    const config = `{ source: { kind: "openclaw", agent: "work" }, profiles: ["openai:*"] }`;
    const openclaw = await openclawSource("2026.9.6", config, (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await openclaw.main.writeProfile(apiKey(openclaw, 5), "openai:shared");
    const { sources } = await sync(openclaw);
    expect(sources.map(({ store, profile }) => [store, profile])).toEqual([
      ["openclaw:work", KEY],
      ["openclaw:shared", "openai:shared"],
    ]);
    await openclaw.store("openclaw:work").writeProfile(apiKey(openclaw, 2), KEY);
    await sync(openclaw);
    // The other agents inherit a copy of the agent's own profile.
    expect(await openclaw.main.readProfile(KEY)).toEqual(apiKey(openclaw, 2));
    expect(await openclaw.store("openclaw:ops").readProfile(KEY)).toEqual(apiKey(openclaw, 2));
  });

  test("is never its own target under another name", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    const { home } = openclaw;
    await rm(home.agentDirectory("work"), { recursive: true });
    await symlink(home.agentDirectory("main"), home.agentDirectory("work"));
    await sync(openclaw);
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    expect((await sync(openclaw)).writes.map(({ store }) => store)).toEqual(["openclaw:ops"]);
    const { stdout } = await credsyncd(home, ["status"]);
    expect(stdout).toMatch(/openclaw:work +same file as openclaw:main/);
  });

  test("may be another OpenClaw than the target's", async () => {
    const openclaw = await openclawSource("2026.4.15", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    const { home } = openclaw;
    const team = home.at("team");
    const config = `source: { kind: "openclaw", profile: "${KEY}" }, targets: [{ kind: "openclaw" }, { kind: "openclaw", stateDir: "${team}" }]`;
    await home.writeConfig(`{ ${config} }`);
    const { cp } = await import("node:fs/promises");
    await cp(home.at(".openclaw"), team, { recursive: true });
    await rm(home.at("team", "openclaw.json"));
    await sync(openclaw);
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    const { code, writes } = await sync(openclaw);
    expect(code).toBe(0);
    expect(writes.map(({ store }) => store)).toEqual(["openclaw:work", "openclaw:ops", `openclaw:main@${team}`]);
  });
});

describe("the daemon with an OpenClaw source", () => {
  test("pushes what changes there, says which profile, and adopts what an agent refreshed", async () => {
    const config = `{ source: { kind: "openclaw" }, profiles: ["openai:*", "anthropic:*"] }`;
    const openclaw = await openclawSource("2026.4.15", config, (home) => {
      return { [KEY]: apiKey({ home }, 1), [LOGIN]: login({ home }, 1) };
    });
    const daemon = await RunningDaemon.start(openclaw.home);
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    await daemon.said("credential pushed", { profile: KEY, stores: 2, reason: "rotation" });
    expect(await held(openclaw.others, KEY)).toEqual(openclaw.others.map(() => apiKey(openclaw, 2)));
    await openclaw.store("openclaw:ops").writeProfile(login(openclaw, 2), LOGIN);
    await daemon.said("agent rotation adopted", { profile: LOGIN, store: "openclaw:ops", proof: "same-account" });
    await becomes(() => Promise.all(openclaw.stores.map((store) => store.generation(LOGIN))), [2, 2, 2]);
    await openclaw.main.removeProfile(KEY);
    await daemon.said("source missing", { store: "openclaw:main", profile: KEY });
    await openclaw.main.writeProfile(apiKey(openclaw, 2), KEY);
    await daemon.said("resolved", { about: `openclaw:main ${KEY}` });
  });

  test("follows what a database holds", async () => {
    const openclaw = await openclawSource("2026.9.6", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    const daemon = await RunningDaemon.start(openclaw.home);
    await openclaw.main.writeProfile(login(openclaw, 2), LOGIN);
    await daemon.said("credential pushed", { profile: LOGIN, stores: 2 });
    expect(await held(openclaw.others, LOGIN)).toEqual(openclaw.others.map(() => login(openclaw, 2)));
  });
});

describe("a source whose program erases a login when a refresh fails", () => {
  test("is not the last place that has it: a copy is kept, its access token put back, and all of it by an order", async () => {
    const openclaw = await openclawSource("2026.9.6", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    const { main, home } = openclaw;
    for (const store of openclaw.others) await store.removeProfile(LOGIN);
    await sync(openclaw);
    await main.writeProfile(login(openclaw, 2), LOGIN);
    await sync(openclaw);
    expect(await backups(openclaw)).toMatchObject([{ profile: LOGIN }, { profile: LOGIN }]);
    const entry = await main.readProfile(LOGIN);
    await main.writeProfile(fenced(entry ?? {}, { profile: LOGIN, failed: true }), LOGIN);
    expect(await sync(openclaw)).toMatchObject({ source: { state: "source-refresh-failed" } });
    const bare = login(openclaw, 2, { expires: endOf(2) + 300_000 });
    delete bare["refresh"];
    expect(await main.readProfile(LOGIN)).toEqual(bare);
    const [copy] = await backups(openclaw);
    const order = ["restore", "--store", main.name, "--at", String(copy?.["at"]), "--yes"];
    expect((await credsyncd(home, order)).code).toBe(0);
    expect(await main.readProfile(LOGIN)).toEqual(login(openclaw, 2));
    expect(await sync(openclaw)).toMatchObject({ writes: [], source: { state: "suspect" } });
  });

  test("keeps a copy only of a login, and only if its program erases logins", async () => {
    const keys = await openclawSource("2026.9.6", follows(KEY), (home) => ({ [KEY]: apiKey({ home }, 1) }));
    await sync(keys);
    expect(await backups(keys)).toEqual([]);
    const files = await openclawSource("2026.4.15", follows(LOGIN), (home) => ({ [LOGIN]: login({ home }, 1) }));
    await sync(files);
    expect(await backups(files)).toEqual([]);
  });
});

test("what is live in a flow ends when the source says so, for `status --check`", async () => {
  const openclaw = await openclawSource("2026.4.15", follows(LOGIN), (home) => {
    return { [LOGIN]: login({ home }, 1, { expires: Date.now() - HOUR_MS }) };
  });
  await sync(openclaw);
  expect((await credsyncd(openclaw.home, ["status", "--check"])).code).toBe(1);
  await openclaw.main.writeProfile(login(openclaw, 2), LOGIN);
  await sync(openclaw);
  expect((await credsyncd(openclaw.home, ["status", "--check"])).code).toBe(0);
});
