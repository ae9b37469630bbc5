import { join } from "node:path";
import { stateDirectoryOf } from "../app/system.js";
import { readDaemonStatus } from "../app/status.js";
import { Failure } from "../domain/errors.js";
import { runningDaemon } from "../io/run-lock.js";
import type { Environment } from "../programs/environment.js";
import { launchdPlist } from "./launchd-plist.js";
import { ask, tell, type ServiceManager, type ServiceState } from "./service-manager.js";

const LABEL = "dev.credsyncd";
/** The program sends launchd nothing, so the command watches the program's own record; the first reconcile may wait for locks. */
const READY_WITHIN_MS = 120_000;
const LOOK_EVERY_MS = 200;

export interface LaunchdOptions {
  readonly command: readonly [string, ...string[]];
  readonly variables: Readonly<Record<string, string>>;
  readonly uid: number;
  readonly environment: Environment;
}

/** The launchd of a Mac, in the session of the user who is signed in. */
export function launchdManager({ command, variables, uid, environment }: LaunchdOptions): ServiceManager {
  const domain = `gui/${String(uid)}`;
  const file = join(environment.home, "Library", "LaunchAgents", `${LABEL}.plist`);
  const logFile = join(environment.home, "Library", "Logs", "credsyncd.log");
  const hint = "see: credsyncd service logs";
  return {
    name: "launchd",
    file,
    text: launchdPlist({ label: LABEL, command, variables, logFile }),
    starts: (installed) =>
      [...(/<array>(.*?)<\/array>/s.exec(installed)?.[1] ?? "").matchAll(/(?<=<string>)\/[^<]+/g)].map(([path]) => path),
    commands: {
      install: [`launchctl bootout ${domain}/${LABEL}`, `launchctl bootstrap ${domain} ${file}`],
      uninstall: [`launchctl bootout ${domain}/${LABEL}`],
    },
    start: async () => {
      await ask(["launchctl", "bootout", `${domain}/${LABEL}`], environment);
      await tell(["launchctl", "enable", `${domain}/${LABEL}`], environment, hint);
      await tell(["launchctl", "bootstrap", domain, file], environment, hint);
      await untilReady(environment, hint);
    },
    stop: async () => {
      await ask(["launchctl", "bootout", `${domain}/${LABEL}`], environment);
    },
    forget: () => Promise.resolve(),
    state: () => stateOf(["launchctl", "print", `${domain}/${LABEL}`], environment),
    logs: ({ follow, lines }) => ["tail", ...(follow === true ? ["-F"] : []), "-n", lines ?? "200", logFile],
    notes: () => Promise.resolve(["it runs while you are signed in at the Mac itself, since the Keychain is open only then"]),
  };
}

async function untilReady(environment: Environment, hint: string): Promise<void> {
  const { clock } = environment;
  const stateDirectory = stateDirectoryOf(environment);
  const deadline = clock.monotonic() + READY_WITHIN_MS;
  for (;;) {
    const daemon = await runningDaemon(stateDirectory, clock.now());
    const { lastReconcileAt } = (await readDaemonStatus(stateDirectory, daemon?.pid ?? null)).daemon;
    if (lastReconcileAt !== null) return;
    if (clock.monotonic() > deadline) throw new Failure("general", "the service did not become ready within two minutes", hint);
    await clock.sleep(LOOK_EVERY_MS, new AbortController().signal);
  }
}

async function stateOf(command: readonly [string, ...string[]], environment: Environment): Promise<ServiceState> {
  const { ok, output } = await ask(command, environment);
  const pid = /^\s*pid = (\d+)$/m.exec(output)?.[1];
  return {
    installed: ok,
    running: pid !== undefined,
    pid: pid === undefined ? null : Number(pid),
    state: ok ? (/^\s*state = (.+)$/m.exec(output)?.[1] ?? "loaded") : "not loaded",
    status: null,
    enabled: ok,
    restarts: null,
  };
}
