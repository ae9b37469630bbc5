import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { refreshLockNames } from "../../src/programs/openclaw/refresh-lock.js";
import { credsyncd } from "../support/command-line.js";
import { composeIn } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { openclawHome, openclawVersions, type OpenclawHome } from "../support/openclaw-home.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { endOf, PROFILE, type TemporaryHome } from "../support/temporary-home.js";

const MARGIN_MS = 5 * 60_000;

async function share(home: TemporaryHome, options: string): Promise<void> {
  await home.writeConfig(`{ targets: [{ kind: "openclaw", ${options} }] }`);
}

/** One reconcile of a daemon that starts with the configuration as it is now. */
async function reconcile({ home }: OpenclawHome) {
  return (await composeIn(home)).reconcile();
}

function full({ home }: OpenclawHome, generation: number): Record<string, unknown> {
  return home.profile(generation);
}

function bare(openclaw: OpenclawHome, generation: number): Record<string, unknown> {
  const profile = full(openclaw, generation);
  delete profile["refresh"];
  return { ...profile, expires: endOf(generation) + MARGIN_MS };
}

async function profiles({ stores }: OpenclawHome): Promise<unknown[]> {
  return Promise.all(stores.map((store) => store.readProfile()));
}

function everywhere(openclaw: OpenclawHome, profile: unknown): unknown[] {
  return openclaw.stores.map(() => profile);
}

describe.each(openclawVersions)("an access-only OpenClaw %s", (version) => {
  test("loses its refresh token and nothing else, is given the access token with its margin, and gets all back", async () => {
    const openclaw = await openclawHome(version);
    const before = await Promise.all(openclaw.stores.map((store) => store.readSet()));
    await reconcile(openclaw);
    await share(openclaw.home, `share: "access-only"`);
    await reconcile(openclaw);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 1)));

    await openclaw.home.writeLogin(2);
    await reconcile(openclaw);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 2)));

    await share(openclaw.home, `share: "full"`);
    const { plan } = await reconcile(openclaw);
    expect(plan.writes.map(({ revert }) => revert)).not.toContain(true);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, full(openclaw, 2)));
    const after = await Promise.all(openclaw.stores.map((store) => store.readSet()));
    const others = ({ profiles: all }: (typeof after)[number]): unknown => ({ ...all, [PROFILE]: null });
    expect(after.map(others)).toEqual(before.map(others));
    expect((await reconcile(openclaw)).plan).toMatchObject({ writes: [], record: [] });
  });

  test("may hold a blank refresh token, as some program may leave it, and is not written for that", async () => {
    const openclaw = await openclawHome(version);
    await share(openclaw.home, `share: "access-only"`);
    await reconcile(openclaw);
    for (const store of openclaw.stores) await store.writeProfile({ ...bare(openclaw, 1), refresh: "" });
    expect((await reconcile(openclaw)).plan.writes).toEqual([]);
    await openclaw.home.writeLogin(2);
    await reconcile(openclaw);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 2)));
  });

  test("keeps its refresh token while a refresh of it is under way there", async () => {
    const openclaw = await openclawHome(version);
    await reconcile(openclaw);
    await share(openclaw.home, `share: "access-only"`);
    const locks = openclaw.home.at(".openclaw", "locks", "oauth-refresh");
    await mkdir(locks, { recursive: true });
    const lock = join(locks, refreshLockNames("claude-cli", PROFILE)[version < "2026.6.6" ? 0 : 1]);
    await writeFile(lock, JSON.stringify({ pid: process.ppid, createdAt: new Date().toISOString() }));
    const { writes } = await reconcile(openclaw);
    expect(writes.map(({ error }) => error?.code)).toEqual(everywhere(openclaw, "locked"));
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, full(openclaw, 1)));
    await rm(lock);
    await reconcile(openclaw);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 1)));
    expect(existsSync(lock)).toBe(false);
  });

  test("keeps its refresh token while the source does not hold the live login", async () => {
    const openclaw = await openclawHome(version);
    const { home } = openclaw;
    await reconcile(openclaw);
    await share(home, `share: "access-only"`);
    await home.writeLogin(1, { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } });
    await reconcile(openclaw);
    await rm(home.loginFile);
    await reconcile(openclaw);
    await home.writeLogin(0);
    await reconcile(openclaw);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, full(openclaw, 1)));
    await home.writeLogin(1);
    await reconcile(openclaw);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 1)));
  });
});

describe.each(["2026.5.28", "2026.6.11"] as const)(
  "OpenClaw %s, which imports Claude Code's whole login on its own",
  (version) => {
    test("has it taken away again, which is drift and no adoption", async () => {
      const openclaw = await openclawHome(version);
      const { home } = openclaw;
      const store = openclaw.store("openclaw:ops");
      await share(home, `share: "access-only"`);
      const daemon = await RunningDaemon.start(home);
      expect(await store.readProfile()).toEqual(bare(openclaw, 1));
      await store.writeProfile(full(openclaw, 1));
      await daemon.said("drift corrected", { stores: 1 });
      expect(await store.readProfile()).toEqual(bare(openclaw, 1));
      await home.writeLogin(2);
      await daemon.said("credential pushed", { reason: "rotation" });
      expect(await store.readProfile()).toEqual(bare(openclaw, 2));
      expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 2)));
    });
  },
);

describe("the configuration of a running daemon", () => {
  test("turns its agents to access-only and back, without a word of reverts", async () => {
    const openclaw = await openclawHome("2026.9.6");
    const { home } = openclaw;
    const daemon = await RunningDaemon.start(home);
    for (const round of [1, 2, 3, 4]) {
      await share(home, `share: "access-only", expiryMargin: "${String(round)}m"`);
      daemon.signal("SIGHUP");
      const expires = endOf(1) + round * 60_000;
      await becomes(() => profiles(openclaw), everywhere(openclaw, { ...bare(openclaw, 1), expires }));
      await share(home, `share: "full"`);
      daemon.signal("SIGHUP");
      await becomes(() => profiles(openclaw), everywhere(openclaw, full(openclaw, 1)));
    }
    expect(daemon.news.filter(({ profile, level }) => profile === PROFILE || level === "error")).toEqual([]);
  });
});

describe("status of access-only agents", () => {
  interface Report {
    readonly stores: readonly { readonly store: string; readonly profiles: readonly Record<string, unknown>[] }[];
  }
  async function ends({ home }: OpenclawHome): Promise<unknown[]> {
    const { stores } = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Report;
    return stores.map(({ profiles: all }) => all.find(({ profile }) => profile === PROFILE)?.["expiresAt"]);
  }

  test("shows the true end, also where the margin was just changed or the agent pinned", async () => {
    const openclaw = await openclawHome("2026.5.28");
    const truth = everywhere(openclaw, new Date(endOf(1)).toISOString());
    await share(openclaw.home, `share: "access-only"`);
    await credsyncd(openclaw.home, ["sync"]);
    expect(await ends(openclaw)).toEqual(truth);
    await share(openclaw.home, `share: "access-only", expiryMargin: "20m"`);
    expect(await ends(openclaw)).toEqual(truth);
    await share(openclaw.home, `share: "full"`);
    expect(await ends(openclaw)).toEqual(truth);
    await openclaw.home.writeConfig(`{ agents: { "*": "pinned" } }`);
    expect(await ends(openclaw)).toEqual(truth);
  });
});

describe("a login that appeared in an access-only agent", () => {
  test("is on hold if it is newer, and becomes the source's by an order", async () => {
    const openclaw = await openclawHome("2026.4.15");
    const { home } = openclaw;
    await share(home, `share: "access-only"`);
    await reconcile(openclaw);
    await openclaw.store("openclaw:work").writeProfile(home.profile(7));
    const { plan } = await reconcile(openclaw);
    expect(plan.flows[0].adoption).toBeNull();
    expect(await openclaw.store("openclaw:work").generation()).toBe(7);
    expect(await credsyncd(home, ["adopt", "openclaw:work", "--profile", PROFILE])).toMatchObject({ code: 0 });
    // credsyncd did not write this login, but perhaps its expiry: the earlier one is the safe one.
    const expires = endOf(7);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, { ...bare(openclaw, 7), expires }));
  });
});
