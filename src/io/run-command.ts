import { errnoOf } from "./system-error.js";

/** How a command ended. Its output may hold anything: it is looked through, and neither logged nor shown. */
export type CommandOutcome =
  | { readonly kind: "done"; readonly output: string }
  | { readonly kind: "failed"; readonly exitCode: number | null; readonly output: string }
  | { readonly kind: "not-found" }
  | { readonly kind: "timed-out" };

export interface CommandOptions {
  readonly timeoutMs: number;
  /** All of the command's environment; its PATH is where the program is looked for. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** The text for its stdin; none by default. */
  readonly input?: string;
}

/** As much of a command's output as anyone reads (characters). */
const MAX_OUTPUT = 64 * 1024;
/** The time (ms) from SIGTERM to SIGKILL. */
const KILL_AFTER_MS = 2000;
/** How long output is waited for after the end; a child that lives on may hold it open for ever. */
const LINGER_MS = 250;

/**
 * Runs a program with arguments, without a shell, for a limited time, with exactly these environment variables.
 *
 * It runs in a process group of its own. One that takes too long, or an aborted one, is ended with all of its children.
 */
export async function runCommand(
  command: readonly [string, ...string[]],
  { timeoutMs, variables, input = "" }: CommandOptions,
  signal: AbortSignal,
): Promise<CommandOutcome> {
  const [program, ...args] = command;
  // Loaded where it is needed: most commands of the command line start none, and so start sooner.
  const { spawn } = process.getBuiltinModule("node:child_process");
  const child = spawn(program, args, {
    env: { ...variables },
    detached: true,
    stdio: "pipe",
    windowsHide: true,
  });
  // A command that does not read what it is given may close its stdin.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(0, MAX_OUTPUT);
    });
  }
  return new Promise((resolve) => {
    let isLate = false;
    let lastResort: NodeJS.Timeout | undefined;
    const end = (): void => {
      lastResort ??= setTimeout(() => {
        endGroup(child.pid, "SIGKILL");
      }, KILL_AFTER_MS);
      endGroup(child.pid, "SIGTERM");
    };
    const limit = setTimeout(() => {
      isLate = true;
      end();
    }, timeoutMs);
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();

    const settle = (outcome: CommandOutcome): void => {
      clearTimeout(limit);
      clearTimeout(lastResort);
      signal.removeEventListener("abort", end);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(outcome);
    };
    child.once("error", (error) => {
      settle(errnoOf(error) === "ENOENT" ? { kind: "not-found" } : { kind: "failed", exitCode: null, output: "" });
    });
    child.once("exit", (exitCode) => {
      // Its children may have outlived the wish that they end.
      if (isLate || signal.aborted) endGroup(child.pid, "SIGKILL");
      const outcome = (): CommandOutcome => {
        if (isLate) return { kind: "timed-out" };
        return exitCode === 0 ? { kind: "done", output } : { kind: "failed", exitCode, output };
      };
      const linger = setTimeout(() => {
        settle(outcome());
      }, LINGER_MS);
      child.once("close", () => {
        clearTimeout(linger);
        settle(outcome());
      });
    });
  });
}

/** A group that is gone, or whose leader never came to be, needs no end. */
function endGroup(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch (error) {
    if (errnoOf(error) !== "ESRCH" && errnoOf(error) !== "EPERM") throw error;
  }
}
