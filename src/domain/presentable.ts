/** Characters that a terminal obeys instead of showing: control characters, and those that change the direction of text. */
const COMMANDS = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
const LONGEST_NAME = 512;

/** How the tokens of well-known services begin. */
const KNOWN_TOKEN =
  /(?:\b(?:sk|rk|pk)-|\bgh[opsu]_|\bgithub_pat_|\bglpat-|\bxox[abprs]-|\bxai-|\bgsk_|\bhf_|\bAIza|\bya29\.|\beyJ)[\w.-]{16,}/;
/** Names in which random characters are no secret. */
const UUID = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/gi;
const LONG_RUN = /[\w-]{32,}/g;
/** Letters in words and numbers at their end change their kind far less often. */
const TOKEN_CHANGES = 12;

/** Guesses whether a text contains a token, for places where nothing else can decide. */
export function looksLikeToken(text: string): boolean {
  if (KNOWN_TOKEN.test(text)) return true;
  return (text.replaceAll(UUID, "").match(LONG_RUN) ?? []).some((run) => changesOfKind(run) >= TOKEN_CHANGES);
}

/** How often a small letter, a capital and a digit stand right beside another of these. */
function changesOfKind(run: string): number {
  let changes = 0;
  for (let index = 1; index < run.length; index++) {
    const [before, here] = [kindOf(run.charCodeAt(index - 1)), kindOf(run.charCodeAt(index))];
    if (before !== "other" && here !== "other" && before !== here) changes += 1;
  }
  return changes;
}

function kindOf(code: number): "small" | "capital" | "digit" | "other" {
  if (code >= 0x61 && code <= 0x7a) return "small";
  if (code >= 0x41 && code <= 0x5a) return "capital";
  return code >= 0x30 && code <= 0x39 ? "digit" : "other";
}

/** Checks whether a name from another program may be logged, recorded and shown. */
export function isPresentable(name: string): boolean {
  return name.length <= LONGEST_NAME && !COMMANDS.test(name) && !looksLikeToken(name);
}

const HIDDEN = new RegExp(COMMANDS.source, "gu");

/** A text as a terminal may be given it: whatever it would obey is spelt out, but for the ends of lines. */
export function spelledOut(text: string): string {
  return text.replaceAll(HIDDEN, (character) =>
    character === "\n" ? character : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
