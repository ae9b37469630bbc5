import { loadConfig } from "../config/load.js";
import { compose } from "../daemon/compose.js";
import { holdHint } from "../daemon/reporter.js";
import { systemEnvironment } from "../daemon/system.js";
import type { Clock } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import { displayGeneration } from "../domain/ledger.js";
import type { Orders } from "../domain/observation.js";
import type { SourceVerdict } from "../domain/source-verdict.js";
import type { ReconcileResult, Reconciler } from "../reconcile/reconciler.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode, type Output } from "./output.js";

/** A third of the longest wait for a new login's account, since there are three attempts. */
const SETTLES_MS = 2000;

export interface SyncOptions extends CommonOptions {
  readonly dryRun?: boolean;
  /** `true` where no store was named: what the source holds is accepted. */
  readonly force?: true | readonly string[];
}

/** `credsyncd sync`: one reconcile. */
export async function sync(options: SyncOptions): Promise<ExitCode> {
  const environment = systemEnvironment();
  const config = await loadConfig(options.config ?? null, environment);
  const { reconciler } = await compose(config, environment, options.dryRun === true ? "look" : "write");
  const orders: Orders = { force: forcedStores(options.force), adopt: null };
  const signal = new AbortController().signal;
  if (options.force !== undefined) refuseUnknownStores(orders, await reconciler.preview(config.policy, orders, signal));
  const result =
    options.dryRun === true
      ? await reconciler.preview(config.policy, orders, signal)
      : await settled(reconciler, environment.clock, config.policy, orders, signal);
  const output = openOutput(options);
  const report = syncReport(result, options.dryRun === true);
  output.result(describe(report, output), report);
  return exitCodeOf(result, report);
}

/** A few attempts for what is in the way for a moment only. */
async function settled(
  reconciler: Reconciler,
  clock: Clock,
  ...[policy, orders, signal]: Parameters<Reconciler["reconcile"]>
): Promise<ReconcileResult> {
  let result = await reconciler.reconcile(policy, orders, signal);
  const written = [...result.writes];
  for (let attempt = 0; attempt < 3 && (result.again !== null || isSettling(result)); attempt++) {
    if (isSettling(result)) await clock.sleep(SETTLES_MS, signal);
    result = await reconciler.reconcile(policy, orders, signal);
    written.push(...result.writes);
  }
  const last = new Map(written.map((outcome) => [outcome.store, outcome]));
  return { ...result, writes: [...last.values()] };
}

/** A new login whose account file is still awaited. */
function isSettling({ plan }: ReconcileResult): boolean {
  return plan.source.kind === "held" && plan.source.until !== null;
}

function forcedStores(force: SyncOptions["force"]): ReadonlySet<string> {
  if (force === undefined) return new Set();
  return new Set(force === true ? ["claude-code"] : force);
}

function refuseUnknownStores({ force }: Orders, { observation }: ReconcileResult): void {
  const known = [observation.source.store, ...observation.reads.map(({ target }) => target.store.name)];
  const unknown = [...force].find((store) => !known.includes(store));
  if (unknown !== undefined) throw new Failure("usage", `there is no store ${unknown}`, `stores here: ${known.join(", ")}`);
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
  readonly errors: readonly { readonly store: string; readonly error: string; readonly hint: string }[];
  readonly source: {
    readonly store: string;
    readonly state: string;
    readonly generation: string | null;
    readonly explanation: string | null;
    readonly hint: string | null;
  };
  readonly durationMs: number;
}

function syncReport(result: ReconcileResult, dryRun: boolean): SyncReport {
  const { plan, observation, ledger } = result;
  const planned = new Map<string, string[]>();
  if (plan.adoption !== null) planned.set(observation.source.store, [observation.source.profile]);
  for (const { target } of plan.writes) planned.set(target.store, [...(planned.get(target.store) ?? []), target.profile]);
  const done = [...(result.adoption === null ? [] : [result.adoption]), ...result.writes];
  const readErrors = observation.reads.flatMap(({ target, error }) =>
    error === null ? [] : [{ store: target.store.name, error }],
  );
  const findings = observation.inventory.findings.flatMap(({ store, error }) => (error === null ? [] : [{ store, error }]));
  const source = plan.source;
  return {
    schemaVersion: 1,
    writes: dryRun
      ? [...planned].map(([store, profiles]) => ({ store, profiles, result: "would-write" }))
      : done.map(({ store, profiles, error }) =>
          error === null
            ? { store, profiles, result: "written" }
            : { store, profiles, result: "failed", error: error.message, hint: error.hint },
        ),
    holds: plan.reports.flatMap(({ target, verdict }) =>
      verdict?.kind === "hold"
        ? [
            {
              store: target.store,
              profile: target.profile,
              reason: verdict.reason,
              explanation: verdict.explanation,
              hint: holdHint(verdict.reason, target.store),
            },
          ]
        : [],
    ),
    errors: [...readErrors, ...findings].map(({ store, error }) => ({ store, error: error.message, hint: error.hint })),
    source: {
      store: observation.source.store,
      generation: displayGeneration(ledger, plan.live?.generation ?? null),
      ...(plan.adoption === null ? sourceOf(source) : { state: "adopts", explanation: null, hint: null }),
    },
    durationMs: result.durationMs,
  };
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
  for (const { store, error, hint } of report.errors)
    lines.push(`${paint("red", "error")}  ${store}: ${error}`, `  ${paint("dim", hint)}`);
  const { state, explanation, hint, generation } = report.source;
  if (explanation !== null) lines.push(`${paint("yellow", `source ${state}`)}  ${explanation}`);
  if (hint !== null) lines.push(`  ${paint("dim", hint)}`);
  return lines.length === 0 ? `everything is in sync with ${generation ?? "the source"}` : lines.join("\n");
}

/** What the source's state is, why nothing is pushed from it, and what a person does about it. */
function sourceOf(source: SourceVerdict): Pick<SyncReport["source"], "state" | "explanation" | "hint"> {
  const signIn = "sign in: claude auth login";
  switch (source.kind) {
    case "live":
    case "becomes-live":
      return { state: source.kind, explanation: null, hint: null };
    case "missing":
      return { state: source.kind, explanation: "nothing to push: there is no login", hint: signIn };
    case "logged-out":
      return { state: source.kind, explanation: "nothing to push: its login has ended", hint: signIn };
    case "unreadable":
      return { state: source.kind, explanation: source.reason, hint: source.hint };
    case "held":
      return { state: source.reason, explanation: source.explanation, hint: "accept it with: credsyncd sync --force" };
  }
}

function exitCodeOf({ plan, adoption }: ReconcileResult, report: SyncReport): ExitCode {
  if (plan.source.kind === "missing" || plan.source.kind === "unreadable") return exitCodes["source-unavailable"];
  if (plan.source.kind === "logged-out" && adoption === null) return exitCodes["source-unavailable"];
  const partial = report.holds.length > 0 || report.errors.length > 0 || report.writes.some(({ result }) => result === "failed");
  return partial || (plan.source.kind === "held" && adoption === null) ? exitCodes.partial : exitCodes.done;
}
