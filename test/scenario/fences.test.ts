import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { compose } from "../../src/app/compose.js";
import { systemClock } from "../../src/app/system.js";
import { noOrders } from "../../src/domain/observation.js";
import { credsyncd } from "../support/command-line.js";
import { environmentOf } from "../support/composed-daemon.js";
import { SetClock } from "../support/environment.js";
import { fenced } from "../support/openclaw-fence.js";
import { openclawHome, type OpenclawHands, type OpenclawHome } from "../support/openclaw-home.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { generationIn, PROFILE } from "../support/temporary-home.js";

/** A clock that runs on its own and can be moved on without a jump. */
class MovedClock extends SetClock {
  override monotonic(): number {
    return systemClock.monotonic() + this.aheadMs;
  }
}

/** A daemon that starts now, to be moved by hand; the clock is the computer's. */
async function startDaemon({ home }: OpenclawHome, clock: SetClock) {
  const environment = { ...environmentOf(home), clock };
  const { reconciler, config } = await compose(await loadConfig(null, environment), environment, "write");
  return { reconcile: () => reconciler.reconcile(config.policy, noOrders, new AbortController().signal) };
}

/** OpenClaw's refresh of what a store holds, in every store that holds it: under way, or failed. */
async function fence(
  stores: readonly OpenclawHands[],
  state: { readonly failed: boolean; readonly claim?: string },
): Promise<void> {
  for (const store of stores) {
    const entry = await store.readProfile();
    if (entry !== null) await store.writeProfile(fenced(entry, { profile: PROFILE, ...state }));
  }
}

/** Ends a refresh that is under way as OpenClaw ends one that failed. */
async function fail(stores: readonly OpenclawHands[]): Promise<void> {
  for (const store of stores) {
    const entry = await store.readProfile();
    const failed = (mark: unknown): string => String(mark).replace(/:(access|refresh):/, ":failed:$1:");
    await store.writeProfile({ ...entry, access: failed(entry?.["access"]), refresh: failed(entry?.["refresh"]) });
  }
}

function bare({ home }: OpenclawHome, generation: number): Record<string, unknown> {
  const profile = home.profile(generation);
  delete profile["refresh"];
  return profile;
}

async function profiles({ stores }: OpenclawHome): Promise<unknown[]> {
  return Promise.all(stores.map((store) => store.readProfile()));
}

function everywhere({ stores }: OpenclawHome, profile: unknown): unknown[] {
  return stores.map(() => profile);
}

async function sourceGeneration({ home }: OpenclawHome): Promise<number | null> {
  const { claudeAiOauth } = JSON.parse(await readFile(home.loginFile, "utf8")) as { claudeAiOauth: Record<string, unknown> };
  return generationIn(claudeAiOauth["refreshToken"]);
}

async function ledgerEvents({ home }: OpenclawHome): Promise<string[]> {
  const { stdout } = await credsyncd(home, ["history", "--json", "--limit", "1000"]);
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [(JSON.parse(line) as { event: string }).event]));
}

describe.each(["2026.9.6", "2026.6.11", "2026.5.28"] as const)("while the agents of an OpenClaw %s refresh", (version) => {
  test("nothing is written, and what it brings is everyone's", async () => {
    const openclaw = await openclawHome(version);
    const { home, stores } = openclaw;
    const daemon = await startDaemon(openclaw, new MovedClock());
    await daemon.reconcile();
    await fence(stores, { failed: false });
    const busy = await profiles(openclaw);
    const waiting = await daemon.reconcile();
    expect(waiting.plan).toMatchObject({ writes: [], flows: [{ adoption: null, suspect: false }] });
    expect(waiting.plan.wakeAt).not.toBeNull();
    expect(await profiles(openclaw)).toEqual(busy);

    const [winner, ...peers] = stores;
    await fail(peers);
    await winner?.writeProfile(home.profile(2));
    const { plan } = await daemon.reconcile();
    expect(plan.flows).toMatchObject([{ suspect: false, adoption: { candidate: { proof: "refresh-fence" } } }]);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, home.profile(2)));
    expect(await sourceGeneration(openclaw)).toBe(2);
    expect((await daemon.reconcile()).plan).toMatchObject({ writes: [], record: [] });
  });

  test("a program that died in the middle of it is waited for 180 s in all, whoever counts them", async () => {
    const openclaw = await openclawHome(version);
    const clock = new MovedClock();
    await (await startDaemon(openclaw, clock)).reconcile();
    await fence(openclaw.stores, { failed: false });
    const busy = await profiles(openclaw);
    const daemon = await startDaemon(openclaw, clock);
    await daemon.reconcile();
    clock.aheadMs += 120_000;
    await daemon.reconcile();
    clock.aheadMs += 50_000;
    await daemon.reconcile();
    expect(await profiles(openclaw)).toEqual(busy);
    const restarted = await startDaemon(openclaw, clock);
    await restarted.reconcile();
    expect(await profiles(openclaw)).toEqual(busy);
    clock.aheadMs += 11_000;
    const { plan } = await restarted.reconcile();
    expect(plan.flows).toMatchObject([{ suspect: true }]);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 1)));
  });

  test.each([
    ["does not count", SetClock],
    ["counts", MovedClock],
  ])("a computer that slept meanwhile, and %s the time, starts a new wait", async (_what, SleepyClock) => {
    const openclaw = await openclawHome(version);
    const clock = new SleepyClock();
    const daemon = await startDaemon(openclaw, clock);
    await daemon.reconcile();
    await fence(openclaw.stores, { failed: false });
    const busy = await profiles(openclaw);
    await daemon.reconcile();
    clock.aheadMs += 8 * 3_600_000;
    const { plan } = await daemon.reconcile();
    expect(plan.record).toMatchObject(openclaw.stores.map(() => ({ kind: "fence" })));
    expect(plan.wakeAt).toBeGreaterThan(clock.now() + 170_000);
    expect(await profiles(openclaw)).toEqual(busy);
  });
});

describe.each(["2026.9.6", "2026.5.28"] as const)("where a refresh in an OpenClaw %s failed", (version) => {
  test("of what is live now, the agents are given its access token alone until the source rotates", async () => {
    const openclaw = await openclawHome(version);
    const { home, stores } = openclaw;
    const daemon = await startDaemon(openclaw, new MovedClock());
    await daemon.reconcile();
    await fence(stores, { failed: true });
    await daemon.reconcile();
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 1)));
    expect((await daemon.reconcile()).plan).toMatchObject({ flows: [{ suspect: true }], writes: [], record: [] });
    expect(await sourceGeneration(openclaw)).toBe(1);

    await home.writeLogin(2);
    await daemon.reconcile();
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, home.profile(2)));
    expect((await ledgerEvents(openclaw)).filter((event) => event === "suspect")).toHaveLength(1);
  });

  test("of an older one, they are given what is live, and stay with it", async () => {
    const openclaw = await openclawHome(version);
    const { home, stores } = openclaw;
    const daemon = await startDaemon(openclaw, new MovedClock());
    await daemon.reconcile();
    await home.writeLogin(2);
    await fence(stores, { failed: true });
    expect((await daemon.reconcile()).plan.flows).toMatchObject([{ suspect: false }]);
    expect(await profiles(openclaw)).toEqual(everywhere(openclaw, home.profile(2)));
    expect((await daemon.reconcile()).plan).toMatchObject({ writes: [], record: [] });
  });
});

describe("where OpenClaw 2026.9.6 marked a login in its last five minutes, without asking a server", () => {
  test.each(["before", "after"])(
    "the row is healed with all of it, %s credsyncd knew it, as often as that happens",
    async (when) => {
      const openclaw = await openclawHome("2026.9.6");
      const { home, stores, store } = openclaw;
      const own = stores.filter(({ name }) => name !== "openclaw:shared").slice(0, 1);
      const daemon = await startDaemon(openclaw, new MovedClock());
      if (when === "after") await daemon.reconcile();
      for (let times = 0; times < 5; times++) {
        await fence(own, { failed: true, claim: String(times).padStart(32, "0") });
        expect((await daemon.reconcile()).plan).toMatchObject({ flows: [{ suspect: false }] });
        expect(await profiles(openclaw)).toEqual(everywhere(openclaw, home.profile(1)));
      }
      expect(await ledgerEvents(openclaw)).not.toContain("suspect");

      // A refresh that was sent has marked every row.
      await fence([store("openclaw:shared"), ...own], { failed: true, claim: "f".repeat(32) });
      const rest = stores.filter((each) => each.name !== "openclaw:shared" && !own.includes(each));
      await fence(rest, { failed: true, claim: "f".repeat(32) });
      expect((await daemon.reconcile()).plan).toMatchObject({ flows: [{ suspect: true }] });
      expect(await profiles(openclaw)).toEqual(everywhere(openclaw, bare(openclaw, 1)));
    },
  );
});

describe.each(["2026.9.6", "2026.6.11"] as const)(
  "where an OpenClaw %s is the source, and every store is fenced at once",
  (version) => {
    async function fencedSource(): Promise<
      OpenclawHome & { readonly source: OpenclawHands; readonly agents: readonly OpenclawHands[] }
    > {
      const openclaw = await openclawHome(version);
      await openclaw.home.writeConfig(`{ source: { kind: "openclaw", profile: "${PROFILE}" } }`);
      const source = openclaw.store(version === "2026.9.6" ? "openclaw:shared" : "openclaw:main");
      return { ...openclaw, source, agents: openclaw.stores.filter((store) => store !== source) };
    }

    test("nothing is pushed or missing, and what an agent's refresh brought goes to the source and to everyone", async () => {
      const openclaw = await fencedSource();
      const { home, stores, source, agents } = openclaw;
      const daemon = await startDaemon(openclaw, new MovedClock());
      await daemon.reconcile();
      await fence(stores, { failed: false });
      const busy = await profiles(openclaw);
      const waiting = await daemon.reconcile();
      expect(waiting.plan).toMatchObject({ writes: [], flows: [{ source: { kind: "fenced", reason: "source-refreshing" } }] });
      expect(waiting.plan.record).toMatchObject(stores.map(() => ({ kind: "fence", spends: expect.any(String) as string })));
      expect(await profiles(openclaw)).toEqual(busy);

      const [winner, ...peers] = agents;
      await fail([source, ...peers]);
      await winner?.writeProfile(home.profile(2));
      const { plan } = await daemon.reconcile();
      expect(plan.flows).toMatchObject([{ suspect: false, adoption: { candidate: { proof: "refresh-fence" } } }]);
      expect(await profiles(openclaw)).toEqual(everywhere(openclaw, home.profile(2)));
      expect((await daemon.reconcile()).plan).toMatchObject({ writes: [], record: [] });
    });

    test("a refresh that failed everywhere puts back no more than is kept, says so, and ends with a new sign-in", async () => {
      const openclaw = await fencedSource();
      const { home, stores, source, agents } = openclaw;
      const daemon = await startDaemon(openclaw, new MovedClock());
      await daemon.reconcile();
      await fence(stores, { failed: true });
      const lost = await profiles(openclaw);
      const { plan } = await daemon.reconcile();
      expect(plan.flows).toMatchObject([{ adoption: null, suspect: true, source: { reason: "source-refresh-failed" } }]);
      // Versions that are surely without fences are not prepared for them.
      const isKept = version === "2026.9.6";
      expect(await profiles({ ...openclaw, stores: agents })).toEqual(
        isKept ? agents.map(() => bare(openclaw, 1)) : lost.slice(0, -1),
      );
      const { stdout, code } = await credsyncd(home, ["status", "--check"]);
      expect(code).not.toBe(0);
      expect(stdout).toContain("OpenClaw failed to refresh its login");
      expect((await daemon.reconcile()).plan).toMatchObject({ writes: [], record: [] });
      await source.writeProfile(home.profile(3));
      await daemon.reconcile();
      expect(await profiles(openclaw)).toEqual(everywhere(openclaw, home.profile(3)));
    });
  },
);

test("status and sync say that the live login is suspect, and an order gives an agent the whole of it", async () => {
  interface Report {
    readonly source: { readonly state: string; readonly reason: string; readonly hint: string };
    readonly stores: readonly { readonly store: string; readonly profiles: readonly Record<string, unknown>[] }[];
  }
  const openclaw = await openclawHome("2026.9.6");
  const { home, stores } = openclaw;
  const { code: codeBefore } = await credsyncd(home, ["sync"]);
  await fence(stores, { failed: true });
  const before = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Report;
  expect(before.stores.map(({ profiles: all }) => all.find(({ profile }) => profile === PROFILE))).toMatchObject(
    stores.map(() => ({
      state: "drift",
      reason: "refresh-failed",
      type: "oauth",
      generation: expect.stringMatching(/^g1:/) as string,
    })),
  );
  const { code, stdout } = await credsyncd(home, ["sync"]);
  expect(code).toBe(codeBefore);
  expect(stdout).toContain("it may be spent");
  const after = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Report;
  expect(after.source).toMatchObject({
    state: "ok",
    reason: "suspect",
    hint: expect.stringContaining("claude auth login") as string,
  });
  expect(after.stores.map(({ profiles: all }) => all.find(({ profile }) => profile === PROFILE))).toMatchObject(
    stores.map(() => ({ state: "in-sync", reason: "suspect" })),
  );
  expect((await credsyncd(home, ["status"])).stdout).toContain("only its access token");
  await credsyncd(home, ["sync", "--force", "openclaw:ops"]);
  expect(await openclaw.store("openclaw:ops").readProfile()).toEqual(home.profile(1));
  expect(await openclaw.store("openclaw:work").readProfile()).toEqual(bare(openclaw, 1));
});

test("sync says what it waits for, and that it is not done", async () => {
  const openclaw = await openclawHome("2026.9.6");
  await credsyncd(openclaw.home, ["sync"]);
  await fence(openclaw.stores.slice(0, 1), { failed: false });
  const { code, stdout } = await credsyncd(openclaw.home, ["sync"]);
  expect(code).toBe(3);
  expect(stdout).toMatch(/waits +openclaw:\w+ +anthropic:claude-cli: OpenClaw is refreshing this login/);
  const { waits } = JSON.parse((await credsyncd(openclaw.home, ["sync", "--json"])).stdout) as { waits: unknown[] };
  expect(waits).toMatchObject([{ store: openclaw.stores[0]?.name, profile: PROFILE, reason: "refreshing" }]);
});

test("a running daemon says once that the live login is suspect, and once that it is over", async () => {
  const openclaw = await openclawHome("2026.9.6");
  const daemon = await RunningDaemon.start(openclaw.home);
  await fence(openclaw.stores, { failed: true });
  await daemon.said("live login suspect", { level: "warn", reason: "suspect" });
  await openclaw.home.writeLogin(2);
  await daemon.said("resolved", { about: "claude-code suspect" });
  expect(daemon.lines.filter(({ msg }) => msg === "live login suspect")).toHaveLength(1);
});
