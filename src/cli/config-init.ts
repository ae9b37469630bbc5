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
import { sourceProfile, findingText } from "../app/words.js";
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
  const rows = [["STORE", "PROFILE", "TYPE", "ACCOUNT", "WITH THIS CONFIGURATION"].map((title) => paint("dim", title))];
  for (const flow of plan.flows) rows.push([flow.head.store, sourceProfile(flow), "", "", sourceLine(flow)]);
  for (const report of plan.reports) {
    const { target } = report;
    const type = target.held.kind === "credential" ? target.held.credential.type : target.held.kind;
    const isUnused = unused.has(placementKey(target.store, target.profile));
    const what = isUnused ? `${intention(report)}; this OpenClaw does not use it` : intention(report);
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

function sourceLine({ source }: Plan): string {
  switch (source.kind) {
    case "live":
    case "becomes-live":
    case "restored":
      return "the source";
    case "missing":
      return "the source; not signed in yet";
    case "logged-out":
      return "the source; logged out";
    case "fenced":
      return `the source; ${source.explanation}`;
    case "unreadable":
      return `the source; unreadable: ${source.reason}`;
    case "held":
      return `the source; held: ${source.explanation}`;
  }
}

function accountOf({ target }: TargetReport, { observation }: ReconcileResult): string {
  const read = observation.reads.find(({ target: { store } }) => store.name === target.store);
  const stored = read?.snapshot?.profiles.find(({ id }) => id === target.profile);
  return maskEmail(stored?.account?.email ?? null) ?? "";
}

function intention({ verdict }: TargetReport): string {
  switch (verdict?.kind) {
    case undefined:
      return "left alone";
    case "unrelated":
      return "left alone: not this source's";
    case "in-sync":
      return "follows, in sync";
    case "absent":
      return "absent";
    case "write":
      return verdict.backup ? "follows: would be overwritten, with a backup" : "follows: would be written";
    case "drift":
      return `follows: waits (${verdict.reason})`;
    case "hold":
      return `held: ${verdict.explanation}`;
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
    for (const { target, verdict } of result.plan.reports) {
      if (verdict?.kind !== "hold" || profiles.has(target.profile)) continue;
      const agent = target.store.slice(target.store.indexOf(":") + 1);
      if (Object.hasOwn(agents, agent)) continue;
      const answer = await questioner.ask(
        `${target.store} ${target.profile}: ${verdict.explanation}.\n  (f)ollow: it is a copy of the source's login, here and in every agent  (p)in: this agent has an account of its own  (h)old: decide later`,
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
