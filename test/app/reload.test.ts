import { describe, expect, test } from "vitest";
import { isOver, type Lag } from "../../src/app/lag.js";
import { overwrittenBy, Reloader, reloadNow } from "../../src/app/reload.js";
import { StoreError } from "../../src/domain/errors.js";
import type { PlannedWrite } from "../../src/domain/plan.js";
import type { CommandOutcome } from "../../src/io/run-command.js";
import type { WriteOutcome } from "../../src/reconcile/apply.js";
import { UNKNOWN_LISTENER, type Gateway } from "../../src/programs/gateway.js";
import { rememberingLog } from "../support/composed-daemon.js";
import { ManualClock, settled } from "../support/manual-clock.js";
import { HOUR_MS, login, NOW, stub, targetWith } from "../support/planning.js";
import { TemporaryHome } from "../support/temporary-home.js";
import type { Held } from "../../src/domain/observation.js";

const done: CommandOutcome = { kind: "done", output: "" };
const failed: CommandOutcome = { kind: "failed", exitCode: 1, output: "sk-ant-oat01-made-up-secret" };
const unpaired: CommandOutcome = {
  kind: "failed",
  exitCode: 1,
  output: "scope upgrade pending approval: pairing required (device d-1)",
};
const signal = new AbortController().signal;
const STARTED_AT = NOW;

/** A gateway whose reloads end as the test says, and a reloader of it. */
async function reloading(outcomes: CommandOutcome[] = []) {
  const home = await TemporaryHome.create();
  const clock = new ManualClock(STARTED_AT);
  const { log, lines } = rememberingLog(home);
  const gateway = {
    listener: "1" as string | null,
    reloads: 0,
    pending: null as null | ((outcome: CommandOutcome) => void),
    changes: 0,
  };
  const port: Gateway = {
    name: "the gateway",
    listener: () => Promise.resolve(gateway.listener),
    reload: () => {
      gateway.reloads += 1;
      const outcome = outcomes.shift();
      return outcome === undefined ? new Promise((resolve) => (gateway.pending = resolve)) : Promise.resolve(outcome);
    },
  };
  const reloader = (reload = port.reload, expected: Gateway["expected"] = () => Promise.resolve(null)): Reloader =>
    new Reloader({ gateway: { ...port, reload, expected }, clock, log, onChange: () => (gateway.changes += 1) });
  const news = (): unknown[] => lines.map(({ level, msg, reason }) => [level, msg, ...(reason === undefined ? [] : [reason])]);
  return { clock, gateway, reloader, lines, news };
}

const endsIn = (ms: number) => ({ endsAt: STARTED_AT + ms });

describe("a gateway whose stores were written", () => {
  test("reloads once, and no longer lags", async () => {
    const { reloader, gateway, news } = await reloading([done]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    expect(own.lag).toMatchObject({
      gateway: "the gateway",
      since: STARTED_AT,
      until: STARTED_AT + HOUR_MS,
      reason: "reloading",
    });
    await own.idle();
    expect([own.lag, gateway.reloads, news()]).toEqual([null, 1, [["info", "gateway reloaded"]]]);
    expect(gateway.changes).toBeGreaterThanOrEqual(2);
  });

  test("is said once not to be found where it should listen, and again once it was there", async () => {
    const { reloader, gateway, lines, news } = await reloading([done]);
    const own = reloader(undefined, () => Promise.resolve({ port: 18999, because: "configured" as const }));
    const missing = ["info", "gateway not found"];
    for (const [listener, said] of [
      [null, [missing]],
      [null, [missing]],
      ["1", [missing, ["info", "gateway reloaded"]]],
      [null, [missing, ["info", "gateway reloaded"], missing]],
    ] as const) {
      gateway.listener = listener;
      own.request(endsIn(HOUR_MS), signal);
      await own.idle();
      expect(news()).toEqual(said);
    }
    expect(lines[0]).toMatchObject({
      gateway: "the gateway",
      port: 18999,
      hint: expect.stringContaining("gateway.port") as string,
    });
  });

  test("is not told where none listens", async () => {
    const { reloader, gateway, news } = await reloading();
    gateway.listener = null;
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await own.idle();
    expect([own.lag, gateway.reloads, news()]).toEqual([null, 0, []]);
  });

  test("reloads just once more for all writes during a reload", async () => {
    const { reloader, gateway } = await reloading();
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    for (let count = 0; count < 10; count++) own.request(endsIn(2 * HOUR_MS), signal);
    expect(gateway.reloads).toBe(1);
    gateway.pending?.(done);
    await settled();
    expect([gateway.reloads, own.lag?.until]).toEqual([2, STARTED_AT + 2 * HOUR_MS]);
    gateway.pending?.(done);
    await own.idle();
    expect([gateway.reloads, own.lag]).toEqual([2, null]);
  });

  test("is retried after 15 s, then with growing delays, and lags from the first write on", async () => {
    const { reloader, gateway, clock, news } = await reloading([failed, failed, failed, done]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    expect(gateway.reloads).toBe(1);
    for (const [seconds, reloads] of [
      [14, 1],
      [1, 2],
      [29, 2],
      [1, 3],
      [59, 3],
    ] as const) {
      await clock.pass(seconds * 1000);
      expect(gateway.reloads).toBe(reloads);
      expect(own.lag).toMatchObject({ since: STARTED_AT, reason: "failed" });
    }
    await clock.pass(1000);
    expect(gateway.reloads).toBe(4);
    await own.idle();
    expect(own.lag).toBeNull();
    expect(news()).toEqual([
      ["warn", "gateway not reloaded", "the command failed"],
      ["info", "gateway reloaded"],
    ]);
  });

  test("reloads within 15 s of a write after failures, however long the pause would last", async () => {
    const { reloader, gateway, clock } = await reloading([failed, failed, failed, failed, failed, done]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    for (const seconds of [15, 30, 60]) await clock.pass(seconds * 1000);
    expect(gateway.reloads).toBe(4);
    await clock.pass(5000);
    for (let count = 0; count < 10; count++) own.request(endsIn(HOUR_MS), signal);
    expect(gateway.reloads).toBe(4);
    await clock.pass(10_000);
    expect(gateway.reloads).toBe(5);
    // From there on it is left alone for ever longer again.
    await clock.pass(14_000);
    expect(gateway.reloads).toBe(5);
    await clock.pass(1000);
    expect(gateway.reloads).toBe(6);
    await own.idle();
    expect(own.lag).toBeNull();
  });

  test("is retried at least every 15 minutes, and at once on a write after a success", async () => {
    const { reloader, gateway, clock } = await reloading(Array<CommandOutcome>(40).fill(failed));
    const own = reloader();
    own.request({ endsAt: null }, signal);
    await settled();
    for (let minute = 0; minute < 60; minute++) await clock.pass(60_000);
    const soFar = gateway.reloads;
    for (let minute = 0; minute < 60; minute++) await clock.pass(60_000);
    expect(gateway.reloads - soFar).toBe(4);
  });

  test("is not retried once the replaced token has expired: it then reads its store without a reload", async () => {
    const { reloader, gateway, clock } = await reloading([failed]);
    const own = reloader();
    own.request(endsIn(10_000), signal);
    await settled();
    await clock.pass(15_000);
    await own.idle();
    expect([own.lag, gateway.reloads]).toEqual([null, 1]);
  });

  test("is not told any more once it was restarted, or ended", async () => {
    for (const listener of ["2", null]) {
      const { reloader, gateway, clock } = await reloading([failed]);
      const own = reloader();
      own.request(endsIn(HOUR_MS), signal);
      await settled();
      gateway.listener = listener;
      await clock.pass(15_000);
      await own.idle();
      expect([own.lag, gateway.reloads]).toEqual([null, 1]);
    }
  });

  test("reloads even if it restarted before the last write", async () => {
    const { reloader, gateway, clock } = await reloading([failed, done]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    gateway.listener = "2";
    own.request(endsIn(HOUR_MS), signal);
    await clock.pass(15_000);
    await own.idle();
    expect([own.lag, gateway.reloads]).toEqual([null, 2]);
  });

  test("that needs pairing has this explained once, with the remedy, until it reloads", async () => {
    const { reloader, clock, lines, news } = await reloading([unpaired, unpaired, unpaired, done, unpaired]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    expect(own.lag?.reason).toBe("pairing");
    for (let minute = 0; minute < 3; minute++) await clock.pass(60_000);
    expect(own.lag).toBeNull();
    expect(news()).toEqual([
      ["warn", "gateway not reloaded", "it wants this device to be paired"],
      ["info", "gateway reloaded"],
    ]);
    expect(lines[0]?.["hint"]).toContain("openclaw devices approve");
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    expect(news()).toHaveLength(3);
  });

  test("lags if the reload command is missing, and is retried only at the next write", async () => {
    const { reloader, gateway, clock, news } = await reloading([{ kind: "not-found" }, done]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await own.idle();
    await clock.pass(HOUR_MS / 2);
    expect([own.lag?.reason, gateway.reloads]).toEqual(["no-command", 1]);
    expect(news()).toEqual([["warn", "gateway not reloaded", "there is no such command"]]);
    own.request(endsIn(HOUR_MS), signal);
    await own.idle();
    expect([own.lag, gateway.reloads]).toEqual([null, 2]);
  });

  test("that does not answer is reported so", async () => {
    const { reloader, news } = await reloading([{ kind: "timed-out" }]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    expect(own.lag?.reason).toBe("no-answer");
    expect(news()).toEqual([["warn", "gateway not reloaded", "no answer within 30 s"]]);
  });

  test("lags without a word in the log if the user turned reloads off", async () => {
    const { reloader, lines } = await reloading();
    const own = reloader(null);
    own.request(endsIn(HOUR_MS), signal);
    await own.idle();
    expect(own.lag).toMatchObject({ reason: "off", listener: "1" });
    expect(lines).toEqual([]);
  });

  test("has nothing of what the command said told, which may be anything", async () => {
    const { reloader, lines } = await reloading([failed, unpaired]);
    const own = reloader();
    own.request(endsIn(HOUR_MS), signal);
    await settled();
    expect(lines).toMatchObject([{ exitCode: 1 }]);
    expect(JSON.stringify([lines, own.lag])).not.toMatch(/secret|d-1/);
  });

  test("is left alone when the daemon stops, however long the next attempt is away", async () => {
    const { reloader, gateway, clock } = await reloading([failed]);
    const stopping = new AbortController();
    const own = reloader();
    own.request(endsIn(HOUR_MS), stopping.signal);
    await settled();
    stopping.abort();
    await own.idle();
    await clock.pass(HOUR_MS);
    expect(gateway.reloads).toBe(1);
  });
});

describe("a lag", () => {
  const lag: Lag = { gateway: "g", since: 0, until: 1000, reason: "failed", listener: "1" };

  test.each<[string, Partial<Lag>, string | null, number, boolean]>([
    ["lasts while the same gateway runs and the token has not ended", {}, "1", 999, false],
    ["is over when the token has ended", {}, "1", 1000, true],
    ["lasts where no end is known", { until: null }, "1", 9e15, false],
    ["is over when nobody listens", {}, null, 0, true],
    ["is over when another start of it listens", {}, "2", 0, true],
    ["lasts where it was not known who listened", { listener: null }, "2", 0, false],
    ["lasts where the system does not tell who listens", {}, UNKNOWN_LISTENER, 0, false],
    ["lasts where the system did not tell who listened", { listener: UNKNOWN_LISTENER }, "2", 0, false],
  ])("%s", (_what, change, listener, now, over) => {
    expect(isOver({ ...lag, ...change }, listener, now)).toBe(over);
  });
});

describe("what a reconcile overwrote", () => {
  const planned = (store: string, held: Held, expiryMarginMs = 0): PlannedWrite =>
    ({ target: targetWith(held, { store, expiryMarginMs }) }) as PlannedWrite;
  const wrote = (store: string, error: StoreError | null = null): WriteOutcome => ({
    store,
    profiles: [],
    error,
    postponed: false,
    waiting: false,
    durationMs: 1,
  });
  const overwritten = (plans: PlannedWrite[], writes: WriteOutcome[]) =>
    overwrittenBy({ plan: { flows: [], writes: plans }, adoptions: [], writes });
  const ends = (hours: number) => NOW + hours * HOUR_MS;

  test("is nothing where no store of OpenClaw was written", () => {
    const error = new StoreError("locked", "m", "h");
    const plans = [planned("openclaw:main", login("old")), planned("claude-code:box", login("old"))];
    expect(overwritten(plans, [wrote("claude-code:box"), wrote("openclaw:main", error)])).toBeNull();
  });

  test("ends with the last of the tokens, without the margin that it was written with", () => {
    const plans = [
      planned("openclaw:main", login("a", { endsInHours: 2 })),
      planned("openclaw:work", login("b", { endsInHours: 3 }), HOUR_MS),
      planned("openclaw:ops", login("c", { endsInHours: 9 })),
    ];
    const writes = [wrote("openclaw:main"), wrote("openclaw:work")];
    expect(overwritten(plans, writes)).toEqual({ endsAt: ends(2) });
    expect(overwritten(plans, [...writes, wrote("openclaw:ops")])).toEqual({ endsAt: ends(9) });
  });

  test("has no known end where a token states none, or none was there", () => {
    const endless: Held = { ...login("a"), expiresAt: null };
    expect(overwritten([planned("openclaw:main", endless)], [wrote("openclaw:main")])).toEqual({ endsAt: null });
    expect(overwritten([planned("openclaw:main", stub)], [wrote("openclaw:main")])).toEqual({ endsAt: null });
  });
});

describe("a command that wrote", () => {
  const gateway = (listener: string | null, outcome: CommandOutcome | null): Gateway => ({
    name: `gateway ${listener ?? "none"}`,
    listener: () => Promise.resolve(listener),
    reload: outcome === null ? null : () => Promise.resolve(outcome),
  });

  test("tells every gateway once, and knows which may lag", async () => {
    const gateways = [gateway("1", done), gateway(null, failed), gateway("2", unpaired), gateway("3", null)];
    const lags = await reloadNow(gateways, { endsAt: 7 }, new ManualClock(5), signal);
    expect(lags).toEqual([
      { gateway: "gateway 2", since: 5, until: 7, reason: "pairing", listener: "2" },
      { gateway: "gateway 3", since: 5, until: 7, reason: "off", listener: "3" },
    ]);
  });
});
