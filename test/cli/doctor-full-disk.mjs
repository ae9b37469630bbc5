import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fillDisk } from "../support/full-disk.mjs";

// Prints doctor's report on its own state on a full disk, in a file system that nobody else sees.
const [, , main, home] = process.argv;
const state = join(home, ".local", "state", "credsyncd");
execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", state]);
const doctor = () => {
  const { stdout } = spawnSync(process.execPath, [main, "doctor", "--json"], { env: { HOME: home, PATH: process.env.PATH } });
  return JSON.parse(stdout.toString()).findings.filter(({ check }) => check === "state");
};
const before = doctor();
fillDisk(join(state, "filler"), 10);
process.stdout.write(JSON.stringify({ before, after: doctor() }));
