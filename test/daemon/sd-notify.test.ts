import { describe, expect, test, vi, onTestFinished } from "vitest";
import { LONGEST_WORK_MS, openSupervisor, watchdogTickMs, type Supervisor } from "../../src/daemon/sd-notify.js";
import { systemEnvironment } from "../../src/app/system.js";
import { becomes } from "../support/condition.js";
import { ManualClock } from "../support/manual-clock.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { standInNotify, type StandInNotify } from "../support/stand-in-notify.js";
import { TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"] as const;

async function saysThat(notify: StandInNotify, pattern: RegExp): Promise<void> {
  await expect.poll(async () => (await notify.told()).join("\n"), { timeout: 20_000, interval: 15 }).toMatch(pattern);
}

describe("the daemon under systemd", () => {
  test("is ready only once every agent holds the live login, and says so in words", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(2);
    const notify = await standInNotify();
    RunningDaemon.launch(home, { variables: notify.variables });
    await saysThat(notify, /--ready/);
    expect(await home.generations(agents)).toEqual([2, 2]);
    expect((await notify.told()).at(-1)).toMatch(/^--ready\|--status=2 stores in sync, next expiry in \d+ h/);
  });

  test("counts the holds, and reports the next rotation", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 50, { id: "anthropic:other" });
    const notify = await standInNotify();
    const daemon = await RunningDaemon.start(home, { variables: notify.variables });
    await saysThat(notify, /--status=1 of 2 stores in sync, 1 held, next expiry/);
    await home.remove(home.loginFile);
    await daemon.said("source missing");
    await saysThat(notify, /--status=nobody is signed in to Claude Code, /);
  });

  test("tells the begin and the end of a reload, of a good and of a bad configuration", async () => {
    const home = await TemporaryHome.create({ agents });
    const notify = await standInNotify();
    const daemon = await RunningDaemon.start(home, { variables: notify.variables });
    await saysThat(notify, /--ready/);
    for (const [config, answer] of [
      [`{ agents: { work: "pinned" } }`, "configuration reloaded"],
      [`{ agent: {} }`, "configuration not reloaded"],
    ] as const) {
      const before = (await notify.told()).length;
      await home.writeConfig(config);
      daemon.signal("SIGHUP");
      await daemon.said(answer);
      await becomes(async () => (await notify.told()).slice(before).some((line) => line.includes("--ready")), true);
      const told = (await notify.told()).slice(before);
      expect(told[0]).toBe("STATUS=reading the configuration again|RELOADING=1|MONOTONIC_USEC=…");
      expect(told.at(-1)).toMatch(/^--ready\|--status=1 store in sync, next expiry/);
    }
  });

  test("tells that it stops, as the last thing", async () => {
    const home = await TemporaryHome.create({ agents });
    const notify = await standInNotify();
    const daemon = await RunningDaemon.start(home, { variables: notify.variables });
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect((await notify.told()).at(-1)).toBe("STATUS=stopping|STOPPING=1");
  });

  test("is not held up at its end by a manager that does not listen", async () => {
    const home = await TemporaryHome.create({ agents });
    const notify = await standInNotify('case "$*" in *STOPPING*) exec sleep 30 ;; esac');
    const daemon = await RunningDaemon.start(home, { variables: notify.variables });
    const begun = performance.now();
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  test("ticks while it is well", async () => {
    const home = await TemporaryHome.create({ agents });
    const notify = await standInNotify();
    await RunningDaemon.start(home, { variables: { ...notify.variables, WATCHDOG_USEC: "100000" } });
    await saysThat(notify, /^WATCHDOG=1\n[^]*^WATCHDOG=1$/m);
  });

  test("goes on without the program, and says once what to do", async () => {
    const home = await TemporaryHome.create({ agents });
    const variables = { NOTIFY_SOCKET: "/nowhere", PATH: "/nowhere", WATCHDOG_USEC: "20000" };
    const daemon = RunningDaemon.launch(home, { variables });
    const line = await daemon.said("cannot tell systemd");
    expect(line).toMatchObject({ level: "warn", reason: expect.stringContaining("systemd-notify") as string });
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2]);
    expect(daemon.lines.filter(({ msg }) => msg === "cannot tell systemd")).toHaveLength(1);
  });

  test("starts nothing where nobody asked", async () => {
    const home = await TemporaryHome.create({ agents });
    const notify = await standInNotify();
    const daemon = await RunningDaemon.start(home, { variables: { PATH: notify.variables.PATH, WATCHDOG_USEC: "20000" } });
    await daemon.stop();
    expect(await notify.told()).toEqual([]);
  });
});

describe("the watchdog", () => {
  const ports = { pid: process.pid, onFailure: () => undefined, onLate: () => undefined };

  async function supervised(lateMs: () => number, late: number[]): Promise<[Supervisor, ManualClock, StandInNotify]> {
    const notify = await standInNotify();
    // npm systemd-notify takes the environment of its process.
    for (const [name, value] of Object.entries(notify.variables)) vi.stubEnv(name, value);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const clock = new ManualClock();
    const variables = { ...notify.variables, WATCHDOG_USEC: "60000000" };
    const supervisor = openSupervisor({ ...ports, clock, variables, onLate: (ms) => late.push(ms) });
    supervisor.watch({ lateMs });
    return [supervisor, clock, notify];
  }

  test("gets no ticks while a reconcile hangs, and gets them again once it has ended", async () => {
    const late: number[] = [];
    let lateMs = 0;
    const [supervisor, clock, notify] = await supervised(() => lateMs, late);
    const ticks = async (): Promise<number> => (await notify.told()).filter((line) => line.includes("WATCHDOG=1")).length;
    await clock.pass(30_000);
    await becomes(ticks, 1);
    lateMs = LONGEST_WORK_MS + 1;
    await clock.pass(30_000);
    await clock.pass(30_000);
    expect(late).toEqual([LONGEST_WORK_MS + 1]);
    lateMs = 0;
    await clock.pass(30_000);
    await becomes(ticks, 2);
    await supervisor.close();
    expect(await ticks()).toBe(2);
  });

  test("gets its tick together with a changed status, from one program", async () => {
    const [supervisor, clock, notify] = await supervised(() => 0, []);
    let hours = 3;
    supervisor.status(() => `next expiry in ${String(hours)} h`);
    await becomes(async () => (await notify.told()).length, 1);
    hours = 2;
    await clock.pass(30_000);
    await becomes(async () => (await notify.told()).at(-1), "STATUS=next expiry in 2 h|WATCHDOG=1");
    await supervisor.close();
  });

  test.each([
    [{ WATCHDOG_USEC: "60000000" }, 30_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "7" }, 30_000],
    [{ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "8" }, null],
    [{ WATCHDOG_USEC: "0" }, null],
    [{ WATCHDOG_USEC: "soon" }, null],
    [{}, null],
  ])("of %j gets a tick every %j ms", (variables, tickMs) => {
    expect(watchdogTickMs(variables, 7)).toBe(tickMs);
  });
});

test("programs that credsyncd starts cannot speak to the supervisor in its name", () => {
  vi.stubEnv("NOTIFY_SOCKET", "/run/notify");
  vi.stubEnv("WATCHDOG_USEC", "1");
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  expect(Object.keys(systemEnvironment().variables)).not.toEqual(expect.arrayContaining(["NOTIFY_SOCKET"]));
  expect(systemEnvironment().variables["WATCHDOG_USEC"]).toBeUndefined();
});
