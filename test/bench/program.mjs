import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, URL } from "node:url";
import { rolldown } from "rolldown";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const LEAST = fileURLToPath(new URL("least.mjs", import.meta.url));
const WRITER = fileURLToPath(new URL("session-writer.mjs", import.meta.url));
/** The kernel's unit of CPU time. */
const TICK_MS = 1000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** One `credsyncd sync` of a home. @param {string} home @returns what `sync --json` prints */
export function sync(home) {
  return JSON.parse(
    execFileSync(process.execPath, [MAIN, "sync", "--json"], { env: environmentOf(home), encoding: "utf8", maxBuffer: 1 << 26 }),
  );
}

/** How long `credsyncd` takes from start to end (ms). @param {string} home @param {readonly string[]} words */
export function programMs(home, words) {
  return nodeMs([MAIN, ...words], home);
}

/** How long a node takes from start to end (ms). @param {readonly string[]} words */
export function nodeMs(words, home = "/") {
  const startedAt = performance.now();
  execFileSync(process.execPath, words, { env: environmentOf(home), stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 26 });
  return performance.now() - startedAt;
}

/** `least.mjs`, built as the program is. */
export class LeastProgram {
  #directory = mkdtempSync(join(tmpdir(), "credsyncd-bench-least-"));
  path = join(this.#directory, "least.cjs");

  static async make() {
    const least = new LeastProgram();
    const program = await rolldown({
      input: LEAST,
      platform: "node",
      resolve: { mainFields: ["module", "main"] },
    });
    await program.write({ file: least.path, format: "cjs", comments: false });
    await program.close();
    return least;
  }

  remove() {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** A process that is measured from outside. */
export class Measured {
  /** @param {import("node:child_process").ChildProcess} child */
  constructor(child) {
    this.child = child;
  }

  /** A node that does nothing. */
  static bare() {
    return new Measured(spawn(process.execPath, ["-e", "setInterval(()=>{},1e9)"], { stdio: "ignore" }));
  }

  /** Resident memory (KiB). */
  get residentKib() {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.child.pid}/status`, "utf8"))?.[1]);
  }

  /** CPU time of all threads so far (ms), in the kernel's ticks. */
  get cpuMs() {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, "utf8");
    // The second field, the name, may hold spaces; user and system time are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, "exit");
    this.child.kill("SIGTERM");
    await exited;
  }
}

/** The built daemon, as a supervisor starts it. */
export class Daemon extends Measured {
  #lines = [];
  #onLine = () => {};

  /** @param {string} home @returns {Promise<Daemon>} once it says that it is ready */
  static async start(home) {
    return Daemon.ready(new Daemon(spawnIn(home, [process.execPath, MAIN, "run", "--json"])));
  }

  static async ready(daemon) {
    createInterface(daemon.child.stdout).on("line", (text) => {
      daemon.#lines.push({ at: performance.now(), ...JSON.parse(text) });
      daemon.#onLine();
    });
    await daemon.said("ready");
    return daemon;
  }

  /** Waits for the next log line with this message. @param {string} message */
  async said(message) {
    const deadline = pause(60_000, null, { ref: false });
    for (;;) {
      for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) if (line.msg === message) return line;
      const more = new Promise((resolve) => (this.#onLine = () => resolve("line")));
      if ((await Promise.race([more, deadline])) === null) throw new Error(`the daemon did not say "${message}" in time`);
    }
  }
}

/** Checks whether system calls can be watched here. */
export function hasStrace() {
  return spawnSync("strace", ["-V"], { stdio: "ignore" }).status === 0;
}

/** The daemon, with all its waiting noted. */
export class WatchedDaemon extends Daemon {
  #notes;

  static async start(home) {
    const notes = join(mkdtempSync(join(tmpdir(), "credsyncd-bench-strace-")), "waits");
    const words = ["strace", "-f", "-qq", "-ttt", "-e", `trace=${WAITS}`, "-e", "signal=none", "-o", notes];
    const daemon = new WatchedDaemon(spawnIn(home, [...words, process.execPath, MAIN, "run", "--json"]));
    daemon.#notes = notes;
    return Daemon.ready(daemon);
  }

  /** How often the daemon woke up between two times (epoch ms): what it does one after the other is one waking. */
  wakeUps(from, until) {
    const times = readFileSync(this.#notes, "utf8")
      .split("\n")
      .map((line) => Number(line.split(/ +/)[1]) * 1000)
      .filter((at) => at >= from && at < until);
    return times.filter((at, index) => index === 0 || at - times[index - 1] > AWAKE_MS).length;
  }

  /** strace passes no signal on, so this signals the daemon itself. */
  async stop() {
    const [child] = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, "utf8").trim().split(" ");
    const exited = once(this.child, "exit");
    process.kill(Number(child), "SIGTERM");
    await exited;
    rmSync(dirname(this.#notes), { recursive: true, force: true });
  }
}

const AWAKE_MS = 20;

/** Calls in which a thread that has nothing to do waits. */
const WAITS = "epoll_wait,epoll_pwait,epoll_pwait2,futex,poll,ppoll,select,pselect6,nanosleep,clock_nanosleep";

/** A gateway that writes its sessions into databases. */
export class SessionWriter extends Measured {
  /** @param {readonly string[]} databases @returns {Promise<SessionWriter>} once each has its first row */
  static async start(databases) {
    const child = spawn(process.execPath, [WRITER, ...databases], { stdio: ["pipe", "pipe", "inherit"] });
    const writer = new SessionWriter(child);
    child.stdout.setEncoding("utf8").on("data", (text) => (writer.said += text));
    await once(child.stdout, "data");
    return writer;
  }

  said = "";

  /** @returns {Promise<number>} how many rows were written */
  async stop() {
    await super.stop();
    return Number(this.said.trim().split("\n").at(-1));
  }
}

function spawnIn(home, [program, ...words]) {
  return spawn(program, words, { env: environmentOf(home), stdio: ["ignore", "pipe", "inherit"] });
}

function environmentOf(home) {
  return { HOME: home, PATH: process.env["PATH"] };
}
