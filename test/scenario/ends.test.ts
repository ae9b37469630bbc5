import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { composeIn } from "../support/composed-daemon.js";
import { endOf, HOUR_MS, replace, TemporaryHome } from "../support/temporary-home.js";

const WORK = "openclaw:work";
const DAY_MS = 24 * HOUR_MS;
const AGENTS = ["main", "work"];
/** Forms in which `expires` is no time that a login can have. */
const unusable: readonly (readonly [string, unknown])[] = [
  ["missing", undefined],
  ["a string of digits", String(endOf(2))],
  ["a date as text", "2026-01-01T20:00:00.000Z"],
  ["0", 0],
  ["negative", -5],
  ["in seconds", Math.round(endOf(2) / 1000)],
  ["in microseconds", endOf(2) * 1000],
  ["a year ahead", Date.now() + 365 * DAY_MS],
];

async function anna(home: TemporaryHome): Promise<string> {
  const email = home.email("anna");
  await replace(home.at(".claude.json"), JSON.stringify({ oauthAccount: { accountUuid: "uuid-anna", emailAddress: email } }));
  return email;
}

describe.each(unusable)("an agent that renewed the login and left an expiry that is %s", (_what, expires) => {
  test("is neither adopted nor proposed for it, keeps its login until the source rotates, and holds nobody up", async () => {
    const home = await TemporaryHome.create({ agents: AGENTS });
    const email = await anna(home);
    for (const agent of AGENTS) await home.writeProfile(agent, 1, { fields: { email } });
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    await home.writeProfile("work", 2, { fields: { email, expires } });
    const held = await credsyncd(home, ["sync", "--json"]);
    expect(held.code).toBe(3);
    const report = JSON.parse(held.stdout) as { readonly holds: readonly { readonly hint: string }[] };
    expect(report.holds).toMatchObject([{ store: WORK, reason: "target-newer" }]);
    expect(report.holds[0]?.hint).not.toContain("adopt");
    const adopted = await credsyncd(home, ["adopt", WORK]);
    expect(adopted.code).toBe(65);
    expect(adopted.stderr).toContain("no expiry that can be used");
    expect(await home.fileGeneration(home.storeFile("work"))).toBe(2);
    await home.writeLogin(3);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    expect(await home.generations(AGENTS)).toEqual([3, 3]);
    expect((await home.readProfile("work"))?.["expires"]).toBe(endOf(3));
  });
});

describe.each(unusable.slice(0, 6))("an OpenClaw source whose expiry is %s", (_what, expires) => {
  test("is reported as unreadable, and no healthy agent loses its own", async () => {
    const home = await TemporaryHome.create({ generation: null });
    await home.configureAgents(AGENTS);
    await home.writeConfig('{ source: { kind: "openclaw", profile: "anthropic:default" } }');
    const options = { id: "anthropic:default", fields: { provider: "anthropic" } };
    await home.writeProfile("main", 1, { ...options, fields: { ...options.fields, expires } });
    await home.writeProfile("work", 2, options);
    const before = await home.readProfile("work", "anthropic:default");
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect([code, stdout]).toEqual([69, expect.stringContaining("expiry") as string]);
    expect(await home.readProfile("work", "anthropic:default")).toEqual(before);
  });
});

test("a login whose end a clock a month ahead made holds up no later rotation, and none is asked for again", async () => {
  const home = await TemporaryHome.create({ agents: AGENTS });
  await home.writeLogin(1, { expiresAt: Date.now() + 30 * DAY_MS });
  expect((await credsyncd(home, ["sync"])).code).toBe(0);
  for (const generation of [2, 3, 4]) {
    await home.writeLogin(generation);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    expect(await home.generations(AGENTS)).toEqual([generation, generation]);
  }
});

test("what an order accepted once is not asked again at the next rotation", async () => {
  const home = await TemporaryHome.create({ agents: AGENTS });
  await home.writeLogin(4);
  expect((await credsyncd(home, ["sync"])).code).toBe(0);
  await home.writeLogin(1);
  expect((await credsyncd(home, ["sync"])).code).toBe(3);
  expect((await credsyncd(home, ["sync", "--force"])).code).toBe(0);
  await home.writeLogin(2);
  expect((await credsyncd(home, ["sync"])).code).toBe(0);
  expect(await home.generations(AGENTS)).toEqual([2, 2]);
});

test("a new access token under the live refresh token stays in the source, whatever its end, and goes to every agent", async () => {
  const home = await TemporaryHome.create({ agents: AGENTS });
  const { reconcile } = await composeIn(home);
  await reconcile();
  for (const [turn, expiresAt] of [endOf(0), endOf(-8), endOf(3), Date.now() + 30 * DAY_MS].entries()) {
    const accessToken = home.token(`reissue-${String(turn)}`, 1);
    await home.writeLogin(1, { expiresAt, fields: { accessToken } });
    const { adoptions } = await reconcile();
    expect(adoptions).toEqual([]);
    for (const agent of AGENTS) expect(await home.readProfile(agent)).toMatchObject({ access: accessToken, expires: expiresAt });
    expect((await reconcile()).writes).toEqual([]);
  }
});

describe("a new sign-in of the same account, whose access token ends earlier", () => {
  const later = { signInEndsAt: endOf(2000) };

  test("is followed, and so is its next refresh", async () => {
    const home = await TemporaryHome.create({ agents: AGENTS });
    await anna(home);
    await home.writeLogin(8, { fields: { accountUuid: "uuid-anna" } });
    const { reconcile } = await composeIn(home);
    await reconcile();
    for (const generation of [2, 3]) {
      await home.writeLogin(generation, { ...later, fields: { accountUuid: "uuid-anna" } });
      await reconcile();
      expect(await home.generations(AGENTS)).toEqual([generation, generation]);
    }
  });

  test("beats what an agent surely renewed meanwhile, which goes to the backups", async () => {
    const home = await TemporaryHome.create({ agents: AGENTS });
    const email = await anna(home);
    for (const agent of AGENTS) await home.writeProfile(agent, 1, { fields: { email } });
    const { reconcile } = await composeIn(home);
    await reconcile();
    await home.writeProfile("work", 9, { fields: { email } });
    await home.writeLogin(2, { ...later, fields: { accountUuid: "uuid-anna" } });
    const { adoptions } = await reconcile();
    expect(adoptions).toEqual([]);
    expect(await home.generations(AGENTS)).toEqual([2, 2]);
    const { stdout } = await credsyncd(home, ["restore", "--store", WORK, "--list", "--json"]);
    expect((JSON.parse(stdout) as { backups: unknown[] }).backups).toHaveLength(1);
  });
});

describe("a source whose program names no account in the login", () => {
  const unnamed = { signInEndsAt: null };

  test("is pushed at once where the new login came in the last minutes of the old one", async () => {
    const home = await TemporaryHome.create({ agents: AGENTS });
    await anna(home);
    await home.writeLogin(1, { ...unnamed, expiresAt: Date.now() + 4 * 60_000 });
    const { reconcile } = await composeIn(home);
    await reconcile();
    await home.writeLogin(2, unnamed);
    await reconcile();
    expect(await home.generations(AGENTS)).toEqual([2, 2]);
  });

  test("is noticed where its account file names another account later, and the first account's last login is still kept", async () => {
    const home = await TemporaryHome.create({ agents: AGENTS });
    await anna(home);
    await home.writeLogin(1, { ...unnamed, expiresAt: Date.now() + 4 * 60_000 });
    const { reconcile } = await composeIn(home);
    await reconcile();
    // The sign-in of another account, whose file is written a moment later.
    await home.writeLogin(2, unnamed);
    const { plan } = await reconcile();
    expect(plan.wakeAt).not.toBeNull();
    const bert = { accountUuid: "uuid-bert", emailAddress: home.email("bert") };
    await replace(home.at(".claude.json"), JSON.stringify({ oauthAccount: bert }));
    const noticed = await reconcile();
    expect(noticed.plan.flows[0].source).toMatchObject({ kind: "held", reason: "account-changed" });
    await home.writeLogin(3, { ...unnamed, expiresAt: endOf(9) });
    await reconcile();
    expect(await home.generations(AGENTS)).toEqual([2, 2]);
    const { stdout } = await credsyncd(home, ["restore", "--list", "--json"]);
    const backups = (JSON.parse(stdout) as { backups: { generation?: string }[] }).backups;
    expect(backups).toHaveLength(1);
  });
});

test("an account that changed its e-mail is the same account, and the agents' profiles are given the new one", async () => {
  const home = await TemporaryHome.create({ agents: AGENTS });
  const email = await anna(home);
  for (const agent of AGENTS) await home.writeProfile(agent, 1, { fields: { email } });
  const { reconcile } = await composeIn(home);
  await reconcile();
  const renamed = home.email("anna after her wedding");
  const oauthAccount = { accountUuid: "uuid-anna", emailAddress: renamed };
  await replace(home.at(".claude.json"), JSON.stringify({ oauthAccount }));
  await reconcile();
  for (const agent of AGENTS) expect((await home.readProfile(agent))?.["email"]).toBe(renamed);
  expect((await reconcile()).writes).toEqual([]);
});
