import { isServed } from "../../domain/target-verdict.js";
import { openclaw } from "../../programs/openclaw/program.js";
import { openclawAuthRules, overriddenAgentDirectory, type AuthRules } from "../../programs/openclaw/discovery.js";
import { RELOAD_TIMEOUT_MS } from "../../programs/gateway.js";
import { absentGateways } from "../absent-gateway.js";
import { lagLine } from "../lag.js";
import { doubtfulProfiles, unusedProfiles } from "../unused.js";
import type { SourceState } from "../status-report.js";
import { UNMATCHED_WHY, unmatchedHint, unmatchedText } from "../unmatched-agents.js";
import { found, ok, type Check, type DoctorFinding, type Patient } from "./finding.js";
import { NO_STORE, NO_STORE_HINT, failureText } from "../words.js";

/** Agents that the configuration names and that are not there: what it says of them holds for nobody. */
export const agents: Check = ({ result }) => {
  const { unmatchedAgents } = result.observation.inventory;
  return Promise.resolve(
    unmatchedAgents.map((unmatched) =>
      found("agents", "warning", { what: unmatchedText(unmatched), why: UNMATCHED_WHY, fix: unmatchedHint(unmatched) }),
    ),
  );
};

/** How each OpenClaw keeps its credentials, told from its files. */
export const eras: Check = ({ report }) => {
  const known = new Map<string, string[]>();
  for (const { store, era, versionHint } of report.stores) {
    if (era === null) continue;
    const name = versionHint === null ? era : `${era} (config last written by ${versionHint})`;
    known.set(name, [...(known.get(name) ?? []), store]);
  }
  return Promise.resolve([...known].map(([era, stores]) => ok("era", `${era}: ${named(stores)}`)));
};

function named(stores: readonly string[]): string {
  const shown = stores.slice(0, 5).join(", ");
  return stores.length > 5 ? `${shown} and ${String(stores.length - 5)} more` : shown;
}

/** Stores that cannot be served, and agents that use another profile than the one that follows. */
export const stores: Check = ({ report }) => {
  const findings: DoctorFinding[] = [];
  for (const { store, error, hint } of report.stores) {
    if (error !== null)
      findings.push(
        found("stores", "error", { what: `${store}: ${error}`, why: "its agent keeps its old login until it fails", fix: hint }),
      );
  }
  for (const { store, path, state, explanation, hint } of report.sources) {
    if (!isWithoutLogin(state)) continue;
    const what = `the source ${store} (${path}) is ${state}${explanation === null ? "" : `: ${explanation}`}`;
    findings.push(found("stores", "error", { what, why: "there is no login to hand on", fix: hint }));
  }
  if (report.stores.length === 0) {
    const why = "nobody is given its login";
    findings.push(found("stores", "warning", { what: NO_STORE, why, fix: NO_STORE_HINT }));
  }
  return Promise.resolve(findings.length > 0 ? findings : [ok("stores", `${String(report.stores.length)} stores can be served`)]);
};

function isWithoutLogin(state: SourceState): boolean {
  return state === "missing" || state === "logged-out" || state === "unreadable";
}

/** Reports the alerts on logins and stores that the daemon would report, except on stores with a finding above. */
export const alerts: Check = ({ report }) => {
  const broken = new Set([
    ...report.stores.flatMap(({ store, error }) => (error === null ? [] : [store])),
    ...report.sources.flatMap(({ store, state }) => (isWithoutLogin(state) ? [store] : [])),
  ]);
  const findings: DoctorFinding[] = [];
  for (const { kind, store, profile, severity, message, hint } of report.alerts) {
    if (broken.has(store)) continue;
    const what = `${profile === null ? store : `${store} ${profile}`}: ${message}`;
    findings.push(
      found("alerts", severity, { what, why: `it is the alert ${kind}, as credsyncd status tells it, too`, fix: hint }),
    );
  }
  const told = new Set(report.alerts.map(({ store }) => store));
  // If the source has no login, the finding belongs to the source.
  const canFollow = !report.sources.some(({ state }) => isWithoutLogin(state));
  const lagging = report.stores.filter(({ store, error, profiles }) => {
    const isBehind = profiles.some(({ state }) => state === "drift" || state === "held");
    return canFollow && error === null && isBehind && !told.has(store);
  });
  if (lagging.length > 0)
    findings.push(
      found("alerts", "warning", {
        what: `${named(lagging.map(({ store }) => store))}: behind the source, or held`,
        why: "an agent fails when its old login ends",
        fix: "see why: credsyncd status",
      }),
    );
  return Promise.resolve(findings.length > 0 ? findings : [ok("alerts", "nothing that the daemon would tell")]);
};

/** Checks whether a gateway runs and reloads, by a reload, which does no harm. */
export const gateways: Check = async ({ composition, report, now, signal }) => {
  const findings: DoctorFinding[] = report.gateways.map((lag) =>
    found("gateways", "warning", { what: `${lag.gateway} ${lagLine(lag, now)}`, why: lag.explanation, fix: lag.hint }),
  );
  const absent = new Map((await absentGateways(composition.gateways)).map((each) => [each.gateway, each]));
  for (const { name, listener, reload } of composition.gateways) {
    const missing = absent.get(name);
    if (missing !== undefined) {
      const what = `${name}: ${missing.explanation}`;
      findings.push(
        found("gateways", "info", {
          what,
          why: "one that runs elsewhere uses the old login until its next turn",
          fix: missing.hint,
        }),
      );
    } else if ((await listener()) === null) {
      findings.push(ok("gateways", `${name} does not run: nobody needs to be told`));
    } else if (reload === null) {
      const why = "it uses the old login until its next turn or restart";
      const fix = 'set reload: { openclaw: "auto" } in the config';
      findings.push(found("gateways", "info", { what: `${name} runs and is not told of a rotation`, why, fix }));
    } else {
      const outcome = await reload(signal);
      findings.push(
        outcome.kind === "done"
          ? ok("gateways", `${name} runs, and reads its stores again when it is told`)
          : found("gateways", "error", {
              what: `${name} runs, and does not read its stores again when it is told: ${failureText(outcome)}`,
              why: "it uses the old login until its next turn or restart",
              fix: `see why: openclaw secrets reload (limit: ${String(RELOAD_TIMEOUT_MS / 1000)} s) - or restart the gateway`,
            }),
      );
    }
  }
  return findings;
};

/** A variable of the environment moves OpenClaw's main store, and is not to be seen in its files. */
export const overrides: Check = async ({ composition }) => {
  const findings: DoctorFinding[] = [];
  for (const stateDir of openclawsOf(composition)) {
    const override = await overriddenAgentDirectory(composition.environment, stateDir);
    if (override === null) continue;
    const { variable, directory } = override;
    findings.push(
      found("agent-dir", "warning", {
        what: `${variable} is set: an OpenClaw with it keeps the store that agents inherit from in ${directory}, which credsyncd does not serve`,
        why: "what is kept there ends at the next rotation",
        fix: `unset ${variable}, and name the directory as the agentDir of agent main in openclaw.json: OpenClaw and credsyncd both follow that`,
      }),
    );
  }
  return findings;
};

function openclawsOf({ config }: Patient["composition"]): Set<string | null> {
  const configured = [config.source, ...config.targets].filter(({ program }) => program === openclaw);
  return new Set(configured.map(({ directory }) => directory));
}

/** `auth.profiles` in openclaw.json is a whitelist: a profile of a listed provider that is not in it is never used. */
export const whitelists: Check = async ({ composition, report, result }) => {
  const findings: DoctorFinding[] = [];
  for (const stateDir of openclawsOf(composition)) {
    const rules = await openclawAuthRules(composition.environment, stateDir);
    for (const profile of followed({ result })) {
      const stored = report.stores.flatMap(({ store, active, profiles }) =>
        profiles.flatMap((each) => (each.profile === profile.id ? [{ store, active }] : [])),
      );
      // An order in the store itself comes before the config.
      if (stored.length > 0 && stored.every(({ active }) => active[profile.provider] === profile.id)) continue;
      const problem = excluded(profile, rules);
      if (problem !== null) findings.push(problem);
    }
  }
  return findings.length > 0 ? findings : [ok("whitelists", "OpenClaw may use every profile that follows")];
};

/** Profiles that follow and that this OpenClaw never sends: their agents have no login, or another one. */
export const unused: Check = ({ result }) => {
  const findings = [...unusedProfiles(result).values()].map(({ store, profile, reason, explanation, hint }) => {
    const why = "its agents do not have it at their turns, however well it is in sync";
    const more = reason === "id" ? ", and openclaw doctor --fix deletes it" : "";
    return found("unused", "warning", { what: `${store} ${profile}: ${explanation}`, why: `${why}${more}`, fix: hint });
  });
  // Nothing but its openclaw.json tells the version of an OpenClaw with files.
  const doubtful = doubtfulProfiles(result).map(({ store, profile, provider, instead, until }) => {
    const what = `${store} ${profile}: whether this OpenClaw uses this profile cannot be told, since openclaw.json names no version`;
    const why = `before ${until} it sends no login of provider ${provider}`;
    const fix = `openclaw --version; if it is older, give this profile "provider": "${instead}" while its gateway is stopped`;
    return found("unused", "info", { what, why, fix });
  });
  return Promise.resolve([...findings, ...doubtful]);
};

interface Followed {
  readonly id: string;
  readonly provider: string;
  readonly type: string;
}

function followed({ result }: Pick<Patient, "result">): Followed[] {
  const profiles = new Map<string, Followed>();
  for (const { target } of result.plan.reports.filter(isServed)) {
    const { store, profile: id, provider, held } = target;
    if (provider === null || !openclaw.owns(store)) continue;
    profiles.set(id, { id, provider, type: held.kind === "credential" ? held.credential.type : "oauth" });
  }
  return [...profiles.values()];
}

function excluded({ id, provider, type }: Followed, { path, profiles, order }: AuthRules): DoctorFinding | null {
  const ordered = order.get(provider);
  const why = "OpenClaw never uses it, however well it is kept in step";
  if (ordered !== undefined) {
    if (ordered.includes(id)) return null;
    const what = `${path}: auth.order.${provider} does not name ${id}`;
    return found("whitelists", "error", { what, why, fix: `add "${id}" to auth.order.${provider} there` });
  }
  const own = profiles.get(id);
  if (own?.mode != null && own.mode !== type && !(own.mode === "oauth" && type === "token")) {
    const what = `${path}: auth.profiles."${id}".mode is ${own.mode}, the profile is of type ${type}`;
    return found("whitelists", "error", { what, why, fix: `set its mode to "${type}" there` });
  }
  const listed = [...profiles.values()].some((profile) => profile.provider === provider);
  if (own !== undefined || !listed) return null;
  const what = `${path}: auth.profiles names profiles of ${provider}, and not ${id}`;
  return found("whitelists", "error", {
    what,
    why,
    fix: `add "${id}": { provider: "${provider}", mode: "${type}" } to auth.profiles there`,
  });
}
