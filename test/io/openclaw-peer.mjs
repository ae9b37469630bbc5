import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";

// Does what increment.mjs does, with the lock as OpenClaw takes it.
const [lock, counter, times] = process.argv.slice(2);

function take() {
  try {
    const file = openSync(lock, "wx", 0o600);
    writeFileSync(file, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }, null, 2));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

for (let count = 0; count < Number(times); count++) {
  while (!take()) await setTimeout(2);
  const before = Number(readFileSync(counter, "utf8"));
  await setTimeout(1);
  writeFileSync(counter, String(before + 1));
  rmSync(lock);
}
