import { formatDuration, parseDurationMs } from "../config/duration.js";
import { loadConfig, type Config } from "../config/load.js";
import { compose } from "../daemon/compose.js";
import { findingText } from "../daemon/reporter.js";
import { readDaemonStatus, statusOf, type ProfileStatus, type StatusReport } from "../daemon/status.js";
import { systemEnvironment } from "../daemon/system.js";
import type { Finding } from "../domain/inventory.js";
import { Failure } from "../domain/errors.js";
import { noOrders } from "../domain/observation.js";
import { runningDaemon } from "../io/run-lock.js";
import { exitCodes, openOutput, table, type Colour, type CommonOptions, type ExitCode, type Output } from "./output.js";

export interface StatusOptions extends CommonOptions {
  readonly check?: boolean;
  readonly expiringWithin?: string;
}

/** `credsyncd status`: what every store holds, and whether it follows; it changes nothing. */
export async function status(options: StatusOptions): Promise<ExitCode> {
  const environment = systemEnvironment();
  const config = withWindow(await loadConfig(options.config ?? null, environment), options.expiringWithin);
  const { reconciler, stateDirectory } = await compose(config, environment, "look");
  const now = environment.clock.now();
  const daemon = await readDaemonStatus(stateDirectory, (await runningDaemon(stateDirectory, now))?.pid ?? null);
  const result = await reconciler.preview(config.policy, noOrders, new AbortController().signal);
  const report = await statusOf(result, config, daemon, now);
  const output = openOutput(options);
  output.result(describe(report, now, output), report);
  return options.check === true ? checkCode(report, config, now) : exitCodes.done;
}

function withWindow(config: Config, text: string | undefined): Config {
  if (text === undefined) return config;
  const expiringWithinMs = parseDurationMs(text);
  if (expiringWithinMs === null)
    throw new Failure("usage", `--expiring-within takes a duration, not "${text}"`, "for example: --expiring-within 1h");
  return { ...config, alerts: { ...config.alerts, expiringWithinMs } };
}

/** Expired or absent beats about to end, which beats drift. */
function checkCode({ source, stores, summary }: StatusReport, config: Config, now: number): ExitCode {
  if (source.state !== "ok" && source.state !== "expiring") return exitCodes.failed;
  const expired = stores.some(({ profiles }) =>
    profiles.some(
      // A held profile may be another's, and is not ours to judge.
      ({ state, expiresAt }) => (state === "in-sync" || state === "drift") && expiresAt !== null && Date.parse(expiresAt) <= now,
    ),
  );
  if (expired) return exitCodes.failed;
  const signInEnds = source.signInEndsAt !== null && Date.parse(source.signInEndsAt) - now <= config.alerts.signInWithinMs;
  if (source.state === "expiring" || signInEnds) return exitCodes.expiring;
  return summary.drift + summary.held + summary.errors > 0 || source.reason !== null ? exitCodes.partial : exitCodes.done;
}

function describe(report: StatusReport, now: number, output: Output): string {
  const { paint } = output;
  const { source, daemon, stores } = report;
  const lines = [
    `source  ${paint("bold", source.store)}  ${paint(colourOf(source.state), source.state)}  ${source.generation ?? ""}  ${expiry(source.expiresAt, now)}${source.account === null ? "" : `  ${source.account}`}`,
    paint("dim", `        ${source.path}`),
  ];
  if (source.explanation !== null) lines.push(`        ${source.explanation}`);
  if (source.hint !== null) lines.push(paint("dim", `        ${source.hint}`));
  lines.push(
    daemon.running
      ? `daemon  running, pid ${String(daemon.pid)}${daemon.lastReconcileAt === null ? "" : `, looked ${ago(daemon.lastReconcileAt, now)}`}`
      : paint("yellow", "daemon  not running"),
  );
  const rows = [["STORE", "PROFILE", "STATE", "GENERATION", "EXPIRES"].map((title) => paint("dim", title))];
  const notes: string[] = [];
  for (const { store, profiles, error, hint, sameAs } of stores) {
    if (error !== null) rows.push([store, "", paint("red", "error")]);
    else if (sameAs !== null) rows.push([store, "", paint("dim", `same file as ${sameAs}`)]);
    else if (profiles.length === 0) rows.push([store, "", paint("dim", "absent")]);
    for (const profile of profiles) rows.push(profileRow(store, profile, now, output));
    if (error !== null) notes.push(`${store}: ${error}`, paint("dim", `  ${hint ?? ""}`));
    for (const { profile, explanation, hint: next } of profiles) {
      if (explanation === null) continue;
      notes.push(`${store} ${profile}: ${explanation}`);
      if (next !== null) notes.push(paint("dim", `  ${next}`));
    }
  }
  const found = { unconfigured: report.unconfigured, retired: report.retired, inherits: report.inherits };
  for (const [kind, paths] of Object.entries(found) as [Finding["kind"], typeof report.retired][]) {
    for (const { store, path } of paths) notes.push(paint("dim", `${store} ${findingText(kind)}: ${path}`));
  }
  return [...lines, "", table(rows), ...(notes.length === 0 ? [] : ["", ...notes]), "", summaryLine(report)].join("\n");
}

function profileRow(store: string, profile: ProfileStatus, now: number, { paint }: Output): string[] {
  const state = profile.state === "separate" ? profile.binding : profile.state;
  return [
    store,
    profile.profile,
    paint(colourOf(profile.state), state),
    profile.generation ?? "",
    expiry(profile.expiresAt, now),
  ];
}

function colourOf(state: string): Colour {
  switch (state) {
    case "ok":
    case "in-sync":
      return "green";
    case "expiring":
    case "drift":
    case "held":
      return "yellow";
    case "absent":
    case "separate":
      return "dim";
    default:
      return "red";
  }
}

function expiry(expiresAt: string | null, now: number): string {
  if (expiresAt === null) return "";
  const left = Date.parse(expiresAt) - now;
  return left > 0 ? `expires in ${formatDuration(left)}` : `expired ${formatDuration(left)} ago`;
}

function ago(time: string, now: number): string {
  return `${formatDuration(now - Date.parse(time))} ago`;
}

function summaryLine({ summary }: StatusReport): string {
  const parts = [`${String(summary.inSync)} of ${String(summary.stores)} stores in sync`];
  if (summary.drift > 0) parts.push(`${String(summary.drift)} behind`);
  if (summary.held > 0) parts.push(`${String(summary.held)} held`);
  if (summary.errors > 0) parts.push(`${String(summary.errors)} with errors`);
  return parts.join(", ");
}
