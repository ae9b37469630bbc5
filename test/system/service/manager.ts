import { execFile, spawnSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";
import { becomes } from "../../support/condition.js";
import { MAIN } from "../../support/command-line.js";
import { TemporaryHome, type HomeOptions } from "../../support/temporary-home.js";

const run = promisify(execFile);

export const UNIT = "credsyncd.service";
/** The home of the manager that `in-systemd` started. */
const HOME = "/run/home";
export const UNIT_DIRECTORY = join(HOME, ".config", "systemd", "user");

/** Runs a program of the system and returns what it printed. */
export async function system(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args);
  return stdout.trimEnd();
}

export async function systemctl(...args: readonly string[]): Promise<string> {
  return system("systemctl", "--user", ...args);
}

/** A property of a unit, such as `ActiveState`. */
export async function property(name: string, unit = UNIT): Promise<string> {
  return systemctl("show", unit, `--property=${name}`, "--value");
}

/** The journal's lines of a unit since this test began. */
export async function journal(since: Date, ...args: readonly string[]): Promise<string[]> {
  // Messages come to the journal a little later.
  spawnSync("journalctl", ["--sync"]);
  const text = await system("journalctl", "--user-unit", UNIT, "--quiet", `--since=@${String(since.getTime() / 1000)}`, ...args);
  return text === "" ? [] : text.split("\n");
}

/** The manager's own home with a login and agents, in which nothing of an earlier test is. */
export async function managedHome(options: HomeOptions = {}): Promise<TemporaryHome> {
  await rm(HOME, { recursive: true, force: true });
  await mkdir(HOME, { mode: 0o700 });
  const home = await TemporaryHome.create({ ...options, path: HOME });
  onTestFinished(async () => {
    spawnSync("systemctl", ["--user", "disable", "--now", UNIT]);
    await rm(UNIT_DIRECTORY, { recursive: true, force: true });
    spawnSync("systemctl", ["--user", "daemon-reload"]);
    spawnSync("systemctl", ["--user", "reset-failed"]);
  });
  return home;
}

/** Makes the service quicker than a user would want it. */
export async function hurry(lines: readonly string[]): Promise<void> {
  await mkdir(join(UNIT_DIRECTORY, `${UNIT}.d`), { recursive: true });
  await writeFile(join(UNIT_DIRECTORY, `${UNIT}.d`, "quick.conf"), ["[Service]", ...lines, ""].join("\n"));
}

export async function becomesActive(unit = UNIT): Promise<void> {
  await becomes(() => property("ActiveState", unit), "active");
}

export interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `credsyncd service ...` as a user of this manager calls it. */
export async function service(...args: readonly string[]): Promise<Told> {
  try {
    const running = run(process.execPath, [MAIN, "service", ...args]);
    running.child.stdin?.end();
    const { stdout, stderr } = await running;
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as Told;
    return { code, stdout, stderr };
  }
}
