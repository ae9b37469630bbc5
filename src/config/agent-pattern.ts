import picomatch from "picomatch";
import { normalizeAgentId } from "../programs/openclaw/discovery.js";

/** Matches agents by a name or a pattern as a user writes it, where their ids are as OpenClaw normalises them. */
export function agentMatcher(pattern: string): { readonly matches: (id: string) => boolean; readonly isGlob: boolean } {
  const { isGlob, negated } = picomatch.scan(pattern.trim());
  if (isGlob || negated) return { matches: picomatch(normalizePattern(pattern)), isGlob: true };
  const id = normalizeAgentId(pattern);
  return { matches: (agent) => agent === id, isGlob: false };
}

/** Alternatives and classes, and runs of characters that no id has: OpenClaw replaces such a run by one `-`. */
const PARTS = /\{[^{}]*\}|\[[^\]]*\]|(?:[^a-z0-9_*?[\]{}()!+@|\\-]|[+@](?!\()|(?<!^)!(?!\())+/g;

/** A pattern with its literal parts as OpenClaw normalises ids; what is special in a pattern stays. */
function normalizePattern(pattern: string): string {
  const normalized = pattern
    .trim()
    .toLowerCase()
    .replaceAll(PARTS, (part) => {
      if (part.startsWith("[")) return part;
      return part.startsWith("{") ? `{${alternativesIn(part).join(",")}}` : "-";
    });
  // No id starts with it.
  return normalized.replace(/^(!?)-+/, "$1");
}

function alternativesIn(part: string): string[] {
  // A range, such as {1..9}.
  const normalize = (text: string): string => (text.includes("..") ? text : text.replaceAll(/[^a-z0-9_*?()!+@|\\-]+/g, "-"));
  return part.slice(1, -1).split(",").map(normalize);
}
