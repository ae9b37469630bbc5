// Watches a file where the system grants no watch at all, and says what was seen of it.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { Watcher } from "../../build/watch/watcher.js";

const POLL_MS = 20;
const directory = mkdtempSync(join(tmpdir(), "credsyncd-test-"));
const file = join(directory, "login.json");
const other = join(directory, "other.json");
const seen = [];
let refused = 0;
const watcher = new Watcher(
  {
    onChange: (path) => seen.push(path),
    onRefused: () => (refused += 1),
    onError: (error) => {
      throw error;
    },
  },
  POLL_MS,
);

async function isTold(action) {
  seen.length = 0;
  action();
  const deadline = Date.now() + 10_000;
  while (!seen.some((path) => path === file || path === directory) && Date.now() < deadline) await pause(POLL_MS);
  return seen.some((path) => path === file || path === directory);
}

const actions = {
  made: () => writeFileSync(file, "1"),
  written: () => writeFileSync(file, "more than that"),
  replaced: () => {
    writeFileSync(`${file}.tmp`, "another one");
    renameSync(`${file}.tmp`, file);
  },
  removed: () => rmSync(file),
  "made again": () => writeFileSync(file, "2"),
};
await watcher.watch([file]);
const told = [];
for (const [name, action] of Object.entries(actions)) if (await isTold(action)) told.push(name);
await watcher.watch([file]);
writeFileSync(other, "1");
const outcome = { refused, told, watched: watcher.size, toldOfOthers: seen.includes(other) };
watcher.close();
rmSync(directory, { recursive: true });
process.stdout.write(JSON.stringify(outcome));
