import type { Config } from "../config/config.js";
import { formatDuration, parseDurationMs } from "../domain/duration.js";
import type { RenewalDoubt } from "../programs/program.js";
import { programs } from "../programs/registry.js";

/** How long a run may take: Claude Code starts, waits up to 8 s for its lock and up to 30 s for the server's answer. */
export const COMMAND_TIMEOUT_MS = 45_000;
/** The pause after the first run without effect. */
export const FIRST_RETRY_MS = 30_000;

/** A reason why the configured keepWarm may not renew the login. */
export interface KeepWarmAdvice extends RenewalDoubt {
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
  known = programs,
): KeepWarmAdvice[] {
  if (keepWarm === null) return [];
  const { command } = keepWarm;
  const before = file.keepWarm?.before ?? "";
  const beforeMs = parseDurationMs(before) ?? keepWarm.beforeMs;
  const advice: KeepWarmAdvice[] = [];
  for (const { kind, words, renewal } of known) {
    if (renewal === null) continue;
    const isRun = renewal.isRunBy(command);
    if (isRun || kind === source.program.kind)
      for (const doubt of renewal.doubtsOf(command, variables)) advice.push({ ...doubt, explainsNoEffect: true });
    if (isRun && beforeMs > renewal.withinMs) {
      advice.push({
        what: `keepWarm.before is ${before}, but ${words.name} renews a login only in its last ${formatDuration(renewal.withinMs)}`,
        why: "an earlier run changes nothing, so credsyncd waits until then",
        fix: SET_BEFORE,
        explainsNoEffect: false,
      });
    }
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

/** Returns the hint for a run that changed nothing, if nothing else explains that. */
export function noEffectHint({ keepWarm, source }: Pick<Config, "keepWarm" | "source">): string {
  const runs = programs.find(({ renewal }) => renewal?.isRunBy(keepWarm?.command ?? []) === true) ?? source.program;
  return runs.renewal?.noEffectHint ?? "run it by hand, and see whether the program that keeps the login renews it";
}
