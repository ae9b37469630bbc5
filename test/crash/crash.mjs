// Kills the built program at every system call that changes a disk, in the middle of pushing a rotation to five JSON and
// three SQLite stores, and looks at what is left: at once, and after the next start.
//   npm run crash                        every call of `sync` and of the daemon; a table to stdout
//   npm run crash -- --every 10 --json   only each tenth call; the outcomes as JSON
//   npm run crash -- --call rename       only this system call
// Needs strace, which injects the kill right before the call is carried out; exit code 69 where there is none.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath, URL } from "node:url";
import { parseArgs } from "node:util";
import { CrashHome } from "./home.mjs";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const ALL_CALLS = ["write", "pwrite64", "fsync", "fdatasync", "link", "rename", "unlink", "mkdir", "rmdir"];
/** One thread for the calls that wait, so that the n-th call is the same one each time. */
const ONE_THREAD = { UV_THREADPOOL_SIZE: "1" };
const LONGEST_RUN_MS = 60_000;

const { values: options } = parseArgs({
  options: { every: { type: "string", default: "1" }, call: { type: "string" }, json: { type: "boolean", default: false } },
});

const CALLS = options.call === undefined ? ALL_CALLS : [options.call];

const starts = {
  /** @param {string[]} wrapper what the program is started by */
  async sync(home, wrapper) {
    const { signal, status } = spawnSync(...commandOf(wrapper, "sync"), { env: environmentOf(home), timeout: LONGEST_RUN_MS });
    return signal === "SIGKILL" ? "killed" : status;
  },

  /** Until it is ready, which is after its first reconcile, or killed. */
  async run(home, wrapper) {
    const [file, args] = commandOf(wrapper, "run");
    const child = spawn(file, [...args, "--json"], { env: environmentOf(home), stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    createInterface(child.stdout).on("line", (line) => {
      // With -D strace is not its parent, so the signal reaches the program itself.
      if (JSON.parse(line).msg === "ready") child.kill("SIGTERM");
    });
    const [status, signal] = await exited;
    return signal === "SIGKILL" ? "killed" : status;
  },
};

function commandOf(wrapper, verb) {
  const [file, ...args] = [...wrapper, process.execPath, MAIN, verb];
  return [file, args];
}

function environmentOf(home) {
  return { HOME: home.path, PATH: process.env.PATH, ...ONE_THREAD };
}

function killAt(call, index) {
  const injection = `inject=${call}:signal=SIGKILL:when=${index}`;
  return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`, "-e", injection];
}

/** What a start leaves behind that nothing interrupted. */
async function namesAfterCleanRun(template, start) {
  const home = template.copy();
  try {
    const status = await start(home, []);
    if (status !== 0) throw new Error(`an uninterrupted start ended with ${status}`);
    return new Set(namesIn(home));
  } finally {
    home.remove();
  }
}

function namesIn({ path }) {
  // A database's log comes and goes with whoever has it open.
  return readdirSync(path, { recursive: true }).filter((name) => !/-(wal|shm)$/.test(name));
}

async function crashAt(template, start, call, index, clean) {
  const home = template.copy();
  try {
    const end = await start(home, killAt(call, index));
    if (end !== "killed") return null;
    const { stores: before, torn } = home.look();
    const status = await start(home, []);
    const { stores: after, torn: tornAfter } = home.look();
    return {
      call,
      index,
      pushed: before.filter((generation) => generation === "new").length,
      torn: [...torn, ...tornAfter],
      restart: status,
      behind: after.filter((generation) => generation !== "new").length,
      leftovers: namesIn(home).filter((name) => !clean.has(name)),
    };
  } finally {
    home.remove();
  }
}

async function crashes(verb, every) {
  const template = await CrashHome.make();
  try {
    const start = starts[verb];
    await template.inStep(() => start(template, []));
    const clean = await namesAfterCleanRun(template, start);
    const outcomes = [];
    for (const call of CALLS) outcomes.push(...(await crashesAtEach(call, every, { template, start, clean })));
    return outcomes.map((outcome) => ({ verb, ...outcome }));
  } finally {
    template.remove();
  }
}

/** Until the program ends before it makes that many of the calls. */
async function crashesAtEach(call, every, { template, start, clean }) {
  const outcomes = [];
  for (let index = 1; ; index += every) {
    const outcome = await crashAt(template, start, call, index, clean);
    if (outcome === null) return outcomes;
    outcomes.push(outcome);
  }
}

function isGood({ torn, restart, behind, leftovers }) {
  return torn.length === 0 && restart === 0 && behind === 0 && leftovers.length === 0;
}

function tableOf(outcomes) {
  const lines = ["| command | system call | killed at | stores pushed before | torn | restart | behind after | left over |"];
  lines.push("| --- | --- | --: | --: | --- | --- | --: | --- |");
  for (const { verb, call, index, pushed, torn, restart, behind, leftovers } of outcomes) {
    const words = [torn, leftovers].map((names) => (names.length === 0 ? "none" : names.join(", ")));
    lines.push(`| ${verb} | ${call} | ${index} | ${pushed} of 8 | ${words[0]} | exit ${restart} | ${behind} | ${words[1]} |`);
  }
  return lines.join("\n");
}

if (spawnSync("strace", ["-V"]).error) {
  process.stderr.write("strace is not installed: nothing was tried\n");
  process.exitCode = 69;
} else {
  const outcomes = [...(await crashes("sync", Number(options.every))), ...(await crashes("run", Number(options.every)))];
  const bad = outcomes.filter((outcome) => !isGood(outcome));
  process.stdout.write(options.json ? JSON.stringify({ outcomes, bad }) : `${tableOf(outcomes)}\n`);
  process.stderr.write(`${outcomes.length} crashes, ${bad.length} of them left something wrong\n`);
  process.exitCode = bad.length === 0 ? 0 : 1;
}
