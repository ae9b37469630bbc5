import type { Composition } from "../app/compose.js";
import { UNMATCHED_WHY, unmatchedHint, unmatchedText } from "../app/unmatched-agents.js";
import type { Output } from "./output.js";

/**
 * Warns of names and patterns in the configuration's `agents` that no agent has; to be called before anything is written.
 *
 * @returns them, for the command's JSON
 */
export async function warnOfUnmatched(
  { config, takeInventory }: Pick<Composition, "config" | "takeInventory">,
  output: Output,
): Promise<readonly string[]> {
  if (config.agentPatterns.length === 0) return [];
  const { unmatchedAgents } = await takeInventory();
  for (const unmatched of unmatchedAgents) {
    output.say(`credsyncd: warning: ${unmatchedText(unmatched)}: ${UNMATCHED_WHY}`);
    output.say(`credsyncd: hint: ${unmatchedHint(unmatched)}`);
  }
  return unmatchedAgents.map(({ pattern }) => pattern);
}
