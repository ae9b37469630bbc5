import { open, readFile, truncate, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { endOf, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work", "research"];

describe("a rotation of the source", () => {
  test("by a rename reaches every agent and is one log line", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    const pushed = await daemon.said("credential pushed");
    expect(pushed).toMatchObject({ level: "info", reason: "rotation", stores: 3, failed: 0 });
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
    expect(await home.readProfile("work")).toEqual(home.profile(2));
    expect(daemon.news.map(({ msg }) => msg)).toEqual(["credential pushed", "ready", "credential pushed"]);
  });

  test("in place reaches every agent", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await writeFile(home.loginFile, home.login(2));
    await daemon.said("credential pushed", { reason: "rotation" });
    await becomes(() => home.generations(agents), [2, 2, 2]);
  });

  test("that is torn at first is pushed once it is whole, and never before", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    const login = home.login(2);
    await truncate(home.loginFile, 0);
    await daemon.said("changed");
    await daemon.said("looked");
    const file = await open(home.loginFile, "a");
    await file.write(login.slice(0, 100));
    await daemon.said("looked");
    expect(await home.generations(agents)).toEqual([1, 1, 1]);
    await file.write(login.slice(100));
    await file.close();
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
    expect(daemon.news.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test("is seen although the file was replaced many times in a burst", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    for (let generation = 2; generation <= 40; generation++) await home.writeLogin(generation);
    await becomes(() => home.generations(agents), [40, 40, 40]);
    await daemon.stop();
    // It settles instead of pushing each of them.
    expect(daemon.news.filter(({ msg }) => msg === "credential pushed").length).toBeLessThan(40);
  });

  test("does not wait until an agent is quiet that notes the use of its profiles all the time", async () => {
    const home = await TemporaryHome.create({ agents: [...agents, "busy"] });
    // Without a cap to speak of.
    await home.writeConfig(`{ settle: { quietMs: 1000, capMs: 600000 }, agents: { busy: "pinned" } }`);
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    const isOver = new AbortController();
    const noting = (async () => {
      while (!isOver.signal.aborted) {
        await home.writeProfile("busy", 1);
        await pause(10);
      }
    })();
    onTestFinished(async () => {
      isOver.abort();
      await noting;
    });
    for (const generation of [2, 3]) {
      await daemon.said("changed", { path: home.storeFile("busy") });
      await home.writeLogin(generation);
      await daemon.said("credential pushed", { reason: "rotation" });
      expect(await home.generations(agents)).toEqual([generation, generation, generation]);
    }
  });

  test("that was missed because the daemon was halted is only late", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    daemon.signal("SIGSTOP");
    await home.writeLogin(2);
    await home.writeLogin(3);
    daemon.signal("SIGCONT");
    await becomes(() => home.generations(agents), [3, 3, 3]);
  });

  test("that was missed because the daemon did not run is made up for at its start", async () => {
    const home = await TemporaryHome.create({ agents });
    const first = await RunningDaemon.start(home);
    await first.stop();
    await home.writeLogin(2);
    await home.writeLogin(3);
    const second = await RunningDaemon.start(home);
    expect(await home.generations(agents)).toEqual([3, 3, 3]);
    expect(second.news[0]).toMatchObject({ msg: "credential pushed", reason: "rotation" });
  });

  test("keeps what else stands in an agent's store byte for byte", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const before = home
      .store(1)
      .replace('"version": 1,', '"version":1, "later": {"b": 1.0, "a": [ ]},')
      .replace('"provider"', '"displayName": "mine",\n      "provider"');
    await writeFile(home.storeFile("main"), before);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    const expected = before
      .replace(home.token("access", 1), home.token("access", 2))
      .replace(home.token("refresh", 1), home.token("refresh", 2))
      .replace(String(endOf(1)), String(endOf(2)));
    expect(await readFile(home.storeFile("main"), "utf8")).toBe(expected);
  });

  test("reaches another Claude Code directory as an access-only login", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const box = home.at("box", ".claude");
    await home.writeConfig(`{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "~/box/.claude" }] }`);
    await home.makeDirectory(box);
    await RunningDaemon.start(home);
    await home.writeLogin(2);
    const login = async (): Promise<unknown> => {
      const file = JSON.parse(await readFile(`${box}/.credentials.json`, "utf8")) as { claudeAiOauth: Record<string, unknown> };
      return [file.claudeAiOauth["accessToken"], file.claudeAiOauth["refreshToken"]];
    };
    await becomes(login, [home.token("access", 2), undefined]);
  });
});

describe("an agent's own rotation", () => {
  test("is adopted into the source and reaches the others", async () => {
    const home = await TemporaryHome.create({ agents });
    const login = { expiresAt: Date.now() - 1000 };
    await home.writeLogin(1, login);
    for (const agent of agents) await home.writeProfile(agent, 1, login);
    const daemon = await RunningDaemon.start(home);
    await home.writeProfile("work", 2);
    await daemon.said("agent rotation adopted", { store: "openclaw:work" });
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
    expect(await readFile(home.loginFile, "utf8")).toContain(home.token("refresh", 2));
  });
});

describe("an agent's program that puts an older login back", () => {
  test("is answered with the live one", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    await home.writeProfile("main", 1);
    await daemon.said("drift corrected");
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
  });
});
