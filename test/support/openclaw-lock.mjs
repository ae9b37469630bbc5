import { closeSync, openSync, writeFileSync } from "node:fs";
import process from "node:process";

/** Takes a lock file as OpenClaw does: made first, signed afterwards. Returns false if another process has it. */
export function takeOpenclawLock(path) {
  try {
    const file = openSync(path, "wx", 0o600);
    writeFileSync(file, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }, null, 2));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}
