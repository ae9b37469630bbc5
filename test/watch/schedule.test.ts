import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Clock } from "../../src/domain/clock.js";
import { Schedule } from "../../src/watch/schedule.js";
import { settled } from "../support/manual-clock.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** At the full hour in every time zone. */
const START = Date.UTC(2026, 5, 1, 12);

/** A clock of which a test says how far the wall's went while a timer ran. */
class SteppedClock implements Clock {
  #nowMs = START;
  #asleep: { readonly forMs: number; readonly wake: () => void } | null = null;

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      signal.addEventListener("abort", wake);
      this.#asleep = { forMs: durationMs, wake };
    });
  }

  /** Ends the present wait, with the wall's clock set by so much more (ms) than it took. */
  async tick(extraMs = 0): Promise<void> {
    this.#nowMs += (this.#asleep?.forMs ?? 0) + extraMs;
    this.#asleep?.wake();
    await settled();
  }
}

/** @returns how often each of the ticks had it called */
async function callsOf(expression: string, ticks: readonly number[]): Promise<number[]> {
  const clock = new SteppedClock();
  let calls = 0;
  const schedule = new Schedule(expression, () => (calls += 1), clock);
  onTestFinished(() => schedule.stop());
  const counts: number[] = [];
  for (const extraMs of ticks) {
    const before = calls;
    await clock.tick(extraMs);
    counts.push(calls - before);
  }
  return counts;
}

describe("a schedule", () => {
  test("calls at each minute that its expression names, and at no other", async () => {
    expect(
      await callsOf(
        "*/5 * * * *",
        Array.from({ length: 10 }, () => 0),
      ),
    ).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
  });

  test("calls at each second, where its expression names seconds", async () => {
    expect(
      await callsOf(
        "*/3 * * * * *",
        Array.from({ length: 7 }, () => 0),
      ),
    ).toEqual([0, 0, 1, 0, 0, 1, 0]);
  });

  test.each<[name: string, ticks: readonly number[], calls: readonly number[]]>([
    ["a sleep over one of its times is made good by one call", [0, 7 * MINUTE, 0, 0], [0, 1, 1, 0]],
    ["a sleep of hours over many of them, too", [0, 8 * HOUR, 0], [0, 1, 0]],
    ["a sleep between two of them is none", [0, 2 * MINUTE, 0], [0, 0, 1]],
    ["a clock that is set ahead by years is one call", [20 * 365 * 24 * HOUR, 0], [1, 0]],
    ["a clock that is set back goes on from there", [-3 * HOUR, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]],
    ["a timer that comes a little late, or early, is as good", [20, 30, -40, 0, 1500, 0], [0, 0, 0, 0, 0, 1]],
  ])("%s", async (_name, ticks, calls) => {
    expect(await callsOf("*/5 * * * *", ticks)).toEqual(calls);
  });

  test("that is stopped calls no more", async () => {
    const clock = new SteppedClock();
    let calls = 0;
    const schedule = new Schedule("* * * * *", () => (calls += 1), clock);
    await schedule.stop();
    await clock.tick();
    expect(calls).toBe(0);
  });

  test.each<[name: string, zone: string, from: string, minutes: number, calls: readonly string[]]>([
    [
      "goes on through the hour that is repeated when summer time ends",
      "Europe/Berlin",
      "2026-10-24T23:45:00Z",
      150,
      ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"],
    ],
    [
      "goes on through the hour that is left out when it begins",
      "America/New_York",
      "2026-03-08T06:15:00Z",
      60,
      ["2026-03-08T06:30", "2026-03-08T07:00"],
    ],
    [
      "goes on where summer time ends by half an hour",
      "Australia/Lord_Howe",
      "2026-04-04T14:45:00Z",
      60,
      ["2026-04-04T15:00", "2026-04-04T15:30"],
    ],
  ])("%s", (_name, zone, from, minutes, calls) => {
    const script = fileURLToPath(new URL("summer-time.mjs", import.meta.url));
    const args = [script, "*/30 * * * *", from, String(minutes)];
    const output = execFileSync(process.execPath, args, { encoding: "utf8", env: { ...process.env, TZ: zone } });
    expect((JSON.parse(output) as string[]).map((time) => time.slice(0, 16))).toEqual(calls);
  });
});
