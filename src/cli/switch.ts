import picomatch from "picomatch";
import { loadConfig } from "../config/load.js";
import { compose, type Composition } from "../app/compose.js";
import { readHosts, type TakesPart } from "../app/hosts.js";
import { toFailure } from "../app/store-failure.js";
import { carryOut, resolutionsIn, type SwitchResult, type SwitchRow } from "../app/switching.js";
import { commandEnvironment } from "../app/system.js";
import { Failure } from "../domain/errors.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import type { SwitchRequest } from "../domain/switch.js";
import type { CommandOutcome } from "../io/run-command.js";
import { RELOAD_TIMEOUT_MS } from "../programs/gateway.js";
import {
  exitCodes,
  openOutput,
  printFailure,
  table,
  type Colour,
  type CommonOptions,
  type ExitCode,
  type Output,
} from "./output.js";
import { tidily } from "./stuck.js";
import { warnOfUnmatched } from "./unmatched.js";
import { programOf } from "../programs/registry.js";

/** The options that `set-active` and `migrate` share. */
export interface SwitchOptions extends CommonOptions {
  readonly provider: string;
  readonly agents?: string;
  readonly removeStale?: boolean;
  readonly copyFrom?: string;
  readonly copyOauth?: boolean;
  readonly skipMissing?: boolean;
  readonly dryRun?: boolean;
}

/** Switches a provider's profile in every agent, or in none; tells the gateway; looks whether every agent would use it now. */
export async function switchProfile(
  { profile, from }: { readonly profile: ProfileId; readonly from: ProfileId | null },
  options: SwitchOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const output = openOutput(options);
  try {
    return await switched({ profile, from }, options, { output, signal });
  } catch (error) {
    if (!(error instanceof Failure) || !output.json) throw error;
    const { code, message, hint } = error;
    output.result("", { schemaVersion: 1, committed: false, stores: [], error: { code, message, hint } });
    return printFailure(error, false);
  }
}

async function switched(
  { profile, from }: { readonly profile: ProfileId; readonly from: ProfileId | null },
  options: SwitchOptions,
  { output, signal }: { readonly output: Output; readonly signal: AbortSignal },
): Promise<ExitCode> {
  const environment = commandEnvironment();
  const config = await loadConfig(options.config ?? null, environment);
  const dryRun = options.dryRun === true;
  const composition = await compose(config, environment, dryRun ? "look" : "write");
  const request: SwitchRequest = {
    provider: options.provider,
    profile,
    from,
    removeStale: options.removeStale === true,
    skipMissing: options.skipMissing === true,
    copyFrom: options.copyFrom === undefined ? null : storeNamed(options.copyFrom),
    copyOauth: options.copyOauth === true,
  };
  const takesPart = patternOf(options.agents);
  const unmatchedAgents = await warnOfUnmatched(composition, output);
  const result = await tidily(composition, output, () => carryOut(composition, request, { takesPart, dryRun }, signal));
  const reloads =
    result.committed && result.rows.some((row) => row.result === "updated") ? await reload(composition, signal) : [];
  const astray = result.committed ? await findAstray(composition, request, result, takesPart) : [];
  output.result(describe(result, { request, reloads, astray, dryRun }, output), {
    ...toJson(result, { request, reloads, astray, dryRun }),
    unmatchedAgents,
  });
  return exitCodeOf(result, astray, dryRun);
}

/** Without a pattern all take part. */
function patternOf(agents: string | undefined): TakesPart {
  if (agents === undefined) return () => true;
  if (agents === "") throw new Failure("usage", "--agents names nobody", 'give it a pattern, such as: --agents "work-*"');
  return picomatch(agents);
}

/** Both `work` and `openclaw:work` name the agent. */
function storeNamed(agent: string): StoreName {
  return programOf(agent) === null ? `openclaw:${agent}` : agent;
}

/** The result of a gateway's reload, in words. */
interface Reload {
  readonly result: "reloaded" | "not-running" | "failed";
  readonly explanation: string;
}

/** Reloads the gateways, which work from what they read at their start. */
async function reload({ gateways }: Composition, signal: AbortSignal): Promise<Reload[]> {
  const reloads: Reload[] = [];
  for (const gateway of gateways) {
    if ((await gateway.listener()) === null)
      reloads.push({ result: "not-running", explanation: `${gateway.name} is not running` });
    else if (gateway.reload === null)
      reloads.push({ result: "failed", explanation: `${gateway.name} is not told, as configured; ${NEXT}` });
    else reloads.push(reloadOf(gateway.name, await gateway.reload(signal)));
  }
  return reloads;
}

const NEXT = "restart it, or run: openclaw secrets reload";

function reloadOf(name: string, outcome: CommandOutcome): Reload {
  switch (outcome.kind) {
    case "done":
      return { result: "reloaded", explanation: `${name} was reloaded` };
    case "not-found":
      return { result: "failed", explanation: `${name} was not reloaded: there is no such command on the PATH; ${NEXT}` };
    case "timed-out":
      return {
        result: "failed",
        explanation: `${name} did not answer within ${String(RELOAD_TIMEOUT_MS / 1000)} s; ${NEXT}`,
      };
    case "failed":
      return /pairing required|scope upgrade pending/i.test(outcome.output)
        ? { result: "failed", explanation: `${name} wants this device to be paired (openclaw devices list); ${NEXT}` }
        : { result: "failed", explanation: `${name} was not reloaded (exit code ${String(outcome.exitCode)}); ${NEXT}` };
  }
}

/** An agent that would not use the profile now. */
interface Astray {
  readonly store: StoreName;
  readonly profile: ProfileId | null;
  readonly explanation: string | null;
}

/** Reads the agents again, after the reload: only the login that the next turn finds counts. */
async function findAstray(
  composition: Composition,
  { provider, profile }: SwitchRequest,
  { rows }: SwitchResult,
  takesPart: TakesPart,
): Promise<Astray[]> {
  const moved = new Set(rows.filter(({ moves }) => moves).map(({ store }) => store));
  const hosts = await readHosts(composition, takesPart, [], await composition.takeInventory());
  return hosts.flatMap((read) =>
    resolutionsIn(read.host, provider, composition.environment.clock.now()).flatMap((resolution) => {
      const { store } = resolution.agent;
      if (!moved.has(store) || resolution.profile === profile) return [];
      const explanation = read.errors.get(store)?.message ?? resolution.broken?.explanation ?? null;
      return [{ store, profile: resolution.profile, explanation }];
    }),
  );
}

interface Ending {
  readonly request: SwitchRequest;
  readonly reloads: readonly Reload[];
  readonly astray: readonly Astray[];
  readonly dryRun: boolean;
}

function toJson(result: SwitchResult, { request, reloads, astray, dryRun }: Ending): Readonly<Record<string, unknown>> {
  return {
    schemaVersion: 1,
    committed: result.committed,
    dryRun,
    provider: request.provider,
    profile: request.profile,
    stores: result.rows.map(({ store, result: what, from, to, removed, copied, note, error }) => ({
      store,
      result: what,
      from,
      to,
      removed,
      copied,
      note,
      ...(error === null ? {} : { error: error.message, hint: error.hint }),
    })),
    settled: result.settled,
    warnings: result.warnings,
    reloads,
    verified: result.committed && astray.length === 0,
    astray,
  };
}

const colours: Readonly<Record<SwitchRow["result"], Colour>> = {
  updated: "green",
  "would-update": "yellow",
  unchanged: "dim",
  absent: "dim",
  "rolled-back": "yellow",
  failed: "red",
};

function describe(result: SwitchResult, ending: Ending, output: Output): string {
  const { paint } = output;
  const rows = [["STORE", "BEFORE", "AFTER", "RESULT"].map((title) => paint("dim", title))];
  const notes: string[] = [];
  const removal = (removed: readonly string[]): string =>
    ending.dryRun
      ? `would remove ${removed.join(", ")}, into the backups`
      : `removed ${removed.join(", ")}, which ${removed.length === 1 ? "is" : "are"} in the backups`;
  for (const { store, from, to, result: what, removed, note, error } of result.rows) {
    rows.push([store, from ?? "-", to ?? "-", paint(colours[what], what.replace("-", " "))]);
    if (removed.length > 0) notes.push(`${store}: ${removal(removed)}`);
    if (note !== null) notes.push(`${store}: ${note}`);
    if (error !== null) notes.push(`${store}: ${error.message}`, paint("dim", `  ${error.hint}`));
  }
  const lines = [table(rows), ...(notes.length === 0 ? [] : ["", ...notes])];
  for (const { message, hint } of result.warnings) lines.push("", `${paint("yellow", "warning")}: ${message}`, `  ${hint}`);
  return [...lines, "", ...endingLines(result, ending, output)].join("\n");
}

function endingLines(
  { committed, settled, rows }: SwitchResult,
  { request, reloads, astray, dryRun }: Ending,
  { paint }: Output,
): string[] {
  const { provider, profile } = request;
  if (dryRun) return ["nothing was changed: this was a dry run"];
  if (!committed && !settled)
    return [paint("red", "not every store could be brought back yet: the next command, or the daemon, tries again")];
  if (!committed) {
    const left = rows.filter(({ result, error }) => result === "failed" && error?.code === "overtaken").map(({ store }) => store);
    const except = left.length === 0 ? "" : `; look at ${left.join(", ")}, which someone else changed meanwhile`;
    return [paint("red", `${provider} was not switched: every store is as it was${except}`)];
  }
  const told = reloads.map(({ result, explanation }) =>
    result === "failed" ? `${paint("yellow", "warning")}: ${explanation}` : explanation,
  );
  if (astray.length === 0) {
    const moved = rows.filter(({ moves }) => moves).length;
    if (moved === 0) return [...told, nobodyMoved(rows, request)];
    const who = moved === 1 ? "1 agent uses" : `all ${String(moved)} agents use`;
    return [...told, paint("green", `${who} ${profile} for ${provider}`)];
  }
  return [
    ...told,
    ...astray.map(({ store, profile: used, explanation }) => {
      const why = explanation === null ? "" : `: ${explanation}`;
      return paint("red", `${store} would use ${used ?? "nothing"}, not ${profile}${why}`);
    }),
  ];
}

/** Stores may have kept or mentioned what nobody used. */
function nobodyMoved(rows: readonly SwitchRow[], { from }: SwitchRequest): string {
  const isChanged = rows.some(({ result }) => result === "updated");
  return isChanged ? `no agent used ${from ?? "another profile"}; what was left of it was changed` : "there was nothing to do";
}

function exitCodeOf({ committed, rows }: SwitchResult, astray: readonly Astray[], dryRun: boolean): ExitCode {
  if (dryRun) return exitCodes.done;
  if (committed) return astray.length === 0 ? exitCodes.done : exitCodes.partial;
  const failed = rows.find(({ error }) => error !== null)?.error ?? null;
  if (failed === null) return exitCodes.failed;
  return printFailure(toFailure(failed, "every store is as it was, unless the table says otherwise"), false);
}
