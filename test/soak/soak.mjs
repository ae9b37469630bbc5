// The built daemon for a long time, compressed: months of rotations, ends, logouts, alerts, reloads, agents that come and go,
// stores of another kind and restarts of the gateway in half an hour. Ends with 1 if something grew that must not.
//   npm run soak                          30 minutes; two tables to stdout
//   npm run soak -- --minutes 1           what CI runs
//   npm run soak -- --agents 40 --seed 7  more agents; another order of things
//   npm run soak -- --write               puts the tables into docs/soak.md
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, URL } from "node:url";
import { parseArgs, promisify } from "node:util";
import { format } from "prettier";
import { MAIN, ProbedDaemon, until } from "../storm/daemon.mjs";
import { randomOf } from "../storm/random.mjs";
import { SoakHome } from "./home.mjs";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A day takes at least so long, so that an hour of the soak is not an hour of one core. */
const SHORTEST_DAY_MS = 1500;
const ROTATIONS_A_DAY = 3;
const SAMPLES = 120;
const ROWS = 10;
const DOCS = fileURLToPath(new URL("../../docs/soak.md", import.meta.url));

/** The limits for the second half. */
const MEMORY_RATIO = 1.2;
/** Beyond the most of the first half: one that is just being used, and a database's three. */
const MORE_DESCRIPTORS = 4;
/** The size of the ledger's state for each generation, which it never forgets: 0.4 to 0.8 KiB, folded on its own. */
const LEDGER_KIB = 0.5;
const LARGEST_LEDGER_KIB = 8192;
const BACKUPS_A_STORE = 5;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    agents: { type: "string", default: "25" },
    seed: { type: "string", default: "1" },
    write: { type: "boolean", default: false },
  },
});
const [minutes, agents, seed] = ["minutes", "agents", "seed"].map((name) => {
  const number = Number(values[name]);
  if (Number.isFinite(number) && number > 0) return number;
  throw new Error(`--${name} takes a number above 0, not ${values[name]}`);
});

/** In the first minutes the heap takes in what the compiler makes of the program. */
const heapGrowth = minutes < 10 ? 0.1 : 0.05;
const random = randomOf(seed);
const one = (items) => items[Math.floor(random() * items.length)];

const home = await SoakHome.make(agents);
const files = home.namesOf.bind(home, "one-file", "two-files");
const happened = new Map();
const note = (what) => happened.set(what, (happened.get(what) ?? 0) + 1);

/** Things that come to an end within the day; each leaves all agents with the login. */
const episodes = {
  "a login that is about to end": async () => {
    home.signIn(Date.now() + 30 * MINUTE_MS);
    await inStep();
    home.rotate();
  },
  "a login that has ended": async () => {
    home.signIn(Date.now() - HOUR_MS);
    await inStep();
    home.rotate();
  },
  "a refresh by an agent": async (daemon) => {
    home.signIn(Date.now() + 5 * MINUTE_MS);
    await inStep();
    await says(daemon, "agent rotation adopted", () => home.refreshIn(one([...home.agents.keys()]), random));
  },
  "a logout": async (daemon) => {
    await says(daemon, "source missing", () => home.logOut());
    home.mend();
  },
  "a torn login": async (daemon) => {
    await says(daemon, "source unreadable", () => home.tear());
    home.mend();
  },
  "a broken store": async (daemon) => {
    const name = one(files());
    await says(daemon, "store error", () => home.breakStore(name));
    home.mendStore(name);
  },
  "an old login put back": async (daemon) => {
    home.rotate();
    await inStep();
    await says(daemon, "drift corrected", () => home.revertIn(one([...home.agents.keys()]), random));
  },
};

/** Things that another program or a person does meanwhile. */
const changes = {
  "an agent replaced by another": () => home.replaceAgent(one([...home.agents.keys()])),
  "two stores of another kind": () => {
    const [file, database] = [one(files()), one(home.namesOf("database"))];
    const kind = home.agents.get(file).kind;
    home.replaceKind(file, "database");
    home.replaceKind(database, kind);
  },
  "a restart of the gateway": () => home.restartGateway(),
  "a configuration reloaded": async (daemon) => {
    home.configure(configuration(1 + Math.floor(random() * 3)));
    await says(daemon, "configuration reloaded", () => daemon.signal("SIGHUP"));
  },
  "a bad configuration refused": async (daemon) => {
    home.breakConfiguration();
    await says(daemon, "configuration not reloaded", () => daemon.signal("SIGHUP"));
    home.configure(configuration(1));
  },
  "a reload of the gateway that fails for a day": () => home.answerReloads(1),
  "credsyncd sync beside it": () => run("sync", "--quiet"),
  "credsyncd status beside it": () => run("status"),
};

function configuration(hours) {
  return {
    onAccountChange: "push",
    resync: "*/10 * * * * *",
    alerts: { expiringWithin: `${hours}h`, repeatEvery: "1m", command: ["cat"] },
    keepWarm: { command: ["true"], before: "10m" },
    metrics: { textfile: join(home.path, "credsyncd.prom") },
  };
}

async function run(...args) {
  const env = { HOME: home.path, ...home.variables };
  await promisify(execFile)(process.execPath, [MAIN, ...args], { env, maxBuffer: 1 << 24 });
}

async function says(daemon, message, action) {
  const before = daemon.count(message);
  await action();
  await until(() => daemon.count(message) > before, `"${message}" in the log`);
}

async function inStep() {
  await until(() => home.behind().length === 0, "all agents to hold the login", 20);
}

async function liveOneDay(daemon) {
  const startedAt = performance.now();
  home.answerReloads(0);
  for (let rotation = 0; rotation < ROTATIONS_A_DAY; rotation++) {
    for (const name of home.agents.keys()) if (random() < 0.2) await home.turn(name, random() < 0.1, random);
    home.rotate();
    await inStep();
  }
  const change = one(Object.keys(changes));
  note(change);
  await changes[change](daemon);
  const episode = one(Object.keys(episodes));
  note(episode);
  await episodes[episode](daemon);
  await inStep();
  await pause(Math.max(0, startedAt + SHORTEST_DAY_MS - performance.now()));
}

/** Taken where no command of the daemon runs. */
async function sample(daemon, startedAt, days) {
  await until(() => daemon.children.length === 0, "the daemon's commands to end");
  const { heapUsed, external, delayMs } = await daemon.probe();
  const { open, inotifyWatches } = daemon.descriptors;
  const state = join(home.path, ".local", "state", "credsyncd");
  const sizes = readdirSync(state, { recursive: true }).map((name) => [name, sizeOf(join(state, name))]);
  return {
    minutes: (performance.now() - startedAt) / MINUTE_MS,
    days,
    generations: home.generation,
    heapKib: heapUsed / 1024,
    externalKib: external / 1024,
    residentKib: daemon.residentKib,
    open,
    inotifyWatches,
    ledgerKib: sizeOf(join(state, "ledger.jsonl")) / 1024,
    backups: sizes.filter(([name]) => name.startsWith("backups/")).length,
    stateKib: sizes.reduce((sum, [, size]) => sum + size, 0) / 1024,
    logKib: daemon.logBytes / 1024,
    told: daemon.told,
    delayMs,
  };
}

/** One that went away since the directory was read has none. */
function sizeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

async function soak(daemon) {
  const samples = [];
  const startedAt = performance.now();
  const endsAt = startedAt + minutes * MINUTE_MS;
  let days = 0;
  for (let nextAt = startedAt; performance.now() < endsAt || samples.length < 4;) {
    await liveOneDay(daemon);
    days += 1;
    if (performance.now() < nextAt) continue;
    samples.push(await sample(daemon, startedAt, days));
    nextAt = performance.now() + (minutes * MINUTE_MS) / SAMPLES;
  }
  return samples;
}

/** The straight line through the samples, by least squares. @returns {{ growth: number, mean: number }} growth from the first to the last */
function fitOf(samples, key) {
  const [xs, ys] = [samples.map((each) => each.minutes), samples.map((each) => each[key])];
  const [meanX, mean] = [average(xs), average(ys)];
  const slope =
    xs.reduce((sum, x, index) => sum + (x - meanX) * (ys[index] - mean), 0) / xs.reduce((sum, x) => sum + (x - meanX) ** 2, 0);
  return { growth: slope * (xs.at(-1) - xs[0]), mean };
}

function judge(samples, daemon, code) {
  const second = samples.slice(Math.floor(samples.length / 2));
  const heap = fitOf(second, "heapKib");
  const remembered = (second.at(-1).generations - second[0].generations) * LEDGER_KIB;
  const heapRatio = Math.max(0, heap.growth - remembered) / heap.mean;
  const most = (key) => Math.max(...second.map((each) => each[key]));
  const least = (key) => Math.min(...second.map((each) => each[key]));
  const first = samples.slice(0, Math.floor(samples.length / 2));
  const bound = (key) => Math.max(...first.map((each) => each[key])) + MORE_DESCRIPTORS;
  const [middle, last] = [second.slice(0, 5), second.slice(-5)].map((some) => median(some, "residentKib"));
  const mostBackups = home.born * BACKUPS_A_STORE + home.signIns;
  return [
    [
      "heap after a collection, second half, straight line, beside the ledger's share",
      `${mib(heap.mean)} MiB, ${heap.growth >= 0 ? "+" : ""}${heap.growth.toFixed(0)} KiB, the ledger ${remembered.toFixed(0)} KiB: ${(100 * heapRatio).toFixed(1)} %`,
      `${100 * heapGrowth} %`,
      heapRatio <= heapGrowth,
    ],
    [
      "resident memory, middle and end",
      `${mib(middle)} and ${mib(last)} MiB: ${(last / middle).toFixed(2)}×`,
      `${MEMORY_RATIO}×`,
      last / middle <= MEMORY_RATIO,
    ],
    ["open descriptors, second half", `${least("open")} to ${most("open")}`, bound("open"), most("open") <= bound("open")],
    [
      "directories watched by inotify, second half",
      `${least("inotifyWatches")} to ${most("inotifyWatches")}`,
      bound("inotifyWatches"),
      most("inotifyWatches") <= bound("inotifyWatches"),
    ],
    [
      "largest ledger",
      `${most("ledgerKib").toFixed(0)} KiB`,
      `${LARGEST_LEDGER_KIB} KiB`,
      most("ledgerKib") <= LARGEST_LEDGER_KIB,
    ],
    [
      `files of backups (${home.born} agents so far, ${home.signIns} sign-ins)`,
      most("backups"),
      mostBackups,
      most("backups") <= mostBackups,
    ],
    ["parts of a token in the log", daemon.leaked ? "some" : 0, 0, !daemon.leaked],
    ["exit code of the daemon", code, 0, code === 0],
  ];
}

function documentOf(samples, promises, daemon) {
  const command = `npm run soak -- --minutes ${minutes} --agents ${agents} --seed ${seed} --write`;
  const [first, last] = [samples[0], samples.at(-1)];
  const shown = samples.filter((_, index) => index % Math.ceil(samples.length / ROWS) === 0 || index === samples.length - 1);
  const perGeneration = ((last.heapKib - first.heapKib) * 1024) / (last.generations - first.generations);
  return `# The soak

Made by \`${command}\`
(Node ${process.version}, ${cpus().length} cores, ${new Date().toISOString().slice(0, 10)}). [test/soak/README.md](../test/soak/README.md) says what happens in it.

| promise | seen | at most | |
| --- | --- | --- | --- |
${promises.map(([what, figure, bound, kept]) => `| ${what} | ${figure} | ${bound} | ${kept ? "kept" : "**broken**"} |`).join("\n")}

| minutes | days | generations | heap MiB | external KiB | resident MiB | descriptors | watches | ledger KiB | backups | state KiB | log KiB | alert lines |
| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |
${shown
  .map((each) =>
    [
      each.minutes.toFixed(1),
      each.days,
      each.generations,
      mib(each.heapKib, 2),
      each.externalKib.toFixed(0),
      mib(each.residentKib),
      each.open,
      each.inotifyWatches,
      each.ledgerKib.toFixed(0),
      each.backups,
      each.stateKib.toFixed(0),
      each.logKib.toFixed(0),
      each.told,
    ].join(" | "),
  )
  .map((row) => `| ${row} |`)
  .join("\n")}

| what happened | times |
| --- | --: |
| rotations of the login | ${last.generations - 1} |
${[...happened].map(([what, times]) => `| ${what} | ${times} |`).join("\n")}
| bytes of heap for each generation that is remembered, from the first sample to the last | ${perGeneration.toFixed(0)} |
| event-loop delay p99, worst of all samples (1 ms of it is the measuring) | ${Math.max(...samples.map(({ delayMs }) => delayMs.p99))} ms |
${logLines(daemon)
  .map(([what, times]) => `| logged: ${what} | ${times} |`)
  .join("\n")}
`;
}

function logLines({ counts }) {
  return [...counts].sort(([left], [right]) => left.localeCompare(right));
}

function median(samples, key) {
  return samples.map((each) => each[key]).toSorted((left, right) => left - right)[Math.floor(samples.length / 2)];
}

function average(numbers) {
  return numbers.reduce((total, number) => total + number, 0) / numbers.length;
}

function mib(kib, digits = 1) {
  return (kib / 1024).toFixed(digits);
}

try {
  home.configure(configuration(1));
  const daemon = await ProbedDaemon.start(home, { flags: ["--expose-gc"], variables: home.variables });
  const samples = await soak(daemon);
  const code = await daemon.stop();
  const promises = judge(samples, daemon, code);
  const text = await format(documentOf(samples, promises, daemon), { parser: "markdown", printWidth: 130 });
  process.stdout.write(text);
  if (values.write) {
    mkdirSync(join(DOCS, ".."), { recursive: true });
    writeFileSync(DOCS, text);
  }
  process.exitCode = promises.every(([, , , kept]) => kept) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
// After what was started was killed, where something failed.
process.once("exit", () => home.remove());
process.exit();
