import { dirname } from "node:path";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { Failure } from "../domain/errors.js";
import { runCommand } from "../io/run-command.js";
import { errnoOf, isAbsent } from "../io/system-error.js";
import type { Environment } from "../programs/environment.js";

/** How the service is, as its manager sees it. */
export interface ServiceState {
  /** The unit or property list is there. */
  readonly installed: boolean;
  readonly running: boolean;
  readonly pid: number | null;
  /** The manager's own word for it. */
  readonly state: string;
  /** The daemon's own status, if the manager keeps it. */
  readonly status: string | null;
  /** Starts it at boot or at sign-in. */
  readonly enabled: boolean;
  readonly restarts: number | null;
}

export interface LogsOptions {
  readonly follow?: boolean;
  readonly lines?: string;
}

/** The service manager that keeps the daemon running on this system. */
export interface ServiceManager {
  readonly name: "systemd" | "launchd";
  readonly file: string;
  /** The content of the file. */
  readonly text: string;
  /** The paths that an installed file starts. */
  readonly starts: (installed: string) => readonly string[];
  /** The commands that installing runs, as a user could type them. */
  readonly commands: { readonly install: readonly string[]; readonly uninstall: readonly string[] };
  /** Enables and starts it, or restarts it, and waits until it is ready. */
  readonly start: () => Promise<void>;
  /** Stops and disables it; what is not there is no failure. */
  readonly stop: () => Promise<void>;
  /** Lets the manager forget the file. */
  readonly forget: () => Promise<void>;
  readonly state: () => Promise<ServiceState>;
  readonly logs: (options: LogsOptions) => readonly [string, ...string[]];
  /** Notes for the user about the running service. */
  readonly notes: () => Promise<readonly string[]>;
}

/** Starting waits for READY, which waits for other programs' locks at most. */
const COMMAND_TIMEOUT_MS = 150_000;

/** Runs a program of the system and returns what it said; null where it failed. */
export async function ask(
  command: readonly [string, ...string[]],
  environment: Environment,
): Promise<{ readonly ok: boolean; readonly output: string; readonly missing: boolean }> {
  const outcome = await runCommand(
    command,
    { timeoutMs: COMMAND_TIMEOUT_MS, variables: environment.variables },
    new AbortController().signal,
  );
  const output = outcome.kind === "done" || outcome.kind === "failed" ? outcome.output.trim() : "";
  return { ok: outcome.kind === "done", output, missing: outcome.kind === "not-found" };
}

/** Runs a program of the system that must not fail. */
export async function tell(command: readonly [string, ...string[]], environment: Environment, hint: string): Promise<void> {
  const { ok, output, missing } = await ask(command, environment);
  if (ok) return;
  const reason = missing ? "there is no such program" : (output.split("\n")[0] ?? "");
  throw new Failure("general", `${command.join(" ")} failed${reason === "" ? "" : `: ${reason}`}`, hint);
}

/** Writes the file of a service, which the manager reads, so it is not private. */
export async function writeServiceFile(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, text, { mode: 0o644 });
    await rename(`${path}.new`, path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === null) throw error;
    throw new Failure("permission", `cannot write ${path}: ${errno}`, "make its directory writable, or run this as root", error);
  }
}

/** @returns whether it was there */
export async function removeServiceFile(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    const errno = errnoOf(error);
    if (errno === null) throw error;
    throw new Failure("permission", `cannot remove ${path}: ${errno}`, "run this as the user who installed it", error);
  }
}

/** The content of the installed file, or null. */
export async function readServiceFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}
