import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, URL } from "node:url";
import { Measured } from "../bench/program.mjs";

/** The built program. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const PROBE = new URL("probe.mjs", import.meta.url).href;
const PATIENCE_MS = 60_000;

/** The built daemon under the probe, and everything that it says. */
export class ProbedDaemon extends Measured {
  #home;
  #said = new Set();
  #ended;
  /** Log lines by their level and message. */
  counts = new Map();
  /** When something was pushed (ms, `performance.now`). */
  pushes = [];
  logBytes = 0;
  /** The number of lines for people, on stderr. */
  told = 0;
  /** True if the output has a part of a login. */
  leaked = false;
  code = null;

  /** @param {{ path: string }} home @param {{ flags?: readonly string[], variables?: Record<string, string> }} [options] */
  static async start(home, { flags = [], variables = {} } = {}) {
    const args = [...flags, `--import=${PROBE}`, MAIN, "run", "--json"];
    const env = { ...environmentOf(home), ...variables, PROBE_FILE: probeFile(home) };
    const daemon = new ProbedDaemon(spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] }));
    process.once("exit", () => daemon.child.kill("SIGKILL"));
    daemon.#home = home;
    daemon.#listen();
    await until(() => daemon.#said.has("ready") || daemon.code !== null, "the daemon to be ready");
    if (daemon.code !== null) throw new Error(`the daemon ended with ${daemon.code}`);
    return daemon;
  }

  #listen() {
    this.child.stdout.on("data", (chunk) => (this.logBytes += chunk.length));
    createInterface(this.child.stdout).on("line", (line) => {
      this.leaked ||= line.includes(MARK);
      const { level, msg } = JSON.parse(line);
      this.#said.add(msg);
      const key = `${level}: ${msg}`;
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
      if (msg === "credential pushed" || msg === "drift corrected") this.pushes.push(performance.now());
    });
    createInterface(this.child.stderr).on("line", (line) => {
      this.leaked ||= line.includes(MARK);
      this.told += 1;
    });
    this.#ended = once(this.child, "exit").then(([code, signal]) => (this.code = code ?? signal));
  }

  /** How often it said something. @param {string} message */
  count(message) {
    return [...this.counts].reduce((sum, [key, count]) => (key.endsWith(`: ${message}`) ? sum + count : sum), 0);
  }

  /** The processes that it has started and that still run. */
  get children() {
    return readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, "utf8").split(" ").filter(Boolean);
  }

  /** Reads the process's own figures, and restarts the measuring of delays. */
  async probe() {
    const before = linesOf(probeFile(this.#home)).length;
    this.child.kill("SIGUSR2");
    await until(() => linesOf(probeFile(this.#home)).length > before, "the probe's answer");
    return JSON.parse(linesOf(probeFile(this.#home))[before]);
  }

  /** Reads the kernel's figures: open descriptors, those of them that are watches of directories, and how many they watch. */
  get descriptors() {
    const directory = `/proc/${this.child.pid}/fd`;
    let inotifyWatches = 0;
    const names = readdirSync(directory);
    for (const name of names) {
      if (linkOf(join(directory, name)) !== "anon_inode:inotify") continue;
      const info = readFileSync(`/proc/${this.child.pid}/fdinfo/${name}`, "utf8");
      inotifyWatches += info.split("\n").filter((line) => line.startsWith("inotify ")).length;
    }
    return { open: names.length, inotifyWatches };
  }

  signal(name) {
    this.child.kill(name);
  }

  async stop() {
    await super.stop();
    return this.#ended;
  }
}

/** In every made-up token. */
export const MARK = "made-up-";

/** `credsyncd status --json` of a home. */
export function statusOf(home) {
  const args = [MAIN, "status", "--json"];
  return JSON.parse(execFileSync(process.execPath, args, { env: environmentOf(home), encoding: "utf8", maxBuffer: 1 << 26 }));
}

/** Checks repeatedly until something holds; throws after a minute. */
export async function until(holds, what, everyMs = 5) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await pause(everyMs);
  }
}

function environmentOf(home) {
  return { HOME: home.path, PATH: process.env.PATH };
}

function probeFile(home) {
  return join(home.path, "probe.jsonl");
}

function linesOf(path) {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
}

/** One that was closed since the directory was read points nowhere. */
function linkOf(path) {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (error.code === "ENOENT") return "";
    throw error;
  }
}
