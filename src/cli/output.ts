import stringWidth from "fast-string-width";
import type { Failure, FailureCode } from "../domain/errors.js";
import { spelledOut } from "../domain/presentable.js";

/** Exit codes: the first four are credsyncd's own, then those of sysexits.h, then those of a shell (128 and the signal's number). */
export const exitCodes = {
  done: 0,
  failed: 1,
  expiring: 2,
  partial: 3,
  usage: 64,
  "bad-data": 65,
  "source-unavailable": 69,
  busy: 75,
  permission: 77,
  config: 78,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The options that every command takes. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly color?: boolean;
  readonly verbose?: boolean;
  readonly quiet?: boolean;
}

/** How a command speaks: results on stdout, talk on stderr. */
export interface Output {
  readonly json: boolean;
  /** The result: a text for a person, or with `--json` the value. */
  readonly result: (text: string, value: unknown) => void;
  /** One of several results: on a terminal it takes the place of the last one, elsewhere they follow each other. */
  readonly screen: (text: string, value: unknown) => void;
  /** Talk; silent with `-q`. */
  readonly say: (text: string) => void;
  readonly paint: (colour: Colour, text: string) => string;
}

export type Colour = "green" | "yellow" | "red" | "dim" | "bold";

const CODES: Readonly<Record<Colour, string>> = { green: "32", yellow: "33", red: "31", dim: "2", bold: "1" };

export function openOutput(options: CommonOptions): Output {
  const json = options.json === true;
  const wantsColour = options.color !== false && (process.env["NO_COLOR"] ?? "") === "" && process.stdout.isTTY && !json;
  return {
    json,
    result: (text, value) => {
      const line = json ? JSON.stringify(value, null, 2) : fenced(text, wantsColour);
      if (line !== "") process.stdout.write(`${line}\n`);
    },
    screen: (text, value) => {
      if (json) process.stdout.write(`${JSON.stringify(value)}\n`);
      else if (process.stdout.isTTY)
        process.stdout.write(`\u001b[H\u001b[2J${fitted(fenced(text, wantsColour), process.stdout)}\n`);
      else process.stdout.write(`${fenced(text, wantsColour)}\n\n`);
    },
    say: (text) => {
      if (options.quiet !== true) process.stderr.write(`${fenced(text, wantsColour)}\n`);
    },
    paint: (colour, text) => (wantsColour ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text),
  };
}

const OWN_COLOUR = new RegExp(`(\\u001b\\[(?:${[...Object.values(CODES), "0"].join("|")})m)`);

/** A text that holds names of other programs' making: a terminal gets none of it to obey but the colours. */
function fenced(text: string, hasColour: boolean): string {
  if (!hasColour) return spelledOut(text);
  return text
    .split(OWN_COLOUR)
    .map((part) => (OWN_COLOUR.test(part) ? part : spelledOut(part)))
    .join("");
}

/** Fits a text to the screen: its start and its last line. Lines that scroll away would be gone at the next redraw. */
function fitted(text: string, { rows, columns }: Pick<NodeJS.WriteStream, "rows" | "columns">): string {
  const lines = text.split("\n");
  const heights = lines.map((line) => Math.max(1, Math.ceil(stringWidth(line) / columns)));
  // One for the cursor, and two for what is said of the rest.
  let room = rows - 1;
  if (!(heights.reduce((sum, height) => sum + height, 0) > room)) return text;
  room -= 1 + (heights.at(-1) ?? 1);
  const end = heights.findIndex((height) => (room -= height) < 0);
  const left = `… ${String(lines.length - 1 - end)} more lines: credsyncd status`;
  return [...lines.slice(0, end), left, ...lines.slice(-1)].join("\n");
}

/** Prints a failure and returns its exit code; with `--json` the failure is on stdout too. */
export function printFailure(failure: Failure, json: boolean): ExitCode {
  if (json)
    process.stdout.write(
      `${JSON.stringify({ schemaVersion: 1, error: { code: failure.code, message: failure.message, hint: failure.hint } })}\n`,
    );
  process.stderr.write(`credsyncd: error: ${spelledOut(failure.message)}\n`);
  if (failure.hint !== null) process.stderr.write(`credsyncd: hint: ${spelledOut(failure.hint)}\n`);
  return exitCodeOf(failure.code);
}

function exitCodeOf(code: FailureCode): ExitCode {
  return code === "general" ? exitCodes.failed : exitCodes[code];
}

/** Lays rows out in columns; a cell is as wide as a terminal shows it. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, stringWidth(cell))));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - stringWidth(cell)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
