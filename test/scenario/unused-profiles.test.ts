import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import type { OpenclawVersion } from "../support/fixtures.js";
import { openclawHome, type OpenclawHome } from "../support/openclaw-home.js";
import { endOf, PROFILE, replace } from "../support/temporary-home.js";

/** The id that OpenClaw from 2026.8.1 on sends. */
const USED = "anthropic:default";
const UNUSED = "this OpenClaw does not use this profile";
const EMAIL = "anna@example.com";
const CREATE = `{ create: "when-provider-missing" }`;

interface Status {
  readonly stores: readonly {
    readonly store: string;
    readonly profiles: readonly {
      readonly profile: string;
      readonly state: string;
      readonly used: boolean;
      readonly sends: string | null;
    }[];
  }[];
  readonly unused: readonly string[];
  readonly summary: { readonly inSync: number };
}

async function statusOf({ home }: OpenclawHome): Promise<Status> {
  return JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Status;
}

/** An OpenClaw without any profile, beside a login of this generation. */
async function emptied(version: OpenclawVersion, generation = 1): Promise<OpenclawHome> {
  const openclaw = await openclawHome(version, { generation: null });
  for (const store of openclaw.stores) await store.writeSet({ version: 1, profiles: {} });
  await openclaw.home.writeLogin(generation);
  const account = { accountUuid: "00000000-0000-4000-8000-0000000000aa", emailAddress: EMAIL };
  await replace(openclaw.home.at(".claude.json"), JSON.stringify({ oauthAccount: account }));
  return openclaw;
}

describe("a profile that this OpenClaw never sends", () => {
  test("is kept fresh, and status, sync and doctor say that nobody uses it", async () => {
    const openclaw = await emptied("2026.9.6");
    const { home } = openclaw;
    await openclaw.store("openclaw:shared").writeProfile(home.profile(0));
    const synced = await credsyncd(home, ["sync"]);
    expect(synced.stdout).toContain(`openclaw:shared  ${PROFILE}: ${UNUSED}`);
    expect(await openclaw.store("openclaw:shared").generation()).toBe(1);

    const { stdout } = await credsyncd(home, ["status"]);
    expect(stdout).toMatch(/openclaw:shared +anthropic:claude-cli +in-sync, not used/);
    expect(stdout).toContain(UNUSED);
    expect(stdout).toContain('create: "when-provider-missing"');
    const { stores, unused, summary } = await statusOf(openclaw);
    expect(stores[0]?.profiles).toMatchObject([{ profile: PROFILE, state: "in-sync", used: false }]);
    expect(unused).toHaveLength(summary.inSync);
    expect(unused).toContain("openclaw:shared");
    expect((await credsyncd(home, ["status", "--check"])).code).not.toBe(0);
    expect((await credsyncd(home, ["doctor"])).stdout).toMatch(
      new RegExp(`warning +unused: openclaw:shared anthropic:claude-cli: ${UNUSED}`),
    );
  });

  test("is one that a version before 2026.8.1 sends", async () => {
    const openclaw = await openclawHome("2026.6.11", { generation: 1 });
    await credsyncd(openclaw.home, ["sync"]);
    const { stdout } = await credsyncd(openclaw.home, ["status"]);
    expect(stdout).not.toContain("not used");
    expect((await statusOf(openclaw)).unused).toEqual([]);
  });
});

describe("a profile of provider claude-cli", () => {
  /** A home with a login of generation 1, in which every agent has the one before. */
  async function behind(version: OpenclawVersion): Promise<OpenclawHome> {
    const openclaw = await emptied(version);
    for (const store of openclaw.stores) await store.writeProfile(openclaw.home.profile(0));
    return openclaw;
  }

  const notSent = "before 2026.4.24 it sends no login of provider claude-cli";

  test.each(["2026.3.11", "2026.4.15"] as const)("is kept fresh in %s, and all say that nobody uses it", async (version) => {
    const openclaw = await behind(version);
    const { home } = openclaw;
    const synced = await credsyncd(home, ["sync"]);
    expect(synced.stdout).toContain(`openclaw:work  ${PROFILE}: ${UNUSED}: ${notSent}, and ${version} wrote openclaw.json`);
    expect(await openclaw.store("openclaw:work").generation()).toBe(1);

    const { stdout } = await credsyncd(home, ["status"]);
    expect(stdout).toMatch(/openclaw:work +anthropic:claude-cli +in-sync, not used/);
    expect(stdout).toContain(`give this profile "provider": "anthropic" in ${home.storeFile("work")}`);
    const { stores, unused } = await statusOf(openclaw);
    expect(unused).toContain("openclaw:work");
    expect(stores[1]?.profiles).toMatchObject([{ profile: PROFILE, state: "in-sync", used: false, sends: null }]);
    const { stdout: checked } = await credsyncd(home, ["doctor"]);
    expect(checked).toMatch(/warning +unused: openclaw:work anthropic:claude-cli: .*claude-cli/);
    expect(checked).not.toContain("openclaw doctor --fix deletes it");
  });

  test("follows on, and is used, once its provider is the one that the hint says", async () => {
    const openclaw = await behind("2026.4.15");
    const { home } = openclaw;
    await credsyncd(home, ["sync"]);
    for (const store of openclaw.stores) {
      await store.writeProfile({ ...(await store.readProfile()), provider: "anthropic" });
    }
    await home.writeLogin(2);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    expect(await openclaw.store("openclaw:work").generation()).toBe(2);
    expect((await statusOf(openclaw)).unused).toEqual([]);
    expect((await credsyncd(home, ["status", "--check"])).code).toBe(0);
  });

  test("is sent from 2026.4.24 on", async () => {
    const openclaw = await behind("2026.5.28");
    await credsyncd(openclaw.home, ["sync"]);
    expect((await statusOf(openclaw)).unused).toEqual([]);
  });

  test("is only spoken of by doctor where openclaw.json does not say which OpenClaw wrote it", async () => {
    const openclaw = await behind("2026.4.15");
    const { home } = openclaw;
    await home.configureAgents(["main", "work", "ops"]);
    await credsyncd(home, ["sync"]);
    expect((await statusOf(openclaw)).unused).toEqual([]);
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).toMatch(/info +unused: .*whether this OpenClaw uses .* cannot be told/);
  });
});

describe("the id that this OpenClaw sends in its place", () => {
  test("is made where the user allows it: the access token alone, with the account's e-mail", async () => {
    const openclaw = await emptied("2026.9.6");
    const { home } = openclaw;
    await home.writeConfig(CREATE);
    // A profile that nobody uses does not count as one of the provider.
    await openclaw.store("openclaw:shared").writeProfile(home.profile(1));
    await credsyncd(home, ["sync"]);
    const made = { type: "oauth", provider: "anthropic", email: EMAIL };
    const given = (generation: number) => ({
      ...made,
      access: home.token("access", generation),
      expires: endOf(generation) + 5 * 60_000,
    });
    expect(await openclaw.store("openclaw:shared").readProfile(USED)).toEqual(given(1));

    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await openclaw.store("openclaw:shared").readProfile(USED)).toEqual(given(2));
    expect((await credsyncd(home, ["status", "--check"])).code).toBe(0);
    expect((await statusOf(openclaw)).unused).toEqual([]);
    await credsyncd(home, ["sync"]);
    expect(await openclaw.store("openclaw:shared").readProfile(USED)).toEqual(given(2));
  });

  test.each([
    ["bind: listed", `{ create: "always", bind: "listed" }`, undefined],
    ["share: full", `{ create: "always", targets: [{ kind: "openclaw", share: "full" }] }`, 2],
  ])("follows once it is made, with %s", async (_what, config, refresh) => {
    const openclaw = await emptied("2026.9.6");
    const { home } = openclaw;
    await home.writeConfig(config);
    await credsyncd(home, ["sync"]);
    await home.writeLogin(2);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    const profile = await openclaw.store("openclaw:shared").readProfile(USED);
    expect(profile).toMatchObject({ access: home.token("access", 2) });
    expect(profile?.["refresh"]).toBe(refresh === undefined ? undefined : home.token("refresh", refresh));
  });

  test("is never made twice: what was removed stays away", async () => {
    const openclaw = await emptied("2026.9.6");
    const { home } = openclaw;
    await home.writeConfig(CREATE);
    await credsyncd(home, ["sync"]);
    await openclaw.store("openclaw:shared").removeProfile(USED);
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await openclaw.store("openclaw:shared").readProfile(USED)).toBeNull();
  });

  test("with an unknown login is left alone: it may be a sign-in's only copy", async () => {
    const openclaw = await emptied("2026.9.6", 3);
    const { home } = openclaw;
    await home.writeConfig(`{ create: "always", bind: "listed" }`);
    const foreign = home.profile(1, { fields: { provider: "anthropic" } });
    await openclaw.store("openclaw:shared").writeProfile(foreign, USED);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(code).toBe(3);
    expect(stdout).toMatch(/held {2}openclaw:shared {2}anthropic:default/);
    expect(await openclaw.store("openclaw:shared").readProfile(USED)).toEqual(foreign);
  });

  test("keeps the whole login where it had it before", async () => {
    const openclaw = await emptied("2026.9.6");
    const { home } = openclaw;
    const full = (generation: number) => home.profile(generation, { fields: { provider: "anthropic" } });
    await openclaw.store("openclaw:shared").writeProfile(full(1), USED);
    await credsyncd(home, ["sync"]);
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await openclaw.store("openclaw:shared").readProfile(USED)).toEqual(full(2));
  });

  test("is not made in an OpenClaw that sends the usual one", async () => {
    const openclaw = await emptied("2026.6.11");
    await openclaw.home.writeConfig(CREATE);
    await credsyncd(openclaw.home, ["sync"]);
    expect(Object.keys((await openclaw.store("openclaw:main").readSet()).profiles)).toEqual([PROFILE]);
  });
});
