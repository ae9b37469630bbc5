import { chmod, chown, lstat, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { composeIn } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work", "research"];
const isRoot = process.geteuid?.() === 0;

/** Puts an agent's store elsewhere, with a link in its place. */
async function moveBehindLink(home: TemporaryHome, agent: string): Promise<string> {
  const elsewhere = home.at("elsewhere", "profiles.json");
  await home.makeDirectory(home.at("elsewhere"));
  await rename(home.storeFile(agent), elsewhere);
  await symlink(elsewhere, home.storeFile(agent));
  return elsewhere;
}

describe("a store behind a symbolic link", () => {
  test("is written where it is, and the link stays", async () => {
    const home = await TemporaryHome.create({ agents });
    const elsewhere = await moveBehindLink(home, "work");
    await RunningDaemon.start(home);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2, 2]);
    expect(await readlink(home.storeFile("work"))).toBe(elsewhere);
    expect((await lstat(elsewhere)).isFile()).toBe(true);
  });

  test("is watched where it is", async () => {
    const home = await TemporaryHome.create({ agents });
    const elsewhere = await moveBehindLink(home, "work");
    const daemon = await RunningDaemon.start(home);
    await writeFile(elsewhere, home.store(0));
    await daemon.said("drift corrected");
    expect(await home.generationOf("work")).toBe(1);
  });
});

/** Attempts to write a store that failed, and reconciles in which any store was tried, as the metrics tell. */
async function attempts(metrics: string): Promise<{ readonly failed: number; readonly reconciles: number }> {
  const text = await readFile(metrics, "utf8");
  const valueOf = (series: string): number =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(series))
        ?.split(" ")[1],
    );
  return {
    failed: valueOf('credsyncd_writes_total{result="failed"}'),
    reconciles: valueOf('credsyncd_sync_total{result="changed"}'),
  };
}

test("two stores that another program keeps locked are tried again each at its own pace, and told once", async () => {
  const home = await TemporaryHome.create({ agents });
  const metrics = home.at("credsyncd.prom");
  await home.writeConfig(`{ metrics: { textfile: ${JSON.stringify(metrics)} } }`);
  const daemon = await RunningDaemon.start(home);
  for (const [agent, generation] of [
    ["main", 2],
    ["work", 3],
  ] as const) {
    await writeFile(`${home.storeFile(agent)}.lock`, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
    await home.writeLogin(generation);
    await daemon.said("store busy", { store: `openclaw:${agent}` });
  }
  const before = await attempts(metrics);
  const isApart = async (): Promise<boolean> => {
    const { failed, reconciles } = await attempts(metrics);
    return failed - before.failed < 2 * (reconciles - before.reconciles);
  };
  await becomes(isApart, true);
  await rm(`${home.storeFile("work")}.lock`);
  await becomes(() => home.generations(agents), [1, 3, 3]);
  expect(daemon.lines.filter(({ msg }) => msg === "store busy")).toHaveLength(2);
});

describe("a store that cannot be written", () => {
  test("because another user owns it is one error line, said once, and stops no other", async ({ skip }) => {
    if (!isRoot) skip("needs the right to give a file away");
    const home = await TemporaryHome.create({ agents });
    await chown(home.storeFile("work"), 12_345, 12_345);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    await home.writeLogin(3);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([3, 1, 3]);
    const errors = daemon.lines.filter(({ level }) => level === "error");
    expect(errors).toEqual([expect.objectContaining({ msg: "store error", store: "openclaw:work" })]);
    expect(errors[0]?.["reason"]).toMatch(/belongs to user 12345/);
    expect(errors[0]?.["hint"]).toBe("run credsyncd as user 12345, whose it is");
    await chown(home.storeFile("work"), 0, 0);
    await daemon.said("drift corrected");
    await daemon.said("resolved", { about: "openclaw:work" });
    expect(await home.generations(agents)).toEqual([3, 3, 3]);
  });

  test("because its directory is read-only is one error line, said once, and stops no other", async ({ skip }) => {
    if (isRoot) skip("a read-only directory does not stop root");
    const home = await TemporaryHome.create({ agents });
    await chmod(home.agentDirectory("work"), 0o500);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    await home.writeLogin(3);
    await daemon.said("credential pushed", { reason: "rotation" });
    await chmod(home.agentDirectory("work"), 0o700);
    expect(await home.generations(agents)).toEqual([3, 1, 3]);
    expect(daemon.lines.filter(({ level }) => level === "error")).toMatchObject([{ msg: "store error", store: "openclaw:work" }]);
  });
});

describe("a store that cannot be understood", () => {
  test.each([
    ["is cut short", (whole: string) => whole.slice(0, 80), /is not whole JSON/],
    ["is empty", () => "", /is not whole JSON/],
    ["is of a later version", (whole: string) => whole.replace('"version": 1', '"version": 7'), /version that is not known/],
    ["is no object", () => "[1, 2]", /holds no set of profiles|is not a JSON object/],
  ])("because it %s is one error line, is left as it is, and stops no other", async (_what, spoil, reason) => {
    const home = await TemporaryHome.create({ agents });
    const spoilt = spoil(home.store(1));
    await writeFile(home.storeFile("work"), spoilt);
    await home.age(home.storeFile("work"));
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    await home.writeLogin(3);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect([await home.generationOf("main"), await home.generationOf("research")]).toEqual([3, 3]);
    expect(await readFile(home.storeFile("work"), "utf8")).toBe(spoilt);
    const errors = daemon.lines.filter(({ level }) => level !== "info");
    expect(errors).toMatchObject([{ level: "error", msg: "store error", store: "openclaw:work" }]);
    expect(errors[0]?.["reason"]).toMatch(reason);
    expect(errors[0]?.["hint"]).toBeTruthy();
    await home.writeProfile("work", 1);
    await becomes(() => home.generationOf("work"), 3);
    await daemon.said("resolved", { about: "openclaw:work" });
  });

  test("because OpenClaw's own config is broken: agents whose directories exist are served", async () => {
    const home = await TemporaryHome.create({ agents });
    await writeFile(home.openclawConfig, "{ agents: [[ ");
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
    expect(daemon.news.filter(({ level }) => level === "error")).toMatchObject([{ msg: "store error", store: "openclaw" }]);
  });
});

test.each<[string, (path: string, text: string) => Promise<unknown>]>([
  ["half written", (path, text) => writeFile(path, text.slice(0, 60))],
  ["gone", (path) => rm(path)],
])("OpenClaw's own config that is %s for a moment unpins nobody, and brings nobody back", async (_what, spoil) => {
  const home = await TemporaryHome.create({ agents: ["main"], generation: 2 });
  const list = [{ id: "main" }, { id: "hr", agentDir: "~/.openclaw/agents/before/agent" }];
  const text = JSON.stringify({ agents: { list } }, null, 2);
  await replace(home.openclawConfig, text);
  for (const agent of ["before", "removed"]) await home.writeProfile(agent, 1);
  await home.writeConfig(`{ agents: { hr: "pinned" } }`);
  const daemon = await RunningDaemon.start(home);
  await spoil(home.openclawConfig, text);
  await daemon.said("store error", { store: "openclaw" });
  await home.writeLogin(3);
  await becomes(() => home.generationOf("main"), 3);
  await writeFile(home.openclawConfig, text);
  await daemon.said("resolved");
  expect(await home.generations(["before", "removed"])).toEqual([1, 1]);
});

describe("a profile that is not the source's own business", () => {
  test("is left alone: a pinned agent, under the name of another one too", async () => {
    const home = await TemporaryHome.create({ agents });
    await rm(home.storeFile("main"));
    await symlink(home.storeFile("work"), home.storeFile("main"));
    await home.writeConfig(`{ agents: { work: "pinned" } }`);
    await home.writeLogin(2);
    const { reconcile } = await composeIn(home);
    expect((await reconcile()).writes.map(({ store }) => store)).toEqual(["openclaw:research"]);
    expect(await home.generations(agents)).toEqual([1, 1, 2]);
  });

  test("is left alone: a pinned agent, an ignored agent", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ agents: { work: "pinned", "res*": "ignore" } }`);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 1, 1]);
  });

  test("is on hold and reported once if its login is newer and of unknown origin", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 9);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 9, 2]);
    expect(daemon.lines.filter(({ msg }) => msg === "held")).toMatchObject([
      { level: "warn", store: "openclaw:work", reason: "target-newer" },
    ]);
  });
});
