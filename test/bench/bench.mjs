// Measures the built program against what the same machine does with nothing around it, in the same run.
//   npm run bench                     everything
//   npm run bench -- latency memory   only these parts: latency, writes, memory, idle, sessions
// JSON goes to stdout, a table to stderr.
import { cpus, totalmem } from "node:os";
import process from "node:process";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { BenchHome } from "./home.mjs";
import { Daemon, Measured, SessionWriter, sync } from "./program.mjs";
import { RawLoop } from "./raw-loop.mjs";

const ROTATIONS = 15;
const ROTATIONS_BEFORE_REST = 3;
const WRITE_RUNS = 7;
/** Longer than the settle time, so that the next rotation finds the daemon at rest, as it does on a host. */
const REST_MS = 400;
const IDLE_MS = 20_000;
const SESSIONS_MS = 60_000;
/** V8 gives back what it took for the last work after some seconds without any. */
const AT_REST_MS = 15_000;
const MANY_AGENTS = 340;

const targets = { writeRatio: 2, memoryRatio: 1.8, idleCpuMs: 50, sessionsPercent: 3 };

/** From the rename of the source until every store is durable and the ledger says so, which is when the daemon logs it. */
async function latency(agents) {
  const home = await BenchHome.make(agents);
  const raw = new RawLoop(agents);
  const daemon = await Daemon.start(home.path);
  const latencies = [];
  const raws = [];
  try {
    for (let rotation = 0; rotation < ROTATIONS; rotation++) {
      await pause(REST_MS);
      const renamedAt = await home.rotate();
      const { at, stores } = await daemon.said("credential pushed");
      if (stores !== agents) throw new Error(`${stores} of ${agents} stores were written`);
      latencies.push(at - renamedAt);
      await home.expectInStep();
      await pause(REST_MS);
      raws.push(raw.run());
    }
  } finally {
    await daemon.stop();
    await home.remove();
    raw.remove();
  }
  return { stores: agents, rotations: ROTATIONS, ...compared(latencies, raws) };
}

/** The reconcile of `credsyncd sync` by its own clock, each in a process of its own. */
async function writes(stores) {
  const home = await BenchHome.make(stores);
  const raw = new RawLoop(stores);
  const reconciles = [];
  const raws = [];
  try {
    sync(home.path);
    for (let run = 0; run < WRITE_RUNS; run++) {
      await home.rotate();
      const report = sync(home.path);
      if (report.writes.length !== stores) throw new Error(`${report.writes.length} of ${stores} stores were written`);
      reconciles.push(report.durationMs);
      await home.expectInStep();
      raws.push(raw.run());
    }
  } finally {
    await home.remove();
    raw.remove();
  }
  return { stores, runs: WRITE_RUNS, ...compared(reconciles, raws), targetRatio: targets.writeRatio };
}

/** Resident memory at rest after rotations, against a node that does nothing. */
async function memory(agents) {
  return withResting(agents, async (daemon) => {
    const bare = Measured.bare();
    await pause(AT_REST_MS);
    const [daemonKib, bareKib] = [daemon.residentKib, bare.residentKib];
    await bare.stop();
    return { stores: agents, daemonKib, bareKib, ratio: rounded(daemonKib / bareKib), targetRatio: targets.memoryRatio };
  });
}

async function idle(agents) {
  return withResting(agents, async (daemon) => {
    await pause(AT_REST_MS);
    const before = daemon.cpuMs;
    await pause(IDLE_MS);
    return { stores: agents, seconds: IDLE_MS / 1000, cpuMs: daemon.cpuMs - before, targetMs: targets.idleCpuMs };
  });
}

/** The daemon's CPU time while gateways write their sessions into the very databases that hold the logins. */
async function sessions(agents) {
  const home = await BenchHome.make(agents);
  const databases = await home.moveIntoDatabases();
  const daemon = await Daemon.start(home.path);
  const writer = await SessionWriter.start(databases);
  try {
    // Watches of the files that the first writes made are in place then.
    await pause(REST_MS * 10);
    const [before, writtenBefore] = [daemon.cpuMs, writer.cpuMs];
    await pause(SESSIONS_MS);
    const cpuMs = daemon.cpuMs - before;
    const writerCpuMs = writer.cpuMs - writtenBefore;
    await home.rotate();
    const startedAt = performance.now();
    const { at } = await daemon.said("credential pushed");
    const seconds = SESSIONS_MS / 1000;
    return {
      databases: agents,
      seconds,
      written: await writer.stop(),
      cpuMs,
      percent: rounded((100 * cpuMs) / SESSIONS_MS),
      writerCpuMs,
      rotationMs: rounded(at - startedAt),
      targetPercent: targets.sessionsPercent,
    };
  } finally {
    await writer.stop();
    await daemon.stop();
    await home.remove();
  }
}

async function withResting(agents, measure) {
  const home = await BenchHome.make(agents);
  const daemon = await Daemon.start(home.path);
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

function compared(times, raws) {
  const [timeMs, rawMs] = [median(times), median(raws)];
  return {
    medianMs: rounded(timeMs),
    fastestMs: rounded(Math.min(...times)),
    slowestMs: rounded(Math.max(...times)),
    rawLoopMs: rounded(rawMs),
    ratio: rounded(timeMs / rawMs),
  };
}

function median(values) {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)];
}

function rounded(value) {
  return Math.round(value * 100) / 100;
}

const parts = {
  latency: async () => [await latency(10), await latency(MANY_AGENTS)],
  writes: () => writes(1000),
  memory: () => memory(MANY_AGENTS),
  idle: () => idle(MANY_AGENTS),
  sessions: () => sessions(20),
};

function tableOf({ latency: latencies = [], writes: written, memory: resident, idle: resting, sessions: busy }) {
  const rows = latencies.map(({ stores, medianMs, rawLoopMs, ratio }) => [
    `rename of the source to the last of ${stores} stores`,
    `${medianMs} ms`,
    `raw loop ${rawLoopMs} ms: ${ratio}x`,
  ]);
  if (written !== undefined) {
    const { stores, medianMs, rawLoopMs, ratio } = written;
    rows.push([
      `writing ${stores} stores`,
      `${medianMs} ms`,
      `raw loop ${rawLoopMs} ms: ${ratio}x, at most ${written.targetRatio}x`,
    ]);
  }
  if (resident !== undefined) {
    const [daemonMib, bareMib] = [resident.daemonKib, resident.bareKib].map((kib) => (kib / 1024).toFixed(1));
    const bound = `bare node ${bareMib} MiB: ${resident.ratio}x, at most ${resident.targetRatio}x`;
    rows.push([`memory at rest, ${resident.stores} agents`, `${daemonMib} MiB`, bound]);
  }
  if (resting !== undefined) {
    rows.push([`CPU over ${resting.seconds} s of idleness`, `${resting.cpuMs} ms`, `under ${resting.targetMs} ms`]);
  }
  if (busy !== undefined) {
    const what = `CPU over ${busy.seconds} s of ${busy.databases} databases written 5 times a second`;
    rows.push([what, `${busy.cpuMs} ms`, `${busy.percent} % of a core, at most ${busy.targetPercent} %`]);
  }
  return rows.map(([what, value, beside]) => `${what.padEnd(50)}${value.padStart(12)}   ${beside}\n`).join("");
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(parts, name));
if (unknown !== undefined) throw new Error(`there is no part ${unknown}; there are: ${Object.keys(parts).join(", ")}`);
const report = { node: process.version, cores: cpus().length, memoryGib: Math.round(totalmem() / 2 ** 30) };
for (const [name, measure] of Object.entries(parts)) {
  if (asked.length === 0 || asked.includes(name)) report[name] = await measure();
}
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.stderr.write(tableOf(report));
