import { existsSync, readdirSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { CrashHome } from "../crash/home.mjs";
import { Program, subjectOf, threads, Tracer } from "../crash/traced.mjs";

/** The errors that each call may really return. */
const errors = {
  openat: ["EACCES", "EMFILE", "ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR"],
  read: ["EIO", "EINTR"],
  pread64: ["EIO", "EINTR"],
  write: ["ENOSPC", "EDQUOT", "EIO", "EINTR"],
  pwrite64: ["ENOSPC", "EDQUOT", "EIO", "EINTR"],
  ftruncate: ["EIO", "EINTR"],
  fsync: ["EIO", "ENOSPC", "EDQUOT", "EINTR"],
  fdatasync: ["EIO", "ENOSPC", "EDQUOT", "EINTR"],
  link: ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"],
  rename: ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"],
  unlink: ["EIO", "EROFS", "EACCES"],
  mkdir: ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES"],
};
/** Those that are no use for a rate: threads wake each other by `read` and `write`, and a command reads its own code. */
const UNRATED = { run: ["read", "write"], sync: ["read", "write", "pread64", "openat"] };
/** No disk is full when a thread wakes another; and what Node says of a program that it cannot read is Node's. */
const SKIPPED = ["no file", "the program's own code"];
const LONGEST_MS = 20_000;
const QUIET_MS = 60;
/** After this pause nothing retries any more: the first retries come far sooner. */
const IDLE_MS = 800;
const POLL_MS = 5;

/** Every call and error of the table, or those that were asked for. */
export function allFaults({ call, error }) {
  const calls = Object.entries(errors).filter(([name]) => call === undefined || name === call);
  return calls.flatMap(([name, all]) =>
    all
      .filter((each) => error === undefined || each === error)
      .flatMap((each) => threads.map((thread) => ({ call: name, error: each, thread }))),
  );
}

/** The temporary names of credsyncd's own state. */
const OWN_TEMPORARY = /\.tmp\.\d+$|\.\d{6,}$/;

/** Locks that are held by nobody any more once all is done, and files that were to take another's place. */
function leftoversIn(home) {
  return home
    .names()
    .filter((name) => /\.lock$|\.turn$|\.tmp$/.test(name) || OWN_TEMPORARY.test(name))
    .filter((name) => !name.endsWith("run.lock"));
}

/** Judges what a home looks like while one rotation is pushed. */
export class Judge {
  #home;
  #generation = 1;
  #lately = new Set();
  wrongs = [];

  constructor(home) {
    this.#home = home;
  }

  rotate() {
    this.#generation += 1;
    this.wrongs = [];
    this.#home.rotate(this.#generation);
  }

  /** @returns whether everything holds the new login; a torn store and one that went back are noted */
  look() {
    const stores = this.#home.look();
    for (const { name, generation } of stores) {
      if (generation === "torn") this.#note(`torn: ${name}`);
      else if (generation < this.#generation - 1) this.#note(`went back: ${name}`);
    }
    return stores.every(({ generation }) => generation === this.#generation);
  }

  /** The output may name everything, but never a token. A file that was left must be gone after one more rotation. */
  end(output) {
    if (/made-up-(access|refresh|key)/.test(output)) this.#note("a token was printed");
    const left = leftoversIn(this.#home);
    for (const name of left) if (this.#lately.has(name)) this.#note(`left over: ${name}`);
    this.#lately = new Set(left);
    return this.wrongs;
  }

  #note(wrong) {
    if (!this.wrongs.includes(wrong)) this.wrongs.push(wrong);
  }
}

/** The program's behaviour without faults, found once for each call. */
class Faulty {
  #usual = new Map();

  /** @returns what the calls of a thread are about, in their order */
  async usual(thread, call) {
    const name = `${thread} ${call}`;
    if (!this.#usual.has(name)) {
      const { calls } = await this.round([{ thread, call, inject: null }]);
      this.#usual.set(name, calls.filter((line) => line.startsWith(`${call}(`)).map(subjectOf));
    }
    return this.#usual.get(name);
  }
}

/** `sync`: a process for each fault. */
export class FaultySync extends Faulty {
  verb = "sync";
  #home;
  #judge;

  static async open() {
    const faulty = new FaultySync();
    faulty.#home = await CrashHome.make();
    faulty.#judge = new Judge(faulty.#home);
    await new Program(faulty.#home.path, ["sync"]).ended();
    return faulty;
  }

  close() {
    this.#home.remove();
  }

  /** @returns {Promise<{ calls: string[], told: string[], outcome: string, wrongs: string[] }>} */
  async round(faults) {
    this.#judge.rotate();
    const program = await Program.start(this.#home.path, ["sync", "--json"]);
    const tracers = await attachAll(program, faults);
    program.goOn();
    const status = await program.ended();
    const calls = (await Promise.all(tracers.map((tracer) => tracer.gone()))).flat();
    const isDone = this.#judge.look();
    const { told, wrongs } = judgeReport(program, status);
    if (status === 0 && !isDone) wrongs.push("exit 0, though not everything was brought to the new login");
    const again = isDone ? 0 : await new Program(this.#home.path, ["sync"]).ended();
    if (again !== 0 || !this.#judge.look()) wrongs.push(`the next sync ended with ${again}`);
    const outcome =
      status === 0
        ? "nothing was in the way"
        : `exit ${status}, reported; ${isDone ? "everything was written" : "the next one writes the rest"}`;
    return { calls, told, outcome, wrongs: [...this.#judge.end(program.stdout + program.stderr), ...wrongs] };
  }
}

function judgeReport({ stdout, stderr }, status) {
  if (typeof status !== "number" || /\n\s+at .*:\d+:\d+/.test(stderr)) {
    return { told: [firstErrorLine(stderr)], wrongs: [`ended with ${status}: ${firstErrorLine(stderr)}`] };
  }
  if (stdout === "") return { told: [], wrongs: [`exit ${status} without a report`] };
  const { error, writes = [], errors: failed = [], sources = [], holds = [] } = JSON.parse(stdout);
  const unreadable = sources
    .filter(({ explanation }) => explanation !== null)
    .map(({ explanation, hint }) => ({ error: explanation, hint }));
  const bad = [...writes.filter(({ result }) => result === "failed"), ...failed, ...unreadable, ...holds];
  const all = error === undefined ? bad : [{ error: error.message, hint: error.hint }];
  const wrongs = [];
  if (holds.length > 0) wrongs.push(`held: ${holds[0].reason}`);
  for (const { error: message, hint } of all) if (!message || !hint) wrongs.push(`reported without a next step: ${message}`);
  const right = error !== undefined ? [1, 65, 69, 75, 77, 78] : all.length > 0 ? [3, 69] : [0];
  if (!right.includes(status)) wrongs.push(`exit ${status} with ${all.length} problems reported`);
  return { told: all.map(({ error: message, hint }) => `${message} (${hint})`), wrongs };
}

function firstErrorLine(text) {
  return text.split("\n").find((line) => /error/i.test(line) && !line.startsWith("credsyncd: ")) ?? text.split("\n").at(-2) ?? "";
}

/** The daemon: one process for all faults, as long as it lives. */
export class FaultyDaemon extends Faulty {
  verb = "run";
  #home;
  #judge;
  #program;

  static async open() {
    const faulty = new FaultyDaemon();
    faulty.#home = await CrashHome.make();
    faulty.#home.keepOpen();
    faulty.#judge = new Judge(faulty.#home);
    await faulty.#start();
    return faulty;
  }

  async close() {
    await this.round([]);
    await this.#start();
    this.#program.kill("SIGTERM");
    await this.#program.ended();
    const left = leftoversIn(this.#home);
    if (left.length > 0) throw new Error(`left over after the next start and end: ${left.join(", ")}`);
    this.#home.remove();
  }

  async round(faults) {
    const wrongs = [];
    const tracers = await this.#attach(faults, wrongs);
    const from = this.#program.stdout.length;
    this.#judge.rotate();
    const end = await this.#untilIdle();
    const calls = (await Promise.all(tracers.map((tracer) => tracer.detach()))).flat();
    let isDone = end === "done" || (faults.length > 1 && (await this.#untilIdle()) === "done");
    const byItself = isDone;
    if (!isDone) {
      this.#home.nudge();
      isDone = (await this.#untilIdle()) === "done";
    }
    if (!this.#program.isRunning) wrongs.push(`the daemon ended: ${firstErrorLine(this.#program.stderr)}`);
    else if (!isDone) wrongs.push("it did not converge after the faults had ended");
    const output = this.#program.stdout.slice(from);
    const told = output
      .split("\n")
      .filter((line) => /"hint":/.test(line))
      .map((line) => JSON.parse(line));
    const texts = told.map(({ msg, reason, hint }) => `${msg}: ${reason} (${hint})`);
    const words = told.length > 0 ? "reported; " : "";
    const outcome = byItself ? `${words}it converged automatically` : `${words}it converged at the next event or resync`;
    if (!byItself && told.length === 0) wrongs.push("nothing was reported");
    const all = [...this.#judge.end(output + this.#program.stderr), ...wrongs];
    if (!this.#program.isRunning || all.length > 0) await this.#start();
    return { calls, told: texts, outcome, wrongs: all };
  }

  /** Attaches to a running daemon. If the daemon ended after the round before, it reports that and starts another. */
  async #attach(faults, wrongs) {
    try {
      if (this.#program.isRunning) return await attachAll(this.#program, faults);
    } catch (error) {
      // It is gone, though that was not heard of yet.
      if (error.code !== "ENOENT") throw error;
    }
    const status = await this.#program.ended();
    wrongs.push(`the daemon ended with ${status} after the round before: ${firstErrorLine(this.#program.stderr)}`);
    await this.#start();
    return attachAll(this.#program, faults);
  }

  async #start() {
    this.#program?.kill("SIGTERM");
    await this.#program?.ended();
    this.#program = await Program.start(this.#home.path, ["run", "--json"]);
    this.#program.goOn();
    if (!(await this.#program.said(({ stdout }) => stdout.includes(`"msg":"ready"`)))) throw new Error(this.#program.stderr);
    await this.#untilIdle();
  }

  /** Until everything holds the new login and nothing is done any more, or nothing is tried any more. */
  async #untilIdle() {
    let quietSince = performance.now();
    let before = "";
    for (const deadline = quietSince + LONGEST_MS; performance.now() < deadline; await pause(POLL_MS)) {
      const now = ranFor(this.#program.pid);
      // Its end is heard of a moment after it.
      if (now === GONE) await this.#program.ended();
      if (!this.#program.isRunning) return "gone";
      if (now !== before) quietSince = performance.now();
      before = now;
      const isDone = this.#judge.look();
      const quietMs = performance.now() - quietSince;
      if (quietMs > (isDone ? QUIET_MS : IDLE_MS)) return isDone ? "done" : "idle";
    }
    return "busy";
  }
}

const GONE = "gone";

/** For how long the threads of a process ran, which ends with it. */
function ranFor(pid) {
  try {
    const tasks = `/proc/${pid}/task`;
    return readdirSync(tasks)
      .map((id) => readFileSync(`${tasks}/${id}/schedstat`, "utf8"))
      .join();
  } catch {
    return existsSync(`/proc/${pid}`) ? "" : GONE;
  }
}

async function attachAll({ threads: ids }, faults) {
  const tracers = [];
  for (const { thread, call, inject } of faults) tracers.push(await Tracer.attach(ids[thread], call, inject));
  return tracers;
}

/** One fault a rotation, at each index of a call. */
export async function injectAtEach(faulty, { call, error, thread }, every) {
  const outcomes = [];
  const subjects = await faulty.usual(thread, call);
  if (subjects.length === 0) return outcomes;
  for (let index = 1; ; index += every) {
    if (SKIPPED.includes(subjects[index - 1])) continue;
    const { calls, ...rest } = await faulty.round([{ thread, call, inject: `error=${error}:when=${index}` }]);
    const injected = calls.find((line) => line.includes("(INJECTED)"));
    if (injected === undefined && index > subjects.length) return outcomes;
    const subject = injected === undefined ? null : subjectOf(injected);
    if (subject === null || SKIPPED.includes(subject)) continue;
    outcomes.push({ verb: faulty.verb, call, error, thread, index, subject, line: injected, ...rest });
  }
}

/** Every so many calls fail, of both threads, from a random one on. */
export async function injectAtRate(faulty, seed) {
  const random = randomFrom(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const error = pick(["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", ...(faulty.verb === "run" ? ["EMFILE", "EINTR"] : [])]);
  const calls = Object.entries(errors).flatMap(([call, all]) =>
    all.includes(error) && !UNRATED[faulty.verb].includes(call) ? [call] : [],
  );
  const [first, step] = [1 + Math.floor(random() * 20), 2 + Math.floor(random() * 12)];
  const inject = `error=${error}:when=${first}+${step}`;
  const { calls: lines, ...rest } = await faulty.round(threads.map((thread) => ({ thread, call: calls.join(","), inject })));
  const failed = lines.filter((line) => line.includes("(INJECTED)")).length;
  return { verb: faulty.verb, seed, error, rate: `${first}+${step}`, failed, ...rest };
}

/** SIGTERM right before each call of a daemon that pushes a rotation: it ends well and soon, and the next one does the rest. */
export async function terminateAtEach({ call, thread }, every) {
  const home = await CrashHome.make();
  const judge = new Judge(home);
  const outcomes = [];
  try {
    await new Program(home.path, ["sync"]).ended();
    let usual = null;
    for (let index = 0; usual === null || index <= usual.length; index += usual === null || index === 0 ? 1 : every) {
      if (usual !== null && SKIPPED.includes(subjectOf(usual[index - 1] ?? ""))) continue;
      judge.rotate();
      const program = await Program.start(home.path, ["run", "--json"]);
      // Index 0 is the run that is not disturbed, until it is ready.
      const inject = usual === null ? null : `signal=SIGTERM:when=${index}`;
      const [tracer] = await attachAll(program, [{ thread, call, inject }]);
      void program.said(({ stdout }) => stdout.includes(`"msg":"ready"`)).then(() => program.kill("SIGTERM"));
      program.goOn();
      const status = await program.ended();
      const lines = (await tracer.gone()).filter((line) => line.startsWith(`${call}(`));
      judge.look();
      const wrongs = judge.wrongs.filter((wrong) => !wrong.startsWith("went back"));
      const isEnded = status === 0 || (status === "SIGTERM" && isOutside(program, home));
      if (!isEnded) wrongs.push(`ended with ${status}: ${firstErrorLine(program.stderr)}`);
      for (const name of leftoversIn(home)) wrongs.push(`left over: ${name}`);
      if (usual === null) usual = lines;
      else {
        const how = status === 0 ? "exit 0 in time" : "ended by the signal before it began, or after it had ended its work";
        const outcome = `${how}; every store whole, no lock left`;
        const subject = subjectOf(lines[index - 1] ?? "");
        outcomes.push({
          verb: "run",
          call,
          error: "SIGTERM",
          thread,
          index,
          subject,
          line: lines[index - 1],
          told: [],
          outcome,
          wrongs,
        });
      }
    }
    const status = await new Program(home.path, ["sync"]).ended();
    const isDone = judge.look();
    if (!isDone || status !== 0) outcomes.at(-1)?.wrongs.push(`a sync after all of them ended with ${status}`);
    return outcomes;
  } finally {
    home.remove();
  }
}

/** Checks whether a daemon had not begun yet, and touched nothing, or had said that it stopped: the system ends it then. */
function isOutside({ stdout }, home) {
  const hasBegun = home.names().some((name) => /run\.lock\.(held|turn)$/.test(name));
  return stdout.includes(`"msg":"stopped"`) || (stdout === "" && !hasBegun);
}

/** mulberry32. */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
