import type { CommandEntry, OptionEntry } from "./command-tree.js";
import { exitCodes, type ExitCode } from "./output.js";

const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ["0", "done; for status --check: all is good"],
  ["1", "status --check: expired, missing or logged out; otherwise a general failure"],
  ["2", "status --check: ends within the window"],
  ["3", "sync, status --check: something is held, or a store could not be written"],
  ["64, 65, 69, 75, 77, 78", "usage, bad data, source unavailable, busy, permission, configuration (sysexits.h)"],
  ["130, 143", "stopped by SIGINT or SIGTERM before all of it was done"],
];

const FILES: readonly (readonly [path: string, meaning: string])[] = [
  ["~/.config/credsyncd/config.json5", "the configuration, which is optional; or $CREDSYNCD_CONFIG, or --config"],
  ["~/.local/state/credsyncd", "the ledger, backups of logins, and locks; private. Below $XDG_STATE_HOME if that is set"],
  ["~/.claude/.credentials.json", "Claude Code's login, the usual source"],
  ["~/.openclaw/agents", "OpenClaw's agents, the usual targets"],
];

/** `credsyncd man`: the manual page, in roff(7), from the definitions of the commands. */
export function manual(commands: readonly CommandEntry[], version: string): ExitCode {
  process.stdout.write(manualPage(commands, version));
  return exitCodes.done;
}

/** The manual page in roff(7). */
export function manualPage([program, ...commands]: readonly CommandEntry[], version: string): string {
  const common = commonOptions(commands);
  const leaves = commands.filter(({ subcommands }) => subcommands.length === 0);
  return [
    `.TH CREDSYNCD 1 "" "credsyncd ${version}" "User Commands"`,
    ".SH NAME",
    `credsyncd \\- ${escaped(program?.description ?? "")}`,
    ".SH SYNOPSIS",
    ".B credsyncd",
    ".I command",
    ".RI [ options ]",
    ".SH DESCRIPTION",
    "Claude Code keeps its OAuth login in a file, and every OpenClaw agent keeps a copy. Refresh tokens are single-use: when one",
    "program refreshes, every other copy is dead. credsyncd watches the login and every copy, and brings the copies up to date.",
    "It refreshes nothing itself, calls no server, and never prints a token.",
    ".SH COMMANDS",
    ...leaves.flatMap((entry) => section(entry, common)),
    ".SH OPTIONS OF EVERY COMMAND",
    ...[...common.values()].flatMap(optionLines),
    ".SH EXIT STATUS",
    ...EXIT_CODES.flatMap(([code, meaning]) => [".TP", `.B ${code}`, escaped(meaning)]),
    ".SH FILES",
    ...FILES.flatMap(([path, meaning]) => [".TP", `.I ${escaped(path)}`, escaped(meaning)]),
    ".SH SIGNALS",
    ".TP",
    ".B SIGHUP",
    "credsyncd run reads its configuration again; a bad one is reported and the old one stays.",
    ".TP",
    '.BR SIGTERM ", " SIGINT',
    "It waits for nothing more, finishes the writes in hand, says what it did not do, and ends.",
    ".SH SEE ALSO",
    ".BR systemctl (1),",
    ".BR journalctl (1)",
    "",
  ].join("\n");
}

/** Options that every command has, told once. */
function commonOptions(commands: readonly CommandEntry[]): Map<string, OptionEntry> {
  const leaves = commands.filter(({ subcommands }) => subcommands.length === 0);
  const [first, ...others] = leaves;
  const everywhere = (first?.options ?? []).filter(({ flags }) =>
    others.every(({ options }) => options.some((option) => option.flags === flags)),
  );
  return new Map(everywhere.map((option) => [option.flags, option]));
}

function section(
  { path, usage, description, options, example }: CommandEntry,
  common: ReadonlyMap<string, OptionEntry>,
): string[] {
  const own = options.filter(({ flags }) => !common.has(flags));
  return [
    `.SS ${escaped(["credsyncd", ...path, ...(usage === "[options]" ? [] : [usage.replace("[options] ", "")])].join(" "))}`,
    escaped(`${description.charAt(0).toUpperCase()}${description.slice(1)}.`),
    ...own.flatMap(optionLines),
    ...(example === null ? [] : [".PP", ".EX", escaped(`$ ${example}`), ".EE"]),
  ];
}

function optionLines({ flags, description }: OptionEntry): string[] {
  return [".TP", `.B ${escaped(flags)}`, escaped(description)];
}

/** Text that roff takes literally: a line must not begin with a control character, and a hyphen is to stay one. */
function escaped(text: string): string {
  const plain = text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(plain) ? `\\&${plain}` : plain;
}
