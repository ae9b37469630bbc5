import { utimesSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";

// Writes a file in place for as long as it lives; a whole text is one that was left alone for a day, and ends with "end".
for (let count = 0; ; count++) {
  writeFileSync(workerData, `${"text ".repeat(2000 + (count % 7))}end`);
  const aDayAgo = Date.now() / 1000 - 86_400 - count;
  utimesSync(workerData, aDayAgo, aDayAgo);
  if (count === 0) parentPort.postMessage("ready");
  await setTimeout(1);
}
