import { createHash } from "node:crypto";

/** Long enough that it never stands anywhere by accident, short enough to catch a cut one. */
const WINDOW = 8;
/** As many characters spell a little more than the same bytes in base64 and in hexadecimal. */
const BASE64_WINDOW = 12;
const HEX_WINDOW = 2 * WINDOW;

/** The part of a made-up token that must never be seen; it looks like noise and is the same in every run. */
export function secretPart(name: string): string {
  return createHash("sha256").update(name).digest("base64url");
}

/** The parts of the secrets that stand in a text, each a window of eight characters, as they are or spelt in another way. */
export function leaksIn(text: string, secretParts: Iterable<string>): string[] {
  const [plain, base64, hex] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const part of secretParts) {
    addWindows(plain, part, WINDOW);
    const bytes = Buffer.from(part);
    addWindows(hex, bytes.toString("hex"), HEX_WINDOW);
    // A secret may begin at any of the three bytes that make four characters.
    for (const start of [0, 1, 2]) {
      const whole = bytes.subarray(start, start + 3 * Math.floor((bytes.length - start) / 3));
      addWindows(base64, whole.toString("base64"), BASE64_WINDOW);
      addWindows(base64, whole.toString("base64url"), BASE64_WINDOW);
    }
  }
  return [
    ...new Set([
      ...windowsIn(text, plain, WINDOW),
      ...windowsIn(text, base64, BASE64_WINDOW),
      ...windowsIn(text.toLowerCase(), hex, HEX_WINDOW),
    ]),
  ];
}

function addWindows(windows: Set<string>, text: string, length: number): void {
  for (let start = 0; start + length <= text.length; start++) windows.add(text.slice(start, start + length));
}

function windowsIn(text: string, windows: ReadonlySet<string>, length: number): string[] {
  const found: string[] = [];
  if (windows.size === 0) return found;
  for (let start = 0; start + length <= text.length; start++) {
    const window = text.slice(start, start + length);
    if (windows.has(window)) found.push(window);
  }
  return found;
}
