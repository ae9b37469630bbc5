import { StoreError } from "../../domain/errors.js";
import type { ProfileId } from "../../domain/store.js";
import { changeJson, namedValues, parseJson } from "../../io/json-document.js";

/** OpenClaw's notes on a profile that failed. While they remain, even a healed profile has to wait. */
const PENALTIES = ["cooldownUntil", "cooldownReason", "disabledUntil", "disabledReason", "errorCount", "failureCounts"] as const;

/** The penalties that stand in OpenClaw's notes on one profile. A zero, as it leaves one after a success, is none. */
export function penaltiesIn(usage: Readonly<Record<string, unknown>>): string[] {
  return PENALTIES.filter((name) => Object.hasOwn(usage, name) && !isNothing(usage[name]));
}

/** Zero, nothing, or counts of nothing. */
function isNothing(value: unknown): boolean {
  if (value === 0 || value === null || value === "") return true;
  const counts = namedValues(value);
  return counts !== null && Object.values(counts).every(isNothing);
}

/**
 * OpenClaw's notes on its profiles without the penalties of those that were healed; everything else stays.
 *
 * @returns null where there is nothing to clear, or nothing that could be understood: the notes are not what was healed
 */
export function withoutPenalties(text: string, healed: readonly ProfileId[], place: string): string | null {
  // Most texts hold no notes, and this is asked of hundreds at every rotation.
  if (!text.includes("usageStats")) return null;
  const usage = understood(() => namedValues(namedValues(parseJson(text, place))?.["usageStats"])) ?? null;
  if (usage === null) return null;
  const changes = healed.flatMap((profile) => {
    const stats = namedValues(Object.hasOwn(usage, profile) ? usage[profile] : null);
    if (stats === null) return [];
    return penaltiesIn(stats).map((name) => ({ path: ["usageStats", profile, name], value: undefined }));
  });
  return changes.length === 0 ? null : (understood(() => changeJson(text, changes, place)) ?? null);
}

/** Undefined for a text that is no JSON, or in which a key stands twice. */
function understood<Result>(action: () => Result): Result | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}
