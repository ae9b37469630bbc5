import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { URL } from "node:url";
import { CrashHome } from "../crash/home.mjs";
import { Program, Tracer } from "../crash/traced.mjs";
import { fillDisk } from "../support/full-disk.mjs";

const CLOCK = new URL("clock.mjs", import.meta.url).href;
const LONGEST_MS = 30_000;
const POLL_MS = 5;
const HOUR_MS = 3_600_000;
const DELAY_US = 500_000;

/** A daemon on a home of its own; each step rotates the login and waits for something, never for a time. */
class Daemon {
  home;
  program;
  #generation = 1;
  #heard = 0;
  wrongs = [];

  static async start(prepare = () => undefined, options = []) {
    const daemon = new Daemon();
    daemon.home = await CrashHome.make();
    await prepare(daemon.home);
    daemon.program = await Program.start(daemon.home.path, ["run", "--json"], options);
    daemon.program.goOn();
    await daemon.program.said(({ stdout }) => stdout.includes(`"msg":"ready"`));
    return daemon;
  }

  /** @param tidyUp the steps before its home can be removed */
  async stop(tidyUp = () => undefined) {
    this.program.kill("SIGTERM");
    const status = await this.program.ended();
    if (status !== 0) this.wrongs.push(`the daemon ended with ${status}`);
    if (/made-up-(access|refresh|key)/.test(this.program.stdout + this.program.stderr)) this.wrongs.push("a token was printed");
    tidyUp();
    this.home.remove();
  }

  rotate() {
    this.#generation += 1;
    this.home.rotate(this.#generation);
  }

  /** The names of the stores that do not hold the newest login. */
  behind() {
    const stores = this.home.look();
    for (const { name, generation } of stores) if (generation === "torn") this.wrongs.push(`torn: ${name}`);
    return stores.filter(({ generation }) => generation !== this.#generation).map(({ name }) => name);
  }

  async until(what, isTrue) {
    for (const deadline = performance.now() + LONGEST_MS; performance.now() < deadline; await pause(POLL_MS)) {
      if (isTrue()) return true;
      if (!this.program.isRunning) break;
    }
    this.wrongs.push(`never came: ${what}`);
    return false;
  }

  converged() {
    return this.until("everything holds the new login", () => this.behind().length === 0);
  }

  /** Problems that the daemon has reported since the last call. */
  told() {
    const lines = this.program.stdout.slice(this.#heard).split("\n").slice(0, -1);
    return lines
      .filter((line) => line.includes(`"hint":`))
      .map((line) => JSON.parse(line))
      .map(({ msg, reason, hint }) => `${msg}: ${reason} (${hint})`);
  }

  saidSince(text) {
    return this.program.stdout.slice(this.#heard).includes(text);
  }

  heard() {
    this.#heard = this.program.stdout.lastIndexOf("\n") + 1;
  }

  saysOf(pattern) {
    return this.until(`a line with ${pattern}`, () => this.told().some((line) => pattern.test(line)));
  }
}

/** A file system of its own for a directory, with what is in it. */
function mountOver(directory, size) {
  const aside = `${directory}.aside`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  cpSync(directory, aside, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=700`, "tmpfs", directory]);
  cpSync(aside, directory, { recursive: true });
  rmSync(aside, { recursive: true });
}

function lockOf(home, agent) {
  return `${home.fileOf(agent)}.lock`;
}

function takeLock(home, agent, pid, ageMs = 0) {
  const createdAt = new Date(Date.now() - ageMs).toISOString();
  writeFileSync(lockOf(home, agent), JSON.stringify({ pid, createdAt }), { mode: 0o600 });
}

async function fullDisk(what, directoryOf) {
  let directory = "";
  const daemon = await Daemon.start((home) => {
    directory = directoryOf(home);
    mountOver(directory, "1m");
  });
  fillDisk(join(directory, "filler"), 0);
  daemon.heard();
  daemon.rotate();
  await daemon.saysOf(/no space|ENOSPC/);
  const behind = daemon.behind().length;
  const told = daemon.told();
  rmSync(join(directory, "filler"));
  await daemon.converged();
  await daemon.stop(() => execFileSync("umount", ["--lazy", directory]));
  return {
    what,
    told,
    outcome: `${behind} of 8 stores waited, whole, for space; then it converged automatically`,
    wrongs: daemon.wrongs,
  };
}

async function shortWrites() {
  const daemon = await Daemon.start();
  const ledger = join(daemon.home.path, ".local", "state", "credsyncd", "ledger.jsonl");
  const told = [];
  for (const [base, more] of [
    [0, 0],
    [0, 1],
    [0, 60],
    [0, 300],
    [1, 1],
    [1, 100],
    [1, 500],
    [1, 1500],
  ]) {
    const limit = (base === 0 ? 0 : statSync(ledger).size) + more;
    execFileSync("prlimit", ["--pid", String(daemon.program.pid), `--fsize=${limit}:unlimited`]);
    daemon.heard();
    daemon.rotate();
    await daemon.saysOf(/EFBIG|that large/);
    told.push(...daemon.told());
    execFileSync("prlimit", ["--pid", String(daemon.program.pid), "--fsize=unlimited:unlimited"]);
    await daemon.until("it is over", () => daemon.saidSince(`"msg":"resolved"`));
    await daemon.converged();
  }
  await daemon.stop();
  const what =
    "writes cut short by the limit of a file's size (`prlimit --fsize`), at 8 sizes of the locks, the stores and the ledger";
  return { what, told, outcome: "nothing torn; it converged automatically each time", wrongs: daemon.wrongs };
}

async function removedDirectory() {
  const daemon = await Daemon.start();
  const { home } = daemon;
  const tracer = await Tracer.attach(daemon.program.threads.pool, "rename", `delay_enter=${DELAY_US}`);
  daemon.rotate();
  await daemon.until("bob's new file", () =>
    readdirSync(home.directoryOf("bob")).some((name) => /json\.credsyncd.*tmp$/.test(name)),
  );
  rmSync(dirname(home.directoryOf("bob")), { recursive: true });
  home.makeFile("bob", 1);
  await tracer.detach();
  await daemon.converged();
  const told = daemon.told();
  await daemon.stop();
  const what = "an agent's directory is removed and made again with an old file, while its new file waits for its rename";
  return { what, told, outcome: "it converged automatically", wrongs: daemon.wrongs };
}

async function removedDatabase() {
  const daemon = await Daemon.start();
  const { home } = daemon;
  const log = `${home.databaseOf("eve")}-wal`;
  const before = statSync(log).size;
  const tracer = await Tracer.attach(daemon.program.threads.main, "fdatasync,fsync", `delay_enter=${DELAY_US}`);
  daemon.rotate();
  await daemon.until("a commit of eve's", () => statSync(log).size > before);
  rmSync(dirname(home.directoryOf("eve")), { recursive: true });
  home.makeDatabase("eve");
  await tracer.detach();
  await daemon.converged();
  const told = daemon.told();
  await daemon.stop();
  const what = "an agent's directory is removed and made again with an old database, while a commit waits for the disk";
  return { what, told, outcome: "it converged automatically", wrongs: daemon.wrongs };
}

async function setClock() {
  const daemon = await Daemon.start(() => undefined, ["--import", CLOCK]);
  const told = [];
  for (const offset of [-HOUR_MS, HOUR_MS, -10 * 8766 * HOUR_MS, 20 * 8766 * HOUR_MS, 0]) {
    daemon.heard();
    writeFileSync(join(daemon.home.path, "offset"), String(offset));
    daemon.program.kill("SIGUSR2");
    daemon.rotate();
    await daemon.converged();
    told.push(...daemon.told());
  }
  await daemon.stop();
  const what =
    "the clock is set back by 1 h, forward by 2 h, back by 10 years, forward by 30 years, and right again (the process's own `Date`)";
  return { what, told, outcome: "each rotation reached every store at once", wrongs: daemon.wrongs };
}

async function hangingHolder() {
  const daemon = await Daemon.start();
  takeLock(daemon.home, "bob", process.pid);
  daemon.rotate();
  await daemon.saysOf(/held by another program/);
  await daemon.until("all but bob hold the new login", () => daemon.behind().join() === "bob");
  rmSync(lockOf(daemon.home, "bob"));
  await daemon.converged();
  const told = daemon.told();
  await daemon.stop();
  return {
    what: "the holder of an agent's lock hangs, and lets it go at last",
    told,
    outcome: "the others were served meanwhile; then it converged automatically",
    wrongs: daemon.wrongs,
  };
}

async function dyingHolder() {
  const daemon = await Daemon.start();
  const holder = spawn("sleep", ["600"]);
  takeLock(daemon.home, "bob", holder.pid, 60_000);
  daemon.rotate();
  await daemon.saysOf(/held by another program/);
  holder.kill("SIGKILL");
  await daemon.converged();
  const told = daemon.told();
  await daemon.stop();
  return {
    what: "the holder of an agent's lock is killed, more than 30 s after it took it",
    told,
    outcome: "the lock was kept while it lived, and broken then; it converged automatically",
    wrongs: daemon.wrongs,
  };
}

async function stealingHolder() {
  const daemon = await Daemon.start();
  const { home } = daemon;
  const tracer = await Tracer.attach(daemon.program.threads.pool, "fsync", `delay_enter=${DELAY_US}`);
  daemon.rotate();
  await daemon.until("bob's new file", () =>
    readdirSync(home.directoryOf("bob")).some((name) => /json\.credsyncd.*tmp$/.test(name)),
  );
  rmSync(lockOf(home, "bob"));
  takeLock(home, "bob", process.pid);
  const theirs = JSON.stringify(JSON.parse(readFileSync(home.fileOf("bob"), "utf8")));
  writeFileSync(home.fileOf("bob"), theirs);
  await daemon.until(
    "credsyncd is done with bob",
    () => !readdirSync(home.directoryOf("bob")).some((name) => /json\.credsyncd.*tmp$/.test(name)),
  );
  await tracer.detach();
  await daemon.until("all but bob hold the new login", () => daemon.behind().join() === "bob");
  if (readFileSync(home.fileOf("bob"), "utf8") !== theirs) daemon.wrongs.push("what the other wrote was overwritten");
  if (!readFileSync(lockOf(home, "bob"), "utf8").includes(`"pid":${process.pid}`))
    daemon.wrongs.push("the other's lock was taken away");
  rmSync(lockOf(home, "bob"));
  await daemon.converged();
  const told = daemon.told();
  await daemon.stop();
  return {
    what: "another program takes the lock away and writes the file, while credsyncd's new file waits for the disk",
    told,
    outcome: "the other's lock and file were left alone; once it was done, it converged automatically",
    wrongs: daemon.wrongs,
  };
}

/** @param {boolean} canMount */
export function allScenarios(canMount) {
  const mounted = [
    () => fullDisk("the disk with OpenClaw's stores is full (a real tmpfs)", (home) => join(home.path, ".openclaw")),
    () =>
      fullDisk("the disk with credsyncd's own state is full (a real tmpfs)", (home) =>
        join(home.path, ".local", "state", "credsyncd"),
      ),
  ];
  const others = [shortWrites, removedDirectory, removedDatabase, setClock, hangingHolder, dyingHolder, stealingHolder];
  return [...(canMount ? mounted : []), ...others];
}
