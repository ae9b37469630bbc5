import { spawnSync } from "node:child_process";
import type { TestContext } from "vitest";

/** Returns a command that runs another among pids of its own, as in a container; skips the test if this user may not. */
export function ownPids(context: TestContext): readonly string[] {
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const command = [...user, "--pid", "--fork", "--mount-proc", "--kill-child"];
  context.skip(
    spawnSync("unshare", [...command, "true"]).status !== 0,
    "a pid namespace takes Linux, and root or a user namespace",
  );
  return ["unshare", ...command];
}
