const FIRST_MS = 100;
const LONGEST_MS = 60_000;

/**
 * How long to wait before the next attempt: doubling, capped, and spread so that many hosts do not move in step.
 *
 * @param attempt attempts that failed so far, from 1
 * @param random in [0, 1)
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS);
  return ceiling / 2 + (ceiling / 2) * random;
}
