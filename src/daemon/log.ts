import { fstatSync } from "node:fs";
import { pino, type Logger } from "pino";
import type { LogLevel } from "../config/log-level.js";
import { spelledOut } from "../domain/presentable.js";
import type { LineWriter } from "./line-writer.js";

export type LogFormat = "auto" | "json" | "pretty" | "journald";

/** Names under which programs keep secrets; the second fence behind the `Secret` type. */
const SECRET_NAMES = ["access", "refresh", "token", "key", "accessToken", "refreshToken", "apiKey", "idToken", "image"];

/** syslog's severities, as journald reads them from the start of a line (sd-daemon(3)). */
const SEVERITIES: Readonly<Record<string, number>> = { trace: 7, debug: 7, info: 6, warn: 4, error: 3, fatal: 2 };

/** The surroundings that decide the format if the user left it to the program. */
export interface LogSurroundings {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly isTerminal: boolean;
}

/** Opens the log on stdout. */
export function openLog(level: LogLevel, format: LogFormat, surroundings: LogSurroundings, stdout: LineWriter): Logger {
  const chosen = format === "auto" ? formatFor(surroundings, stdout.descriptor) : format;
  const write = (line: string): void => {
    stdout.write(chosen === "json" ? line : toText(line, chosen));
  };
  const log = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[secret]" },
    },
    { write },
  );
  stdout.onDropped((lines) => {
    log.warn(
      { lines, hint: "nobody read the log for a while; see `credsyncd status` and `credsyncd history`" },
      "log lines dropped",
    );
  });
  return log;
}

/** Says lines to a person, on stderr; under journald with their severity, so that `journalctl -p warning` shows them. */
export function openAlertLine(
  variables: LogSurroundings["variables"],
  stderr: LineWriter,
): (line: string, severity: "info" | "warning" | "error") => void {
  const isJournaled = isJournal(variables["JOURNAL_STREAM"], stderr.descriptor);
  return (line, severity) => {
    const level = severity === "warning" ? "warn" : severity;
    stderr.write(`${isJournaled ? `<${String(SEVERITIES[level] ?? 6)}>` : ""}${spelledOut(line).replaceAll("\n", " ")}\n`);
  };
}

function formatFor({ variables, isTerminal }: LogSurroundings, descriptor: number): Exclude<LogFormat, "auto"> {
  if (isJournal(variables["JOURNAL_STREAM"], descriptor)) return "journald";
  return isTerminal ? "pretty" : "json";
}

/** systemd names the device and inode of the stream that it reads; a redirected one is another. */
function isJournal(stream: string | undefined, descriptor: number): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(descriptor);
  return stream === `${String(dev)}:${String(ino)}`;
}

function toText(line: string, format: "pretty" | "journald"): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as { level: string; time: string; msg: string };
  const words = [msg, ...Object.entries(fields).map(([name, value]) => `${name}=${quote(value)}`)];
  const text = spelledOut(words.join(" "));
  return format === "journald"
    ? `<${String(SEVERITIES[level] ?? 6)}>${text}\n`
    : `${new Date(time).toTimeString().slice(0, 8)} ${level.padEnd(5)} ${text}\n`;
}

function quote(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return typeof value === "string" && /[\s"=]/.test(text) ? JSON.stringify(text) : text;
}
