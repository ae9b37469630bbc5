import * as z from "zod/mini";
import { StoreError } from "../domain/errors.js";
import type { ProfileId } from "../domain/store.js";
import { changeJson, parseJson } from "../io/json-document.js";

/** What OpenClaw notes of a profile that failed; while it stands there, a healed profile is kept waiting. */
export const PENALTIES = [
  "cooldownUntil",
  "cooldownReason",
  "disabledUntil",
  "disabledReason",
  "errorCount",
  "failureCounts",
] as const;

const notesShape = z.object({ usageStats: z.record(z.string(), z.unknown()) });
const statsShape = z.record(z.string(), z.unknown());

/**
 * OpenClaw's notes on its profiles without the penalties of those that were healed; everything else stays.
 *
 * @returns null where there is nothing to clear, or nothing that could be understood: the notes are not what was healed
 */
export function withoutPenalties(text: string, healed: readonly ProfileId[], place: string): string | null {
  // Most texts hold no notes, and this is asked of hundreds at every rotation.
  if (!text.includes("usageStats")) return null;
  const notes = readNotes(text, place);
  if (notes === null) return null;
  const changes = healed.flatMap((profile) => {
    const stats = statsShape.safeParse(Object.hasOwn(notes.usageStats, profile) ? notes.usageStats[profile] : null);
    if (!stats.success) return [];
    return PENALTIES.filter((name) => name in stats.data).map((name) => ({
      path: ["usageStats", profile, name],
      value: undefined,
    }));
  });
  return changes.length === 0 ? null : changeJson(text, changes, place);
}

function readNotes(text: string, place: string): z.infer<typeof notesShape> | null {
  try {
    const notes = notesShape.safeParse(parseJson(text, place));
    return notes.success ? notes.data : null;
  } catch (error) {
    if (error instanceof StoreError) return null;
    throw error;
  }
}
