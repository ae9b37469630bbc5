import { expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { openclawHome } from "../support/openclaw-home.js";
import { endOf } from "../support/temporary-home.js";

const USED = "anthropic:default";

test.each([
  ["2026.5.28", "openclaw:main"],
  ["2026.6.11", "openclaw:main"],
  ["2026.9.6", "openclaw:shared"],
] as const)("status of OpenClaw %s says that a pinned agent sends the later login of %s", async (version, common) => {
  const openclaw = await openclawHome(version, { generation: null });
  const { home } = openclaw;
  await home.writeLogin(1);
  await home.writeConfig(`{ profiles: ["${USED}"], agents: { ops: "pinned", work: "pinned" } }`);
  const own = (fields: object) => home.profile(0, { fields: { provider: "anthropic", ...fields } });
  for (const store of openclaw.stores) await store.writeSet({ version: 1, profiles: {} });
  await openclaw.store(common).writeProfile(home.profile(1, { fields: { provider: "anthropic" } }), USED);
  await openclaw.store("openclaw:ops").writeProfile(own({}), USED);
  await openclaw.store("openclaw:work").writeProfile(own({ email: home.email("own") }), USED);

  const { stdout } = await credsyncd(home, ["status", "--json"]);

  const { stores } = JSON.parse(stdout) as { stores: { store: string; profiles: { profile: string; sends: string | null }[] }[] };
  const sends = (name: string) => stores.find(({ store }) => store === name)?.profiles.map((profile) => profile.sends);
  expect(sends("openclaw:ops")).toEqual([common]);
  expect(sends("openclaw:work")).toEqual(["openclaw:work"]);
  const said = (await credsyncd(home, ["status"])).stdout;
  expect(said).toContain(`openclaw:ops ${USED}: its agent's next turn sends the later login in ${common}, not this one`);
  expect(said).not.toContain(`openclaw:work ${USED}: its agent's`);
});

test.each([
  ["2026.5.28", "openclaw:main"],
  ["2026.6.11", "openclaw:main"],
  ["2026.9.6", "openclaw:shared"],
] as const)(
  "a rotation does not move a pinned agent of OpenClaw %s, which would send what %s is given",
  async (version, common) => {
    const openclaw = await openclawHome(version, { generation: null });
    const { home } = openclaw;
    await home.writeLogin(1);
    await home.writeConfig(`{ profiles: ["${USED}"], agents: { ops: "pinned" } }`);
    const profile = (generation: number, fields: object = {}) =>
      home.profile(generation, { fields: { provider: "anthropic", ...fields } });
    for (const store of openclaw.stores) await store.writeSet({ version: 1, profiles: {} });
    await openclaw.store(common).writeProfile(profile(1), USED);
    await openclaw.store("openclaw:work").writeProfile(profile(1), USED);
    // Another account's, which expires between the two.
    const ends = { expires: endOf(1) + 60_000, access: "own-access", refresh: "own-refresh" };
    await openclaw.store("openclaw:ops").writeProfile(profile(0, ends), USED);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);

    await home.writeLogin(2);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(code).toBe(3);
    expect(stdout).toMatch(new RegExp(`held +${common} +${USED}: the pinned openclaw:ops would use this login`));
    expect(await openclaw.store(common).generation(USED)).toBe(1);
    expect(await openclaw.store("openclaw:work").generation(USED)).toBe(2);

    // The hint: another id, or an e-mail beside it.
    await openclaw.store("openclaw:ops").writeProfile(profile(0, { ...ends, email: home.email("own") }), USED);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    expect(await openclaw.store(common).generation(USED)).toBe(2);
  },
);

test("no push moves a pinned agent of OpenClaw 2026.4.15, which would lose its login even if it names its e-mail", async () => {
  const openclaw = await openclawHome("2026.4.15", { generation: null });
  const { home } = openclaw;
  await home.writeLogin(1);
  await home.writeConfig(`{ profiles: ["${USED}"], agents: { ops: "pinned" } }`);
  const profile = (generation: number, fields: object = {}) =>
    home.profile(generation, { fields: { provider: "anthropic", ...fields } });
  await openclaw.store("openclaw:main").writeProfile(profile(1), USED);
  const own = { expires: endOf(1) + 60_000, access: "own-access", refresh: "own-refresh", email: home.email("own") };
  await openclaw.store("openclaw:ops").writeProfile(profile(0, own), USED);
  await credsyncd(home, ["sync"]);
  await home.writeLogin(2);
  const { stdout } = await credsyncd(home, ["sync"]);
  expect(stdout).toMatch(/held +openclaw:main +anthropic:default: the pinned openclaw:ops would use this login/);
  expect(await openclaw.store("openclaw:main").generation(USED)).toBe(1);
});
