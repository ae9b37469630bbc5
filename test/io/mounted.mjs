import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { systemClock } from "../../build/app/system.js";
import { Secret } from "../../build/domain/secret.js";
import { replaceFile } from "../../build/io/atomic-file.js";
import { Backups } from "../../build/io/backups.js";
import { LedgerFile } from "../../build/io/ledger-file.js";
import { Predecessors, takeOwnerLock } from "../../build/io/owner-lock.js";
import { Leftovers } from "../../build/io/temporary-file.js";
import { fillDisk } from "../support/full-disk.mjs";

// Runs in a mount namespace of its own: does one thing on an odd file system and prints what came of it.
const [scenario, directory] = process.argv.slice(2);
const path = join(directory, "file");
const { signal } = new globalThis.AbortController();

function mount(...args) {
  execFileSync("mount", args);
}

/** A file system of 64 KiB, with one file on it. */
function mountSmallDisk(text) {
  mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", directory);
  writeFileSync(path, text, { mode: 0o600 });
}

/** Takes all space but so many pages. */
function fill(freePages) {
  fillDisk(join(directory, "filler"), freePages);
}

function makeRoom() {
  rmSync(join(directory, "filler"));
}

async function outcomeOf(action) {
  try {
    await action();
    return "done";
  } catch (error) {
    return error.code;
  }
}

function describeFile() {
  const { ino, mode } = statSync(path);
  return {
    text: readFileSync(path, "utf8"),
    inode: ino,
    mode: (mode & 0o777).toString(8),
    beside: readdirSync(directory).sort(),
  };
}

const live = (index) => ({
  kind: "seen",
  at: index,
  store: `openclaw:${"x".repeat(200)}`,
  profile: `p${String(index)}`,
  generation: `g${String(index)}`,
  issue: "i",
  surroundings: "s",
});

const leftovers = new Leftovers();
const always = { isStillWanted: () => true, discard: leftovers.discard };

/** @param isStillWanted asked while the disk is read-only already, and until this ends */
async function replaceWhileReadOnly(isStillWanted) {
  writeFileSync(path, "old", { mode: 0o600 });
  mount("--bind", directory, directory);
  const setReadOnly = () => {
    mount("-o", "remount,bind,ro", directory);
    return isStillWanted;
  };
  const outcome = await outcomeOf(() => replaceFile(path, "new", { ...always, isStillWanted: setReadOnly }));
  const left = readdirSync(directory).length;
  const stuck = leftovers.discardAgain().map(({ error }) => error.message);
  mount("-o", "remount,bind,rw", directory);
  const stuckAfter = leftovers.discardAgain();
  return { outcome, text: readFileSync(path, "utf8"), left, stuck, stuckAfter, after: readdirSync(directory) };
}

const scenarios = {
  async "replace-on-full-disk"() {
    mountSmallDisk("old".repeat(1000));
    fill(1);
    const outcome = await outcomeOf(() => replaceFile(path, "new".repeat(4000), always));
    return { outcome, ...describeFile() };
  },
  async "replace-bound"() {
    writeFileSync(path, "old", { mode: 0o644 });
    mount("--bind", path, path);
    const before = statSync(path).ino;
    const seen = [];
    for (const text of ["a longer text than before", "short"]) {
      await replaceFile(path, text, always);
      seen.push(describeFile());
    }
    return { before, seen };
  },
  /** The mode at each write of the new text, or null where nothing may make the file private. */
  async "replace-bound-readable"() {
    const modes = [];
    const texts = [];
    for (const isRefused of [false, true]) {
      writeFileSync(path, "old", { mode: 0o600 });
      chmodSync(path, 0o644);
      if (!isRefused) mount("--bind", path, path);
      const file = await open(path, "r");
      const handles = Object.getPrototypeOf(file);
      await file.close();
      const { write, chmod } = handles;
      handles.write = function (...args) {
        modes.push((statSync(path).mode & 0o777).toString(8));
        return write.apply(this, args);
      };
      if (isRefused) handles.chmod = () => Promise.reject(Object.assign(new Error("no"), { code: "EPERM" }));
      texts.push(await outcomeOf(() => replaceFile(path, "a longer text", always)), readFileSync(path, "utf8"));
      Object.assign(handles, { write, chmod });
    }
    return { modes, texts };
  },
  async "replace-bound-on-full-disk"() {
    mountSmallDisk("old".repeat(1000));
    mount("--bind", path, path);
    fill(1);
    const outcome = await outcomeOf(() => replaceFile(path, "new".repeat(4000), always));
    return { outcome, ...describeFile() };
  },
  /** The system accepts half of the overwriting text; the second time it accepts no more. */
  async "replace-bound-by-halves"() {
    writeFileSync(path, "old ".repeat(10), { mode: 0o600 });
    mount("--bind", path, path);
    const file = await open(path, "r");
    const handles = Object.getPrototypeOf(file);
    await file.close();
    const { write } = handles;
    let refused = 0;
    handles.write = function (buffer, offset, length, position) {
      if (position > 0 && refused > 0 && (refused -= 1) === 0) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      return write.call(this, buffer, offset, Math.ceil(length / 2), position);
    };
    const seen = [];
    for (const times of [0, 1]) {
      refused = times;
      const outcome = await outcomeOf(() => replaceFile(path, (times === 0 ? "new " : "bad ").repeat(10), always));
      seen.push({ outcome, text: readFileSync(path, "utf8") });
    }
    return seen;
  },
  async "replace-read-only"() {
    writeFileSync(path, "old", { mode: 0o600 });
    mount("--bind", directory, directory);
    mount("-o", "remount,bind,ro", directory);
    const outcome = await outcomeOf(() => replaceFile(path, "new", always));
    return { outcome, ...describeFile() };
  },
  "replace-read-only-meanwhile": () => replaceWhileReadOnly(true),
  "replace-unwanted-read-only": () => replaceWhileReadOnly(false),
  async "lock-on-full-disk"() {
    mountSmallDisk("");
    fill(0);
    const lock = join(directory, "lock");
    const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors: new Predecessors() };
    const outcome = await outcomeOf(() => takeOwnerLock(lock, options, signal));
    return { outcome, left: existsSync(lock) };
  },
  async "lock-released-read-only"() {
    mount("--bind", directory, directory);
    const lock = join(directory, "lock");
    const predecessors = new Predecessors();
    const options = { staleMs: 30_000, waitMs: 0, clock: systemClock, predecessors };
    const release = await takeOwnerLock(lock, options, signal);
    mount("-o", "remount,bind,ro", directory);
    const released = await outcomeOf(release);
    const stuck = predecessors.removeStuck().map(({ error }) => error.message);
    mount("-o", "remount,bind,rw", directory);
    const taken = await outcomeOf(async () => (await takeOwnerLock(lock, options, signal))());
    return { released, stuck, taken, stuckAfter: predecessors.removeStuck().length, left: readdirSync(directory) };
  },
  async "ledger-on-full-disk"() {
    mountSmallDisk("");
    const ledgerPath = join(directory, "ledger.jsonl");
    const ledger = new LedgerFile(ledgerPath, "key", leftovers);
    await ledger.append([live(1)]);
    fill(1);
    const outcome = await outcomeOf(() => ledger.append(Array.from({ length: 40 }, (_, index) => live(2 + index))));
    makeRoom();
    const after = await ledger.append([live(100)]);
    const another = await new LedgerFile(ledgerPath, "key", leftovers).load();
    return {
      outcome,
      held: [...after.placements.values()].map(({ generation }) => generation),
      readAgain: [...another.placements.values()].map(({ generation }) => generation),
    };
  },
  async "backup-on-full-disk"() {
    mountSmallDisk("");
    const backups = new Backups(join(directory, "backups"), leftovers, () => Promise.resolve(false));
    mkdirSync(join(directory, "backups"));
    fill(0);
    const entry = { store: "s", profile: "p", fingerprint: "f", image: new Secret("x".repeat(9000)) };
    const outcome = await outcomeOf(() => backups.save(entry, 1));
    return { outcome, left: readdirSync(join(directory, "backups")) };
  },
};

process.stdout.write(JSON.stringify(await scenarios[scenario]()));
