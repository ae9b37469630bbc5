import { createHash } from "node:crypto";

/** Long enough that it never stands anywhere by accident, short enough to catch a cut one. */
const WINDOW = 8;

/** The part of a made-up token that must never be seen; it looks like noise and is the same in every run. */
export function secretPart(name: string): string {
  return createHash("sha256").update(name).digest("base64url");
}

/** The parts of the secrets that stand in a text, each a window of eight characters. */
export function leaksIn(text: string, secretParts: Iterable<string>): string[] {
  const leaks = new Set<string>();
  for (const part of secretParts) {
    for (let start = 0; start + WINDOW <= part.length; start++) {
      const window = part.slice(start, start + WINDOW);
      if (text.includes(window)) leaks.add(window);
    }
  }
  return [...leaks];
}
