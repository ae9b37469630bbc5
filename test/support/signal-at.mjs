// Preloaded into a program: sends it a signal right before the n-th time that it changes a file.
//   SIGNAL_AT="SIGTERM 7" node --import signal-at.mjs PROGRAM     writes what that was to descriptor 3
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";

const CHANGES = ["open", "link", "rename", "unlink", "rm", "mkdir", "rmdir", "writeFile"];
const [signal, step] = (process.env["SIGNAL_AT"] ?? "").split(" ");
const { writeSync } = fs;
let changes = 0;

function counting(module, name) {
  const original = module[name];
  module[name] = (...args) => {
    const isRead = name.startsWith("open") && (typeof args[1] !== "string" || args[1] === "r");
    if (!isRead && ++changes === Number(step)) {
      writeSync(3, `${name} ${String(args[0])}`);
      process.kill(process.pid, signal);
    }
    return original(...args);
  };
}

for (const name of CHANGES) {
  for (const each of [name, `${name}Sync`]) counting(fs, each);
  counting(fs.promises, name);
}
syncBuiltinESMExports();
