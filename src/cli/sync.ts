import { loadConfig } from "../config/load.js";
import { compose } from "../app/compose.js";
import { overwrittenBy } from "../app/reload.js";
import { commandEnvironment } from "../app/system.js";
import type { Clock } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import { displayGeneration } from "../domain/ledger.js";
import { refusedAgents } from "../app/refused.js";
import { unusedProfiles, type UnusedProfile } from "../app/unused.js";
import { noOrders, type Orders } from "../domain/observation.js";
import type { Plan } from "../domain/plan.js";
import type { StoreName } from "../domain/store.js";
import type { WriteOutcome } from "../reconcile/apply.js";
import { isUnfinished, type ReconcileResult, type Reconciler } from "../reconcile/reconciler.js";
import { tellGateways } from "./gateways.js";
import { tidily } from "./stuck.js";
import { refuseIfStopped } from "./interruption.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode, type Output } from "./output.js";
import { warnOfUnmatched } from "./unmatched.js";
import { namesAround, NO_STORE, NO_STORE_HINT } from "../app/words.js";
import { describeSource, describeSuspect } from "../domain/describe/source.js";
import { describeTarget } from "../domain/describe/target.js";
import type { Names } from "../domain/describe/description.js";
import type { TargetReport } from "../domain/target-verdict.js";
import { programOf } from "../programs/registry.js";

/** A third of the longest wait for a new login's account, since there are three attempts. */
const SETTLES_MS = 2000;

export interface SyncOptions extends CommonOptions {
  readonly dryRun?: boolean;
  /** `true` where no store was named: what the source holds is accepted. */
  readonly force?: true | readonly string[];
}

/** `credsyncd sync`: one reconcile. */
export async function sync(options: SyncOptions, signal: AbortSignal): Promise<ExitCode> {
  const environment = commandEnvironment();
  const config = await loadConfig(options.config ?? null, environment);
  const composition = await compose(config, environment, options.dryRun === true ? "look" : "write");
  const { reconciler } = composition;
  const force = await forcedStores(options.force, () => reconciler.preview(config.policy, noOrders, signal));
  const orders: Orders = { ...noOrders, force };
  const output = openOutput(options);
  const unmatchedAgents = await warnOfUnmatched(composition, output);
  refuseIfStopped(signal);
  const result = await tidily(composition, output, () =>
    options.dryRun === true
      ? reconciler.preview(config.policy, orders, signal)
      : settled(reconciler, environment.clock, config.policy, orders, signal),
  );
  const gateways = await tellGateways(overwrittenBy(result), composition, { output, signal });
  const report = { ...syncReport(result, options.dryRun === true), unmatchedAgents, gateways };
  output.result([describe(report, output), ...unusedLines(report, output), ...notForced(force, result)].join("\n"), report);
  const isCutShort = signal.aborted && (isUnfinished(result) || isSettling(result));
  return isCutShort ? exitCodes.busy : exitCodeOf(result, report);
}

/** A few attempts for what is in the way for a moment only. */
async function settled(
  reconciler: Reconciler,
  clock: Clock,
  ...[policy, orders, signal]: Parameters<Reconciler["reconcile"]>
): Promise<ReconcileResult> {
  let result = await reconciler.reconcile(policy, orders, signal);
  const adopted = [...result.adoptions];
  const written = [...result.writes];
  for (let attempt = 0; attempt < 3 && !signal.aborted && (isUnfinished(result) || isSettling(result)); attempt++) {
    if (isSettling(result)) await clock.sleep(SETTLES_MS, signal);
    result = await reconciler.reconcile(policy, orders, signal);
    adopted.push(...result.adoptions);
    written.push(...result.writes);
  }
  return { ...result, adoptions: lastOfEach(adopted), writes: lastOfEach(written) };
}

function lastOfEach(outcomes: readonly WriteOutcome[]): WriteOutcome[] {
  return [...new Map(outcomes.map((outcome) => [outcome.store, outcome])).values()];
}

/** A new login whose account file is still awaited. */
function isSettling({ plan }: ReconcileResult): boolean {
  return plan.flows.some(({ source }) => source.kind === "held" && source.until !== null);
}

/** The stores that were named; without a name, the source's. */
async function forcedStores(force: SyncOptions["force"], look: () => Promise<ReconcileResult>): Promise<ReadonlySet<StoreName>> {
  if (force === undefined) return new Set();
  const { observation } = await look();
  const own = observation.inventory.source.stores.map(({ name }) => name);
  const known = [...own, ...observation.reads.map(({ target }) => target.store.name)];
  const unknown = force === true ? undefined : force.find((store) => !known.includes(store));
  if (unknown === undefined) return new Set(force === true ? own : force);
  throw new Failure("usage", `there is no store ${unknown}`, `stores here: ${[...new Set(known)].join(", ")}`);
}

/** One followed profile of the source. */
interface SourceReport {
  readonly store: string;
  readonly profile: string;
  readonly state: string;
  readonly generation: string | null;
  readonly explanation: string | null;
  readonly hint: string | null;
}

interface SyncReport {
  readonly schemaVersion: 1;
  readonly writes: readonly {
    readonly store: string;
    readonly profiles: readonly string[];
    readonly result: "written" | "would-write" | "failed";
    readonly error?: string;
    readonly hint?: string;
  }[];
  readonly holds: readonly {
    readonly store: string;
    readonly profile: string;
    readonly reason: string;
    readonly explanation: string;
    readonly hint: string;
  }[];
  /** Profiles to scan again at a later time; a daemon does it automatically. */
  readonly waits: readonly {
    readonly store: string;
    readonly profile: string;
    readonly reason: string;
    readonly explanation: string;
    readonly until: string;
  }[];
  readonly errors: readonly { readonly store: string; readonly error: string; readonly hint: string }[];
  /** Profiles that their program lists and never uses, however well they are in sync. */
  readonly unused: readonly UnusedProfile[];
  /** The first of `sources`. */
  readonly source: SourceReport;
  readonly sources: readonly SourceReport[];
  /** How many profiles follow the source. */
  readonly following: number;
  /** How many stores there are, that of the source among them where it is one of OpenClaw's. */
  readonly stores: number;
  readonly durationMs: number;
}

function syncReport(result: ReconcileResult, dryRun: boolean): SyncReport {
  const { plan, observation } = result;
  const adopted = plan.flows.flatMap(({ adoption }) => (adoption === null ? [] : [adoption.into]));
  const planned = new Map<string, string[]>();
  for (const { store, profile } of [...adopted, ...plan.writes.map(({ target }) => target)])
    planned.set(store, [...(planned.get(store) ?? []), profile]);
  const done = [...result.adoptions, ...result.writes];
  const readErrors = observation.reads.flatMap(({ target, error }) =>
    error === null ? [] : [{ store: target.store.name, error }],
  );
  const findings = observation.inventory.findings.flatMap(({ store, error }) => (error === null ? [] : [{ store, error }]));
  const [source, ...others] = plan.flows;
  const names = namesAround(result.observation.inventory.source, true);
  const described = plan.reports.map((report) => {
    const { reason, explanation, hint } = describeTarget(report, names);
    const { store, profile } = report.target;
    return { verdict: report.verdict, store, profile, reason: reason ?? "", explanation: explanation ?? "", hint: hint ?? "" };
  });
  return {
    schemaVersion: 1,
    writes: dryRun
      ? [...planned].map(([store, profiles]) => ({ store, profiles, result: "would-write" }))
      : done.map(({ store, profiles, error }) =>
          error === null
            ? { store, profiles, result: "written" }
            : { store, profiles, result: "failed", error: error.message, hint: error.hint },
        ),
    holds: described.flatMap(({ verdict, ...hold }) => (verdict?.kind === "hold" ? [hold] : [])),
    waits: described.flatMap(({ verdict, store, profile, reason, explanation }) => {
      if (verdict?.kind !== "drift" || verdict.until === null) return [];
      return [{ store, profile, reason, explanation, until: new Date(verdict.until).toISOString() }];
    }),
    errors: [...readErrors, ...findings, ...refusedAgents(result)].map(({ store, error }) => ({
      store,
      error: error.message,
      hint: error.hint,
    })),
    unused: [...unusedProfiles(result).values()],
    source: sourceReport(source, names, result),
    sources: [source, ...others].map((flow) => sourceReport(flow, names, result)),
    following: plan.reports.filter(follows).length,
    stores:
      observation.reads.length +
      observation.inventory.source.stores.filter(({ name }) => programOf(name)?.hasAgents === true).length,
    durationMs: result.durationMs,
  };
}

function follows({ verdict }: TargetReport): boolean {
  return verdict !== null && verdict.kind !== "absent" && verdict.kind !== "unrelated";
}

function unusedLines({ unused }: SyncReport, { paint }: Output): string[] {
  return unused.flatMap(({ store, profile, explanation, hint }) => [
    `${paint("yellow", "note")}  ${store}  ${profile}: ${explanation}`,
    `  ${paint("dim", hint)}`,
  ]);
}

/** Stores that were named and hold nothing to write to: what was ordered is not done, though all that follows is in sync. */
function notForced(force: ReadonlySet<StoreName>, { plan }: ReconcileResult): string[] {
  const heads = plan.flows.map(({ head }) => head.store);
  const touched = new Set([...heads, ...plan.reports.flatMap((report) => (follows(report) ? [report.target.store] : []))]);
  return [...force].flatMap((store) =>
    touched.has(store)
      ? []
      : [`not forced  ${store}: it holds no profile that follows the source, and none is made there (create)`],
  );
}

function sourceReport(flow: Plan, names: Names, { ledger }: ReconcileResult): SourceReport {
  const { head, live } = flow;
  return {
    store: head.store,
    profile: head.profile,
    generation: displayGeneration(ledger, live?.generation ?? null),
    ...sourceWords(flow, names),
  };
}

/** Nothing is said of what this sync has just given the source. */
function sourceWords(flow: Plan, names: Names): Pick<SourceReport, "state" | "explanation" | "hint"> {
  const { source, adoption, restoration, suspect } = flow;
  if (adoption !== null) return { state: "adopts", explanation: null, hint: null };
  const isRestored = restoration?.share === "full";
  if (isRestored && !suspect) return { state: "restores", explanation: null, hint: null };
  const { reason, explanation, hint } = isRestored ? describeSuspect(names) : describeSource(flow, names);
  return { state: reason ?? source.kind, explanation, hint };
}

function describe(report: SyncReport, { paint }: Output): string {
  const lines: string[] = [];
  const mark = {
    written: paint("green", "written"),
    "would-write": paint("yellow", "would write"),
    failed: paint("red", "failed"),
  };
  for (const { store, profiles, result, error, hint } of report.writes) {
    lines.push(`${mark[result]}  ${store}  ${profiles.join(", ")}${error === undefined ? "" : `: ${error}`}`);
    if (hint !== undefined) lines.push(`  ${paint("dim", hint)}`);
  }
  for (const { store, profile, explanation, hint } of report.holds)
    lines.push(`${paint("yellow", "held")}  ${store}  ${profile}: ${explanation}`, `  ${paint("dim", hint)}`);
  for (const { store, profile, explanation, until } of report.waits)
    lines.push(
      `${paint("yellow", "waits")}  ${store}  ${profile}: ${explanation}`,
      `  ${paint("dim", `run it again after ${until}`)}`,
    );
  for (const { store, error, hint } of report.errors)
    lines.push(`${paint("red", "error")}  ${store}: ${error}`, `  ${paint("dim", hint)}`);
  for (const { state, explanation, hint, profile } of report.sources) {
    const what = report.sources.length === 1 ? "" : `  ${profile}:`;
    if (explanation !== null) lines.push(`${paint("yellow", `source ${state}`)}${what}  ${explanation}`);
    if (hint !== null) lines.push(`  ${paint("dim", hint)}`);
  }
  if (lines.length > 0) return lines.join("\n");
  const names = report.sources.map(({ profile, generation }) =>
    report.sources.length === 1 ? (generation ?? "the source") : `${profile} ${generation ?? ""}`.trim(),
  );
  if (report.following === 0) {
    const [why, next] =
      report.stores === 0
        ? [NO_STORE, NO_STORE_HINT]
        : ["no store holds such a profile", "in the config, name under `profiles` what follows, or have it made: create"];
    return `nothing follows ${names.join(", ")}: ${why}\n  ${paint("dim", next)}`;
  }
  return `everything is in sync with ${names.join(", ")}`;
}

function exitCodeOf({ plan }: ReconcileResult, report: SyncReport): ExitCode {
  const isUnavailable = ({ source, adoption, restoration }: Plan): boolean => {
    if (source.kind === "missing" || source.kind === "unreadable") return true;
    return (source.kind === "logged-out" || source.kind === "fenced") && adoption === null && restoration === null;
  };
  if (plan.flows.every(isUnavailable)) return exitCodes["source-unavailable"];
  const isHeld = ({ source, adoption, restoration }: Plan): boolean =>
    adoption === null && (source.kind === "held" || restoration?.share === "access-only" || source.kind === "restored");
  const failed = report.writes.some(({ result }) => result === "failed");
  const partial = failed || report.holds.length > 0 || report.waits.length > 0 || report.errors.length > 0;
  return partial || plan.flows.some((flow) => isUnavailable(flow) || isHeld(flow)) ? exitCodes.partial : exitCodes.done;
}
