const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads a duration with its unit, such as `90s`, `1h` or `1h 30m`.
 *
 * @returns milliseconds, or null for anything else
 */
export function parseDurationMs(text: string): number | null {
  if (!/^\s*(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)\s*)+$/.test(text)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)/g))
    totalMs += Number(amount) * (UNITS_MS[unit ?? ""] ?? 0);
  return totalMs;
}

/** Writes a duration for a person: its two largest units, such as `3h 12m`. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.floor(Math.abs(durationMs) / 1000);
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first === -1) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${String(amount)}${unit}`)
    .join(" ");
}
