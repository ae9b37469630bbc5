import { readFile } from "node:fs/promises";
import { errnoOf } from "../../io/system-error.js";
import { keepWarmAdvice } from "../keep-warm-advice.js";
import { found, ok, type Check, type Patient } from "./finding.js";

/** Checks whether keepWarm's command can renew the login, in the environment that the daemon gives it. */
export const keepWarm: Check = async ({ composition, report, platform }) => {
  const { config, environment } = composition;
  if (config.keepWarm === null) return [];
  const variables = (await daemonVariables(report, platform)) ?? environment.variables;
  const findings = keepWarmAdvice(config, variables).map((advice) => found("keepWarm", "warning", advice));
  return findings.length > 0 ? findings : [ok("keepWarm", "nothing known keeps its command from renewing the login")];
};

/** Those of the running daemon; null where none runs, or they cannot be read. */
async function daemonVariables(
  { daemon: { running, pid } }: Patient["report"],
  platform: NodeJS.Platform,
): Promise<Record<string, string> | null> {
  if (!running || platform !== "linux") return null;
  try {
    const text = await readFile(`/proc/${String(pid)}/environ`, "utf8");
    return Object.fromEntries(
      text.split("\0").flatMap((entry) => {
        const at = entry.indexOf("=");
        return at > 0 ? [[entry.slice(0, at), entry.slice(at + 1)]] : [];
      }),
    );
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}
