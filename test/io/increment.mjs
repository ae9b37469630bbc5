import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { performance } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { Predecessors, withOwnerLock } from "../../build/io/owner-lock.js";

// Increments the number in a file under the lock, the given number of times; another process's increments must not be lost.
const [lock, counter, times] = process.argv.slice(2);
const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => setTimeout(ms, undefined, { signal }),
};
const { signal } = new globalThis.AbortController();
const options = { staleMs: 30_000, waitMs: 20_000, clock, predecessors: new Predecessors() };
for (let count = 0; count < Number(times); count++) {
  await withOwnerLock(lock, options, signal, async () => {
    const before = Number(readFileSync(counter, "utf8"));
    await setTimeout(1);
    writeFileSync(counter, String(before + 1));
  });
}
