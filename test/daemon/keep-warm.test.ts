import { getEventListeners } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { COMMAND_TIMEOUT_MS, FIRST_RETRY_MS } from "../../src/app/keep-warm-advice.js";
import { KeepWarm, OwnerAtWork, type KeepWarmPorts } from "../../src/daemon/keep-warm.js";
import { composeIn, rememberingLog } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { ManualClock, settled } from "../support/manual-clock.js";
import type { LogLine } from "../support/running-daemon.js";
import { HOUR_MS, TemporaryHome, type LoginOptions } from "../support/temporary-home.js";

const MINUTE_MS = 60_000;
const NOW = Date.UTC(2026, 0, 1);

interface Warmed {
  readonly home: TemporaryHome;
  readonly clock: ManualClock;
  readonly warm: KeepWarm;
  readonly lines: readonly LogLine[];
  /** How often the command ran to its end. */
  readonly runs: () => number;
  /** Acts as the daemon does: it scans, and reports. */
  readonly look: () => Promise<void>;
  readonly woken: () => number;
  /** Ends it, and resolves at its end. */
  readonly end: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** A login that ends in an hour, and a command that does what the script says; it runs 4 minutes before. */
async function warmed(script: string, login: LoginOptions = {}, ports: Partial<KeepWarmPorts> = {}): Promise<Warmed> {
  const home = await TemporaryHome.create();
  const expiresAt = NOW + HOUR_MS;
  await home.writeLogin(1, { expiresAt, ...login });
  await writeFile(home.at("next"), home.login(2, { expiresAt: expiresAt + 8 * HOUR_MS }), { mode: 0o600 });
  const rotate = `cp -p ${home.at("next")} ${home.loginFile}.tmp && mv ${home.loginFile}.tmp ${home.loginFile}`;
  await writeFile(home.at("owner"), `#!/bin/sh\n${script.replaceAll("ROTATE", rotate).replaceAll("LOGIN", home.loginFile)}\n`, {
    mode: 0o700,
  });
  const { reconcile } = await composeIn(home);
  const clock = new ManualClock(NOW);
  const { log, lines } = rememberingLog(home);
  let woken = 0;
  const warm = new KeepWarm({
    owner: new OwnerAtWork(),
    command: [home.at("owner")],
    beforeMs: 4 * MINUTE_MS,
    variables: home.environment(),
    obstacle: null,
    noEffectHint: "run it by hand",
    clock,
    log,
    wake: () => {
      woken += 1;
    },
    ...ports,
  });
  const stop = new AbortController();
  const running = warm.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  onTestFinished(end);
  const look = async (): Promise<void> => {
    warm.observe(await reconcile());
    await settled();
  };
  await look();
  return {
    home,
    clock,
    warm,
    lines,
    runs: () => warm.runs.renewed + warm.runs.unchanged,
    look,
    woken: () => woken,
    end,
    signal: stop.signal,
  };
}

describe("keepWarm", () => {
  test("has the owner renew the login shortly before its end, once, and measures that it did", async () => {
    const { clock, lines, runs, warm, look, woken } = await warmed("ROTATE");
    await clock.pass(55 * MINUTE_MS);
    expect(runs()).toBe(0);
    await clock.pass(2 * MINUTE_MS);
    await becomes(() => warm.runs, { renewed: 1, unchanged: 0 });
    expect(lines.map(({ msg }) => msg)).toEqual(["login kept warm"]);
    expect(lines[0]).toMatchObject({ store: "claude-code", expiresAt: new Date(NOW + 9 * HOUR_MS).toISOString() });
    expect(woken()).toBe(1);
    await look();
    await clock.pass(7 * HOUR_MS);
    expect(runs()).toBe(1);
    expect(warm.conditions).toEqual([]);
  });

  test("retries with growing delays if a busy owner skips it", async () => {
    const { clock, warm } = await warmed(`echo run >> "$0.log"; [ "$(wc -l < "$0.log")" -ge 3 ] && ROTATE; exit 0`);
    await clock.pass(56 * MINUTE_MS);
    await becomes(() => warm.runs, { renewed: 0, unchanged: 1 });
    await clock.pass(29_000);
    expect(warm.runs.unchanged).toBe(1);
    await clock.pass(2000);
    await becomes(() => warm.runs, { renewed: 0, unchanged: 2 });
    await clock.pass(MINUTE_MS);
    await becomes(() => warm.runs, { renewed: 1, unchanged: 2 });
  });

  test("stops with an explanation where the command does not renew it, until the login changes", async () => {
    const { home, clock, warm, lines, look } = await warmed("exit 0");
    await clock.pass(56 * MINUTE_MS);
    for (let run = 1; run <= 6; run++) {
      await becomes(() => warm.runs.unchanged, run);
      await clock.pass(10 * MINUTE_MS);
    }
    await clock.pass(24 * HOUR_MS);
    expect(warm.runs.unchanged).toBe(6);
    expect(lines.filter(({ level }) => level === "error")).toMatchObject([
      {
        msg: "keepWarm stopped",
        reason: expect.stringMatching(/^after 6 runs of .*: it ended well, but the login is the same/) as string,
      },
    ]);
    expect(warm.conditions).toMatchObject([{ kind: "keep-warm-failed", store: "claude-code", profile: null }]);
    await look();
    expect(warm.conditions).toHaveLength(1);
    await home.writeLogin(2, { expiresAt: clock.now() + HOUR_MS });
    await look();
    expect(warm.conditions).toEqual([]);
    await clock.pass(57 * MINUTE_MS);
    await becomes(() => warm.runs.unchanged, 7);
  });

  test("does not renew without end what is over as soon as it is there, as under a wrong clock, and says so", async () => {
    const next = `echo run >> "$0.log"; next="$(dirname "$0")/next-$(wc -l < "$0.log" | tr -d ' ')"`;
    const { home, clock, warm, lines, look } = await warmed(`${next}; cp -p "$next" "$next.tmp" && mv "$next.tmp" LOGIN`);
    for (let run = 1; run <= 7; run++)
      await writeFile(home.at(`next-${String(run)}`), home.login(run + 1, { expiresAt: NOW + HOUR_MS + run }), { mode: 0o600 });
    await clock.pass(70 * MINUTE_MS);
    for (let run = 1; run <= 6; run++) {
      await becomes(() => warm.runs.renewed, run);
      await look();
      await look();
      expect(warm.runs.renewed).toBe(run);
      await clock.pass(10 * MINUTE_MS);
    }
    await clock.pass(24 * HOUR_MS);
    expect(warm.runs.renewed).toBe(6);
    expect(lines.filter(({ level }) => level === "error")).toMatchObject([{ msg: "keepWarm stopped" }]);
    expect(warm.conditions).toMatchObject([
      {
        kind: "keep-warm-failed",
        explanation: expect.stringMatching(/^after 6 runs of .*: the login that it brought is over already/) as string,
        hint: expect.stringMatching(/clock/) as string,
      },
    ]);
  });

  test("stops at once where there is no such command", async () => {
    const { clock, warm, woken } = await warmed("", {}, { command: ["/nowhere/claude"] });
    await clock.pass(56 * MINUTE_MS);
    await becomes(
      () => warm.conditions.map(({ explanation }) => explanation),
      ["after 1 run of /nowhere/claude: there is no such command; it is left alone until the login changes"],
    );
    expect(woken()).toBe(1);
  });

  test("says how a command failed, never what it said", async () => {
    const { clock, warm, lines } = await warmed("echo some words; exit 9");
    await clock.pass(56 * MINUTE_MS);
    await becomes(() => warm.runs.unchanged, 1);
    expect(lines).toMatchObject([{ level: "debug", reason: "exit code 9" }]);
    expect(JSON.stringify(lines)).not.toContain("some words");
  });

  test.each([
    ["ends with a failure", "ROTATE; exit 9"],
    ["does not end in time", "ROTATE; sleep 60"],
  ])("goes by the login, not by a command that %s", async (_name, script) => {
    const { clock, warm, lines } = await warmed(script, {}, { owner: new OwnerAtWork(500) });
    await clock.pass(57 * MINUTE_MS);
    await becomes(() => warm.runs, { renewed: 1, unchanged: 0 });
    expect(lines.map(({ msg }) => msg)).toEqual(["login kept warm"]);
  });

  test("starts early enough for a slow answer that has no effect and one more", async () => {
    const slow = `echo run >> "$0.log"; n="$(wc -l < "$0.log")"; while [ ! -e "$0.$((n))" ]; do sleep 0.02; done; [ $n -ge 2 ] && ROTATE`;
    const { home, clock, warm } = await warmed(`${slow}; exit 0`);
    await clock.pass(56 * MINUTE_MS);
    for (const run of ["1", "2"]) {
      await becomes(async () => (await readFile(home.at("owner.log"), "utf8").catch(() => "")).length, 4 * Number(run));
      await clock.pass(COMMAND_TIMEOUT_MS);
      await writeFile(home.at(`owner.${run}`), "");
      await becomes(() => warm.runs.unchanged + warm.runs.renewed, Number(run));
      if (run === "1") await clock.pass(FIRST_RETRY_MS);
    }
    expect(warm.runs).toEqual({ renewed: 1, unchanged: 1 });
    expect(clock.now()).toBeLessThan(NOW + HOUR_MS - MINUTE_MS);
  });

  test("names what is known to keep the command from renewing the login", async () => {
    const obstacle = { what: "CLAUDE_CODE_USE_BEDROCK is set", fix: "start the daemon without it" };
    const { clock, warm } = await warmed("exit 0", {}, { obstacle });
    await clock.pass(56 * MINUTE_MS);
    for (let run = 1; run <= 6; run++) {
      await becomes(() => warm.runs.unchanged, run);
      await clock.pass(10 * MINUTE_MS);
    }
    expect(warm.conditions).toMatchObject([
      { explanation: expect.stringContaining(obstacle.what) as string, hint: obstacle.fix },
    ]);
  });

  test("runs at once for a login that has ended while nobody was there", async () => {
    const { warm } = await warmed("ROTATE", { expiresAt: NOW - HOUR_MS });
    await becomes(() => warm.runs, { renewed: 1, unchanged: 0 });
  });

  test("runs nothing where the owner renewed the login in the meantime", async () => {
    const { home, clock, runs, woken } = await warmed("ROTATE");
    await home.writeLogin(2, { expiresAt: NOW + 9 * HOUR_MS });
    await clock.pass(56 * MINUTE_MS);
    await becomes(woken, 1);
    expect(runs()).toBe(0);
  });

  test.each<[string, LoginOptions]>([
    ["is logged out", { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } }],
    ["has no refresh token", { fields: { refreshToken: undefined } }],
    ["has no end", { fields: { expiresAt: undefined } }],
    ["cannot be read", { fields: { scopes: "none" } }],
  ])("runs nothing for a login that %s", async (_name, login) => {
    const { clock, runs } = await warmed("ROTATE", login);
    await clock.pass(100 * HOUR_MS);
    expect(runs()).toBe(0);
  });

  test("leaves nothing listening at its end, so that what a reload ended can be forgotten", async () => {
    const { end, signal } = await warmed("ROTATE");
    expect(getEventListeners(signal, "abort")).not.toEqual([]);
    await end();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
