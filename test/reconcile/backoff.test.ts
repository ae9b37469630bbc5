import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffMs } from "../../src/reconcile/backoff.js";

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
