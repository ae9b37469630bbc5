// A gateway that writes its sessions: every database that is named gets a row five times a second, in WAL mode.
//   node session-writer.mjs DATABASE...
// It says "writing" once each has had its first, and ends with the process that reads that.
import process from "node:process";
import { setInterval } from "node:timers";
import { openDatabase } from "./sqlite.mjs";

const EVERY_MS = 200;
const KEPT_ROWS = 500;

const databases = [];
for (const path of process.argv.slice(2)) {
  const database = await openDatabase(path);
  database.exec("PRAGMA busy_timeout = 5000");
  database.exec("CREATE TABLE IF NOT EXISTS bench_sessions (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT");
  const insert = database.prepare("INSERT INTO bench_sessions (text) VALUES (?)");
  const trim = database.prepare(`DELETE FROM bench_sessions WHERE id <= (SELECT max(id) FROM bench_sessions) - ${KEPT_ROWS}`);
  // Without a reference its connection would be closed.
  databases.push({ database, insert, trim });
}

/** The text that an agent's turn may add to its session. */
const turn = JSON.stringify({ role: "assistant", content: "x".repeat(2000) });
let written = 0;

function write() {
  for (const { insert, trim } of databases) {
    insert.run(turn);
    trim.run();
    written += 1;
  }
}

write();
process.stdout.write("writing\n");
setInterval(write, EVERY_MS);
process.on("SIGTERM", () => {
  process.stdout.write(`${written}\n`);
  process.exit(0);
});
process.stdin.resume().on("end", () => process.exit(0));
