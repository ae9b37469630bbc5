// Kills the built program at every system call that changes a disk, in the middle of pushing a rotation to five JSON and
// three SQLite stores, and checks the remains: at once, and after the next start.
//   npm run crash                        every call of `sync` and of the daemon; a table to stdout
//   npm run crash -- --out docs/crash.md the table goes there
//   npm run crash -- --every 10 --json   only each tenth call; the outcomes as JSON
//   npm run crash -- --call rename       only this system call
// Needs strace, which injects the kill right before the call is carried out; exit code 69 where there is none.
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { format } from "prettier";
import { CrashHome } from "./home.mjs";
import { canTrace, groupBy, inParallel, Program, ranges, subjectOf, threads, Tracer } from "./traced.mjs";

/** Those that change what is on a disk; making a file is an `openat`. */
const ALL_CALLS = [
  "openat",
  "write",
  "pwrite64",
  "ftruncate",
  "fsync",
  "fdatasync",
  "link",
  "rename",
  "unlink",
  "mkdir",
  "rmdir",
  "fchown",
  "fchmod",
  "utimensat",
];
const OLD = 1;
const NEW = 2;

const { values: options } = parseArgs({
  options: {
    every: { type: "string", default: "1" },
    call: { type: "string" },
    out: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const EVERY = Number(options.every);
const CALLS = options.call === undefined ? ALL_CALLS : [options.call];

/** The actions of each command until its work is done; `run` stops when it is ready, after its first reconcile. */
const commands = {
  sync: { words: ["sync"], untilDone: () => undefined },
  run: { words: ["run", "--json"], untilDone: stopWhenReady },
};

async function stopWhenReady(program) {
  await program.said(({ stdout }) => stdout.includes(`"msg":"ready"`));
  program.kill("SIGTERM");
}

async function runFreely(home, { words, untilDone }) {
  const program = new Program(home.path, words);
  void untilDone(program);
  return program.ended();
}

/** Returns the files that an uninterrupted start leaves. */
async function namesAfterCleanRun(template, command) {
  const home = template.copy();
  try {
    const status = await runFreely(home, command);
    if (status !== 0) throw new Error(`an uninterrupted start ended with ${status}`);
    return new Set(home.names());
  } finally {
    home.remove();
  }
}

/** @returns how the program ended and what it called, as strace wrote it; nothing is done to it without an injection */
async function runTraced(home, { words, untilDone }, { thread, call }, inject) {
  const program = await Program.start(home.path, words);
  const tracer = await Tracer.attach(program.threads[thread], call, inject);
  void untilDone(program);
  program.goOn();
  const end = await program.ended();
  const calls = await tracer.gone();
  return { end, calls: calls.filter((line) => line.startsWith(`${call}(`)) };
}

/** @returns null where the program ended before it made that many of the calls */
async function crashAt({ template, clean }, command, place, index) {
  const home = template.copy();
  try {
    const { end, calls } = await runTraced(home, command, place, `signal=SIGKILL:when=${index}`);
    if (end !== "SIGKILL") return null;
    const before = home.look();
    const locks = home.locks();
    const restart = await runFreely(home, command);
    const after = home.look();
    return {
      subject: subjectOf(calls.at(-1) ?? ""),
      pushed: before.filter(({ name, generation }) => name !== "source" && generation === NEW).length,
      torn: [...before, ...after].filter(({ generation }) => ![OLD, NEW].includes(generation)).map(({ name }) => name),
      nameless: locks.filter(({ named }) => !named).map(({ name }) => name),
      locks: locks.length,
      restart,
      behind: after.filter(({ generation }) => generation !== NEW).length,
      leftovers: home.names().filter((name) => !clean.has(name)),
    };
  } finally {
    home.remove();
  }
}

/** At every index that a run without a kill has of the call, and one more: the order of some differs from run to run. */
async function crashesAtEach(start, verb, place) {
  const home = start.template.copy();
  const { calls } = await runTraced(home, commands[verb], place, null);
  home.remove();
  const outcomes = [];
  for (let index = 1; index <= calls.length + 1; index += EVERY) {
    if (!calls.slice(Math.max(0, index - 2), index + 1).some(changesDisk)) continue;
    const outcome = await crashAt(start, commands[verb], place, index);
    if (outcome !== null) outcomes.push({ verb, ...place, index, ...outcome });
  }
  return outcomes;
}

/** Not a file that is only read, nor a thread that wakes another. */
function changesDisk(line) {
  return line.startsWith("openat(") ? line.includes("O_CREAT") : subjectOf(line) !== "no file";
}

async function allCrashes() {
  const template = await CrashHome.make();
  try {
    await runFreely(template, commands.sync);
    template.rotate(NEW);
    const actions = [];
    for (const [verb, command] of Object.entries(commands)) {
      const clean = await namesAfterCleanRun(template, command);
      const places = CALLS.flatMap((call) => threads.map((thread) => ({ thread, call })));
      actions.push(...places.map((place) => () => crashesAtEach({ template, clean }, verb, place)));
    }
    return await inParallel(actions, availableParallelism());
  } finally {
    template.remove();
  }
}

function wrongsOf({ torn, nameless, restart, behind, leftovers }) {
  return [
    ...torn.map((name) => `torn: ${name}`),
    ...nameless.map((name) => `a lock that names nobody: ${name}`),
    ...(restart === 0 ? [] : [`the next start ended with ${restart}`]),
    ...(behind === 0 ? [] : [`${behind} behind after the next start`]),
    ...leftovers.map((name) => `left over: ${name}`),
  ];
}

function outcomeOf(outcome) {
  const wrongs = wrongsOf(outcome);
  return wrongs.length === 0
    ? "whole; the next start brings all 8 to the new login and leaves nothing behind"
    : wrongs.join("; ");
}

function tableOf(outcomes) {
  const lines = ["| command | system call | on | thread: index | stores pushed before | locks left by the kill | outcome |"];
  lines.push("| --- | --- | --- | --- | --- | --- | --- |");
  const inOrder = outcomes.toSorted((left, right) => orderOf(left) - orderOf(right));
  for (const group of groupBy(inOrder, ({ verb, call, subject, ...rest }) => [verb, call, subject, outcomeOf(rest)].join())) {
    const [{ verb, call, subject }] = group;
    const byThread = groupBy(group, ({ thread }) => thread);
    const indices = byThread.map((same) => `${same[0].thread}: ${ranges(same.map(({ index }) => index))}`).join("; ");
    const counts = ["pushed", "locks"].map((name) => ranges(group.map((outcome) => outcome[name])));
    lines.push(`| \`${verb}\` | ${call} | ${subject} | ${indices} | ${counts[0]} of 8 | ${counts[1]} | ${outcomeOf(group[0])} |`);
  }
  return lines.join("\n");
}

function orderOf({ verb, call, thread, index }) {
  const places = [Object.keys(commands).indexOf(verb), ALL_CALLS.indexOf(call), threads.indexOf(thread), index];
  return places.reduce((sum, place) => sum * 10_000 + place, 0);
}

const INTRODUCTION = `# Killed at every system call

Made by \`npm run crash -- --out docs/crash.md\` (Node ${process.version}, ${process.platform}).

A login was rotated; \`sync\`, or the daemon (\`run\`, until it was ready and then stopped), pushes it to five agents with a JSON
store and three with a database. strace kills it with SIGKILL right before the n-th of one system call of one thread: \`main\`, or
\`pool\`, the one that makes the calls that may wait (\`UV_THREADPOOL_SIZE=1\`). After each kill every store and the source are
read: each is whole, with the old login or the new, and every lock that lies about names its dead holder. Then the same
command is started once more, and everything is checked again. Every index counts whose call changes a disk (of \`openat\`
those that make a file), and its neighbours, as the order of calls differs a little from run to run; so "no file", a call on a
pipe or an event descriptor, comes up too. Rows with the same outcome are one row, with the indices of all of them.
`;

if (!canTrace()) {
  process.stderr.write("strace is not installed: nothing was tried\n");
  process.exitCode = 69;
} else {
  const outcomes = await allCrashes();
  const bad = outcomes.filter((outcome) => wrongsOf(outcome).length > 0);
  const summary = `${outcomes.length} crashes, ${bad.length} of them left something wrong`;
  if (options.out !== undefined) {
    const text = `${INTRODUCTION}\n${summary}.\n\n${tableOf(outcomes)}\n`;
    writeFileSync(options.out, await format(text, { parser: "markdown", printWidth: 130 }));
  } else process.stdout.write(options.json ? JSON.stringify({ outcomes, bad }) : `${tableOf(outcomes)}\n`);
  process.stderr.write(`${summary}\n`);
  process.exitCode = bad.length === 0 ? 0 : 1;
}
