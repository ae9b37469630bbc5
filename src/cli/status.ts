import { formatDuration, parseDurationMs } from "../domain/duration.js";
import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { compose } from "../app/compose.js";
import { inheritedProfiles } from "../app/inheritance.js";
import { lagLine } from "../app/lag.js";
import type { InheritedProfiles, ProfileStatus, SourceStatus, StatusReport, StoreStatus } from "../app/status-report.js";
import { commandEnvironment } from "../app/system.js";
import type { Finding } from "../domain/inventory.js";
import { Failure } from "../domain/errors.js";
import { FilesOfALook } from "../io/regular-file.js";
import { lookNow } from "./status-look.js";
import { exitCodes, openOutput, table, type Colour, type CommonOptions, type ExitCode, type Output } from "./output.js";
import { NO_STORE, NO_STORE_HINT, findingText } from "../app/words.js";
import { programOf, hasNamelessLogin } from "../programs/registry.js";

export interface StatusOptions extends CommonOptions {
  readonly check?: boolean;
  readonly watch?: boolean;
  readonly expiringWithin?: string;
}

/** `credsyncd status`: what every store holds, and whether it follows; it changes nothing. */
export async function status(options: StatusOptions): Promise<ExitCode> {
  const files = new FilesOfALook();
  const environment = { ...commandEnvironment(), files, waitsForWriters: options.watch !== true };
  const config = withWindow(await loadConfig(options.config ?? null, environment), options.expiringWithin);
  const composition = await compose(config, environment, "look");
  const output = openOutput(options);
  if (options.watch === true) {
    if (options.check === true) throw new Failure("usage", "--watch goes on and --check ends", "leave one of them out");
    const { watchStatus } = await import("./status-watch.js");
    await watchStatus(composition, files, ({ report, now }) => {
      output.screen(output.json ? "" : describe(report, now, output, options.verbose === true), report);
    });
    return exitCodes.done;
  }
  const { report, now } = await lookNow(composition, files);
  // The table of hundreds of agents takes its time, and nobody reads it beside the JSON.
  output.result(output.json ? "" : describe(report, now, output, options.verbose === true), report);
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
function checkCode({ sources, stores, alerts, unused, summary }: StatusReport, config: Config, now: number): ExitCode {
  if (sources.some(({ state }) => !["ok", "expiring", "refreshing"].includes(state))) return exitCodes.failed;
  const expired = stores.some(({ profiles }) =>
    profiles.some(
      // A held profile may be another's, and is not ours to judge.
      ({ state, expiresAt }) => (state === "in-sync" || state === "drift") && expiresAt !== null && Date.parse(expiresAt) <= now,
    ),
  );
  if (expired) return exitCodes.failed;
  const endsSoon = ({ state, signInEndsAt }: SourceStatus): boolean =>
    state === "expiring" || (signInEndsAt !== null && Date.parse(signInEndsAt) - now <= config.alerts.signInWithinMs);
  if (sources.some(endsSoon)) return exitCodes.expiring;
  const isHeld = sources.some(({ state, reason }) => state === "refreshing" || reason !== null);
  const isPartial = isHeld || summary.drift + summary.held + summary.errors + unused.length + alerts.length > 0;
  return isPartial ? exitCodes.partial : exitCodes.done;
}

function describe(report: StatusReport, now: number, output: Output, verbose: boolean): string {
  const { paint } = output;
  const { sources, daemon, stores } = report;
  const lines = sources.flatMap((source) => sourceLines(source, now, output));
  lines.push(
    daemon.running
      ? `daemon  running, pid ${String(daemon.pid)}${daemon.lastReconcileAt === null ? "" : `, looked ${ago(daemon.lastReconcileAt, now)}`}`
      : paint("yellow", "daemon  not running"),
  );
  const titles = ["STORE", "PROFILE", "STATE", "GENERATION", "EXPIRES", ...(verbose ? ["ERA", "VERSION HINT", "PATH"] : [])];
  const rows = [titles.map((title) => paint("dim", title))];
  for (const status of stores)
    rows.push(...storeRows(status, report, now, output).map((row) => (verbose ? withOrigin(row, status) : row)));
  for (const { store, from, profiles } of report.inherits)
    if (from !== null) rows.push(...inheritedRows(store, { store: from, profiles }, report, now, output));
  const notes = notesOf(report, now, output);
  return [
    ...lines,
    ...alertLines(report, now, output),
    "",
    table(rows),
    ...(notes.length === 0 ? [] : ["", ...notes]),
    "",
    ...summaryLines(report, output),
  ].join("\n");
}

function sourceLines({ path, explanation, hint, ...source }: SourceStatus, now: number, { paint }: Output): string[] {
  const { store, profile, state, generation, expiresAt, account } = source;
  // Claude Code's one login has a name of no meaning to a user.
  const place = programOf(store)?.hasAgents === true ? `${paint("bold", store)}  ${profile}` : paint("bold", store);
  const parts = ["source", place, paint(colourOf(state), state), generation ?? "", expiry(expiresAt, now), account ?? ""];
  return [
    parts.filter((part) => part !== "").join("  "),
    paint("dim", `        ${path}`),
    ...(explanation === null ? [] : [`        ${explanation}`]),
    ...(hint === null ? [] : [paint("dim", `        ${hint}`)]),
  ];
}

/** Explains the states whose names do not say enough, each with a remedy. */
function notesOf(report: StatusReport, now: number, { paint }: Output): string[] {
  const notes: string[] = [];
  const say = (about: string, what: string, next: string | null): void => {
    notes.push(`${about}: ${what}`);
    if (next !== null) notes.push(paint("dim", `  ${next}`));
  };
  for (const { store, profiles, error, hint } of report.stores) {
    if (error !== null) say(store, error, hint);
    for (const { profile, explanation, hint: next, hides, sends, state } of profiles) {
      const about = `${store} ${profile}`;
      if (state === "separate" && sends !== null && sends !== store) {
        const fix = "sign in to that agent under a profile id that nobody else has: that one is always its own";
        say(about, `its agent's next turn sends the later login in ${sends}, not this one`, fix);
      }
      if (explanation !== null) say(about, explanation, next);
      if (hides !== null && sends !== hides) {
        const fix = "settle it, or remove this one in OpenClaw: then the agent inherits the other";
        say(about, `its agent uses this one, not the one in ${hides}, which is in sync`, fix);
      }
    }
  }
  for (const pattern of report.unmatchedAgents)
    say(
      "agents",
      `the config names "${pattern}", and there is no such agent`,
      "correct the name, or take it out: credsyncd doctor",
    );
  for (const { provider, explanation, hint } of report.splitBrain) say(`split brain for ${provider}`, explanation, hint);
  for (const gateway of report.gateways) say(gateway.gateway, lagLine(gateway, now), gateway.hint);
  for (const { gateway, explanation, hint } of report.absentGateways) say(gateway, explanation, hint);
  const found = { unconfigured: report.unconfigured, retired: report.retired, inherits: report.inherits };
  for (const [kind, paths] of Object.entries(found) as [Finding["kind"], typeof report.retired][]) {
    for (const { store, path } of paths) notes.push(paint("dim", `${store} ${findingText(kind)}: ${path}`));
  }
  return notes;
}

/** A store's lines: what it holds itself, and what its agent uses of another. */
function storeRows(status: StoreStatus, report: StatusReport, now: number, output: Output): string[][] {
  const { store, profiles, error, sameAs, inherits } = status;
  const { paint } = output;
  if (error !== null) return [[store, "", paint("red", "error")]];
  if (sameAs !== null) return [[store, "", paint("dim", `same file as ${sameAs}`)]];
  const inherited = inherits === null ? [] : inheritedRows(store, inherits, report, now, output);
  const rows = [...profiles.map((profile) => profileRow(store, profile, now, output)), ...inherited];
  return rows.length === 0 ? [[store, "", paint("dim", "absent")]] : rows;
}

function inheritedRows(
  store: string,
  inherits: InheritedProfiles,
  { stores }: StatusReport,
  now: number,
  { paint }: Output,
): string[][] {
  return inheritedProfiles(stores, inherits).map(({ profile, generation, expiresAt }) => {
    return [store, profile, paint("dim", `inherits from ${inherits.store}`), generation ?? "", expiry(expiresAt, now)];
  });
}

function withOrigin(row: readonly string[], { era, versionHint, path }: StoreStatus): string[] {
  return [...row, ...Array<string>(5 - row.length).fill(""), era ?? "", versionHint ?? "", path];
}

function alertLines({ alerts }: StatusReport, now: number, { paint }: Output): string[] {
  return alerts.flatMap(({ kind, store, profile, severity, since, message, hint }) => {
    const about = profile === null || hasNamelessLogin(store) ? store : `${store} ${profile}`;
    const colour = severity === "error" ? "red" : "yellow";
    const age = since === null ? "" : `  ${paint("dim", `since ${ago(since, now)}`)}`;
    const lines = [`${paint(colour, `alert   ${kind}`)}  ${about}: ${message}${age}`];
    return [...lines, paint("dim", `        ${hint}`)];
  });
}

function profileRow(store: string, profile: ProfileStatus, now: number, { paint }: Output): string[] {
  const state = profile.state === "separate" ? profile.binding : profile.state;
  return [
    store,
    profile.profile,
    paint(profile.used ? colourOf(profile.state) : "yellow", profile.used ? state : `${state}, not used`),
    profile.generation ?? "",
    expiry(profile.expiresAt, now),
  ];
}

function colourOf(state: string): Colour {
  switch (state) {
    case "ok":
    case "source":
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

function summaryLines({ stores, unused, summary }: StatusReport, { paint }: Output): string[] {
  if (stores.length === 0) return [NO_STORE, `  ${paint("dim", NO_STORE_HINT)}`];
  const parts = [`${String(summary.inSync)} of ${String(summary.stores)} stores in sync`];
  if (unused.length > 0) parts.push(`${String(unused.length)} of them with profiles that OpenClaw does not use`);
  if (summary.drift > 0) parts.push(`${String(summary.drift)} behind`);
  if (summary.held > 0) parts.push(`${String(summary.held)} held`);
  if (summary.errors > 0) parts.push(`${String(summary.errors)} with errors`);
  const others = summary.stores - summary.inSync - summary.drift - summary.held - summary.errors;
  if (others > 0) parts.push(`${String(others)} without a profile that follows`);
  return [parts.join(", ")];
}
