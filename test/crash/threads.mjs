// Preloaded into a program: says which of its threads make system calls, and waits until it may go on.
import { closeSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { URL } from "node:url";

const GATE = 3;
const TASKS = "/proc/self/task";

function bytesReadByThread() {
  const thread = (id) => [id, Number(/rchar: (\d+)/.exec(readFileSync(`${TASKS}/${id}/io`, "utf8"))?.[1])];
  return new Map(readdirSync(TASKS).map(thread));
}

// The thread of the pool (one: UV_THREADPOOL_SIZE=1) is the one that reads what is asked for with a promise.
const before = bytesReadByThread();
await readFile(new URL(import.meta.url));
const own = String(process.pid);
const pool = [...bytesReadByThread()].find(([id, bytes]) => id !== own && bytes > (before.get(id) ?? 0))?.[0];
writeSync(GATE, `${JSON.stringify({ main: own, pool })}\n`);
readSync(GATE, new Uint8Array(1));
closeSync(GATE);
