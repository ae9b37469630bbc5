import { constants, closeSync, openSync, readSync, writeSync } from "node:fs";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { credsyncd, MAIN } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { generationIn, replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

/** A home with boxes: Claude Code directories that are given the access token. */
async function homeWithBoxes(count: number): Promise<{ readonly home: TemporaryHome; readonly boxes: readonly string[] }> {
  const home = await TemporaryHome.create({ agents });
  const boxes = Array.from({ length: count }, (_, index) => home.at(`box-${String(index)}`, ".claude"));
  for (const box of boxes) await mkdir(box, { recursive: true, mode: 0o700 });
  const targets = boxes.map((dir) => ({ kind: "claude-code", dir, share: "access-only" }));
  await home.writeConfig(JSON.stringify({ targets: [...targets, { kind: "openclaw" }] }));
  expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
  return { home, boxes };
}

/** Holds a box's refresh lock, and keeps it fresh, until it is let go. */
async function holdLock(box: string): Promise<() => Promise<void>> {
  const lock = join(box, ".oauth_refresh.lock");
  await mkdir(lock);
  const timer = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), 500);
  const letGo = async (): Promise<void> => {
    clearInterval(timer);
    await rm(lock, { recursive: true, force: true });
  };
  onTestFinished(letGo);
  return letGo;
}

async function boxGeneration(box: string): Promise<number | null> {
  const login = JSON.parse(await readFile(join(box, ".credentials.json"), "utf8")) as { claudeAiOauth: Record<string, unknown> };
  return generationIn(login.claudeAiOauth["accessToken"]);
}

/** How long rotations take to reach an agent (ms), one after the other. */
async function rotate(home: TemporaryHome, from: number, count: number): Promise<number[]> {
  const took: number[] = [];
  for (let generation = from; generation < from + count; generation++) {
    const startedAt = performance.now();
    await home.writeLogin(generation);
    await becomes(() => home.generationOf("main"), generation);
    took.push(performance.now() - startedAt);
  }
  return took;
}

describe("a box whose lock stays held (R16c)", () => {
  test("delays no rotation of the others, is reported, and is served once it is free", { timeout: 60_000 }, async () => {
    const { home, boxes } = await homeWithBoxes(1);
    const [box = ""] = boxes;
    const daemon = await RunningDaemon.start(home);
    const letGo = await holdLock(box);
    // It would take eight seconds to wait for the lock.
    for (const took of await rotate(home, 2, 6)) expect(took).toBeLessThan(3000);
    await daemon.said("store busy", { store: `claude-code:${box}` });
    await letGo();
    await becomes(() => boxGeneration(box), 7);
    await daemon.said("resolved", { about: `claude-code:${box}` });
  });

  test("for a moment is waited for without a word", async () => {
    const { home, boxes } = await homeWithBoxes(1);
    const [box = ""] = boxes;
    const daemon = await RunningDaemon.start(home);
    const letGo = await holdLock(box);
    await rotate(home, 2, 1);
    await letGo();
    await becomes(() => boxGeneration(box), 2);
    await daemon.stop();
    expect(daemon.lines.filter(({ msg }) => msg === "store busy")).toEqual([]);
  });

  test("repeatedly is served in the gaps", { timeout: 60_000 }, async () => {
    const { home, boxes } = await homeWithBoxes(1);
    const [box = ""] = boxes;
    await RunningDaemon.start(home);
    let letGo = await holdLock(box);
    const program = setInterval(() => {
      void letGo().then(() => {
        setTimeout(
          () =>
            void holdLock(box)
              .then((next) => (letGo = next))
              .catch(() => undefined),
          200,
        );
      });
    }, 1000);
    onTestFinished(() => {
      clearInterval(program);
    });
    await rotate(home, 2, 1);
    await becomes(() => boxGeneration(box), 2);
  });

  test("does not come before the others, though there are more of them than are written at once", async () => {
    const { home, boxes } = await homeWithBoxes(20);
    for (const box of boxes) await holdLock(box);
    await home.writeLogin(2);
    const command = spawn(process.execPath, [MAIN, "sync"], { env: home.environment(), stdio: "ignore" });
    const ended = once(command, "close");
    await becomes(() => home.generations(agents), [2, 2]);
    // It waits for the boxes all the same.
    expect(command.exitCode).toBeNull();
    command.kill("SIGTERM");
    await ended;
  });
});

describe("a store of very many profiles (R16c)", () => {
  test("is refused with the reason, and stops no other", async () => {
    const home = await TemporaryHome.create({ agents });
    const profiles = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`a:${String(index)}`, home.profile(1)]));
    await replace(home.storeFile("work"), JSON.stringify({ version: 1, profiles }));
    const daemon = await RunningDaemon.start(home);
    const line = daemon.lines.find(({ msg }) => msg === "store error");
    expect(line?.["reason"]).toMatch(/holds 1000 profiles, and more than 300 are not served/);
    for (const took of await rotate(home, 2, 2)) expect(took).toBeLessThan(3000);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 3 });
  });

  test("is served within the bound, at a cost that does not grow with the square", { timeout: 60_000 }, async () => {
    const home = await TemporaryHome.create({ agents });
    const profiles = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`a:${String(index)}`, home.profile(1)]));
    await replace(home.storeFile("work"), JSON.stringify({ version: 1, profiles }));
    await RunningDaemon.start(home);
    for (const took of await rotate(home, 2, 2)) expect(took).toBeLessThan(3000);
    await becomes(() => home.generationOf("work", "a:299"), 3);
  });

  test("that nobody knows is one line and one alert, whatever ids they are given", { timeout: 60_000 }, async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    const daemon = await RunningDaemon.start(home);
    for (const round of [1, 2, 3]) {
      const strangers = Object.fromEntries(
        Array.from({ length: 200 }, (_, index) => {
          const tokens = { access: home.token(`a${String(round)}`, index), refresh: home.token(`r${String(round)}`, index) };
          return [`anthropic:${String(round)}-${String(index)}`, home.profile(1, { fields: tokens })];
        }),
      );
      const before = await home.lookedAt();
      await replace(home.storeFile("work"), JSON.stringify({ version: 1, profiles: strangers }));
      await becomes(async () => (await home.lookedAt()) !== before, true);
    }
    await rotate(home, 2, 1);
    expect(daemon.lines.filter(({ msg }) => msg === "held")).toMatchObject([{ store: "openclaw:work", profiles: 200 }]);
    expect(daemon.stderr.trim().split("\n")).toHaveLength(1);
  });
});

describe("a reader of the log that stalls", () => {
  test("stops neither the work nor the end", async () => {
    const home = await TemporaryHome.create({ agents });
    const pipe = home.at("log");
    execFileSync("mkfifo", [pipe]);
    const both = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    onTestFinished(() => {
      closeSync(both);
    });
    fill(both);
    const end = openSync(pipe, constants.O_WRONLY);
    const daemon = spawn(process.execPath, [MAIN, "run", "--json"], {
      env: home.environment(),
      stdio: ["ignore", end, "ignore"],
    });
    const ended = once(daemon, "close");
    onTestFinished(() => {
      daemon.kill("SIGKILL");
    });
    closeSync(end);
    for (const took of await rotate(home, 2, 2)) expect(took).toBeLessThan(3000);
    // Once somebody reads again, nothing is missing.
    readSync(both, Buffer.alloc(1 << 20));
    expect(await readUntil(both, `"reason":"rotation"`)).toContain(`"reason":"first-sight"`);
    fill(both);
    daemon.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});

function fill(pipe: number): void {
  try {
    for (;;) writeSync(pipe, "x".repeat(512));
  } catch (error) {
    expect(error).toMatchObject({ code: "EAGAIN" });
  }
}

async function readUntil(pipe: number, words: string): Promise<string> {
  let text = "";
  await becomes(() => {
    const buffer = Buffer.alloc(1 << 16);
    try {
      text += buffer.toString("utf8", 0, readSync(pipe, buffer));
    } catch (error) {
      expect(error).toMatchObject({ code: "EAGAIN" });
    }
    return text.includes(words);
  }, true);
  return text;
}
