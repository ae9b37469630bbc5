import { spawn } from "node:child_process";
import { once } from "node:events";
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
