import { spawnSync } from "node:child_process";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { Watcher } from "../../src/watch/watcher.js";
import { becomes } from "../support/condition.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

interface Watch {
  readonly watcher: Watcher;
  /** Reported paths, in order. */
  readonly told: string[];
  /** Waits until a path is reported that was not reported before this call. */
  readonly isTold: (path: string, action: () => Promise<unknown>) => Promise<void>;
}

function open(): Watch {
  const told: string[] = [];
  const watcher = new Watcher({
    onChange: (path) => told.push(path),
    onRefused: (_directory, error) => {
      throw error;
    },
    onError: (error) => {
      throw error;
    },
  });
  onTestFinished(() => {
    watcher.close();
  });
  const isTold = async (path: string, action: () => Promise<unknown>): Promise<void> => {
    const before = told.length;
    await action();
    await becomes(() => told.slice(before).includes(path), true);
  };
  return { watcher, told, isTold };
}

describe("a watched file", () => {
  test("tells when it is made, changed, replaced and removed", async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, "login.json");
    const { watcher, isTold } = open();
    expect(await watcher.watch([file])).toBe(true);
    await isTold(file, () => writeFile(file, "1"));
    await isTold(file, () => writeFile(file, "2"));
    await isTold(file, async () => {
      await writeFile(`${file}.tmp`, "3");
      await rename(`${file}.tmp`, file);
    });
    await isTold(file, () => rm(file));
    await isTold(file, () => writeFile(file, "4"));
  });

  test("wakes nobody by what happens beside it", async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, "login.json");
    await mkdir(join(directory, "sessions"));
    const { watcher, told, isTold } = open();
    await watcher.watch([file]);
    for (let count = 0; count < 100; count++) {
      await writeFile(join(directory, `history-${String(count)}`), "x");
      await writeFile(join(directory, "sessions", String(count)), "x");
    }
    await isTold(file, () => writeFile(file, "1"));
    expect(new Set(told)).toEqual(new Set([file]));
  });

  test("is reported although its directory is a link", async () => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "real"));
    await symlink(join(directory, "real"), join(directory, "link"));
    const file = join(directory, "link", "login.json");
    const { watcher, isTold } = open();
    await watcher.watch([file]);
    await isTold(file, () => writeFile(join(directory, "real", "login.json"), "1"));
  });
});

describe("a file whose directory does not exist", () => {
  test("is awaited in the nearest directory above, step by step", async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, "a", "b", "login.json");
    const { watcher, isTold } = open();
    expect(await watcher.watch([file])).toBe(true);
    await isTold(join(directory, "a"), () => mkdir(join(directory, "a")));
    expect(await watcher.watch([file])).toBe(true);
    await isTold(join(directory, "a", "b"), () => mkdir(join(directory, "a", "b")));
    expect(await watcher.watch([file])).toBe(true);
    await isTold(file, () => writeFile(file, "1"));
    expect(await watcher.watch([file])).toBe(false);
  });

  test("wakes nobody by other names in the directory above", async () => {
    const directory = await temporaryDirectory();
    const { watcher, told, isTold } = open();
    await watcher.watch([join(directory, "a", "login.json")]);
    for (let count = 0; count < 50; count++) await mkdir(join(directory, `other-${String(count)}`));
    await isTold(join(directory, "a"), () => mkdir(join(directory, "a")));
    expect(new Set(told)).toEqual(new Set([join(directory, "a")]));
  });
});

describe("a watched directory", () => {
  test("that goes away causes an event, and a new one in its place is watched again", async () => {
    const directory = await temporaryDirectory();
    const agent = join(directory, "agent");
    const file = join(agent, "login.json");
    await mkdir(agent);
    const { watcher, told, isTold } = open();
    await watcher.watch([file]);
    for (let round = 0; round < 3; round++) {
      const before = told.length;
      await rm(agent, { recursive: true });
      await mkdir(agent);
      await becomes(() => told.length > before, true);
      expect(await watcher.watch([file])).toBe(true);
      await isTold(file, () => writeFile(file, String(round)));
    }
  });

  test("is one watch, however many of its files are wanted", async () => {
    const directory = await temporaryDirectory();
    const files = ["a", "b", "c"].map((name) => join(directory, name));
    const { watcher, isTold } = open();
    expect(await watcher.watch(files.slice(0, 2))).toBe(true);
    expect(watcher.size).toBe(1);
    expect(await watcher.watch(files)).toBe(false);
    for (const file of files) await isTold(file, () => writeFile(file, "1"));
  });

  test("is left once none of its files is wanted", async () => {
    const directory = await temporaryDirectory();
    for (const name of ["one", "two"]) await mkdir(join(directory, name));
    const [one, two] = [join(directory, "one", "login.json"), join(directory, "two", "login.json")];
    const { watcher, told, isTold } = open();
    await watcher.watch([one, two]);
    expect(watcher.size).toBe(2);
    expect(await watcher.watch([two])).toBe(false);
    expect(watcher.size).toBe(1);
    await writeFile(one, "1");
    await isTold(two, () => writeFile(two, "1"));
    expect(told).not.toContain(one);
  });

  test("tells about a file no longer than it is wanted", async () => {
    const directory = await temporaryDirectory();
    const [one, two] = [join(directory, "one"), join(directory, "two")];
    const { watcher, told, isTold } = open();
    await watcher.watch([one, two]);
    await watcher.watch([two]);
    await writeFile(one, "1");
    await isTold(two, () => writeFile(two, "1"));
    expect(told).not.toContain(one);
  });
});

test("a closed watcher tells nothing and watches nothing", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "login.json");
  const { watcher, told } = open();
  await watcher.watch([file]);
  watcher.close();
  await writeFile(file, "1");
  expect(watcher.size).toBe(0);
  expect(told).toEqual([]);
});

test("a directory that the system refuses to watch is polled, and reported once", (context) => {
  const canLimit = spawnSync("unshare", ["-Ur", "true"]).status === 0;
  context.skip(!canLimit, "limiting inotify takes user namespaces");
  const script = fileURLToPath(new URL("refused.mjs", import.meta.url));
  const limited = 'echo 0 > /proc/sys/user/max_inotify_watches && exec "$0" "$@"';
  const { stdout, stderr } = spawnSync("unshare", ["-Ur", "sh", "-c", limited, process.execPath, script], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({
    refused: 1,
    told: ["made", "written", "replaced", "removed", "made again"],
    watched: 1,
    toldOfOthers: false,
  });
});
