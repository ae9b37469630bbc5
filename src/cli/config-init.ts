import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { writeFile } from "node:fs/promises";
import type { Config } from "../config/config.js";
import { configPath } from "../config/load.js";
import { parseConfig } from "../config/parse.js";
import { configTemplate, type Choices } from "../config/template.js";
import { compose } from "../app/compose.js";
import { maskEmail } from "../app/status.js";
import { unusedProfiles } from "../app/unused.js";
import { commandEnvironment } from "../app/system.js";
import type { Names } from "../domain/describe/description.js";
import { describeSource } from "../domain/describe/source.js";
import { describeTarget } from "../domain/describe/target.js";
import { Failure } from "../domain/errors.js";
import { placementKey } from "../domain/ledger.js";
import { noOrders, type Binding } from "../domain/observation.js";
import type { Plan } from "../domain/plan.js";
import type { Share } from "../domain/store.js";
import { refuseForeignPlace } from "../io/own-place.js";
import { makePrivateDirectory } from "../io/private-directory.js";
import { errnoOf } from "../io/system-error.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { Questioner } from "./ask.js";
import { exitCodes, openOutput, table, type CommonOptions, type ExitCode, type Output } from "./output.js";
import { namesAround, sourceProfile, findingText } from "../app/words.js";
import type { TargetReport } from "../domain/target-verdict.js";
import { programOf } from "../programs/registry.js";

export interface ConfigInitOptions extends CommonOptions {
  readonly yes?: boolean;
}

/** `credsyncd config init`: scans every store, asks what is unclear, and writes a commented configuration. */
export async function initConfig(options: ConfigInitOptions): Promise<ExitCode> {
  const environment = commandEnvironment();
  const { path } = configPath(options.config ?? null, environment);
  refuseForeignPlace(path, environment.home);
  refuseToOverwrite(path);
  const config = parseConfig("{}", path);
  const { reconciler } = await compose(config, environment, "look");
  const result = await reconciler.preview(config.policy, noOrders, new AbortController().signal);
  const output = openOutput(options);
  output.say(overview(result, output));
  const choices = options.yes === true ? safeChoices(config) : await askAll(result, config);
  const text = configTemplate(choices);
  parseConfig(text, path);
  await makePrivateDirectory(dirname(path));
  await create(path, text);
  output.result(`wrote ${path}`, { schemaVersion: 1, path, ...choices });
  output.say("next: credsyncd sync --dry-run shows what would be written, credsyncd run keeps it in step");
  return exitCodes.done;
}

function refuseToOverwrite(path: string): void {
  if (!existsSync(path)) return;
  throw new Failure("config", `${path} exists already`, "edit it, move it away, or name another with --config");
}

async function create(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { mode: 0o600, flag: "wx", flush: true });
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    throw new Failure(
      "permission",
      `cannot write ${path}: ${errnoOf(error) ?? ""}`,
      "make its directory writable, or name another place with --config",
      error,
    );
  }
}

/** A table of every store and profile, and what would be done with each. */
function overview(result: ReconcileResult, { paint }: Output): string {
  const { observation, plan } = result;
  const unused = unusedProfiles(result);
  const names = namesAround(result.observation.inventory.source, false);
  const rows = [["STORE", "PROFILE", "TYPE", "ACCOUNT", "WITH THIS CONFIGURATION"].map((title) => paint("dim", title))];
  for (const flow of plan.flows) rows.push([flow.head.store, sourceProfile(flow), "", "", sourceLine(flow, names)]);
  for (const report of plan.reports) {
    const { target } = report;
    const type = target.held.kind === "credential" ? target.held.credential.type : target.held.kind;
    const notUsed = unused.get(placementKey(target.store, target.profile))?.explanation;
    const what = `${intention(report, names)}${notUsed === undefined ? "" : `; ${notUsed}`}`;
    rows.push([target.store, target.profile, type, accountOf(report, result), what]);
  }
  const reported = new Set(plan.reports.map(({ target }) => target.store));
  for (const { target, error, sameAs } of observation.reads) {
    if (error !== null) rows.push([target.store.name, "", "", "", `left alone: ${error.message}`]);
    else if (sameAs !== null) rows.push([target.store.name, "", "", "", `the same file as ${sameAs}`]);
    else if (!reported.has(target.store.name)) rows.push([target.store.name, "", "", "", "holds no profile yet"]);
  }
  for (const { store, kind, error } of observation.inventory.findings) {
    rows.push([store, "", "", "", error === null ? findingText(kind) : `left alone: ${error.message}`]);
  }
  return table(rows);
}

function sourceLine(flow: Plan, names: Names): string {
  const { explanation } = describeSource(flow, names);
  return explanation === null ? "the source" : `the source; ${explanation}`;
}

function accountOf({ target }: TargetReport, { observation }: ReconcileResult): string {
  const read = observation.reads.find(({ target: { store } }) => store.name === target.store);
  const stored = read?.snapshot?.profiles.find(({ id }) => id === target.profile);
  return maskEmail(stored?.account?.email ?? null) ?? "";
}

function intention(report: TargetReport, names: Names): string {
  const { state, reason, explanation } = describeTarget(report, names);
  const because = explanation === null ? "" : `: ${explanation}`;
  if (report.verdict?.kind === "write")
    return `follows: credsyncd would write it${report.verdict.backup ? ", with a backup" : ""}`;
  switch (state) {
    case "separate":
    case "unrelated":
      return `left alone${because}`;
    case "in-sync":
      return "follows, in sync";
    case "drift":
      return `follows: waits${because === "" ? ` (${reason ?? ""})` : because}`;
    case "absent":
    case "held":
      return `${state}${because}`;
  }
}

/** Nothing that is not certain follows: what is of unknown origin stays held. */
function safeChoices(config: Config): Choices {
  return { share: null, profiles: config.file.profiles ?? [], agents: {} };
}

async function askAll(result: ReconcileResult, config: Config): Promise<Choices> {
  const profiles = new Set(config.file.profiles);
  const agents: Record<string, Binding> = {};
  const questioner = new Questioner();
  let share: Share | null = null;
  try {
    const names = namesAround(result.observation.inventory.source, false);
    for (const report of result.plan.reports) {
      const { target, verdict } = report;
      if (verdict?.kind !== "hold" || profiles.has(target.profile)) continue;
      const agent = target.store.slice(target.store.indexOf(":") + 1);
      if (Object.hasOwn(agents, agent)) continue;
      const { explanation } = describeTarget(report, names);
      const answer = await questioner.ask(
        `${target.store} ${target.profile}: ${explanation ?? ""}.\n  (f)ollow: it is a copy of the source's login, here and in every agent  (p)in: this agent has an account of its own  (h)old: decide later`,
        "h",
      );
      if (answer.startsWith("f")) profiles.add(target.profile);
      if (answer.startsWith("p")) agents[agent] = "pinned";
    }
    if (result.observation.reads.some(({ target }) => programOf(target.store.name)?.hasAgents === true))
      share = await askShare(questioner);
  } finally {
    questioner.close();
  }
  return { share, profiles: [...profiles], agents };
}

async function askShare(questioner: Questioner): Promise<Share> {
  const answer = await questioner.ask(
    [
      "How much of the login are OpenClaw's agents given?",
      "  (f)ull: agents can refresh it, too; two programs that refresh at the same moment can cost the login",
      "  (a)ccess token only: Claude Code alone refreshes, so that no race is left; once the token ends (after about 8 hours),",
      "      agents wait until Claude Code is used again: for hosts where it runs all day, or where a timer runs it",
    ].join("\n"),
    "f",
  );
  return answer.startsWith("a") ? "access-only" : "full";
}
