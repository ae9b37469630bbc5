import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { credsyncd, MAIN, type Spoken } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { NEW, SwitchHome } from "../support/switch-home.js";
import { generationIn, TemporaryHome } from "../support/temporary-home.js";

const SIGNAL_AT = fileURLToPath(new URL("../support/signal-at.mjs", import.meta.url));
const agents = ["main", "work"];
const signals = [
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const;

/** A command in a home where it has something to do, and what the stores hold before and after it. */
interface Situation {
  readonly home: TemporaryHome;
  readonly args: readonly string[];
  readonly look: () => Promise<unknown>;
  readonly before: unknown;
  readonly after: unknown;
  /** The owner's lock of one store, and what the command can do while another program holds it. */
  readonly lock: string;
  readonly whileLocked: unknown;
  /** True once it has begun, so that it waits for nothing but that lock. */
  readonly hasBegun?: () => boolean;
}

const situations = {
  sync: async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(2);
    const look = (): Promise<unknown> => home.generations(agents);
    const lock = `${home.storeFile("work")}.lock`;
    return { home, args: ["sync"], look, before: [1, 1], after: [2, 2], lock, whileLocked: [2, 1] };
  },
  adopt: async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 5);
    await credsyncd(home, ["sync"]);
    const look = async (): Promise<unknown> => {
      const { claudeAiOauth } = JSON.parse(readFileSync(home.loginFile, "utf8")) as { claudeAiOauth: { refreshToken: string } };
      return [generationIn(claudeAiOauth.refreshToken), ...(await home.generations(agents))];
    };
    const lock = home.at(".claude", ".oauth_refresh.lock");
    const [before, after] = [
      [1, 1, 5],
      [5, 5, 5],
    ];
    return { home, args: ["adopt", "openclaw:work"], look, before, after, lock, whileLocked: [1, 5, 5] };
  },
  restore: async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 5);
    await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    const { stdout } = await credsyncd(home, ["restore", "--list", "--json"]);
    const [backup] = (JSON.parse(stdout) as { backups: { at: string }[] }).backups;
    const args = ["restore", "--store", "openclaw:work", "--at", backup?.at ?? "", "--yes"];
    const look = (): Promise<unknown> => home.generations(agents);
    const hasBegun = (): boolean => readdirSync(join(home.stateDirectory, "backups")).length > 1;
    const lock = `${home.storeFile("work")}.lock`;
    return { home, args, look, before: [1, 1], after: [1, 5], lock, whileLocked: [1, 1], hasBegun };
  },
  "set-active": async () => {
    const host = await SwitchHome.create({ main: "json", work: "json", ops: "sqlite" });
    const texts = await host.allTexts();
    const look = (): Promise<unknown> => host.sides(texts);
    const all = (side: string): unknown => Object.fromEntries(host.names.map((name) => [name, side]));
    const args = ["set-active", "--provider", "anthropic", "--profile", NEW];
    const lock = `${host.path("work")}.lock`;
    return { home: host.home, args, look, before: all("before"), after: all("after"), lock, whileLocked: all("before") };
  },
} satisfies Record<string, () => Promise<Situation>>;

interface Launched {
  readonly signal: (name: NodeJS.Signals) => void;
  /** The text on stderr until now. */
  readonly talk: () => string;
  readonly ended: Promise<Spoken & { /** The text that a child wrote to descriptor 3. */ readonly noted: string }>;
}

/** Starts a command, whose stdin stays open. */
function launch(home: TemporaryHome, args: readonly string[], variables: Readonly<Record<string, string>> = {}): Launched {
  const preload = "SIGNAL_AT" in variables ? ["--import", SIGNAL_AT] : [];
  const child = spawn(process.execPath, [...preload, MAIN, ...args], {
    env: home.environment(variables),
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let talk = "";
  child.stderr.on("data", (chunk: Buffer) => (talk += chunk.toString()));
  const over = once(child, "close") as Promise<[number | null]>;
  const ended = Promise.all([over, text(child.stdout), text(child.stdio[3] as Readable)]).then(([[code], stdout, noted]) => {
    home.spoken.push(stdout, talk);
    return { code, stdout, stderr: talk, noted };
  });
  return { signal: (name) => child.kill(name), talk: () => talk, ended };
}

/** Another program's lock, which it does not let go: a file for OpenClaw, a directory for Claude Code. */
async function hold(lock: string): Promise<void> {
  if (lock.includes(".claude")) await mkdir(lock);
  else await writeFile(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
}

/** Locks, temporary files and journals anywhere in a home. */
function leftoversIn({ path }: TemporaryHome): string[] {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => basename(name));
  return names.filter((name) => /\.(lock|tmp|tmp\.\d+)$|^switch-/.test(name));
}

function stateLock({ stateDirectory }: TemporaryHome): string {
  return join(stateDirectory, "state.lock");
}

describe.each(Object.entries(situations))("%s", (_name, prepare) => {
  test("asked to stop at any moment ends on one side, and tells which", async () => {
    const outcomes = new Set<number | null>();
    for (let step = 1; ; step += 3) {
      const { home, args, look, before, after } = await prepare();
      const { code, stderr, noted } = await launch(home, args, { SIGNAL_AT: `SIGTERM ${String(step)}` }).ended;
      expect([0, 143], noted).toContain(code);
      expect(await look(), noted).toEqual(code === 0 ? after : before);
      expect(stderr.includes("stopped by SIGTERM"), noted).toBe(code === 143);
      expect(leftoversIn(home), noted).toEqual([]);
      outcomes.add(code);
      if (noted === "") break;
    }
    expect(outcomes).toContain(0);
  });

  test.each(signals)(
    "asked to stop by %s while another program holds a store's lock does not wait for it",
    async (signal, code) => {
      const situation: Situation = await prepare();
      const { home, args, look, lock, whileLocked, after, hasBegun = () => existsSync(stateLock(home)) } = situation;
      await hold(lock);
      const command = launch(home, args);
      await becomes(hasBegun, true);
      command.signal(signal);
      const { stderr, ...ended } = await command.ended;
      expect(ended.code).toBe(code);
      expect(stderr).toContain(`credsyncd: error: stopped by ${signal}`);
      expect(`${ended.stdout}${stderr}`).toContain(`${basename(lock)} is held by another program`);
      expect(await look()).toEqual(whileLocked);
      expect(leftoversIn(home)).toEqual([basename(lock)]);
      await rm(lock, { recursive: true });
      if (args[0] === "sync" || args[0] === "adopt") await credsyncd(home, ["sync"]);
      else await credsyncd(home, args);
      expect(await look()).toEqual(after);
    },
  );

  test("asked to stop while another credsyncd writes does not wait for that, and changes nothing", async () => {
    const { home, args, look, before } = await prepare();
    await mkdir(home.stateDirectory, { recursive: true, mode: 0o700 });
    await hold(stateLock(home));
    const key = join(home.stateDirectory, "key");
    await rm(key, { force: true });
    const command = launch(home, args);
    await becomes(() => existsSync(key), true);
    command.signal("SIGTERM");
    const { code, stderr } = await command.ended;
    expect(code).toBe(143);
    expect(stderr).toContain("stopped by SIGTERM");
    expect(await look()).toEqual(before);
    expect(leftoversIn(home)).toEqual(["state.lock"]);
  });
});

describe("restore, while it asks", () => {
  test("keeps nobody waiting, and takes a request to stop for no", async () => {
    const { home, args, look, before } = await situations.restore();
    const command = launch(
      home,
      args.filter((arg) => arg !== "--yes"),
    );
    await becomes(() => command.talk().includes("(y/n)"), true);
    expect(existsSync(stateLock(home))).toBe(false);
    command.signal("SIGINT");
    const { code, stderr } = await command.ended;
    expect(code).toBe(130);
    expect(stderr).toContain("credsyncd: error: stopped by SIGINT: nothing was restored");
    expect(await look()).toEqual(before);
    expect(leftoversIn(home)).toEqual([]);
  });
});

test("a command that did all that it can in spite of the request ends as it would without it", async () => {
  const home = await TemporaryHome.create({ agents });
  await home.writeProfile("work", 5);
  await home.writeLogin(2);
  const { code, stdout, stderr, noted } = await launch(home, ["sync"], { SIGNAL_AT: "SIGTERM 10" }).ended;
  expect(noted).not.toBe("");
  expect({ code, stderr }).toEqual({ code: 3, stderr: "" });
  expect(stdout).toMatch(/^written +openclaw:main.*\nheld +openclaw:work/);
});

test("a command that is asked to stop while an interrupted switch cannot be settled is not begun", async () => {
  const { home, args, look, before } = await situations.sync();
  await mkdir(join(home.stateDirectory, "journal"), { recursive: true, mode: 0o700 });
  await writeFile(join(home.stateDirectory, "journal", "switch-earlier.json"), "{}", { mode: 0o600 });
  await hold(stateLock(home));
  const command = launch(home, args);
  await becomes(() => existsSync(join(home.stateDirectory, "key")), true);
  command.signal("SIGTERM");
  const { code, stderr } = await command.ended;
  expect(code).toBe(143);
  expect(stderr).toContain("credsyncd: error: stopped by SIGTERM: the command itself was not begun");
  expect(await look()).toEqual(before);
});
