// Measures the built program against what the same machine does with nothing around it, in the same run.
//   npm run bench                            everything; a table to stdout
//   npm run bench -- --write                 puts it into docs/bench.md, docs/bench.json and docs/bench-growth.svg
//   npm run bench -- start memory            only these parts: start, latency, growth, memory, idle, sessions
//   npm run bench -- --quick                 a minute, for CI: ends with 1 where something is ten times over its goal
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, URL } from "node:url";
import { parseArgs } from "node:util";
import { format } from "prettier";
import { growthChart } from "./chart.mjs";
import { fileSystemOf } from "./file-system.mjs";
import * as measures from "./measures.mjs";

const DOCS = fileURLToPath(new URL("../../docs", import.meta.url));
/** Noise of a busy machine stays below, also where a goal is missed by some. */
const GROSS = 10;

const whole = {
  start: { rounds: 15, agents: 340 },
  latency: { rotations: 15, agents: [10, 340] },
  growth: { sizes: [10, 30, 100, 300, 1000, 3000, 10_000], runs: 7, runsOfLarge: 3 },
  memory: { agents: 340, restMs: 15_000 },
  idle: { agents: 340, restMs: 15_000, seconds: 30 },
  sessions: { databases: 20, seconds: 60 },
};
/** The short form, for which CI has time. */
const quick = {
  start: { rounds: 5, agents: 100 },
  latency: { rotations: 5, agents: [10] },
  growth: { sizes: [100, 1000], runs: 3, runsOfLarge: 3 },
  memory: { agents: 100, restMs: 5000 },
  idle: { agents: 100, restMs: 12_000, seconds: 5 },
};

const { values, positionals: asked } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, write: { type: "boolean", default: false } },
});
const plan = values.quick ? quick : whole;
const unknown = asked.find((name) => !Object.hasOwn(plan, name));
if (unknown !== undefined) throw new Error(`there is no part ${unknown}; there are: ${Object.keys(plan).join(", ")}`);
if (values.write && (values.quick || asked.length > 0)) throw new Error("--write takes the whole bench");

const host = {
  node: process.version,
  cores: cpus().length,
  memoryGib: Math.round(totalmem() / 2 ** 30),
  fileSystem: fileSystemOf(tmpdir()),
  at: new Date().toISOString(),
};
const parts = {};
for (const [name, options] of Object.entries(plan)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  process.stderr.write(`measuring: ${name}\n`);
  parts[name] = await measures[name](options);
}
const rows = Object.values(parts).flatMap((part) => part.rows);
const text = await format(documentOf(rows), { parser: "markdown", printWidth: 130 });
process.stdout.write(text);
if (values.write) {
  mkdirSync(DOCS, { recursive: true });
  writeFileSync(join(DOCS, "bench.md"), text);
  writeFileSync(join(DOCS, "bench.json"), `${JSON.stringify({ schemaVersion: 1, host, ...parts }, null, 2)}\n`);
  writeFileSync(join(DOCS, "bench-growth.svg"), growthChart(parts.growth.points));
}
const gross = rows.filter(({ value, goal }) => value !== null && goal !== null && value > GROSS * goal.most);
for (const { what, value, goal } of gross) process.stderr.write(`far over its goal: ${what}: ${value}, at most ${goal.most}\n`);
if (values.quick && gross.length > 0) process.exitCode = 1;

function documentOf(rows) {
  const command = ["npm run bench", ...(process.argv.length > 2 ? ["--"] : []), ...process.argv.slice(2)].join(" ");
  const lines = rows.map(({ what, seen, beside, goal, value }) => {
    const isKept = goal === null || value === null ? "" : value <= goal.most ? "kept" : "missed";
    return `| ${what} | ${seen} | ${beside} | ${goal === null ? "" : goal.text} | ${isKept} |`;
  });
  const chart = values.write ? "\n![reconcile time against the number of stores](bench-growth.svg)\n" : "";
  return `# The bench

Made by \`${command}\` (Node ${host.node}, ${host.cores} cores, ${host.fileSystem}, ${host.at.slice(0, 10)}).
[test/bench/README.md](../test/bench/README.md) says what is measured, and how.

| what | credsyncd | beside it | goal | |
| --- | --- | --- | --- | --- |
${lines.join("\n")}
${chart}`;
}
