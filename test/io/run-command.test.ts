import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../src/io/run-command.js";
import { becomes } from "../support/condition.js";
import { readIfPresent } from "../support/store-file.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const signal = new AbortController().signal;
const variables = { PATH: process.env["PATH"] };
const patient = { timeoutMs: 20_000, variables };

/** Checks whether a process lives; a zombie that nobody has waited for does not. */
async function lives(pid: number): Promise<boolean> {
  const stat = await readIfPresent(`/proc/${String(pid)}/stat`);
  return stat !== null && !/^\d+ \(.*\) Z/.test(stat);
}

/** A program that starts a child, which both hang, and leaves the two pids in a file. */
async function hanging(traps: string): Promise<{ command: [string, ...string[]]; pids: () => Promise<number[]> }> {
  const file = join(await temporaryDirectory(), "pids");
  const script = `${traps} sh -c '${traps} while :; do sleep 0.05; done' & echo $$ $! > ${file}.new; mv ${file}.new ${file}; while :; do sleep 0.05; done`;
  const pids = async (): Promise<number[]> => ((await readIfPresent(file)) ?? "").trim().split(" ").filter(Boolean).map(Number);
  onTestFinished(async () => {
    for (const pid of await pids()) if (await lives(pid)) process.kill(pid, "SIGKILL");
  });
  return { command: ["sh", "-c", script], pids };
}

describe("a command", () => {
  test("is a program with its arguments, and no shell reads them", async () => {
    const odd = ["a b", "$HOME", "; false", "*", "`id`", ""];
    const program = "for (const each of process.argv.slice(1)) console.log(JSON.stringify(each))";
    const outcome = await runCommand([process.execPath, "-e", program, "--", ...odd], patient, signal);
    expect(outcome.kind).toBe("done");
    const lines = outcome.kind === "done" ? outcome.output.trim().split("\n") : [];
    expect(lines.map((line) => JSON.parse(line) as string)).toEqual(odd);
  });

  test("has exactly the environment that it is given, and nothing to read", async () => {
    const program = "process.stdin.on('data', () => {}).on('end', () => console.log(Object.keys(process.env).join()))";
    const outcome = await runCommand([process.execPath, "-e", program], { timeoutMs: 20_000, variables: { ONLY: "1" } }, signal);
    expect(outcome).toMatchObject({ kind: "done", output: "ONLY\n" });
  });

  test("is looked for on the PATH that it is given, not on that of this process", async () => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "bin"));
    await writeFile(join(directory, "bin", "openclaw"), "#!/bin/sh\necho mine $1\n", { mode: 0o700 });
    const options = { timeoutMs: 20_000, variables: { PATH: `${join(directory, "bin")}:/usr/bin:/bin` } };
    expect(await runCommand(["openclaw", "secrets"], options, signal)).toEqual({ kind: "done", output: "mine secrets\n" });
    expect(await runCommand(["openclaw"], { timeoutMs: 20_000, variables: { PATH: directory } }, signal)).toEqual({
      kind: "not-found",
    });
  });

  test("that is there and cannot be run failed", async () => {
    const file = join(await temporaryDirectory(), "program");
    await writeFile(file, "no program", { mode: 0o600 });
    expect(await runCommand([file], patient, signal)).toEqual({ kind: "failed", exitCode: null, output: "" });
  });

  test("that fails tells its exit code, and what it said on both ways out", async () => {
    const outcome = await runCommand(["sh", "-c", "echo one; sleep 0.1; echo two >&2; exit 3"], patient, signal);
    expect(outcome).toEqual({ kind: "failed", exitCode: 3, output: "one\ntwo\n" });
  });

  test("that is ended by a signal failed without an exit code", async () => {
    expect(await runCommand(["sh", "-c", "kill -9 $$"], patient, signal)).toMatchObject({ kind: "failed", exitCode: null });
  });

  test("that says too much is heard to the end, and remembered to a limit", async () => {
    const outcome = await runCommand(["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; exit 4"], patient, signal);
    expect(outcome).toMatchObject({ kind: "failed", exitCode: 4 });
    expect(outcome.kind === "failed" && outcome.output.length).toBe(64 * 1024);
  });

  test("that leaves a child behind, which holds its output open, is done when it ends itself", async () => {
    const file = join(await temporaryDirectory(), "pid");
    const outcome = await runCommand(["sh", "-c", `sleep 30 & echo $! > ${file}; echo said`], patient, signal);
    const pid = Number(await readFile(file, "utf8"));
    onTestFinished(() => {
      process.kill(pid, "SIGKILL");
    });
    expect(outcome).toEqual({ kind: "done", output: "said\n" });
    expect(await lives(pid)).toBe(true);
  });
});

describe("a command that hangs", () => {
  test.each([
    ["ends when it is told", ""],
    ["does not listen", "trap '' TERM;"],
  ])("is ended with its children after its time: one that %s", async (_what, traps) => {
    const { command, pids } = await hanging(traps);
    const running = runCommand(command, { timeoutMs: 700, variables }, signal);
    await becomes(async () => (await pids()).length, 2);
    expect(await running).toEqual({ kind: "timed-out" });
    for (const pid of await pids()) await becomes(() => lives(pid), false);
  });

  test("is ended with its children when it is not wanted any more", async () => {
    const { command, pids } = await hanging("");
    const stopping = new AbortController();
    const running = runCommand(command, patient, stopping.signal);
    await becomes(async () => (await pids()).length, 2);
    stopping.abort();
    expect((await running).kind).toBe("failed");
    for (const pid of await pids()) await becomes(() => lives(pid), false);
  });

  test("is ended at once where it was not wanted to begin with", async () => {
    const { command } = await hanging("");
    expect((await runCommand(command, patient, AbortSignal.abort())).kind).toBe("failed");
  });
});
