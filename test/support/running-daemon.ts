import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { onTestFinished } from "vitest";
import { MAIN } from "./command-line.js";
import type { AtEnd, TemporaryHome } from "./temporary-home.js";

/** Far more than anything takes; a test waits this long only when it fails. */
export const PATIENCE_MS = 20_000;

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface StartOptions {
  readonly args?: readonly string[];
  readonly variables?: Readonly<Record<string, string>>;
  /** True (the default) if its log is JSON, so that tests can read it. */
  readonly isJson?: boolean;
  /** How long a line of its log is waited for. */
  readonly patienceMs?: number;
  /** A command that runs it, such as one that gives it a container of its own. */
  readonly within?: readonly string[];
  /** Takes what ends it; by default that is at the end of the test. */
  readonly atEnd?: AtEnd;
}

/** The whole daemon, as a supervisor starts it, in a temporary home. It is ended with the test. */
export class RunningDaemon {
  readonly lines: LogLine[] = [];
  readonly pid: number;
  /** Resolves at its end. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  stderr = "";
  readonly #process: ChildProcessByStdio<null, Readable, Readable>;
  #read = 0;
  readonly #patienceMs: number;
  #isOver = false;
  #onLine: () => void = () => undefined;

  private constructor(
    home: TemporaryHome,
    { args = [], variables = {}, isJson = true, patienceMs = PATIENCE_MS, within = [], atEnd = onTestFinished }: StartOptions,
  ) {
    this.#patienceMs = patienceMs;
    const command = [...within, process.execPath, MAIN, "run", ...(isJson ? ["--json"] : []), ...args];
    this.#process = spawn(command[0] ?? "", command.slice(1), {
      env: home.environment(variables),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.pid = this.#process.pid ?? 0;
    this.ended = once(this.#process, "close").then(([code, signal]) => {
      return { code: code as number | null, signal: signal as NodeJS.Signals | null };
    });
    createInterface(this.#process.stdout).on("line", (line) => {
      home.spoken.push(line);
      if (isJson) this.lines.push(JSON.parse(line) as LogLine);
      this.#onLine();
    });
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      home.spoken.push(text);
      this.stderr += text;
    });
    void this.ended.then(() => {
      this.#isOver = true;
      this.#onLine();
    });
    atEnd(async () => {
      this.signal("SIGKILL");
      await this.ended;
    });
  }

  /** Starts a daemon and does not wait for it. */
  static launch(home: TemporaryHome, options: StartOptions = {}): RunningDaemon {
    return new RunningDaemon(home, options);
  }

  /** Starts a daemon and waits until it is ready. */
  static async start(home: TemporaryHome, options: StartOptions = {}): Promise<RunningDaemon> {
    const daemon = RunningDaemon.launch(home, options);
    await daemon.said("ready");
    return daemon;
  }

  /** The next log line, after the one that was last waited for, with this message (and these fields). */
  async said(msg: string, fields: Readonly<Record<string, unknown>> = {}): Promise<LogLine> {
    const timeout = AbortSignal.timeout(this.#patienceMs);
    for (;;) {
      while (this.#read < this.lines.length) {
        const line = this.lines[this.#read++];
        if (line?.msg === msg && Object.entries(fields).every(([name, value]) => line[name] === value)) return line;
      }
      const heard = this.lines.map((line) => line.msg).join(", ");
      if (timeout.aborted) throw new Error(`the daemon did not say "${msg}"; it said: ${heard}`);
      if (this.#isOver) throw new Error(`the daemon ended before it said "${msg}"; it said: ${heard}; ${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#onLine = resolve;
        timeout.onabort = () => {
          resolve();
        };
      });
    }
  }

  /** The lines that are not for debugging. */
  get news(): LogLine[] {
    return this.lines.filter(({ level }) => level !== "debug");
  }

  signal(name: NodeJS.Signals): void {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill(name);
  }

  /** Stops and starts reading its log, as a reader that is busy does. */
  listen(isListening: boolean): void {
    if (isListening) this.#process.stdout.resume();
    else this.#process.stdout.pause();
  }

  /** Closes its log, as a reader that went away does. */
  hangUp(): void {
    this.#process.stdout.destroy();
  }

  async stop(
    name: NodeJS.Signals = "SIGTERM",
  ): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
    this.signal(name);
    return this.ended;
  }
}
