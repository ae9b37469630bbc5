import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { TemporaryHome } from "./temporary-home.js";

/** The built program. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Makes a program take its stdout for a terminal. */
const PRETEND_TERMINAL = `data:text/javascript,process.stdout.isTTY=true`;

export interface Spoken {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command whose result goes where it cannot be written: to who has gone, or to a full disk. */
export async function credsyncdInto(
  home: TemporaryHome,
  args: readonly string[],
  where: "closed pipe" | "full disk",
): Promise<Omit<Spoken, "stdout">> {
  const full = where === "full disk" ? openSync("/dev/full", "w") : null;
  const child = spawn(process.execPath, [MAIN, ...args], { env: home.environment(), stdio: ["ignore", full ?? "pipe", "pipe"] });
  if (full !== null) closeSync(full);
  child.stdout?.destroy();
  const ended = once(child, "close") as Promise<[number | null]>;
  if (child.stderr === null) throw new Error("it has no stderr");
  const [talk, [code]] = await Promise.all([text(child.stderr), ended]);
  home.spoken.push(talk);
  return { code, stderr: talk };
}

/** Runs a command as a user of this home does, and waits for its end. */
export async function credsyncd(
  home: TemporaryHome,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
  stdout: "pipe" | "terminal" = "pipe",
  input = "",
): Promise<Spoken> {
  const command = [...(stdout === "terminal" ? ["--import", PRETEND_TERMINAL] : []), MAIN, ...args];
  const child = spawn(process.execPath, command, { env: home.environment(variables), stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  const ended = once(child, "close") as Promise<[number | null]>;
  const [result, talk, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  home.spoken.push(result, talk);
  return { code, stdout: result, stderr: talk };
}
