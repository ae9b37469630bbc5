import { describe, expect, test } from "vitest";
import { Ends, isLater, longestLifeMs } from "../../src/domain/end.js";
import { HOUR_MS, NOW } from "../support/planning.js";

const DAY_MS = 24 * HOUR_MS;
const ends = new Ends(NOW, longestLifeMs("anthropic"));

describe("an end", () => {
  test.each([
    ["in some hours", NOW + 8 * HOUR_MS],
    ["two days ahead, the longest that a login of the provider lasts", NOW + 48 * HOUR_MS],
    ["past", NOW - 400 * DAY_MS],
  ])("%s is known", (_, expiresAt) => {
    expect(ends.of(expiresAt)).toBe(expiresAt);
  });

  test.each([
    ["missing", null],
    ["0", 0],
    ["in seconds", (NOW + HOUR_MS) / 1000],
    ["in microseconds", (NOW + HOUR_MS) * 1000],
    ["of a clock that ran a month ahead", NOW + 30 * DAY_MS],
    ["before any login that is in use", Date.UTC(2019, 0, 1)],
  ])("%s is unknown", (_, expiresAt) => {
    expect(ends.of(expiresAt)).toBeNull();
  });

  test("is measured from when it was recorded, not from now", () => {
    expect(ends.of(NOW + 40 * HOUR_MS, NOW - 20 * DAY_MS)).toBeNull();
    expect(ends.of(NOW - 19 * DAY_MS, NOW - 20 * DAY_MS)).toBe(NOW - 19 * DAY_MS);
  });

  test("is unknown if it was recorded at a moment that is still to come", () => {
    expect(ends.of(NOW + 8 * HOUR_MS, NOW + 1)).toBeNull();
  });

  test("may be as far ahead as the logins of its provider last", () => {
    const inTenDays = NOW + 10 * DAY_MS;
    const knows = (provider: string, expiresAt: number): boolean => new Ends(NOW, longestLifeMs(provider)).of(expiresAt) !== null;
    expect(["anthropic", "claude-cli"].map((provider) => knows(provider, inTenDays))).toEqual([false, false]);
    expect(["openai", "openai-codex", "google"].map((provider) => knows(provider, inTenDays))).toEqual([true, true, true]);
    expect(["openai", "google"].map((provider) => knows(provider, NOW + 31 * DAY_MS))).toEqual([false, true]);
  });

  test("is over once it has passed; an unknown one never is", () => {
    expect([NOW - 1, NOW, NOW + 1, null].map((end) => ends.isOver(end))).toEqual([true, true, false, false]);
  });

  test.each([
    [2, 1, true],
    [1, 1, false],
    [1, 2, false],
    [null, 1, false],
    [1, null, false],
    [null, null, false],
  ])("%s is later than %s: %s; an unknown one is later than nothing", (left, right, later) => {
    expect(isLater(left, right)).toBe(later);
  });

  test("the latest of several is the latest known one", () => {
    const stated = [NOW + HOUR_MS, NOW + 30 * DAY_MS, NOW + 2 * HOUR_MS, null];
    const at = stated.map((expiresAt) => ({ expiresAt, recordedAt: NOW }));
    expect(ends.latestOf(at)).toBe(NOW + 2 * HOUR_MS);
    expect(ends.latestOf([])).toBeNull();
    expect(ends.latestOf([{ expiresAt: NOW + 30 * DAY_MS, recordedAt: NOW }])).toBeNull();
  });
});
