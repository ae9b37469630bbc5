import { basename } from "node:path";
import type { Renewal, RenewalDoubt } from "../program.js";

/** The command that has Claude Code renew its login, without an inference request (seen with 2.1.197, 2.1.329 and 2.1.332). */
export const RENEWING_COMMAND = "claude mcp list";

/** With one of these (seen with 2.1.332) Claude Code neither reads nor renews its login, whatever their text. */
const TOKENS = ["CLAUDE_CODE_OAUTH_TOKEN"] as const;
/** The same, for these where they say yes. */
const SWITCHES = [
  "CLAUDE_CODE_USE_BEDROCK",
  "CLAUDE_CODE_USE_VERTEX",
  "CLAUDE_CODE_USE_FOUNDRY",
  "CLAUDE_CODE_USE_MANTLE",
  "CLAUDE_CODE_USE_ANTHROPIC_AWS",
  "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD",
  "CLAUDE_CODE_SIMPLE",
] as const;
const YES = /^(?:1|true|yes|on)$/i;

/** Claude Code renews its login by any of its commands that uses it. */
export const claudeRenewal: Renewal = {
  withinMs: 300_000,
  noEffectHint: `run it by hand in the login's last 5 minutes, or later: Claude Code renews it only then, with ${RENEWING_COMMAND}`,
  isRunBy: isClaudeCommand,
  doubtsOf,
};

function doubtsOf(command: readonly string[], variables: Readonly<Record<string, string | undefined>>): RenewalDoubt[] {
  const ofCommand = {
    what: "keepWarm.command is claude auth status, which renews the login only by chance",
    why: "in a home that is in use most runs change nothing and report success; it waits 8.5 s for the server, and a later answer loses the login",
    fix: `run ${RENEWING_COMMAND} instead: keepWarm: { command: ["claude", "mcp", "list"] } in the config`,
  };
  const ofVariables = variablesAroundLogin(variables, command).map((name) => ({
    what: `${name} is set: with it keepWarm's command does nothing`,
    why: "Claude Code then never renews its login file, and still reports success",
    fix: `run the command without it: put "env", "-u", "${name}" before the words of keepWarm.command`,
  }));
  return [...(isClaudeAuthStatus(command) ? [ofCommand] : []), ...ofVariables];
}

/** Checks whether a command runs Claude Code, as far as its words show. */
export function isClaudeCommand(command: readonly string[]): boolean {
  return wordsOf(command).some(isClaudeCode);
}

/** Checks whether a command runs `claude auth status`, even behind a path, other programs (`nice`, `sh -c`) or options. */
export function isClaudeAuthStatus(command: readonly string[]): boolean {
  const words = wordsOf(command);
  const claude = words.findIndex(isClaudeCode);
  if (claude === -1) return false;
  const rest = words.slice(claude + 1).filter((word) => !word.startsWith("-"));
  return rest.some((word, at) => word === "auth" && rest[at + 1] === "status");
}

/**
 * The names of the variables that keep Claude Code away from its own login.
 *
 * @param command what it is run by, in which `env -u NAME` takes one away
 */
export function variablesAroundLogin(
  variables: Readonly<Record<string, string | undefined>>,
  command: readonly string[],
): string[] {
  const words = wordsOf(command);
  const isUnset = (name: string): boolean =>
    words.some((word, at) => word === `--unset=${name}` || word === `-u${name}` || (word === name && words[at - 1] === "-u"));
  return [
    ...TOKENS.filter((name) => (variables[name] ?? "").trim() !== ""),
    ...SWITCHES.filter((name) => YES.test((variables[name] ?? "").trim())),
  ].filter((name) => !isUnset(name));
}

/**
 * Splits a command into words, roughly as a shell does. A path with spaces falls apart, but its last part is still the program.
 */
function wordsOf(command: readonly string[]): string[] {
  return command.flatMap((argument) => argument.split(/[\s'"`;&|()]+/)).filter((word) => word !== "");
}

/** By its usual name, its npm package, or the path of one of its installed versions. */
function isClaudeCode(word: string): boolean {
  return (
    /^claude(?:-code)?(?:@.*)?(?:\.exe|\.cmd)?$/i.test(basename(word.replaceAll("\\", "/"))) ||
    /[\\/]claude-code[\\/]cli\.m?js$|[\\/]claude[\\/]versions[\\/][\d.]+$/i.test(word)
  );
}
