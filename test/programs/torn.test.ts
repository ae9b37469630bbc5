import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { claudeDirectories, ClaudeCodeStore } from "../../src/programs/claude-code/store.js";
import type { Environment } from "../../src/programs/environment.js";
import { OpenclawJsonStore } from "../../src/programs/openclaw/json.js";
import type { CredentialStore } from "../../src/domain/store.js";
import { credsyncd } from "../support/command-line.js";
import { environmentIn } from "../support/environment.js";
import { TemporaryHome } from "../support/temporary-home.js";

const signal = new AbortController().signal;
const half = (text: string): string => text.slice(0, text.length / 2);

/** A clock whose waits pass at once, and let something happen. */
class QuickClock {
  passedMs = 0;
  onWait: () => Promise<void> = () => Promise.resolve();

  now(): number {
    return Date.now() + this.passedMs;
  }

  monotonic(): number {
    return this.passedMs;
  }

  async sleep(durationMs: number): Promise<void> {
    this.passedMs += durationMs;
    await this.onWait();
  }
}

interface Subject {
  readonly path: (home: TemporaryHome) => string;
  readonly text: (home: TemporaryHome) => string;
  readonly open: (home: TemporaryHome, environment: Environment) => CredentialStore;
}

const subjects: readonly (readonly [string, Subject])[] = [
  [
    "Claude Code's file",
    {
      path: (home) => home.loginFile,
      text: (home) => home.login(2),
      open: (_home, environment) => new ClaudeCodeStore("claude-code", claudeDirectories(environment), environment),
    },
  ],
  [
    "an agent's file",
    {
      path: (home) => home.storeFile("main"),
      text: (home) => home.store(2),
      open: (home, environment) =>
        new OpenclawJsonStore("openclaw:main", home.agentDirectory("main"), home.at(".openclaw"), environment),
    },
  ],
];

describe.each(subjects)("%s, half written, where the reader does not come back to it,", (_name, subject) => {
  async function openHalf(): Promise<{ home: TemporaryHome; clock: QuickClock; store: CredentialStore }> {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await writeFile(subject.path(home), half(subject.text(home)));
    const clock = new QuickClock();
    const environment = { ...environmentIn(home.path, {}, clock), waitsForWriters: true };
    return { home, clock, store: subject.open(home, environment) };
  }

  test("is read once its writer has finished", async () => {
    const { home, clock, store } = await openHalf();
    clock.onWait = () => writeFile(subject.path(home), subject.text(home));
    expect((await store.read(signal)).profiles).toHaveLength(1);
    expect(clock.passedMs).toBeLessThan(1000);
  });

  test("is broken once it stayed as it is", async () => {
    const { clock, store } = await openHalf();
    await expect(store.read(signal)).rejects.toMatchObject({ code: "malformed" });
    expect(clock.passedMs).toBeLessThan(3000);
  });

  test("is not waited for by more than a few seconds where it is written without a pause", async () => {
    const { home, clock, store } = await openHalf();
    clock.now = () => Date.now();
    clock.onWait = () => writeFile(subject.path(home), half(subject.text(home)));
    await expect(store.read(signal)).rejects.toMatchObject({ code: "torn" });
    expect(clock.passedMs).toBeLessThan(5000);
  });
});

describe("a command that meets a file that was cut short a moment ago", () => {
  const switched = ["set-active", "--provider", "claude-cli", "--profile", "anthropic:claude-cli"];

  test.each([
    [switched, 65],
    [[...switched, "--dry-run"], 65],
    [["sync"], 3],
    [["status"], 0],
  ])("says that it is broken, not that it is read again: %s", async (args, code) => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    await writeFile(home.storeFile("work"), half(home.store(1)));
    const said = await credsyncd(home, args);
    expect(said.code).toBe(code);
    expect(said.stdout + said.stderr).toContain(`${home.storeFile("work")} is not whole JSON`);
    expect(said.stdout + said.stderr).not.toContain("in a moment");
  });
});
