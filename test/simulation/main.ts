import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { explain } from "./simulate.js";
import type { Report, Work } from "./worker.js";

/** So many failures are explained; the others are only named. */
const EXPLAINED = 3;

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20000" },
    from: { type: "string", default: "1" },
    workers: { type: "string", default: String(Math.min(2, availableParallelism())) },
    counts: { type: "boolean", default: false },
  },
});
const from = Number(values.from);
const seeds = Number(values.seeds);
const workers = Number(values.workers);

const failures: { seed: number; rule: string }[] = [];
const counts = new Map<string, number>();
let done = 0;

function note(report: Report): void {
  done += report.seeds;
  failures.push(...report.failures);
  for (const [what, count] of report.counts) counts.set(what, (counts.get(what) ?? 0) + count);
}

async function run(work: Work): Promise<void> {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: work });
  worker.on("message", note);
  await new Promise<void>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", () => {
      resolve();
    });
  });
}

const started = performance.now();
await Promise.all(Array.from({ length: workers }, (_, index) => run({ from: from + index, to: from + seeds, stride: workers })));
const seconds = (performance.now() - started) / 1000;

failures.sort((left, right) => left.seed - right.seed);
for (const { seed } of failures.slice(0, EXPLAINED)) console.log(`${await explain(seed)}\n`);
if (values.counts) {
  for (const [what, count] of [...counts].sort(([left], [right]) => left.localeCompare(right)))
    console.log(`${String(count).padStart(12)}  ${what}`);
}
const byRule = new Map<string, number[]>();
for (const { seed, rule } of failures) byRule.set(rule, [...(byRule.get(rule) ?? []), seed]);
for (const [rule, broken] of byRule)
  console.log(`${rule}: ${String(broken.length)} seeds, first ${broken.slice(0, 8).join(", ")}`);
console.log(
  `${String(done)} seeds from ${String(from)}, ${String(failures.length)} failed, ${seconds.toFixed(1)} s, ${(done / seconds).toFixed(0)} seeds/s`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
