import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { tidily } from "../../build/cli/stuck.js";
import { systemClock } from "../../build/app/system.js";
import { Secret } from "../../build/domain/secret.js";
import { Backups } from "../../build/io/backups.js";
import { takeDirectoryLock } from "../../build/io/directory-lock.js";
import { replaceOwnFile } from "../../build/io/own-file.js";
import { Predecessors, removeForsakenLocks, takeOwnerLock } from "../../build/io/owner-lock.js";
import { StateDirectoryLock } from "../../build/io/state-lock.js";

// Does one thing while strace makes system calls of this process fail, and prints the outcome.
const [scenario, directory] = process.argv.slice(2);
const { signal } = new globalThis.AbortController();
const predecessors = new Predecessors();

const stuck = () => predecessors.removeStuck().map(({ what, error }) => `${what}: ${error.message}`);
const names = (path) => readdirSync(path).map((name) => name.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|\d+$/g, "ID"));

async function attempt(action) {
  try {
    await action();
    return "done";
  } catch (error) {
    return error.message;
  }
}

const scenarios = {
  async lock() {
    const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors };
    const release = await takeOwnerLock(join(directory, "lock"), options, signal);
    const held = names(directory).sort();
    release();
    const left = names(directory);
    return { held, left, stuck: stuck(), after: names(directory) };
  },
  async "state-lock"() {
    const path = join(directory, "state", "state.lock");
    mkdirSync(dirname(path));
    // Before it releases its own lock on the state, credsyncd searches again for leftovers of an agent's lock.
    const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors };
    await new StateDirectoryLock(path, systemClock, predecessors).withLock(signal, async () => {
      (await takeOwnerLock(join(directory, "lock"), options, signal))();
    });
    return { left: names(directory), stuck: stuck() };
  },
  async "forsaken-locks"() {
    const payload = JSON.stringify({ pid: 2 ** 22 + 1, createdAt: new Date().toISOString(), starttime: 4711 });
    predecessors.add(payload);
    for (const name of ["one.lock", "two.lock"]) writeFileSync(join(directory, name), payload);
    removeForsakenLocks(directory, predecessors);
    const left = names(directory).length;
    return { left, stuck: stuck(), after: names(directory) };
  },
  async "command-that-fails"() {
    const path = join(directory, "state", "state.lock");
    mkdirSync(dirname(path));
    const lock = new StateDirectoryLock(path, systemClock, predecessors);
    const said = [];
    const ended = await attempt(() =>
      tidily({ environment: { clock: systemClock, predecessors }, lock }, { say: (text) => said.push(text) }, async () => {
        const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors };
        (await takeOwnerLock(join(directory, "lock"), options, signal))();
        throw new Error("no space is left");
      }),
    );
    return { ended, said: said.length, left: names(directory).concat(names(dirname(path))) };
  },
  async "directory-lock"() {
    const options = { staleMs: 30_000, touchMs: 5000, waitMs: 0, clock: systemClock };
    // Each thread counts its own calls; the first of this one is this.
    await attempt(() => rmdirSync(join(directory, "nothing")));
    const lock = await takeDirectoryLock(join(directory, "lock"), options, signal);
    const released = await attempt(() => lock.release());
    return { released, left: names(directory) };
  },
  async backup() {
    const path = join(directory, "backups");
    const backups = new Backups(path, predecessors.leftovers, () => Promise.resolve(false));
    const entry = { store: "s", profile: "p", fingerprint: "f", image: new Secret("{}") };
    const saved = await attempt(() => backups.save(entry, 1));
    const left = names(path);
    return { saved, left, stuck: stuck(), after: names(path) };
  },
  async "short-write"() {
    const path = join(directory, "file");
    await replaceOwnFile(path, "old");
    process.on("SIGXFSZ", () => undefined);
    execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=1024:unlimited"]);
    const replaced = await attempt(() => replaceOwnFile(path, "new".repeat(1000)));
    return { replaced, left: names(directory), text: readFileSync(path, "utf8") };
  },
};

process.stdout.write(JSON.stringify(await scenarios[scenario]()));
