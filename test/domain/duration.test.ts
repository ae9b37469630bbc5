import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatDuration, parseDurationMs } from "../../src/domain/duration.js";

describe("a duration with its unit", () => {
  test.each([
    ["90s", 90_000],
    ["1h", 3_600_000],
    ["1h 30m", 5_400_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["250ms", 250],
    ["3d", 259_200_000],
    [" 5 m ", 300_000],
    ["0s", 0],
  ])("%j is %i ms", (text, expected) => {
    expect(parseDurationMs(text)).toBe(expected);
  });

  test.each(["", " ", "60", "1", "h", "1 hour", "-1h", "1h -5m", "1h,5m", "1w", "1H", "1e3s", ".5h", "1..5h"])(
    "%j is none",
    (text) => {
      expect(parseDurationMs(text)).toBeNull();
    },
  );
});

describe("a duration in words", () => {
  test.each([
    [0, "0s"],
    [999, "0s"],
    [59_000, "59s"],
    [60_000, "1m"],
    [3_661_000, "1h 1m"],
    [3_601_000, "1h"],
    [11_520_000, "3h 12m"],
    [90_000_000, "1d 1h"],
    [-90_000, "1m 30s"],
  ])("%i ms is %s", (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });

  test("can be read again, and is never more than the duration", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 11 }), (durationMs) => {
        const read = parseDurationMs(formatDuration(durationMs));
        expect(read).not.toBeNull();
        expect(read).toBeLessThanOrEqual(durationMs);
        expect((read ?? 0) + 3_600_000).toBeGreaterThan(durationMs);
      }),
    );
  });
});
