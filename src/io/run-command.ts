import { execFile } from "node:child_process";
import { errnoOf } from "./system-error.js";

/** How a command ended. Its output may be quoted to the user; it is never logged whole. */
export type CommandOutcome =
  | { readonly kind: "done"; readonly output: string }
  | { readonly kind: "failed"; readonly exitCode: number | null; readonly output: string }
  | { readonly kind: "not-found" }
  | { readonly kind: "timed-out" };

/** As much of a command's output as anyone reads (bytes). */
const MAX_OUTPUT_BYTES = 64 * 1024;

/** Runs a program with arguments, without a shell, for a limited time (ms), with exactly these environment variables. */
export async function runCommand(
  command: readonly [string, ...string[]],
  { timeoutMs, variables }: { readonly timeoutMs: number; readonly variables: Readonly<Record<string, string | undefined>> },
  signal: AbortSignal,
): Promise<CommandOutcome> {
  const [program, ...args] = command;
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { timeout: timeoutMs, env: { ...variables }, maxBuffer: MAX_OUTPUT_BYTES, signal, windowsHide: true },
      (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`;
        if (error === null) resolve({ kind: "done", output });
        else if (errnoOf(error) === "ENOENT") resolve({ kind: "not-found" });
        else if (error.killed === true) resolve({ kind: "timed-out" });
        else resolve({ kind: "failed", exitCode: typeof error.code === "number" ? error.code : null, output });
      },
    );
  });
}
