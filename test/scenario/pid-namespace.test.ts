import { existsSync, mkdirSync, readFileSync, rmdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { ownPids } from "../support/pid-namespace.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { TemporaryHome } from "../support/temporary-home.js";

interface BusyHome {
  readonly home: TemporaryHome;
  /** Ends the work of Claude Code in the box. */
  readonly free: () => void;
}

/** A home with a box whose Claude Code is at work, so that whoever writes there waits for it. */
async function homeWithBusyBox(): Promise<BusyHome> {
  const home = await TemporaryHome.create({ agents: ["main"], generation: 1 });
  await home.writeProfile("main", 0);
  const lock = home.at("box", ".claude", ".oauth_refresh.lock");
  mkdirSync(lock, { recursive: true, mode: 0o700 });
  await home.writeConfig(`{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "~/box/.claude" }] }`);
  const work = setInterval(() => {
    utimesSync(lock, Date.now() / 1000, Date.now() / 1000);
  }, 500);
  const free = (): void => {
    clearInterval(work);
    if (existsSync(lock)) rmdirSync(lock);
  };
  onTestFinished(free);
  return { home, free };
}

/** Reads the lock of the state directory; null while nobody has it. */
function holderOf({ stateDirectory }: TemporaryHome): string | null {
  try {
    return readFileSync(join(stateDirectory, "state.lock"), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

describe("a daemon in another container, on the same home", () => {
  test("is not taken for dead: another one ends with 75 and names it, and status sees it", async (context) => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const daemon = await RunningDaemon.start(home, { within: ownPids(context) });
    const second = RunningDaemon.launch(home);
    expect(await second.ended).toMatchObject({ code: 75 });
    expect(second.stderr).toContain("in another container, already runs the state directory");
    const { stdout } = await credsyncd(home, ["status", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ daemon: { running: true } });
    await home.writeLogin(2);
    await daemon.said("credential pushed");
  });

  test("has its word while it writes: a command waits for it, and then does its own work", async (context) => {
    const { home, free } = await homeWithBusyBox();
    const daemon = RunningDaemon.launch(home, { within: ownPids(context) });
    await becomes(() => home.generationOf("main"), 1);
    // The daemon gives the lock back for a moment between two attempts.
    await becomes(() => holderOf(home)?.includes('"pid": 1,') === true, true);
    let isSyncOver = false;
    const sync = credsyncd(home, ["sync"]).finally(() => (isSyncOver = true));
    await daemon.said("store busy");
    expect(isSyncOver).toBe(false);
    free();
    expect(await sync).toMatchObject({ code: 0 });
    expect(existsSync(home.at("box", ".claude", ".credentials.json"))).toBe(true);
  });
});
