import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { compose } from "../app/compose.js";
import { examine } from "../app/doctor/doctor.js";
import { found, type DoctorFinding, type Level } from "../app/doctor/finding.js";
import { commandEnvironment } from "../app/system.js";
import { Failure } from "../domain/errors.js";
import type { Environment } from "../programs/environment.js";
import { FilesOfALook } from "../io/regular-file.js";
import { lookNow } from "./status-look.js";
import { exitCodes, openOutput, type Colour, type CommonOptions, type ExitCode, type Output } from "./output.js";

export interface DoctorOptions extends CommonOptions {
  readonly fix?: boolean;
}

/** `credsyncd doctor`: checks of the installation, each with what to do. It fails where something is wrong. */
export async function doctor(options: DoctorOptions): Promise<ExitCode> {
  const files = new FilesOfALook();
  const environment = { ...commandEnvironment(), files };
  const output = openOutput(options);
  const config = await configOf(options, environment);
  if ("what" in config) return tell([config], options, output);
  const composition = await compose(config, environment, "look");
  const { result, report, now } = await lookNow(composition, files);
  const { signal } = new AbortController();
  const patient = { composition, result, report, platform: process.platform, now, fixes: options.fix === true, signal };
  return tell(await examine(patient), options, output);
}

/** Reads the configuration. Nothing else works without it, so its problem is then the only finding. */
async function configOf({ config }: DoctorOptions, environment: Environment): Promise<Config | DoctorFinding> {
  try {
    return await loadConfig(config ?? null, environment);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const why = "no command works, and a daemon that runs keeps the configuration that it has";
    return found("config", "error", { what: error.message, why, fix: error.hint });
  }
}

function tell(findings: readonly DoctorFinding[], options: DoctorOptions, output: Output): ExitCode {
  const open = findings.filter(({ fixed }) => !fixed);
  const summary = { errors: count(open, "error"), warnings: count(open, "warning"), fixed: findings.length - open.length };
  output.result(describe(findings, summary, options, output), { schemaVersion: 1, findings, summary });
  return summary.errors > 0 ? exitCodes.failed : exitCodes.done;
}

interface Summary {
  readonly errors: number;
  readonly warnings: number;
  readonly fixed: number;
}

function count(findings: readonly DoctorFinding[], level: Level): number {
  return findings.filter((finding) => finding.level === level).length;
}

const colours: Readonly<Record<Level, Colour>> = { ok: "green", info: "dim", warning: "yellow", error: "red" };

function describe(findings: readonly DoctorFinding[], summary: Summary, { quiet }: DoctorOptions, { paint }: Output): string {
  const shown = findings.filter(({ level }) => quiet !== true || level === "warning" || level === "error");
  const lines = shown.flatMap(({ check, level, what, why, fix, fixed }) => [
    `${paint(fixed ? "green" : colours[level], (fixed ? "fixed" : level).padEnd(8))}${check}: ${what}`,
    ...(why === null ? [] : [`        ${why}`]),
    ...(fix === null || fixed ? [] : [paint("dim", `        ${fix}`)]),
  ]);
  return [...lines, "", summaryLine(summary)].join("\n");
}

function summaryLine({ errors, warnings, fixed }: Summary): string {
  const parts = [plural(errors, "error"), plural(warnings, "warning"), ...(fixed === 0 ? [] : [`${String(fixed)} fixed`])];
  return errors + warnings + fixed === 0 ? "all is well" : parts.join(", ");
}

function plural(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? "" : "s"}`;
}
