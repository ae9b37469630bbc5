import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, URL } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const THREADS = new URL("threads.mjs", import.meta.url).href;
const LONGEST_RUN_MS = 60_000;
const POLL_MS = 1;

/** The threads of the program that make system calls; `UV_THREADPOOL_SIZE=1` leaves one for those that may wait. */
export const threads = ["main", "pool"];

export function canTrace() {
  return spawnSync("strace", ["-V"]).error === undefined;
}

/** The program on a home, as a child of this process. */
export class Program {
  #child;
  #ended;
  #heard = [];
  stdout = "";
  stderr = "";
  /** The ids of its threads, of one that was started with `start`. */
  threads = null;

  /** @param {string[]} words the command and its options */
  constructor(home, words, options = []) {
    const env = { HOME: home, PATH: process.env.PATH, UV_THREADPOOL_SIZE: "1" };
    const stdio = ["ignore", "pipe", "pipe", "pipe"];
    this.#child = spawn(process.execPath, [...options, MAIN, ...words], { env, stdio });
    this.#ended = once(this.#child, "close").then(([status, signal]) => ({ status, signal }));
    for (const name of ["stdout", "stderr"]) {
      this.#child[name].setEncoding("utf8").on("data", (text) => {
        this[name] += text;
        for (const heard of this.#heard) heard();
      });
    }
  }

  /** Lets the program run up to its first own line; `goOn` lets it run on. */
  static async start(home, words, options = []) {
    const program = new Program(home, words, ["--import", THREADS, ...options]);
    const [line] = await once(program.#child.stdio[3], "data");
    program.threads = JSON.parse(String(line));
    return program;
  }

  goOn() {
    this.#child.stdio[3].on("error", () => undefined).write("\n");
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  get pid() {
    return this.#child.pid;
  }

  /** @returns its exit code or the signal that ended it; one that hangs from now on is killed */
  async ended() {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LONGEST_RUN_MS);
    const { status, signal } = await this.#ended;
    clearTimeout(timer);
    return signal ?? status;
  }

  get isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Until something is true of its output. @returns whether it came true before it ended */
  async said(isTrue) {
    const told = new Promise((resolve) => {
      const look = () => isTrue(this) && resolve(true);
      this.#heard.push(look);
      look();
    });
    return Promise.race([told, this.#ended.then(() => isTrue(this))]);
  }
}

let logs = 0;

/** strace at one thread of a program; it counts the calls of that thread alone. */
export class Tracer {
  #child;
  #log;

  constructor(child, log) {
    this.#child = child;
    this.#log = log;
  }

  /** @param {string | null} inject what strace is to do, as its option `-e inject=` takes it; null: nothing */
  static async attach(thread, call, inject) {
    const log = join(tmpdir(), `credsyncd-strace-${process.pid}-${(logs += 1)}`);
    const args = ["-qq", "-y", "-s", "0", "-o", log, "-e", `trace=${call}`, "-p", thread];
    const injection = inject === null ? [] : ["-e", `inject=${call}:${inject}`];
    const child = spawn("strace", [...args, ...injection], { stdio: ["ignore", "ignore", "pipe"] });
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (complaint += text));
    const status = `/proc/${thread}/status`;
    while (/TracerPid:\t0/.test(readFileSync(status, "utf8"))) {
      if (child.exitCode !== null) throw new Error(`strace did not attach: ${complaint}`);
      await pause(POLL_MS);
    }
    return new Tracer(child, log);
  }

  /** Lets the thread go, if it lives. @returns the calls that something was done to, as strace wrote them */
  async detach() {
    const closed = once(this.#child, "close");
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
      await closed;
    }
    const lines = readFileSync(this.#log, "utf8").split("\n");
    rmSync(this.#log);
    return lines;
  }

  /** Until the thread ended. @returns as `detach` */
  async gone() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "close");
    return this.detach();
  }
}

/** The subjects of calls, in the words of the tables. */
const subjects = [
  [/auth-profiles\.json\.lock/, "lock of an agent's file"],
  [/oauth-refresh/, "refresh lock"],
  [/auth-profiles\.json/, "an agent's file"],
  [/auth-state\.json/, "an agent's notes"],
  [/\.sqlite/, "an agent's database"],
  [/\/state\.lock/, "lock of the state"],
  [/\/run\.lock/, "lock of the daemon"],
  [/\/ledger\.jsonl/, "the ledger"],
  [/\/backups/, "backups"],
  [/\/status\.json/, "the status"],
  [/\/alerts\.json/, "the alerts"],
  [/\/credsyncd\/key/, "the key of fingerprints"],
  [/\/state\/credsyncd/, "the state directory"],
  [/\.credentials\.json|\.claude/, "the source"],
  [/openclaw\.json|config\.json5/, "a configuration"],
  [/\.openclaw/, "OpenClaw's directories"],
  [/eventfd|pipe:|socket:|\[event|inotify/, "no file"],
  [/\/proc\/|\/sys\/|\/dev\/|\/etc\//, "the system"],
  [/\.(m?js|json|node|so[.\d]*)"|\.(m?js|json|node|so[.\d]*)>|node_modules|dist/, "the program's own code"],
];

/** @param {string} line a call as strace wrote it with `-y` */
export function subjectOf(line) {
  const about = line.replace(/AT_FDCWD<[^>]*>/g, "");
  return subjects.find(([pattern]) => pattern.test(about))?.[1] ?? "something else";
}

/** Runs actions, so many at a time, in their order. */
export async function inParallel(actions, atOnce) {
  const queue = [...actions];
  const results = [];
  const work = async () => {
    for (let action = queue.shift(); action !== undefined; action = queue.shift()) results.push(...(await action()));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

/** Numbers as ranges: `1–3, 7`. */
export function ranges(numbers) {
  const sorted = [...new Set(numbers)].sort((left, right) => left - right);
  const found = [];
  for (const number of sorted) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from}–${to}`)).join(", ");
}

/** Groups things by a text that is made of each, in the order of their first. */
export function groupBy(things, nameOf) {
  const groups = new Map();
  for (const thing of things) {
    const name = nameOf(thing);
    groups.set(name, [...(groups.get(name) ?? []), thing]);
  }
  return [...groups.values()];
}
