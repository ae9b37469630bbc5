import { once } from "node:events";
import process from "node:process";
import { systemClock } from "../../build/app/system.js";
import { takeDirectoryLock } from "../../build/io/directory-lock.js";

// Takes a lock, says so, and ends on a signal, without a release.
const [path] = process.argv.slice(2);
const options = { staleMs: 60_000, touchMs: 30_000, waitMs: 0, clock: systemClock };
await takeDirectoryLock(path, options, new globalThis.AbortController().signal);
process.stdout.write("held\n");
await once(process.stdin, "data");
process.exit();
