import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestContext } from "vitest";

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
  const canTrace = spawnSync("strace", ["-e", "trace=none", "true"]).status === 0;
  context.skip(!canTrace, "strace lets system calls fail");
  const traced = ["-f", "-qq", "-o", "/dev/null", ...faults.flatMap((fault) => ["-e", `inject=${fault}`])];
  const command = [process.execPath, fileURLToPath(script), ...args];
  const { stdout } = await run("strace", [...traced, ...command], { env: { ...process.env, UV_THREADPOOL_SIZE: "1" } });
  return JSON.parse(stdout);
}
