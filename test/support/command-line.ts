import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { TemporaryHome } from "./temporary-home.js";

/** The built program. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

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
): Promise<Spoken> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: home.environment(variables), stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  home.spoken.push(stdout, stderr);
  return { code, stdout, stderr };
}
