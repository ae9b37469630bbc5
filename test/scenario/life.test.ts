import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { credsyncd, MAIN } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { endOf, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];
/** The promise is one second; a busy machine is given more. */
const PROMPT_MS = 8000;

describe("a steady state", () => {
  test("is silent, whatever happens beside the watched files", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const before = daemon.lines.length;
    for (let wake = 0; wake < 3; wake++) {
      const last = await home.lookedAt();
      await writeFile(home.at(".claude", "history.jsonl"), String(wake));
      await writeFile(join(home.agentDirectory("main"), "sessions.json"), String(wake));
      await utimes(home.storeFile("main"), new Date(), new Date());
      await home.writeProfile("work", 1, { fields: { lastUsed: wake } });
      await home.writeLogin(1, { fields: { note: wake } });
      await becomes(async () => (await home.lookedAt()) !== last, true);
    }
    await daemon.stop();
    expect(daemon.lines.slice(before).map(({ msg }) => msg)).toEqual(["stopped"]);
  });

  test("scans nothing when unrelated files of the same directories change", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    const before = daemon.lines.length;
    for (let count = 0; count < 50; count++) {
      await writeFile(home.at(".claude", "history.jsonl"), String(count));
      await writeFile(home.at(`.claude.json`), "{}");
      await writeFile(join(home.agentDirectory("main"), `session-${String(count)}.json`), "{}");
    }
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    const changed = daemon.lines.slice(before).flatMap(({ msg, path }) => (msg === "changed" ? [path] : []));
    const own = [home.loginFile, home.storeFile("main"), home.storeFile("work")];
    expect(changed.filter((path) => !own.includes(String(path)))).toEqual([]);
  });

  test("stays one in spite of a resync every second", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ resync: "* * * * * *" }`);
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    for (let wake = 0; wake < 3; wake++) await daemon.said("looked");
    expect(daemon.news.map(({ msg }) => msg)).toEqual(["credential pushed", "ready"]);
  });
});

describe("a limit on the size of files", () => {
  const limit = (pid: number, bytes: string): void => {
    execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:unlimited`]);
  };
  const canLimit = spawnSync("prlimit", ["--version"]).status === 0;

  test.skipIf(!canLimit)("does not end the daemon, which reports it and waits", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    limit(daemon.pid, "1");
    await home.writeLogin(2);
    const reason = `cannot write ${join(home.stateDirectory, "state.lock")}: a file may not be that large here`;
    await daemon.said("reconcile failed", { reason });
    limit(daemon.pid, "unlimited");
    await daemon.said("credential pushed", { reason: "rotation", failed: 0 });
    expect(await home.generations(agents)).toEqual([2, 2]);
  });
});

describe("the end of the daemon", () => {
  test.each(["SIGTERM", "SIGINT"] as const)("%s ends it at once, with success", async (signal) => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const startedAt = performance.now();
    expect(await daemon.stop(signal)).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedAt).toBeLessThan(PROMPT_MS);
    expect(daemon.lines.at(-1)).toMatchObject({ level: "info", msg: "stopped" });
    expect(daemon.stderr).toBe("");
    expect(await readdir(home.stateDirectory)).not.toContain("run.lock.held");
  });

  test("finishes the writes in hand", async () => {
    const many = Array.from({ length: 60 }, (_, index) => `agent-${String(index)}`);
    const home = await TemporaryHome.create({ agents: many });
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await becomes(async () => (await home.generations(many)).includes(2), true);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(new Set(await home.generations(many))).toEqual(new Set([2]));
    for (const agent of many) expect(await readdir(home.agentDirectory(agent))).toEqual(["auth-profiles.json"]);
    expect(await readdir(home.stateDirectory)).not.toContain("state.lock");
  });

  test("while another program holds an agent's lock does not wait for it", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const payload = { pid: process.pid, createdAt: new Date().toISOString() };
    await writeFile(`${home.storeFile("work")}.lock`, JSON.stringify(payload));
    await home.writeLogin(2);
    await becomes(() => home.generationOf("main"), 2);
    const startedAt = performance.now();
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedAt).toBeLessThan(PROMPT_MS);
    expect(await home.generationOf("work")).toBe(1);
  });
});

describe("a lock that another program holds on an agent's store", () => {
  test("only delays the write", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const lock = `${home.storeFile("work")}.lock`;
    await writeFile(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
    await home.writeLogin(2);
    await daemon.said("store busy", { store: "openclaw:work" });
    expect(await home.generations(agents)).toEqual([2, 1]);
    await home.remove(lock);
    await becomes(() => home.generations(agents), [2, 2]);
    await daemon.said("resolved", { about: "openclaw:work" });
  });
});

describe("a second daemon", () => {
  test("in the same state directory gives way, and names the first", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const second = await credsyncd(home, ["run"]);
    expect(second.code).toBe(75);
    expect(second.stderr).toContain(`pid ${String(daemon.pid)}`);
    expect(second.stderr).toMatch(/^credsyncd: error: .*\ncredsyncd: hint: .*\n$/);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2]);
  });

  test("is not hindered by what a killed one left behind", async () => {
    const home = await TemporaryHome.create({ agents });
    const killed = await RunningDaemon.start(home);
    await killed.stop("SIGKILL");
    expect(await readdir(home.stateDirectory)).toContain("run.lock.held");
    await home.writeLogin(2);
    await RunningDaemon.start(home);
    expect(await home.generations(agents)).toEqual([2, 2]);
  });

  test("of several that start at once after a killed one, exactly one runs", async () => {
    const home = await TemporaryHome.create({ agents });
    await (await RunningDaemon.start(home)).stop("SIGKILL");
    const daemons = Array.from({ length: 4 }, () => RunningDaemon.launch(home));
    const fates = daemons.map(async (daemon) => Promise.race([daemon.ended.then(({ code }) => code), daemon.said("ready")]));
    const outcomes = await Promise.all(fates.map(async (fate) => fate.catch(() => 75)));
    expect(outcomes.filter((outcome) => outcome !== 75)).toMatchObject([{ msg: "ready" }]);
  });
});

describe("SIGHUP", () => {
  test("takes a new configuration over", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await home.writeConfig(`{ agents: { work: "pinned" } }`);
    daemon.signal("SIGHUP");
    await daemon.said("configuration reloaded", { path: home.configFile });
    await daemon.said("ready");
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 1]);
    await home.writeConfig(`{ agents: { work: "follow" } }`);
    daemon.signal("SIGHUP");
    await daemon.said("configuration reloaded");
    await becomes(() => home.generations(agents), [2, 2]);
  });

  test("with a broken configuration keeps the old one, and says so in one line", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ log: { level: "debug" }, agents: { work: "pinned" } }`);
    await home.writeProfile("main", 9);
    const daemon = await RunningDaemon.start(home);
    const before = daemon.news.length;
    await home.writeConfig(`{ agent: { work: "follow" } }`);
    daemon.signal("SIGHUP");
    const line = await daemon.said("configuration not reloaded");
    expect(line).toMatchObject({ level: "error", hint: 'did you mean "agents"?' });
    await daemon.said("looked");
    await home.writeLogin(10);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([10, 1]);
    const news = ["configuration not reloaded", "credential pushed", "resolved"];
    await daemon.said("resolved");
    expect(daemon.news.slice(before).map(({ msg }) => msg)).toEqual(news);
  });

  test("many times in a row does not end it", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    for (let count = 0; count < 20; count++) {
      daemon.signal("SIGHUP");
      if (count % 5 === 0) await daemon.said("configuration reloaded");
    }
    await home.writeConfig(`{ agents: { work: "pinned" } }`);
    daemon.signal("SIGHUP");
    await daemon.said("configuration reloaded", { path: home.configFile });
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 1]);
  });
});

test("the signal on which the runtime opens its debugger to everyone on the host does nothing", async () => {
  const home = await TemporaryHome.create({ agents });
  const daemon = await RunningDaemon.start(home);
  daemon.signal("SIGUSR1");
  await home.writeLogin(2);
  await becomes(() => home.generations(agents), [2, 2]);
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  expect(daemon.stderr).toBe("");
});

describe("keepWarm's command, which knows the next login and has not written it yet", () => {
  /** Says that it began, waits for a word, then writes. */
  async function warming(): Promise<{ home: TemporaryHome; daemon: RunningDaemon; goOn: () => Promise<void> }> {
    const home = await TemporaryHome.create({ agents });
    const next = home.at("next");
    await writeFile(next, home.login(2), { mode: 0o600 });
    const wait = `echo begun >> ${home.at("begun")}; while [ ! -e ${home.at("go")} ]; do sleep 0.02; done`;
    const script = `${wait}; cp -p ${next} ${next}.tmp && mv ${next}.tmp ${home.loginFile}`;
    await home.writeConfig(JSON.stringify({ keepWarm: { command: ["sh", "-c", script], before: "1h" } }));
    await home.writeLogin(1, { expiresAt: Date.now() + 60_000 });
    const daemon = await RunningDaemon.start(home);
    await becomes(() => existsSync(home.at("begun")), true);
    return { home, daemon, goOn: () => writeFile(home.at("go"), "") };
  }

  test("is not interrupted by a reload, which does not wait for it", async () => {
    const { home, daemon, goOn } = await warming();
    daemon.signal("SIGHUP");
    await daemon.said("configuration reloaded");
    await daemon.said("ready");
    await goOn();
    await becomes(() => home.generations(agents), [2, 2]);
    expect(await readFile(home.at("begun"), "utf8")).toBe("begun\n");
  });

  test("is waited for at the end", async () => {
    const { home, daemon, goOn } = await warming();
    daemon.signal("SIGTERM");
    await daemon.said("waiting for the end of keepWarm's command");
    await goOn();
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(await readFile(home.loginFile, "utf8")).toBe(home.login(2));
  });
});

describe("a command beside the daemon", () => {
  test("sync finds everything done", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const result = await credsyncd(home, ["sync"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^everything is in sync with g1:/);
    await home.writeLogin(2);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    expect(await home.generations(agents)).toEqual([2, 2]);
    expect(daemon.news.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test("the daemon goes on from what sync wrote", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    daemon.signal("SIGSTOP");
    await home.writeLogin(2);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    expect(await home.generations(agents)).toEqual([2, 2]);
    daemon.signal("SIGCONT");
    await home.writeLogin(3);
    await becomes(() => home.generations(agents), [3, 3]);
    expect(daemon.news.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test("status names the daemon, its last scan, and that it ended", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const report = async (): Promise<unknown> => {
      const { stdout } = await credsyncd(home, ["status", "--json"]);
      return (JSON.parse(stdout) as { daemon: unknown }).daemon;
    };
    expect(await report()).toMatchObject({ running: true, pid: daemon.pid, lastReconcileMs: expect.any(Number) as number });
    await daemon.stop();
    expect(await report()).toEqual({ running: false, pid: null, lastReconcileAt: null, lastReconcileMs: null });
  });
});

describe("the daemon's log", () => {
  test("that is read late does not end the daemon, and loses no line", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    daemon.listen(false);
    // Far more than a pipe holds.
    for (let generation = 2; generation <= 600; generation++)
      await home.writeLogin(generation, { expiresAt: endOf(1) + generation * 1000 });
    daemon.listen(true);
    await becomes(() => home.generations(agents), [600, 600]);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    const ids = daemon.lines.flatMap(({ msg, reconcileId }) => (msg === "looked" ? [reconcileId] : []));
    expect(ids).toEqual(ids.map((_id, index) => index + 1));
  });

  test("that nobody reads any more does not end the daemon", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    daemon.hangUp();
    for (let generation = 2; generation < 12; generation++) {
      await home.writeLogin(generation);
      await becomes(() => home.generations(agents), [generation, generation]);
    }
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });
});

describe.skipIf(!existsSync("/dev/full"))("a full disk under its log and its alerts", () => {
  test("does not end the daemon", async () => {
    const home = await TemporaryHome.create({ agents });
    const full = openSync("/dev/full", "w");
    const daemon = spawn(process.execPath, [MAIN, "run"], { env: home.environment(), stdio: ["ignore", full, full] });
    closeSync(full);
    onTestFinished(() => void daemon.kill("SIGKILL"));
    await becomes(async () => (await home.lookedAt()) !== null, true);
    await home.remove(home.loginFile);
    await becomes(async () => (await credsyncd(home, ["history"])).stdout.includes("source-missing"), true);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2]);
    const ended = once(daemon, "exit");
    daemon.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});

describe("its own state", () => {
  test("that is removed while it runs does not lose a rotation", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await home.remove(home.stateDirectory);
    await home.writeLogin(2);
    const line = await daemon.said("reconcile failed");
    expect(line).toMatchObject({ level: "error" });
    expect(line["hint"]).toBeTruthy();
  });
});
