import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { BenchHome } from "./home.mjs";
import { Daemon, hasStrace, LeastProgram, Measured, nodeMs, programMs, SessionWriter, sync, WatchedDaemon } from "./program.mjs";
import { RawLoop } from "./raw-loop.mjs";

/**
 * One line of the table: `value` is what the goal is about; null where it could not be measured.
 *
 * @typedef {{ what: string, seen: string, beside: string, value: number | null, goal: { most: number, text: string } | null }} Row
 */

/** Longer than the settle time, so that the next rotation finds the daemon at rest, as it does on a host. */
const REST_MS = 400;
const ROTATIONS_BEFORE_REST = 3;
/** A size from which a run takes seconds. */
const LARGE = 3000;

/** How long commands take from start to end, against a node that does nothing, and one that reads the same files. */
export async function start({ rounds, agents }) {
  const few = await BenchHome.make(3, { configured: false });
  const many = await BenchHome.make(agents);
  const least = await LeastProgram.make();
  const [empty, version, status, leastTimes, loop, statusOfMany] = [[], [], [], [], [], []];
  try {
    for (const home of [few, many]) sync(home.path);
    for (let round = 0; round < rounds; round++) {
      empty.push(nodeMs(["-e", "0"]));
      version.push(programMs(few.path, ["--version"]));
      status.push(programMs(few.path, ["status"]));
      leastTimes.push(nodeMs([least.path, "status", ...few.stores]));
      loop.push(nodeMs(["-e", READ_ALL, ...many.stores]));
      statusOfMany.push(programMs(many.path, ["status"]));
    }
  } finally {
    await few.remove();
    await many.remove();
    least.remove();
  }
  const row = (what, times, beside, name, most) => ({ what, ...roundByRound(times, beside, name), goal: atMost(most) });
  return {
    rows: [
      row("`credsyncd --version`, start to end", version, empty, "`node -e 0`", 1.6),
      row("`credsyncd status` with 3 agents, start to end", status, empty, "`node -e 0`", 1.6),
      { ...row("the least program with the same packages, over the same 3", leastTimes, empty, "`node -e 0`"), goal: null },
      row(`\`credsyncd status\` with ${agents} agents, start to end`, statusOfMany, loop, "node that reads the same files", 3),
    ],
  };
}

const READ_ALL = "for (const path of process.argv.slice(1)) require('fs').readFileSync(path, 'utf8')";

/** From the rename of the source until every store is durable and the ledger says so, which is when the daemon logs it. */
export async function latency({ rotations, agents }) {
  const rows = [];
  for (const count of agents) {
    const { times, raws } = await rotationsOf(count, rotations);
    const [timeMs, rawMs] = [median(times), median(raws)];
    rows.push({
      what: `rename of the source to the last of ${count} stores, durable`,
      seen: ms(timeMs),
      beside: `raw loop ${ms(rawMs)}: ${ms(timeMs - rawMs)} on top`,
      value: rounded(timeMs - rawMs),
      goal: count === 10 ? { most: 15, text: "≤ 15 ms on top" } : null,
    });
  }
  return { rows };
}

async function rotationsOf(agents, rotations) {
  const home = await BenchHome.make(agents);
  const raw = new RawLoop(agents);
  const daemon = await Daemon.start(home.path);
  const [times, raws] = [[], []];
  try {
    for (let rotation = 0; rotation < rotations; rotation++) {
      await pause(REST_MS);
      const renamedAt = await home.rotate();
      const { at, stores } = await daemon.said("credential pushed");
      if (stores !== agents) throw new Error(`${stores} of ${agents} stores were written`);
      times.push(at - renamedAt);
      await home.expectInStep();
      await pause(REST_MS);
      raws.push(raw.run());
    }
  } finally {
    await daemon.stop();
    await home.remove();
    raw.remove();
  }
  return { times, raws };
}

/** The reconcile of `credsyncd sync` by its own clock, each in a process of its own, at several sizes. */
export async function growth({ sizes, runs, runsOfLarge }) {
  const points = [];
  for (const stores of sizes) points.push(await reconciles(stores, stores >= LARGE ? runsOfLarge : runs));
  const at = (stores) => points.find((point) => point.stores === stores);
  const [thousand, most] = [at(1000), points.at(-1)];
  const rows = points.map(({ stores, timeMs, rawMs, ratio }) => ({
    what: `writing ${stores.toLocaleString("en")} stores`,
    seen: ms(timeMs),
    beside: `raw loop ${ms(rawMs)}: ${ratio}×`,
    value: ratio,
    goal: stores === 1000 ? atMost(1.5) : null,
  }));
  if (most.stores > 1000) {
    const [each, eachOfMost] = [thousand, most].map(({ timeMs, stores }) => timeMs / stores);
    const value = rounded(eachOfMost / each);
    const beside = `${each.toFixed(3)} ms each at 1,000: ${value}×`;
    const what = `each of ${most.stores.toLocaleString("en")} stores`;
    rows.push({ what, seen: `${eachOfMost.toFixed(3)} ms`, beside, value, goal: atMost(1.2) });
  }
  return { points, rows };
}

async function reconciles(stores, runs) {
  const home = await BenchHome.make(stores);
  const raw = new RawLoop(stores);
  const [times, raws] = [[], []];
  try {
    sync(home.path);
    for (let run = 0; run < runs; run++) {
      await home.rotate();
      const report = sync(home.path);
      if (report.writes.length !== stores) throw new Error(`${report.writes.length} of ${stores} stores were written`);
      times.push(report.durationMs);
      await home.expectInStep();
      raws.push(raw.run());
    }
  } finally {
    await home.remove();
    raw.remove();
  }
  const [timeMs, rawMs] = [median(times), median(raws)].map(rounded);
  return { stores, runs, timeMs, rawMs, ratio: rounded(timeMs / rawMs) };
}

/** Resident memory at rest after rotations, against a node that does nothing. V8 gives memory back after some seconds. */
export async function memory({ agents, restMs }) {
  return withResting(Daemon, agents, async (daemon) => {
    const bare = Measured.bare();
    await pause(restMs);
    const [daemonKib, bareKib] = [daemon.residentKib, bare.residentKib];
    await bare.stop();
    const value = rounded(daemonKib / bareKib);
    const what = `memory at rest, ${agents} agents`;
    return { rows: [{ what, seen: mib(daemonKib), beside: `bare node ${mib(bareKib)}: ${value}×`, value, goal: atMost(1.6) }] };
  });
}

/** Measures the daemon while nothing changes and no resync is due: CPU time, and how often one of its threads wakes up. */
export async function idle({ agents, restMs, seconds }) {
  const cpu = await withResting(Daemon, agents, async (daemon) => {
    await pause(restMs);
    const before = daemon.cpuMs;
    await pause(seconds * 1000);
    return daemon.cpuMs - before;
  });
  const rows = [row(`CPU time over ${seconds} s of idleness, ${agents} agents`, `${cpu} ms`, cpu, { most: 50, text: "≤ 50 ms" })];
  const what = `wake-ups over ${seconds} s of idleness, ${agents} agents`;
  // A lock is touched now and then.
  const goal = { most: 0.1, text: "0 a second" };
  if (!hasStrace()) return { rows: [...rows, row(what, "not measured: there is no strace here", null, goal)] };
  const wakeUps = await withResting(WatchedDaemon, agents, async (daemon) => {
    await pause(restMs);
    const from = Date.now();
    await pause(seconds * 1000);
    return daemon.wakeUps(from, from + seconds * 1000);
  });
  const each = rounded(wakeUps / seconds);
  return { rows: [...rows, row(what, `${wakeUps} (${each} a second)`, each, goal)] };

  function row(name, seen, value, most) {
    return { what: name, seen, beside: "", value, goal: most };
  }
}

/** The daemon's CPU time while gateways write their sessions into the same databases that have the logins. */
export async function sessions({ databases: agents, seconds }) {
  const home = await BenchHome.make(agents);
  const databases = await home.moveIntoDatabases();
  const daemon = await Daemon.start(home.path);
  const writer = await SessionWriter.start(databases);
  try {
    // Watches of the files that the first writes made are in place then.
    await pause(REST_MS * 10);
    const before = daemon.cpuMs;
    await pause(seconds * 1000);
    const cpuMs = daemon.cpuMs - before;
    await home.rotate();
    const startedAt = performance.now();
    const { at } = await daemon.said("credential pushed");
    const value = rounded(cpuMs / (seconds * 10));
    const what = `CPU time over ${seconds} s while ${agents} databases are written 5 times a second`;
    const beside = `${value} % of a core; a rotation then took ${ms(at - startedAt)}`;
    return { written: await writer.stop(), rows: [{ what, seen: ms(cpuMs), beside, value, goal: { most: 3, text: "≤ 3 %" } }] };
  } finally {
    await writer.stop();
    await daemon.stop();
    await home.remove();
  }
}

async function withResting(Kind, agents, measure) {
  const home = await BenchHome.make(agents);
  const daemon = await Kind.start(home.path);
  try {
    for (let rotation = 0; rotation < ROTATIONS_BEFORE_REST; rotation++) {
      await pause(REST_MS);
      await home.rotate();
      await daemon.said("credential pushed");
    }
    return await measure(daemon);
  } finally {
    await daemon.stop();
    await home.remove();
  }
}

/** Round by round, since what else the machine does changes from one moment to the next. */
function roundByRound(times, besides, name) {
  const value = rounded(median(times.map((time, round) => time / besides[round])));
  return { seen: ms(median(times)), beside: `${name} ${ms(median(besides))}: ${value}×`, value };
}

function atMost(most) {
  return { most, text: `≤ ${most}×` };
}

function median(values) {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)];
}

function rounded(value) {
  return Math.round(value * 100) / 100;
}

function ms(value) {
  return `${value < 100 ? Math.round(value * 10) / 10 : Math.round(value).toLocaleString("en")} ms`;
}

function mib(kib) {
  return `${(kib / 1024).toFixed(1)} MiB`;
}
