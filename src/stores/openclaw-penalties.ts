import * as z from "zod/mini";
import type { ProfileId } from "../domain/store.js";
import { changeJson, parseJson } from "../io/json-document.js";

/** What OpenClaw notes of a profile that failed; while it stands there, a healed profile is kept waiting. */
const PENALTIES = ["cooldownUntil", "cooldownReason", "disabledUntil", "disabledReason", "errorCount", "failureCounts"] as const;

const notesShape = z.object({ usageStats: z.record(z.string(), z.unknown()) });
const statsShape = z.record(z.string(), z.unknown());

/**
 * OpenClaw's notes on its profiles without the penalties of those that were healed; everything else stays.
 *
 * @returns null where there is nothing to clear
 * @throws StoreError `malformed`
 */
export function withoutPenalties(text: string, healed: readonly ProfileId[], place: string): string | null {
  const notes = notesShape.safeParse(parseJson(text, place));
  if (!notes.success) return null;
  const changes = healed.flatMap((profile) => {
    const stats = statsShape.safeParse(Object.hasOwn(notes.data.usageStats, profile) ? notes.data.usageStats[profile] : null);
    if (!stats.success) return [];
    return PENALTIES.filter((name) => name in stats.data).map((name) => ({
      path: ["usageStats", profile, name],
      value: undefined,
    }));
  });
  return changes.length === 0 ? null : changeJson(text, changes, place);
}
