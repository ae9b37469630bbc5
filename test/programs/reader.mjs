import { readFileSync } from "node:fs";
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";

// Reads a store's text in a tight loop until a message stops it, and returns every different text that it saw.
const { path, query, reads } = workerData;
const seen = new Set();

async function textReader() {
  if (query === null) return () => readFileSync(path, "utf8");
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite") ?? (await import("@photostructure/sqlite"));
  const database = new DatabaseSync(path, { readOnly: true });
  database.exec("PRAGMA busy_timeout = 5000");
  const statement = database.prepare(query);
  return () => statement.get().text;
}

const read = await textReader();
while (Atomics.load(reads, 1) === 0) {
  seen.add(read());
  Atomics.add(reads, 0, 1);
}
parentPort.postMessage([...seen]);
