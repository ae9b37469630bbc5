import { once } from "node:events";
import process from "node:process";
import lockfile from "proper-lockfile";

// Has a lock as Claude Code does, by the same package: says when it has it, and releases it on a message.
const [path, staleMs] = process.argv.slice(2);
const release = await lockfile.lock(path, {
  lockfilePath: path,
  realpath: false,
  stale: Number(staleMs),
  update: Number(staleMs) / 2,
  retries: { retries: 200, factor: 1, minTimeout: 10, maxTimeout: 10 },
});
process.stdout.write("held\n");
await once(process.stdin, "data");
await release();
process.stdout.write("released\n");
process.exit();
