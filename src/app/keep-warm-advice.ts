import type { Config } from "../config/config.js";
import { formatDuration, parseDurationMs } from "../domain/duration.js";
import {
  isClaudeAuthStatus,
  isClaudeCommand,
  REFRESHES_WITHIN_MS,
  RENEWING_COMMAND,
  variablesAroundLogin,
} from "../programs/claude-code/command.js";
import { claudeCode } from "../programs/claude-code/program.js";

/** How long a run may take: Claude Code starts, waits up to 8 s for its lock and up to 30 s for the server's answer. */
export const COMMAND_TIMEOUT_MS = 45_000;
/** The pause after the first run without effect. */
export const FIRST_RETRY_MS = 30_000;
/** For a run after which the login is the same, where nothing else explains it. */
export const NO_EFFECT_HINT = `run it by hand in the login's last 5 minutes, or later: Claude Code renews it only then, with ${RENEWING_COMMAND}`;

/** A reason why the configured keepWarm may not renew the login. */
export interface KeepWarmAdvice {
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  /** True if it explains a run that had no effect. */
  readonly explainsNoEffect: boolean;
}

/** A slow run, the wait after it, and one more slow run. */
const LEAST_BEFORE_MS = 2 * COMMAND_TIMEOUT_MS + FIRST_RETRY_MS;
const SET_BEFORE = 'set keepWarm: { before: "4m" } in the config';

/** @param variables the environment that the daemon gives to the command; values stay out of the text */
export function keepWarmAdvice(
  { keepWarm, source, file }: Pick<Config, "keepWarm" | "source" | "file">,
  variables: Readonly<Record<string, string | undefined>>,
): KeepWarmAdvice[] {
  if (keepWarm === null) return [];
  const { command } = keepWarm;
  const before = file.keepWarm?.before ?? "";
  const beforeMs = parseDurationMs(before) ?? keepWarm.beforeMs;
  const advice: KeepWarmAdvice[] = [];
  if (isClaudeAuthStatus(command)) {
    advice.push({
      what: "keepWarm.command is claude auth status, which renews the login only by chance",
      why: "in a home that is in use most runs change nothing and report success; it waits 8.5 s for the server, and a later answer loses the login",
      fix: `run ${RENEWING_COMMAND} instead: keepWarm: { command: ["claude", "mcp", "list"] } in the config`,
      explainsNoEffect: true,
    });
  }
  if (source.program === claudeCode || isClaudeCommand(command)) {
    for (const name of variablesAroundLogin(variables, command)) {
      advice.push({
        what: `${name} is set: with it keepWarm's command does nothing`,
        why: "Claude Code then never renews its login file, and still reports success",
        fix: `run the command without it: put "env", "-u", "${name}" before the words of keepWarm.command`,
        explainsNoEffect: true,
      });
    }
  }
  if (isClaudeCommand(command) && beforeMs > REFRESHES_WITHIN_MS) {
    advice.push({
      what: `keepWarm.before is ${before}, but Claude Code renews a login only in its last ${formatDuration(REFRESHES_WITHIN_MS)}`,
      why: "an earlier run changes nothing, so credsyncd waits until then",
      fix: SET_BEFORE,
      explainsNoEffect: false,
    });
  }
  if (beforeMs < LEAST_BEFORE_MS) {
    advice.push({
      what: `keepWarm.before is ${before}: a slow run and one more do not fit before the login expires`,
      why: `a run may take ${formatDuration(COMMAND_TIMEOUT_MS)}, and the next one starts ${formatDuration(FIRST_RETRY_MS)} later; until one succeeds, agents have no valid login`,
      fix: SET_BEFORE,
      explainsNoEffect: false,
    });
  }
  return advice;
}
