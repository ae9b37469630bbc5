import { existsSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../domain/errors.js";
import { baseDirectory, type Environment } from "../programs/environment.js";
import { ask, tell, type LogsOptions, type ServiceManager, type ServiceState } from "./service-manager.js";
import { systemdUnit, type SystemScope } from "./systemd-unit.js";

export interface SystemdOptions {
  readonly command: readonly [string, ...string[]];
  readonly variables: Readonly<Record<string, string>>;
  readonly scope: { readonly kind: "user" } | SystemScope;
  readonly environment: Environment;
}

/** The systemd of this host: the user's own manager, or the system's. */
export async function systemdManager(options: SystemdOptions): Promise<ServiceManager> {
  const { scope, environment } = options;
  const flags = scope.kind === "user" ? ["--user"] : [];
  const unit = scope.kind === "user" ? "credsyncd.service" : `credsyncd@${scope.user}.service`;
  const systemctl = (...words: readonly string[]): readonly [string, ...string[]] => ["systemctl", ...flags, ...words];
  const systemdVersion = await installedVersion(environment);
  const reachable = reachHint(scope);
  const hint = `see: credsyncd service logs${scope.kind === "user" ? "" : " --system"}`;
  return {
    name: "systemd",
    file: join(unitDirectory(scope, environment), unit),
    text: systemdUnit({ ...options, systemdVersion, manual: false }),
    starts: (installed) =>
      [...(/^ExecStart=(.*)$/m.exec(installed)?.[1] ?? "").matchAll(/(?<=^|\s)\/\S+/g)].map(([path]) => path),
    commands: {
      install: [systemctl("daemon-reload"), systemctl("enable", unit), systemctl("restart", unit)].map(words),
      uninstall: [systemctl("disable", "--now", unit), systemctl("daemon-reload")].map(words),
    },
    start: async () => {
      await tell(systemctl("daemon-reload"), environment, reachable);
      await tell(systemctl("enable", "--quiet", unit), environment, hint);
      const { ok } = await ask(systemctl("restart", unit), environment);
      if (!ok) throw await notStarted(unit, systemctl, hint, environment);
    },
    stop: async () => {
      await ask(systemctl("disable", "--now", "--quiet", unit), environment);
    },
    forget: async () => {
      await tell(systemctl("daemon-reload"), environment, reachable);
      await ask(systemctl("reset-failed", unit), environment);
    },
    state: () => stateOf(systemctl("show", unit, `--property=${PROPERTIES.join(",")}`), environment),
    logs: (wanted) => ["journalctl", ...(scope.kind === "user" ? ["--user-unit", unit] : ["--unit", unit]), ...logFlags(wanted)],
    notes: () => (scope.kind === "user" ? lingerNotes(environment) : Promise.resolve([])),
  };
}

function words(command: readonly string[]): string {
  return command.join(" ");
}

function unitDirectory(scope: SystemdOptions["scope"], environment: Environment): string {
  if (scope.kind === "system") return "/etc/systemd/system";
  return join(baseDirectory(environment, "XDG_CONFIG_HOME", ".config"), "systemd", "user");
}

async function installedVersion(environment: Environment): Promise<number> {
  const { ok, output, missing } = await ask(["systemctl", "--version"], environment);
  if (ok) return Number(/^systemd (\d+)/.exec(output)?.[1] ?? 0);
  const reason = missing ? "there is no systemd here" : `systemctl fails: ${output.split("\n")[0] ?? ""}`;
  throw new Failure("general", reason, "let your supervisor run: credsyncd run");
}

function reachHint(scope: SystemdOptions["scope"]): string {
  return scope.kind === "user"
    ? "sign in as this user itself, and not by su or sudo; or use: sudo credsyncd service install --system"
    : "run this as root on a host that systemd booted";
}

const PROPERTIES = ["LoadState", "ActiveState", "SubState", "MainPID", "StatusText", "UnitFileState", "NRestarts"] as const;

async function stateOf(command: readonly [string, ...string[]], environment: Environment): Promise<ServiceState> {
  const { output } = await ask(command, environment);
  const properties = new Map(
    output.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const value = (name: (typeof PROPERTIES)[number]): string => properties.get(name) ?? "";
  const pid = Number(value("MainPID"));
  return {
    installed: value("LoadState") === "loaded",
    running: value("ActiveState") === "active" || value("ActiveState") === "reloading",
    pid: pid > 0 ? pid : null,
    state: `${value("ActiveState")} (${value("SubState")})`,
    status: value("StatusText") === "" ? null : value("StatusText"),
    enabled: value("UnitFileState").startsWith("enabled"),
    restarts: Number(value("NRestarts")),
  };
}

async function notStarted(
  unit: string,
  systemctl: (...words: readonly string[]) => readonly [string, ...string[]],
  hint: string,
  environment: Environment,
): Promise<Failure> {
  const { output } = await ask(systemctl("show", unit, "--property=Result,ExecMainStatus"), environment);
  const result = /Result=(.*)/.exec(output)?.[1] ?? "";
  const status = /ExecMainStatus=(.*)/.exec(output)?.[1] ?? "";
  return new Failure("general", `the service did not become ready: ${result}, exit code ${status}`, hint);
}

function logFlags({ follow, lines }: LogsOptions): string[] {
  return [...(follow === true ? ["--follow"] : []), ...(lines === undefined ? [] : ["--lines", lines])];
}

/** A user's manager ends with the last session, and the service with it. */
async function lingerNotes(environment: Environment): Promise<string[]> {
  const { ok, output } = await ask(["loginctl", "show-user", "--property=Linger", "--value"], environment);
  if (ok && output === "yes") return [];
  // If loginctl does not answer (a container, a lingering session of its own), the file still shows it.
  const user = environment.variables["USER"] ?? environment.variables["LOGNAME"] ?? "";
  if (user !== "" && existsSync(join("/var/lib/systemd/linger", user))) return [];
  return ["it ends when you sign out, and starts when you sign in; to let it run always: loginctl enable-linger"];
}
