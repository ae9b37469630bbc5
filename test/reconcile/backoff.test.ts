import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs, postponedAt, retriesAfter } from "../../src/reconcile/backoff.js";

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test.each([
  [1, 0, 50],
  [1, 0.5, 75],
  [2, 0, 100],
  [5, 0, 800],
  [10, 0, 25_600],
  [11, 0, 30_000],
  [1000, 0, 30_000],
])("attempt %i with chance %d waits %d ms", (attempt, chance, expected) => {
  expect(backoffMs(attempt, chance)).toBe(expected);
});

test("it doubles up to a minute, and chance spreads it over half of it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), random, (attempt, chance) => {
      const waitMs = backoffMs(attempt, chance);
      const ceiling = Math.min(100 * 2 ** (attempt - 1), 60_000);
      expect(waitMs).toBeGreaterThanOrEqual(ceiling / 2);
      expect(waitMs).toBeLessThanOrEqual(ceiling);
    }),
  );
});

test("a later attempt never waits less, chance being equal", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), random, (attempt, chance) => {
      expect(backoffMs(attempt + 1, chance)).toBeGreaterThanOrEqual(backoffMs(attempt, chance));
    }),
  );
});

describe("retries", () => {
  const now = 1000;
  const none = new Set<string>();
  const first = retriesAfter(new Map(), new Map([["main", "locked"]]), { postponed: none, now: 0, random: 0 });

  test("of what fails together are due together, whatever the chance", () => {
    const failed = new Map([
      ["main", "locked"],
      ["work", "io"],
    ] as const);
    const retries = retriesAfter(new Map(), failed, { postponed: none, now, random: 0.5 });
    expect([...retries.values()]).toEqual([
      { failures: 1, dueAt: now + 75, isWaiting: false },
      { failures: 1, dueAt: now + 75, isWaiting: false },
    ]);
  });

  test("of what changed under the plan are due ten times sooner", () => {
    const retries = retriesAfter(new Map(), new Map([["main", "conflict"]]), { postponed: none, now, random: 0 });
    expect(retries.get("main")).toEqual({ failures: 1, dueAt: now + 5, isWaiting: false });
  });

  test("of what only a change can mend are due at no time, and count nothing", () => {
    const retries = retriesAfter(first, new Map([["main", "permission"]]), { postponed: none, now, random: 0 });
    expect(retries.get("main")).toEqual({ failures: 1, dueAt: null, isWaiting: false });
    expect(postponedAt(retries, 10 ** 9)).toEqual(new Set(["main"]));
    const later = retriesAfter(retries, new Map([["main", "locked"]]), { postponed: new Set(["main"]), now, random: 0 });
    expect(later.get("main")).toEqual({ failures: 2, dueAt: now + 100, isWaiting: false });
  });

  test("of postponed stores stay, though the scan lasted until they were due", () => {
    const failed = new Map([["main", "locked"]] as const);
    expect(retriesAfter(first, failed, { postponed: new Set(["main"]), now, random: 0 })).toEqual(first);
    expect(retriesAfter(first, failed, { postponed: none, now, random: 0 }).get("main")).toEqual({
      failures: 2,
      dueAt: now + 100,
      isWaiting: false,
    });
  });

  test("of what did not fail are forgotten", () => {
    expect(retriesAfter(first, new Map(), { postponed: none, now, random: 0 })).toEqual(new Map());
  });
});
