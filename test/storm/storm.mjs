// The built daemon under load: the login rotates ten times a second while gateways in processes of their own rewrite every
// store under its own lock, and a reader parses all of them in a tight loop. Ends with 1 if a promise was broken.
//   npm run storm                                     60 s, 100 agents, 10 rotations a second; a table to stdout
//   npm run storm -- --seconds 15 --agents 30 --within 15000    what CI runs, on a machine that may have other work
//   npm run storm -- --seed 7 --rate 5 --turns 50     another order of turns; rotations and turns a second
//   npm run storm -- --write                          puts the table into docs/storm.md
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { clearInterval, setInterval } from "node:timers";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, URL } from "node:url";
import { parseArgs } from "node:util";
import { format } from "prettier";
import { ProbedDaemon, statusOf, until } from "./daemon.mjs";
import { StormHome } from "./home.mjs";

const GATEWAYS = ["first", "second", "third"];
const SAMPLE_EVERY_MS = 200;
const MEMORY_RATIO = 1.2;
const DOCS = fileURLToPath(new URL("../../docs/storm.md", import.meta.url));

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    agents: { type: "string", default: "100" },
    rate: { type: "string", default: "10" },
    turns: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    within: { type: "string", default: "1000" },
    write: { type: "boolean", default: false },
  },
});
const NUMBERS = ["seconds", "agents", "rate", "turns", "seed", "within"];
const [seconds, agents, rate, turnsPerSecond, seed, withinMs] = NUMBERS.map((name) => {
  const number = Number(values[name]);
  if (Number.isFinite(number) && number > 0) return number;
  throw new Error(`--${name} takes a number above 0, not ${values[name]}`);
});

/** A process of the storm that is sent its task, and later to stop. */
class Helper {
  static async start(file, task) {
    const helper = new Helper();
    helper.child = fork(fileURLToPath(new URL(file, import.meta.url)), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    helper.report = new Promise((resolve, reject) => {
      helper.child.on("message", (message) => message.kind === "report" && resolve(message));
      helper.child.on("exit", (code) => reject(new Error(`${file} ended with ${code}`)));
    });
    // It is awaited later, and a failure must not end the process before.
    helper.report.catch(() => undefined);
    helper.child.send(task);
    await Promise.race([once(helper.child, "message"), helper.report]);
    return helper;
  }

  async stop() {
    if (this.child.connected) this.child.send("stop");
    return this.report;
  }
}

/** The rotations, on time however long one takes. */
async function rotate(home, endsAt) {
  let rotations = 0;
  for (let due = performance.now(); due < endsAt; due += 1000 / rate) {
    await pause(Math.max(0, due - performance.now()));
    home.rotate();
    rotations += 1;
  }
  return rotations;
}

async function storm(home) {
  const daemon = await ProbedDaemon.start(home);
  const reader = await Helper.start("reader.mjs", { places: home.places, login: home.login });
  const gateways = [];
  for (const [index, gateway] of GATEWAYS.entries()) {
    const pace = { turnsPerSecond: turnsPerSecond / GATEWAYS.length, seed: seed * GATEWAYS.length + index };
    gateways.push(await Helper.start("gateways.mjs", { gateway, places: home.placesOf(gateway), ...pace }));
  }
  await daemon.probe();
  const resident = [];
  const sampling = setInterval(() => resident.push(daemon.residentKib), SAMPLE_EVERY_MS);
  const [startedAt, cpuBefore] = [performance.now(), daemon.cpuMs];
  const pushesBefore = daemon.pushes.length;
  const rotations = await rotate(home, startedAt + seconds * 1000);

  const endedAt = performance.now();
  clearInterval(sampling);
  const reports = gateways.map((gateway) => gateway.stop());
  const cpuMs = daemon.cpuMs - cpuBefore;
  const isSettled = ({ kind }) => kind !== "snapshot";
  await until(() => home.behind().filter(isSettled).length === 0, "the stores to hold the last rotation");
  const convergedMs = performance.now() - endedAt;
  const { delayMs } = await daemon.probe();
  const turned = await Promise.all(reports);
  const turns = Object.fromEntries(turned.map((report) => [report.gateway, report.turns]));
  const unreported = await snapshotsUnreported(home);
  const losing = home.losing(turns);

  // A gateway that kept putting its snapshot back is left alone until the next rotation, which must reach its stores too.
  home.rotate();
  const lastAt = performance.now();
  await until(() => home.behind().length === 0, "all stores to hold a rotation after the storm");
  const afterMs = performance.now() - lastAt;
  const read = await reader.stop();
  const status = statusOf(home);
  const code = await daemon.stop();
  return {
    rotations,
    pushes: daemon.pushes.filter((at) => at <= endedAt).slice(pushesBefore),
    startedAt,
    endedAt,
    convergedMs,
    afterMs,
    delayMs,
    cpuMs,
    resident,
    turned,
    unreported,
    losing,
    read,
    daemon,
    code,
    status,
    metrics: metricsOf(home),
    inexact: home.notExactly(turns),
    leftovers: home.leftovers(),
  };
}

/** Stores of gateways that put their snapshot back, which neither hold the login nor are shown as what they are. */
async function snapshotsUnreported(home) {
  const behind = new Set(home.behind().map(({ agent }) => `openclaw:${agent}`));
  if (behind.size === 0) return [];
  const { stores } = statusOf(home);
  const shown = stores.filter(({ profiles }) => profiles.some(({ state, reason }) => state !== "in-sync" && reason !== null));
  return [...behind].filter((name) => !shown.some(({ store }) => store === name));
}

function metricsOf(home) {
  const text = readFileSync(join(home.path, "credsyncd.prom"), "utf8");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

function judge(seen) {
  const { turned, read, resident, daemon } = seen;
  const found = (name) => turned.flatMap((report) => report[name]);
  const middle = median(resident.slice(Math.floor(resident.length * 0.45), Math.ceil(resident.length * 0.55)));
  const end = median(resident.slice(Math.floor(resident.length * 0.9)));
  const ratio = end / middle;
  const gaveUp = sum(turned.map((report) => report.gaveUp));
  const inStep = seen.status.summary;
  return [
    promise("torn reads", read.tornCount, read.tornCount === 0, read.torn),
    promise(
      "logins of two generations mixed",
      read.mixedCount + found("torn").length,
      read.mixedCount + found("torn").length === 0,
      [...read.mixed, ...found("torn")],
    ),
    promise(
      "stores that went back a generation",
      read.backwardsCount + found("backwards").length,
      read.backwardsCount + found("backwards").length === 0,
      [...read.backwards, ...found("backwards")],
    ),
    promise(
      "stores that lost a gateway's turn",
      seen.losing.length + found("lost").length,
      seen.losing.length + found("lost").length === 0,
      [...namesOf(seen.losing), ...found("lost")],
    ),
    promise("stores with anything else changed", seen.inexact.length, seen.inexact.length === 0, namesOf(seen.inexact)),
    promise("turns given up for a lock that stayed held", gaveUp, gaveUp === 0),
    promise("last rotation to the last store", `${ms(seen.convergedMs)}`, seen.convergedMs <= withinMs, [], `≤ ${withinMs} ms`),
    promise(
      "stores of a snapshot gateway behind, and not shown so",
      seen.unreported.length,
      seen.unreported.length === 0,
      seen.unreported,
    ),
    promise(
      "a rotation after the storm to all stores",
      ms(seen.afterMs),
      seen.afterMs <= withinMs && inStep.inSync === inStep.stores,
      [],
      `≤ ${withinMs} ms`,
    ),
    promise(
      "resident memory, middle and end",
      `${mib(middle)} and ${mib(end)} MiB: ${ratio.toFixed(2)}×`,
      ratio <= MEMORY_RATIO,
      [],
      `≤ ${MEMORY_RATIO}×`,
    ),
    promise("locks and temporary files left over", seen.leftovers.length, seen.leftovers.length === 0, seen.leftovers),
    promise("parts of a token in the log", daemon.leaked ? "some" : 0, !daemon.leaked),
    promise("exit code of the daemon", seen.code, seen.code === 0),
  ];
}

function promise(what, figure, kept, details = [], bound = "0") {
  return { what, figure: String(figure), kept, details, bound };
}

function figures(seen) {
  const { turned, read, metrics, delayMs, pushes } = seen;
  const total = (key) => metrics[key] ?? 0;
  const gaps = [seen.startedAt, ...pushes, seen.endedAt].map((at, index, all) => at - (all[index - 1] ?? at)).slice(1);
  const taken = turned.flatMap((report) => Object.values(report.turns));
  return [
    ["rotations of the login", seen.rotations],
    ["turns of the gateways, each a rewrite of a store", sum(taken)],
    ["of these, failures that left a penalty on the login", sum(turned.map(({ failed }) => failed))],
    ["longest wait of a gateway for a lock", ms(Math.max(...turned.map(({ waitedMs }) => waitedMs)))],
    ["reads that were checked", read.reads],
    ["reads of a file that its own gateway was writing in place", read.tornByOwner],
    ["reconciles that wrote", total('credsyncd_sync_total{result="changed"}')],
    ["rotations among them (the others were skipped over)", total("credsyncd_rotations_total")],
    ["stores written", total('credsyncd_writes_total{result="written"}')],
    ["writes given up because the store changed meanwhile", total("credsyncd_conflicts_total")],
    ["writes that failed, these included", total('credsyncd_writes_total{result="failed"}')],
    ["snapshots put back that were answered", total("credsyncd_reverts_total")],
    ["longest time between two pushes", ms(Math.max(...gaps))],
    ["event-loop delay p50, p99, longest (1 ms of each is the measuring)", `${delayMs.p50}, ${delayMs.p99}, ${delayMs.max} ms`],
    ["CPU time of the daemon", `${Math.round((100 * seen.cpuMs) / (seen.endedAt - seen.startedAt))} % of a core`],
    ["warnings and errors in its log", warningsIn(seen.daemon) || "none"],
  ];
}

function warningsIn({ counts }) {
  const bad = [...counts].filter(([key]) => !key.startsWith("info") && !key.startsWith("debug"));
  return bad.map(([key, count]) => `${key} (${count})`).join(", ");
}

function documentOf(promises, seen) {
  const command = `npm run storm -- --seconds ${seconds} --agents ${agents} --rate ${rate} --turns ${turnsPerSecond} --seed ${seed} --write`;
  return `# The storm

Made by \`${command}\`
(Node ${process.version}, ${cpus().length} cores, ${new Date().toISOString().slice(0, 10)}). [test/storm/README.md](../test/storm/README.md) says what happens in it.

| promise | seen | at most | |
| --- | --- | --- | --- |
${promises.map(({ what, figure, bound, kept }) => `| ${what} | ${figure} | ${bound} | ${kept ? "kept" : "**broken**"} |`).join("\n")}

| beside it | |
| --- | --: |
${figures(seen)
  .map(([what, figure]) => `| ${what} | ${figure} |`)
  .join("\n")}
`;
}

function namesOf(places) {
  return places.map(({ agent, kind }) => `${agent} (${kind})`);
}

function median(numbers) {
  return numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)];
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

function ms(milliseconds) {
  return `${Math.round(milliseconds)} ms`;
}

function mib(kib) {
  return (kib / 1024).toFixed(1);
}

const home = StormHome.make(agents, GATEWAYS, "");
writeFileSync(
  join(home.path, ".config", "credsyncd", "config.json5"),
  JSON.stringify({ reload: { openclaw: "off" }, metrics: { textfile: join(home.path, "credsyncd.prom") } }),
);
try {
  const seen = await storm(home);
  const promises = judge(seen);
  const text = await format(documentOf(promises, seen), { parser: "markdown", printWidth: 130 });
  process.stdout.write(text);
  if (values.write) {
    mkdirSync(join(DOCS, ".."), { recursive: true });
    writeFileSync(DOCS, text);
  }
  const broken = promises.filter(({ kept }) => !kept);
  for (const { what, details } of broken) process.stderr.write(`broken: ${what}: ${details.slice(0, 5).join("; ")}\n`);
  process.exitCode = broken.length === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
// After what was started was killed, where something failed.
process.once("exit", () => home.remove());
process.exit();
