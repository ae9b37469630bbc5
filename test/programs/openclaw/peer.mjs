import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { takeOpenclawLock } from "../../support/openclaw-lock.mjs";

// Increments a field of its own profile, the given number of times, by the locking rules of OpenClaw.
const { path, query, update, pauses, inPlace } = JSON.parse(process.argv[2]);

function counted(text) {
  const set = JSON.parse(text);
  set.profiles["anthropic:peer"].expires += 1;
  return JSON.stringify(set, null, 2);
}

async function inFile() {
  const lock = `${path}.lock`;
  while (!takeOpenclawLock(lock)) await setTimeout(1);
  const text = counted(readFileSync(path, "utf8"));
  if (inPlace) writeFileSync(path, text);
  else {
    writeFileSync(`${path}.peer.tmp`, text, { mode: 0o600 });
    renameSync(`${path}.peer.tmp`, path);
  }
  rmSync(lock);
}

async function openDatabase() {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite") ?? (await import("@photostructure/sqlite"));
  const database = new DatabaseSync(path);
  database.exec("PRAGMA busy_timeout = 5000");
  return async () => {
    database.exec("BEGIN IMMEDIATE");
    const text = counted(database.prepare(query).get().text);
    database.prepare(update).run(text);
    database.exec("COMMIT");
  };
}

const count = query === null ? inFile : await openDatabase();
process.stdout.write("ready\n");
for (const pauseMs of pauses) {
  await setTimeout(pauseMs);
  await count();
}
