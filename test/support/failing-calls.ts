import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestContext } from "vitest";
import { MAIN, type Spoken } from "./command-line.js";
import type { TemporaryHome } from "./temporary-home.js";

const run = promisify(execFile);

/**
 * Runs a script some of whose system calls fail; skips the test where there is no strace, which lets them fail.
 *
 * @param faults as strace takes them (`unlink:error=EIO:when=1`); each thread counts its own calls
 */
export async function runFailing(
  context: TestContext,
  script: URL,
  faults: readonly string[],
  ...args: string[]
): Promise<unknown> {
  skipWithoutTracer(context);
  const options = faults.flatMap((fault) => ["-e", `inject=${fault}`]);
  const command = traced(options, [fileURLToPath(script), ...args]);
  const { stdout } = await run("strace", command, { env: { ...process.env, UV_THREADPOOL_SIZE: "1" } });
  return JSON.parse(stdout);
}

/** Runs a command as `credsyncd` does, with options of strace that let some of its system calls fail. */
export async function credsyncdTraced(
  context: TestContext,
  home: TemporaryHome,
  options: readonly string[],
  args: readonly string[],
): Promise<Spoken> {
  skipWithoutTracer(context);
  const child = spawn("strace", traced(options, [MAIN, ...args]), { env: home.environment(), stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  home.spoken.push(stdout, stderr);
  return { code, stdout, stderr };
}

function skipWithoutTracer(context: TestContext): void {
  const canTrace = spawnSync("strace", ["-e", "trace=none", "true"]).status === 0;
  context.skip(!canTrace, "strace lets system calls fail");
}

function traced(options: readonly string[], command: readonly string[]): string[] {
  return ["-f", "-qq", "-o", "/dev/null", ...options, process.execPath, ...command];
}
