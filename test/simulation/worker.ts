import { parentPort, workerData } from "node:worker_threads";
import { drawStory, live } from "./simulate.js";

export interface Work {
  readonly from: number;
  readonly to: number;
  readonly stride: number;
}

export interface Report {
  readonly seeds: number;
  readonly failures: readonly { readonly seed: number; readonly rule: string }[];
  readonly counts: readonly (readonly [string, number])[];
}

/** How many seeds go by between two reports. */
const REPORT_EVERY = 500;

/** Runs every `stride`-th seed of a range. */
async function work({ from, to, stride }: Work, report: (report: Report) => void): Promise<void> {
  let counts = new Map<string, number>();
  let failures: { seed: number; rule: string }[] = [];
  let seeds = 0;
  const flush = (): void => {
    report({ seeds, failures, counts: [...counts] });
    counts = new Map();
    failures = [];
    seeds = 0;
  };
  for (let seed = from; seed < to; seed += stride) {
    const outcome = await live(drawStory(seed), null);
    seeds += 1;
    if (outcome.violation !== null) failures.push({ seed, rule: outcome.violation.rule });
    for (const [what, count] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + count);
    if (seeds >= REPORT_EVERY) flush();
  }
  flush();
}

if (parentPort !== null) {
  // A world makes thousands of errors on purpose, and their stacks are the dearest part.
  Error.stackTraceLimit = 0;
  const port = parentPort;
  await work(workerData as Work, (report) => {
    port.postMessage(report);
  });
}
