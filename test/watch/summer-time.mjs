import process from "node:process";
import { Schedule } from "../../build/watch/schedule.js";

// Lets a schedule run through a time at once, in the time zone of this process, and prints when it called.
const [expression, from, minutes] = process.argv.slice(2);
const end = Date.parse(from) + Number(minutes) * 60_000;
let nowMs = Date.parse(from);
const calls = [];
await new Promise((resolve) => {
  const clock = {
    now: () => nowMs,
    monotonic: () => nowMs,
    sleep: (durationMs, signal) => {
      nowMs += durationMs;
      if (nowMs > end) resolve();
      return nowMs > end ? new Promise((wake) => signal.addEventListener("abort", wake)) : Promise.resolve();
    },
  };
  new Schedule(expression, () => calls.push(new Date(nowMs).toISOString()), clock);
});
process.stdout.write(JSON.stringify(calls));
