import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { configPath, loadConfig } from "../config/load.js";
import { stateDirectoryOf, systemEnvironment } from "../app/system.js";
import { Failure, StoreError } from "../domain/errors.js";
import { refuseForeignPlace } from "../io/own-place.js";
import { isThere } from "../io/regular-file.js";
import { runningDaemon } from "../io/run-lock.js";
import { isAbsent } from "../io/system-error.js";
import { expandHome, type Environment } from "../programs/environment.js";
import { Questioner } from "./ask.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode } from "./output.js";
import { launchdManager } from "./service-launchd.js";
import {
  ask,
  readServiceFile,
  removeServiceFile,
  writeServiceFile,
  type LogsOptions,
  type ServiceManager,
  type ServiceState,
} from "./service-manager.js";
import { serviceProgram, serviceVariables } from "./service-program.js";
import { systemdManager } from "./service-systemd.js";
import { shellWord } from "../domain/shell-word.js";

export interface ServiceOptions extends CommonOptions {
  readonly system?: boolean;
  /** The user whose logins the system service keeps in sync. */
  readonly for?: string;
  readonly dryRun?: boolean;
}

interface UninstallOptions extends ServiceOptions {
  readonly purge?: boolean;
  readonly yes?: boolean;
}

/** The service that a call is about. */
interface Service {
  readonly manager: ServiceManager;
  readonly environment: Environment;
  /** Warnings for the user before the installation. */
  readonly warnings: readonly string[];
}

/** `credsyncd service install`: writes the unit, starts the service, and waits until it is ready. Again: upgrades it. */
export async function installService(options: ServiceOptions): Promise<ExitCode> {
  const { manager, environment, warnings } = await serviceOf(options);
  const output = openOutput(options);
  for (const warning of warnings) output.say(`credsyncd: warning: ${warning}`);
  const { file, text, commands } = manager;
  if (options.dryRun === true) {
    output.result([`# would write ${file}:`, text, "# and run:", ...commands.install].join("\n"), {
      schemaVersion: 1,
      file,
      text,
      commands: commands.install,
    });
    return exitCodes.done;
  }
  if (options.system !== true) refuseForeignPlace(file, environment.home);
  const before = await readServiceFile(file);
  if (options.system !== true) {
    // A mistake there is better told here than found in a log.
    await loadConfig(options.config ?? null, environment);
    await refuseBesideAnother(manager, environment);
  }
  await writeServiceFile(file, text);
  await manager.start();
  const state = await manager.state();
  const verb = before === null ? "installed" : before === text ? "restarted" : "upgraded";
  const scope = options.system === true ? ` --system --for ${ownerOf(options)}` : "";
  output.result(
    [
      `${verb} and ready: ${file}`,
      ...(state.status === null ? [] : [state.status]),
      ...(await manager.notes()).map((note) => `note: ${note}`),
      "",
      "next:",
      "  credsyncd status                 what every store holds",
      `  credsyncd service logs -f${scope}   what it does`,
      `  credsyncd service status${scope}    whether it runs`,
    ].join("\n"),
    { schemaVersion: 1, result: verb, file, warnings, notes: await manager.notes(), ...state },
  );
  return exitCodes.done;
}

/** `credsyncd service uninstall`: stops the service and removes its unit; configuration and state stay, unless purged. */
export async function uninstallService(options: UninstallOptions): Promise<ExitCode> {
  const { manager, environment } = await serviceOf(options);
  const output = openOutput(options);
  const purged = options.purge === true ? ownPaths(options, environment) : [];
  if (options.dryRun === true) {
    const removed = [manager.file, ...purged].filter((path) => existsSync(path));
    output.result(
      [...manager.commands.uninstall.map((line) => `would run ${line}`), ...removed.map((path) => `would remove ${path}`)].join(
        "\n",
      ),
      { schemaVersion: 1, commands: manager.commands.uninstall, removed },
    );
    return exitCodes.done;
  }
  if (options.system !== true) refuseForeignPlace(manager.file, environment.home);
  if (purged.length > 0) await confirmPurge(purged, options, environment);
  await manager.stop();
  const wasThere = await removeServiceFile(manager.file);
  await manager.forget();
  const removed = [...(wasThere ? [manager.file] : []), ...purged.filter((path) => existsSync(path))];
  for (const path of purged) await rm(path, { recursive: true, force: true });
  const kept = options.purge === true ? [] : ownPaths(options, environment).filter((path) => existsSync(path));
  output.result(
    [
      ...(wasThere ? [] : ["it was not installed"]),
      ...removed.map((path) => `removed ${path}`),
      ...kept.map((path) => `left ${path}`),
    ].join("\n"),
    { schemaVersion: 1, removed, left: kept },
  );
  return exitCodes.done;
}

/** `credsyncd service status`: 0 if it runs, 1 if not. */
export async function serviceStatus(options: ServiceOptions): Promise<ExitCode> {
  const { manager, environment, warnings } = await serviceOf(options);
  const output = openOutput(options);
  const installed = await readServiceFile(manager.file);
  const state = await manager.state();
  const notes = [
    ...(installed === null ? [] : await problemsOf(installed, manager)),
    ...(installed === null ? [] : warnings),
    ...(installed === null ? [] : await manager.notes()),
  ];
  const other = state.running ? null : await runningDaemon(stateDirectoryOf(environment), environment.clock.now());
  if (other !== null) notes.push(`credsyncd runs outside the service, with pid ${String(other.pid)}`);
  output.result(describe(installed !== null, state, manager, notes), {
    schemaVersion: 1,
    manager: manager.name,
    file: manager.file,
    ...state,
    installed: installed !== null,
    notes,
  });
  return state.running ? exitCodes.done : exitCodes.failed;
}

function describe(installed: boolean, state: ServiceState, manager: ServiceManager, notes: readonly string[]): string {
  if (!installed && !state.installed)
    return ["not installed; to install it: credsyncd service install", ...notes.map((note) => `note     ${note}`)].join("\n");
  return [
    `service  ${state.state}${state.pid === null ? "" : `, pid ${String(state.pid)}`}${state.restarts === null || state.restarts === 0 ? "" : `, restarted ${String(state.restarts)} times`}`,
    ...(state.status === null ? [] : [`says     ${state.status}`]),
    `starts   ${state.enabled ? "by itself" : "only by hand"}`,
    `unit     ${manager.file}`,
    ...notes.map((note) => `note     ${note}`),
  ].join("\n");
}

async function problemsOf(installed: string, { text, state, starts }: ServiceManager): Promise<string[]> {
  const gone = starts(installed).filter(isGone);
  if (gone.length > 0) return gone.map((path) => `${path} is gone; to repair it: credsyncd service install`);
  if (installed !== text) return ["its unit is not what this version would write; to upgrade it: credsyncd service install"];
  return (await state()).installed ? [] : ["its manager does not know it; to repair it: credsyncd service install"];
}

/** Checks whether a path is gone. A path that this user may not read, such as another user's program, is not. */
function isGone(path: string): boolean {
  try {
    return !isThere(path);
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}

/** `credsyncd service logs`: the journal, or the log file, of the service alone. */
export async function serviceLogs(options: ServiceOptions & LogsOptions): Promise<ExitCode> {
  if (options.lines !== undefined && !/^\d+$/.test(options.lines))
    throw new Failure("usage", `--lines takes a number, not "${options.lines}"`, "for example: --lines 100");
  const { manager, environment } = await serviceOf(options);
  const [program, ...args] = manager.logs(options);
  const child = spawn(program, args, { stdio: "inherit", env: { ...environment.variables } });
  // Ctrl-C ends the reader; this process ends after it.
  process.on("SIGINT", () => undefined);
  const [code] = (await Promise.race([once(child, "close"), once(child, "error").then(() => [127])])) as [number | null];
  if (code === 127) throw new Failure("general", `there is no program ${program}`, null);
  return code === 0 || code === null ? exitCodes.done : exitCodes.failed;
}

/** `credsyncd service print`: the unit that install would write. */
export async function printService(options: ServiceOptions): Promise<ExitCode> {
  const { manager, warnings } = await serviceOf(options);
  const output = openOutput(options);
  for (const warning of warnings) output.say(`credsyncd: warning: ${warning}`);
  output.result(manager.text.trimEnd(), { schemaVersion: 1, file: manager.file, text: manager.text });
  return exitCodes.done;
}

async function serviceOf(options: ServiceOptions): Promise<Service> {
  const environment = systemEnvironment();
  const { node, main, warnings } = await serviceProgram(environment);
  const config = options.config === undefined ? [] : ["--config", resolve(expandHome(options.config, environment.home))];
  const command = [node, main, "run", ...config] as const;
  if (options.system !== true) {
    const variables = await serviceVariables(node, environment);
    const manager =
      process.platform === "darwin"
        ? launchdManager({ command, variables, uid: process.getuid?.() ?? 0, environment })
        : await systemdManager({ command, variables, scope: { kind: "user" }, environment });
    return { manager, environment, warnings };
  }
  if (process.platform === "darwin")
    throw new Failure(
      "usage",
      "on a Mac it is a LaunchAgent: the Keychain is open only to the user's session",
      "leave --system out",
    );
  const user = ownerOf(options);
  const home = await homeOf(user, environment);
  // The caller is root, whose own places are not the user's.
  const variables = await serviceVariables(node, { ...environment, home, variables: { PATH: environment.variables["PATH"] } });
  const elsewhere = await otherDirectories({ command, user, home, config: options.config }, environment);
  const scope = { kind: "system", user, writable: [home, ...elsewhere] } as const;
  return {
    manager: await systemdManager({ command, variables, scope, environment }),
    environment: { ...environment, home, variables: {} },
    warnings,
  };
}

function ownerOf(options: ServiceOptions): string {
  const user = options.for ?? process.env["SUDO_USER"] ?? "";
  if (/^[a-z_][a-z0-9_-]*\$?$/i.test(user)) return user;
  throw new Failure("usage", "--system needs to know whose logins it keeps in step", "for example: --system --for alice");
}

async function homeOf(user: string, environment: Environment): Promise<string> {
  const { ok, output } = await ask(["getent", "passwd", user], environment);
  const home = output.split(":")[5] ?? "";
  if (ok && home.startsWith("/") && home !== "/") return home;
  throw new Failure("usage", `there is no user ${user} with a home directory`, "name another with --for");
}

interface SystemCall {
  readonly command: readonly [string, string, ...string[]];
  readonly user: string;
  readonly home: string;
  readonly config: string | undefined;
}

/** Stores and files outside the home that the configuration names; it is read as its owner, who may write what he likes there. */
async function otherDirectories(
  { command: [node, main], user, home, config }: SystemCall,
  environment: Environment,
): Promise<string[]> {
  const show = [node, main, "config", "show", "--json", ...(config === undefined ? [] : ["--config", resolve(config)])];
  const run = process.getuid?.() === 0 ? ["runuser", "-u", user, "--", "env", `HOME=${home}`, ...show] : show;
  const [program = node, ...args] = run;
  const { ok, output } = await ask([program, ...args], {
    ...environment,
    variables: { PATH: environment.variables["PATH"], HOME: home },
  });
  if (!ok)
    throw new Failure(
      "config",
      `the configuration of ${user} is not good: ${output.split("\n")[0] ?? ""}`,
      "see: credsyncd config check",
    );
  const directories: string[] = [];
  JSON.parse(output, (key: string, value: unknown) => {
    if (key === "agentDirs" && Array.isArray(value)) {
      for (const each of value as unknown[]) if (typeof each === "string") directories.push(expandHome(each, home));
    }
    if (typeof value !== "string") return value;
    const path = expandHome(value, home);
    // Claude Code's lock lies beside its directory.
    if (path.startsWith("/") && ["dir", "stateDir", "textfile"].includes(key)) directories.push(dirname(path));
    return value;
  });
  return [...new Set(directories)].filter((path) => path !== home && !path.startsWith(`${home}/`));
}

/** Two daemons never share a state directory, and the service would be the one that gives way. */
async function refuseBesideAnother(manager: ServiceManager, environment: Environment): Promise<void> {
  const daemon = await runningDaemon(stateDirectoryOf(environment), environment.clock.now());
  if (daemon === null || daemon.pid === (await manager.state()).pid) return;
  throw new Failure(
    "busy",
    `credsyncd already runs outside the service, with pid ${String(daemon.pid)}`,
    `stop that one first: kill ${String(daemon.pid)}`,
  );
}

/** Returns credsyncd's own paths besides the service. */
function ownPaths(options: ServiceOptions, environment: Environment): string[] {
  const { path } = configPath(options.config ?? null, environment);
  return [path, stateDirectoryOf(environment)];
}

async function confirmPurge(paths: readonly string[], options: UninstallOptions, environment: Environment): Promise<void> {
  if (options.system === true)
    throw new Failure(
      "usage",
      "--purge is for the user whose files they are",
      `as that user: rm -r ${paths.map(shellWord).join(" ")}`,
    );
  if (options.yes === true) return;
  const backups = await countBackups(join(stateDirectoryOf(environment), "backups"));
  const questioner = new Questioner();
  try {
    openOutput(options).say(`credsyncd: this removes ${paths.join(" and ")}, with ${String(backups)} backups of logins`);
    const answer = await questioner.ask("remove them for good? (y/n)", "n");
    if (answer !== "y" && answer !== "yes") throw new Failure("general", "nothing was removed", "say yes, or give --yes");
  } finally {
    questioner.close();
  }
}

async function countBackups(directory: string): Promise<number> {
  try {
    return (await readdir(directory)).length;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw error;
  }
}
