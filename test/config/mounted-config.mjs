import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { loadConfig } from "../../build/config/load.js";
import { systemEnvironment } from "../../build/app/system.js";

// Runs in a mount namespace of its own: reads a configuration in a directory of mode 0777, before and after it is read-only.
const [directory] = process.argv.slice(2);
const path = join(directory, "config.json5");

async function outcome() {
  try {
    await loadConfig(path, systemEnvironment());
    return "taken";
  } catch (error) {
    if (error.code !== "config") throw error;
    return "refused";
  }
}

writeFileSync(path, "{}");
chmodSync(directory, 0o777);
execFileSync("mount", ["--bind", directory, directory]);
const writable = await outcome();
execFileSync("mount", ["-o", "remount,bind,ro", directory]);
process.stdout.write(JSON.stringify({ writable, readOnly: await outcome() }));
