import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestContext } from "vitest";

const run = promisify(execFile);

/** Runs a script where it may mount what it likes and nobody else sees it; skips the test where that takes another user. */
export async function runMounted(context: TestContext, script: URL, ...args: string[]): Promise<unknown> {
  const canMount = spawnSync("unshare", ["--mount", "true"]).status === 0;
  context.skip(!canMount, "mounting takes root on Linux");
  const { stdout } = await run("unshare", ["--mount", process.execPath, fileURLToPath(script), ...args]);
  return JSON.parse(stdout);
}
