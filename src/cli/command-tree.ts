import type { Command } from "commander";

/** A command as completions and the manual tell it. */
export interface CommandEntry {
  /** Its words after `credsyncd`: none for the program itself. */
  readonly path: readonly string[];
  readonly description: string;
  /** As in the help: `<store> [options]`. */
  readonly usage: string;
  readonly options: readonly OptionEntry[];
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly example: string | null;
}

export interface OptionEntry {
  readonly flags: string;
  readonly short: string | null;
  readonly long: string;
  readonly description: string;
  /** It takes a value: `file`, `duration` and so on. */
  readonly value: string | null;
}

/** Every command, the program itself first, from the definitions that the command line is parsed by. */
export function commandTree(program: Command): CommandEntry[] {
  return entriesOf(program, []);
}

function entriesOf(command: Command, path: readonly string[]): CommandEntry[] {
  const helper = command.createHelp();
  const subcommands = helper.visibleCommands(command).filter((sub) => sub.name() !== "help");
  const entry: CommandEntry = {
    path,
    description: command.description(),
    usage: command.usage(),
    options: helper.visibleOptions(command).map((option) => ({
      flags: option.flags,
      short: option.short ?? null,
      long: option.long ?? "",
      description: option.description,
      value: /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? null,
    })),
    subcommands: subcommands.map((sub) => ({ name: sub.name(), description: sub.description() })),
    example: exampleOf(command),
  };
  return [entry, ...subcommands.flatMap((sub) => entriesOf(sub, [...path, sub.name()]))];
}

const EXAMPLES = new WeakMap<Command, string>();

/** Gives a command an example, in its help and elsewhere. */
export function withExample(command: Command, example: string): Command {
  EXAMPLES.set(command, example);
  return command.addHelpText("after", `\nExample:\n  $ ${example}`);
}

function exampleOf(command: Command): string | null {
  return EXAMPLES.get(command) ?? null;
}
