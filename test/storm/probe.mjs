// Loaded into the daemon before its own code (`node --import`), so that nothing of it is in the product. At SIGUSR2 it
// appends a line with the process's own figures to the file that PROBE_FILE names, and restarts its measuring.
import { appendFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import process from "node:process";

/* global gc */
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

process.on("SIGUSR2", () => {
  // Twice: what the first one's finalizers let go is taken by the second.
  for (let run = 0; run < 2 && typeof gc === "function"; run++) gc();
  const { heapUsed, external } = process.memoryUsage();
  const delayMs = { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) };
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  appendFileSync(process.env.PROBE_FILE, `${JSON.stringify({ heapUsed, external, delayMs, resources })}\n`);
  delay.reset();
});

function ms(nanoseconds) {
  return Math.round(nanoseconds / 1e4) / 100;
}
