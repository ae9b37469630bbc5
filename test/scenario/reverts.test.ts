import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { runDaemon } from "../../src/daemon/daemon.js";
import { composeIn, environmentOf, rememberingLog } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { SetClock } from "../support/environment.js";
import { openclawHome, type OpenclawHome } from "../support/openclaw-home.js";
import { RunningDaemon, type LogLine } from "../support/running-daemon.js";
import { PROFILE } from "../support/temporary-home.js";

const DAY_MS = 24 * 3_600_000;
const versions = ["2026.3.11", "2026.6.11", "2026.9.6"] as const;

/** A gateway that keeps its snapshot in memory, and puts it back at every turn, as OpenClaw did up to 2026.3.22. */
async function snapshotOf({ store }: OpenclawHome) {
  const ops = store("openclaw:ops");
  const snapshot = await ops.readSet();
  return { turn: () => ops.writeSet(snapshot), generation: () => ops.generation() };
}

describe.each(versions)("a gateway of %s that puts its old snapshot back", (version) => {
  test("is answered at once, after 5 s, after 30 s, then left alone until the source rotates", async () => {
    const openclaw = await openclawHome(version);
    const clock = new SetClock();
    const { reconcile } = await composeIn(openclaw.home, environmentOf(openclaw.home, clock));
    await reconcile();
    const gateway = await snapshotOf(openclaw);
    await openclaw.home.writeLogin(2);
    await reconcile();
    expect(await gateway.generation()).toBe(2);

    for (const waitMs of [0, 5000, 30_000]) {
      await gateway.turn();
      if (waitMs > 0) {
        clock.aheadMs += waitMs - 1000;
        const { plan } = await reconcile();
        expect(plan.wakeAt).toBeGreaterThan(clock.now());
        expect(await gateway.generation()).toBe(1);
        clock.aheadMs += 1000;
      }
      await reconcile();
      expect(await gateway.generation()).toBe(2);
    }
    await gateway.turn();
    for (let day = 0; day < 3; day++) {
      const { plan } = await reconcile();
      expect(plan.reports.filter(({ target }) => target.profile === PROFILE).map(({ verdict }) => verdict)).toContainEqual(
        expect.objectContaining({ kind: "hold", reason: "reverting" }),
      );
      expect(plan.writes).toEqual([]);
      clock.aheadMs += DAY_MS;
    }
    expect(await gateway.generation()).toBe(1);
    await openclaw.home.writeLogin(3);
    await reconcile();
    expect(await gateway.generation()).toBe(3);
  });

  test("is not taken for one when another field of its store changes", async () => {
    const openclaw = await openclawHome(version);
    const { reconcile } = await composeIn(openclaw.home);
    await reconcile();
    const ops = openclaw.store("openclaw:ops");
    for (let turn = 0; turn < 6; turn++) {
      const profile = (await ops.readProfile()) ?? {};
      await ops.writeProfile({ ...profile, email: `turn-${String(turn)}@example.com`, lastUsed: turn });
      expect((await reconcile()).plan.writes).toEqual([]);
    }
  });
});

async function listen(port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
  });
  return server;
}

describe("the daemon", () => {
  test.each(versions)(
    "answers a gateway of %s until it gives it up, and once more when that gateway was restarted",
    async (version) => {
      const openclaw = await openclawHome(version);
      const { home } = openclaw;
      const clock = new SetClock();
      const first = await listen(0);
      const { port } = first.address() as AddressInfo;
      await home.writeConfig(`{ reload: { openclaw: "off" } }`);
      const environment = environmentOf(home, clock, { OPENCLAW_GATEWAY_PORT: String(port) });
      const config = await loadConfig(null, environment);
      const { log, lines } = rememberingLog(home);
      const stopping = new AbortController();
      const options = {
        config,
        reload: () => Promise.resolve(config),
        onReloadRequest: () => () => undefined,
        openLog: () => log,
        sayAlert: (line: string) => {
          home.spoken.push(line);
        },
      };
      const ended = runDaemon({ ...options, environment, supervisor: {} }, stopping.signal);
      onTestFinished(async () => {
        stopping.abort();
        await ended;
      });
      const heard = (msg: string, fields: object = {}): LogLine[] =>
        lines.filter((line) => line.msg === msg && Object.entries(fields).every(([name, value]) => line[name] === value));
      await becomes(() => heard("ready").length, 1);

      const gateway = await snapshotOf(openclaw);
      await home.writeLogin(2);
      await becomes(() => heard("credential pushed", { reason: "rotation" }).length, 1);
      for (let revert = 0; revert < 3; revert++) {
        // As late as it may have to wait.
        clock.aheadMs += 31_000;
        await gateway.turn();
        await becomes(() => heard("drift corrected").length, revert + 1);
        expect(await gateway.generation()).toBe(2);
      }
      await gateway.turn();
      await becomes(() => heard("held", { reason: "reverting", store: "openclaw:ops" }).length, 1);
      expect(await gateway.generation()).toBe(1);

      first.close();
      await once(first, "close");
      await listen(port);
      await openclaw.store("openclaw:work").writeNotes({ version: 1 });
      await home.writeLogin(2, { fields: { note: "anything that wakes it" } });
      await becomes(() => heard("drift corrected").length, 4);
      await gateway.turn();
      await becomes(() => heard("held", { reason: "reverting", store: "openclaw:ops" }).length, 2);
      expect(await gateway.generation()).toBe(1);
    },
  );

  test.each(versions)(
    "is not kept busy by a gateway of %s that notes the use of its profiles five times a second",
    async (version) => {
      const openclaw = await openclawHome(version);
      const daemon = await RunningDaemon.start(openclaw.home);
      const before = await Promise.all(openclaw.stores.map(async (store) => [await store.readSet(), await store.updatedAt()]));
      const said = daemon.lines.length;
      for (let turn = 0; turn < 15; turn++) {
        const usageStats = { [PROFILE]: { lastUsed: turn, errorCount: 0 } };
        for (const store of openclaw.stores) await store.writeNotes({ version: 1, usageStats });
        await pause(200);
      }
      const after = await Promise.all(openclaw.stores.map(async (store) => [await store.readSet(), await store.updatedAt()]));
      expect(after).toEqual(before);
      await daemon.stop();
      expect(daemon.lines.slice(said).map(({ msg }) => msg)).toEqual(["stopped"]);
    },
  );
});
