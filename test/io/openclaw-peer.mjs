import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { takeOpenclawLock } from "../support/openclaw-lock.mjs";

// Does what increment.mjs does, with the lock as OpenClaw takes it.
const [lock, counter, times] = process.argv.slice(2);

for (let count = 0; count < Number(times); count++) {
  while (!takeOpenclawLock(lock)) await setTimeout(2);
  const before = Number(readFileSync(counter, "utf8"));
  await setTimeout(1);
  writeFileSync(counter, String(before + 1));
  rmSync(lock);
}
