#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import { Failure, StoreError } from "../domain/errors.js";
import { toFailure } from "../io/system-error.js";
import { interruptibly } from "./interruption.js";
import { originalStack } from "./original-stack.js";
import { exitCodes, printFailure, type CommonOptions, type ExitCode } from "./output.js";
import type { AdoptOptions } from "./adopt.js";
import type { ConfigInitOptions } from "./config-init.js";
import type { DoctorOptions } from "./doctor.js";
import type { HistoryOptions } from "./history.js";
import type { RestoreOptions } from "./restore.js";
import type { MigrateOptions } from "./migrate.js";
import type { SetActiveOptions } from "./set-active.js";
import type { ServiceOptions } from "./service.js";
import type { LogsOptions } from "./service-manager.js";
import { commandTree, withExample } from "./command-tree.js";
import type { StatusOptions } from "./status.js";
import type { SyncOptions } from "./sync.js";

/** The command line. It is the only place that ends the process; each command is loaded when it is called. */
async function main(): Promise<void> {
  // A write beyond a limit on the size of files is to fail as any other; packages that tidy up at an end take the signal
  // for one where nobody listens.
  process.on("SIGXFSZ", () => undefined);
  // Without a listener the runtime opens its debugger to every user of this host, who could read the logins in memory.
  process.on("SIGUSR1", () => undefined);
  // The runtime's own source maps would be read at every start, this one for a bug alone.
  process.on("uncaughtExceptionMonitor", (error) => {
    if (error.stack !== undefined) error.stack = originalStack(error.stack);
  });
  const state: { code: ExitCode } = { code: exitCodes.done };
  // A reader, such as `head`, may have seen enough: that is no failure of the command.
  process.stderr.on("error", () => undefined);
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") return;
    // Not as JSON, which would go where nothing can be written, and fail again without an end.
    state.code = printFailure(
      new Failure("general", `cannot write the result: ${error.message}`, "see where stdout leads", error),
      false,
    );
    process.exitCode = state.code;
  });
  const program = commands((code) => {
    state.code = code;
  });
  try {
    await program.parseAsync();
  } catch (error) {
    state.code = codeOf(error);
  }
  // A pipe takes its time; ending the process at once would cut the output short.
  process.exitCode ??= state.code;
}

function commands(end: (code: ExitCode) => void): Command {
  const program = new Command("credsyncd")
    .description("keeps every agent's copy of a rotating login in step with the one canonical login on this host")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .configureOutput({
      outputError: (text, write) => {
        write(`credsyncd: ${text}`);
      },
    })
    .hook("preAction", async (_program, command) => {
      await (await import("./recover.js")).recoverFirst(command.opts<CommonOptions>());
    })
    .exitOverride();

  add(program, "run", "run the daemon in the foreground", "credsyncd run").action(async (options: CommonOptions) => {
    (await import("./small-heap.js")).keepHeapSmall();
    end(await (await import("./run.js")).run(options));
  });
  add(program, "sync", "reconcile once, then exit", "credsyncd sync --dry-run")
    .option("--dry-run", "say what would be written, and write nothing")
    .option("--force [stores...]", "override the hold of these stores; without a name: accept what the source holds")
    .action(async (options: SyncOptions) => {
      end(await interruptibly(async (signal) => (await import("./sync.js")).sync(options, signal)));
    });
  add(program, "adopt", "accept a held target's login: write it to the source, then push it", "credsyncd adopt openclaw:work")
    .argument("<store>", "the target, as status names it")
    .option("--profile <id>", "the profile, where the store has several logins")
    .action(async (store: string, options: AdoptOptions) => {
      end(await interruptibly(async (signal) => (await import("./adopt.js")).adopt(store, options, signal)));
    });
  add(program, "status", "show what every store holds and whether it follows", "credsyncd status --check --expiring-within 30m")
    .option("--check", "say it with the exit code: 1 expired or missing, 2 expiring, 3 held or failed")
    .option("--watch", "look again whenever something changes, until it is interrupted")
    .option("--expiring-within <duration>", "what counts as expiring (default: alerts.expiringWithin)")
    .action(async (options: StatusOptions) => {
      end(await (await import("./status.js")).status(options));
    });

  withSwitchOptions(
    add(
      program,
      "set-active",
      "make every agent use one profile of a provider: in all of them, or in none",
      "credsyncd set-active --provider anthropic --profile anthropic:key --dry-run",
    ).requiredOption("--profile <id>", "the profile to use"),
  ).action(async (options: SetActiveOptions) => {
    end(await interruptibly(async (signal) => (await import("./set-active.js")).setActive(options, signal)));
  });
  withSwitchOptions(
    add(
      program,
      "migrate",
      "move every agent that uses one profile to another: all of them, or none",
      "credsyncd migrate --provider anthropic --from anthropic:default --to anthropic:key --remove-stale",
    )
      .requiredOption("--from <id>", "the profile to move away from")
      .requiredOption("--to <id>", "the profile to use instead"),
  ).action(async (options: MigrateOptions) => {
    end(await interruptibly(async (signal) => (await import("./migrate.js")).migrate(options, signal)));
  });

  add(program, "doctor", "check the installation, and say what to do", "credsyncd doctor --fix")
    .option("--fix", "take from others what permissions on credentials they have")
    .action(async (options: DoctorOptions) => {
      end(await (await import("./doctor.js")).doctor(options));
    });
  add(program, "history", "show rotations, writes, holds and alerts, oldest first", "credsyncd history --since 2h")
    .option("--limit <number>", "how many of the newest (default: 50, or all with --since)")
    .option("--since <time>", "what happened since: a duration such as 2h, or a date")
    .action(async (options: HistoryOptions) => {
      end(await (await import("./history.js")).history(options));
    });
  add(program, "restore", "put a backup back", "credsyncd restore --store openclaw:work --at 2026-11-21T01:00")
    .option("--store <store>", "the store, as status names it")
    .option("--list", "list the backups")
    .option("--at <time>", "the time of the backup, or its start")
    .option("--profile <id>", "the profile, where several were overwritten at that time")
    .option("--yes", "do not ask")
    .action(async (options: RestoreOptions) => {
      end(await interruptibly(async (signal) => (await import("./restore.js")).restore(options, signal)));
    });

  const config = program.command("config").description("make, check and show the configuration");
  add(config, "init", "look at every store, ask, and write a commented configuration", "credsyncd config init --yes")
    .option("--yes", "take the safe defaults: what is of unknown origin stays held")
    .action(async (options: ConfigInitOptions) => {
      end(await (await import("./config-init.js")).initConfig(options));
    });
  add(config, "check", "check the configuration file", "credsyncd config check").action(async (options: CommonOptions) => {
    end(await (await import("./config.js")).checkConfig(options));
  });
  add(config, "path", "print where the configuration file is looked for", "credsyncd config path").action(
    async (options: CommonOptions) => {
      end(await (await import("./config.js")).printConfigPath(options));
    },
  );
  add(config, "show", "print the configuration with its defaults filled in", "credsyncd config show").action(
    async (options: CommonOptions) => {
      end(await (await import("./config.js")).showConfig(options));
    },
  );
  add(config, "schema", "print the JSON Schema of the configuration file", "credsyncd config schema > config.schema.json").action(
    async (options: CommonOptions) => {
      end(await (await import("./config.js")).printConfigSchema(options));
    },
  );

  const service = program.command("service").description("keep the daemon running: systemd, or launchd on a Mac");
  const addService = (name: string, description: string, example: string): Command =>
    add(service, name, description, example)
      .option("--system", "a system service that runs as a user, instead of the user's own")
      .option("--for <user>", "whose logins the system service keeps in step (default: who called sudo)");
  addService("install", "write the unit, start it, and wait until it is ready; again: upgrade", "credsyncd service install")
    .option("--dry-run", "say what would be done, and do nothing")
    .action(async (options: ServiceOptions) => {
      end(await (await import("./service.js")).installService(options));
    });
  addService("uninstall", "stop the service and remove its unit", "credsyncd service uninstall")
    .option("--dry-run", "say what would be done, and do nothing")
    .option("--purge", "remove the configuration and the state too, with the backups of logins")
    .option("--yes", "do not ask")
    .action(async (options: ServiceOptions) => {
      end(await (await import("./service.js")).uninstallService(options));
    });
  addService("status", "say whether the service runs; exit code 1 if not", "credsyncd service status").action(
    async (options: ServiceOptions) => {
      end(await (await import("./service.js")).serviceStatus(options));
    },
  );
  addService("logs", "show what the service logged", "credsyncd service logs -f")
    .option("-f, --follow", "go on as it logs")
    .option("-n, --lines <number>", "how many of the newest lines")
    .action(async (options: ServiceOptions & LogsOptions) => {
      end(await (await import("./service.js")).serviceLogs(options));
    });
  addService("print", "print the unit that install would write", "credsyncd service print").action(
    async (options: ServiceOptions) => {
      end(await (await import("./service.js")).printService(options));
    },
  );

  add(
    program,
    "completion",
    "print a script that completes commands and options",
    "credsyncd completion bash > ~/.local/share/bash-completion/completions/credsyncd",
  )
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string, options: CommonOptions) => {
      end((await import("./completion.js")).completion(shell, commandTree(program), options));
    });
  // For those who build a package.
  program.command("man", { hidden: true }).action(async () => {
    end((await import("./manual.js")).manual(commandTree(program), version()));
  });
  add(program, "demo", "show the main job in a throw-away home with a made-up login", "credsyncd demo")
    .option("--keep", "leave the home where it is")
    .action(async (options: CommonOptions & { readonly keep?: boolean }) => {
      end(await (await import("./demo.js")).demo(options));
    });
  return program;
}

/** A command with the options that every command takes and an example in its help. */
function add(parent: Command, name: string, description: string, example: string): Command {
  const command = parent
    .command(name)
    .description(description)
    .option("--config <file>", "the configuration file")
    .option("--json", "print JSON")
    .addOption(new Option("--no-color", "print without colour"))
    .option("-v, --verbose", "say more")
    .option("-q, --quiet", "say less")
    .exitOverride();
  return withExample(command, example);
}

function withSwitchOptions(command: Command): Command {
  return command
    .requiredOption("--provider <name>", "the provider, as the profiles name it")
    .option("--agents <glob>", 'only these agents, such as "work-*" or "{main,ops}"; shared is the shared store')
    .option("--remove-stale", "remove the profiles that are left behind, into the backups")
    .option("--copy-from <agent>", "give the profile of this agent (or shared) to those that lack it")
    .option("--copy-oauth", "copy an OAuth login too, whose refresh token works only once")
    .option("--skip-missing", "leave agents without the profile as they are")
    .option("--dry-run", "say what would be changed, and change nothing");
}

function codeOf(caught: unknown): ExitCode {
  const error = toFailure(caught);
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  if (error instanceof Failure) return printFailure(error, process.argv.includes("--json"));
  if (error instanceof StoreError)
    return printFailure(new Failure("general", error.message, error.hint, error), process.argv.includes("--json"));
  throw error;
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  return manifest.version;
}

void main();
