import type { Config } from "../config/config.js";
import type { UnmatchedAgent } from "../domain/inventory.js";
import { nearest } from "../domain/nearest.js";
import { isPresentable } from "../domain/presentable.js";
import type { AgentIds } from "../programs/located-store.js";

/** Returns the names and patterns in the configuration's `agents` that no agent has; none if one place's agents are unknown. */
export function unmatchedIn({ agentPatterns }: Pick<Config, "agentPatterns">, places: readonly AgentIds[]): UnmatchedAgent[] {
  const known = new Set<string>();
  for (const ids of places) {
    if (ids === null) return [];
    for (const id of ids) known.add(id);
  }
  const ids = [...known];
  return agentPatterns
    .filter(({ matches }) => !ids.some((id) => matches(id)))
    .map(({ pattern }) => ({
      // Someone may have put a token in the wrong place.
      pattern: isPresentable(pattern) ? pattern : "(not shown)",
      meant: nearest(pattern.toLowerCase(), ids),
    }));
}

/** The same in words. */
export function unmatchedText({ pattern }: UnmatchedAgent): string {
  return `agents in the config names "${pattern}", and there is no such agent`;
}

/** Why that matters. */
export const UNMATCHED_WHY = "an agent that it does not name follows the source, and its own login is replaced";

/** The user's remedy for it. */
export function unmatchedHint({ meant }: UnmatchedAgent): string {
  return meant === null ? "correct the name, or take it out" : `did you mean "${meant}"?`;
}
