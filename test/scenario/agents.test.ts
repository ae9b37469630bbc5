import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { becomes } from "../support/condition.js";
import { openclawHome } from "../support/openclaw-home.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

describe("an agent that is added while the daemon runs", () => {
  test("is served when it is configured first and its directory made after that", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    await home.configureAgents(["main", "work"]);
    await daemon.said("looked", { stores: 2 });
    await home.writeProfile("work", 0);
    await becomes(() => home.generations(["main", "work"]), [1, 1]);
    await home.writeLogin(2);
    await becomes(() => home.generations(["main", "work"]), [2, 2]);
  });

  test("is served when its directory is made first and it is configured after that", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await RunningDaemon.start(home);
    await home.writeProfile("work", 0);
    await home.writeLogin(2);
    await becomes(() => home.generations(["main", "work"]), [2, 0]);
    await home.configureAgents(["main", "work"]);
    await becomes(() => home.generations(["main", "work"]), [2, 2]);
    await home.writeLogin(3);
    await becomes(() => home.generations(["main", "work"]), [3, 3]);
  });

  test("is served in a directory of its own choice", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await RunningDaemon.start(home);
    const list = [{ id: "main" }, { id: "far", agentDir: "~/far/agent" }];
    await replace(home.openclawConfig, JSON.stringify({ agents: { list } }));
    await home.makeDirectory(home.at("far", "agent"));
    await home.writeProfile("far", 0);
    await rename(home.storeFile("far"), home.at("far", "agent", "auth-profiles.json"));
    await becomes(() => home.fileGeneration(home.at("far", "agent", "auth-profiles.json")), 1);
  });
});

describe("an agent that is removed", () => {
  test("is not written any more, while the others are", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    const daemon = await RunningDaemon.start(home);
    await home.configureAgents(["main"]);
    await daemon.said("left alone: its agent is not configured in OpenClaw any more", { store: "openclaw:work" });
    await home.writeLogin(2);
    await becomes(() => home.generations(["main", "work"]), [2, 1]);
  });

  test("takes its directory along without an error", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    const daemon = await RunningDaemon.start(home);
    await rm(home.agentDirectory("work"), { recursive: true });
    await home.configureAgents(["main"]);
    await home.writeLogin(2);
    await becomes(() => home.generationOf("main"), 2);
    expect(daemon.news.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.skipIf(!existsSync("/proc/self/fd"))("takes its database along, of which the daemon holds nothing open", async () => {
    const { home, store } = await openclawHome("2026.6.11");
    const daemon = await RunningDaemon.start(home);
    const { path } = store("openclaw:ops");
    expect(await openFiles(daemon.pid, path)).not.toEqual([]);
    const config = JSON.parse(await readFile(home.openclawConfig, "utf8")) as { agents: { list: { id: string }[] } };
    config.agents.list = config.agents.list.filter(({ id }) => id !== "ops");
    await replace(home.openclawConfig, JSON.stringify(config));
    await rm(home.agentDirectory("ops"), { recursive: true });
    await becomes(() => openFiles(daemon.pid, path), []);
  });

  test("and made again is served again", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    await RunningDaemon.start(home);
    for (const generation of [2, 3, 4]) {
      await rm(home.at(".openclaw", "agents", "work"), { recursive: true });
      await home.writeProfile("work", 1);
      await home.writeLogin(generation);
      await becomes(() => home.generations(["main", "work"]), [generation, generation]);
    }
  });

  test("and made again under a directory that was swapped is served again", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    await RunningDaemon.start(home);
    await rename(home.at(".openclaw"), home.at("old-openclaw"));
    await home.configureAgents(["main"]);
    await home.writeProfile("main", 0);
    await becomes(() => home.generationOf("main"), 1);
    await home.writeLogin(2);
    await becomes(() => home.generationOf("main"), 2);
  });
});

describe("what comes into being late", () => {
  test("OpenClaw's state directory is picked up", async () => {
    const home = await TemporaryHome.create();
    await RunningDaemon.start(home);
    await mkdir(home.at(".openclaw"));
    await home.configureAgents(["main", "work"]);
    await home.writeProfile("main", 0);
    await home.writeProfile("work", 0);
    await becomes(() => home.generations(["main", "work"]), [1, 1]);
    await home.writeLogin(2);
    await becomes(() => home.generations(["main", "work"]), [2, 2]);
  });

  test("Claude Code's directory is picked up", async () => {
    const home = await TemporaryHome.create({ generation: null });
    await home.configureAgents(["main"]);
    await home.writeProfile("main", 0);
    const daemon = await RunningDaemon.start(home);
    expect(daemon.news).toMatchObject([{ level: "error", msg: "source missing" }, { msg: "ready" }]);
    await home.writeLogin(1);
    await daemon.said("credential pushed", { reason: "first-sight" });
    expect(await home.generationOf("main")).toBe(1);
    await daemon.said("resolved", { about: "claude-code" });
  });

  test("directories in places of the user's choice are picked up", async () => {
    const home = await TemporaryHome.create({ generation: null });
    const variables = { CLAUDE_CONFIG_DIR: home.at("deep", "down", "claude"), OPENCLAW_STATE_DIR: home.at("deep", "openclaw") };
    const daemon = await RunningDaemon.start(home, { variables });
    await replace(home.at("deep", "openclaw", "agents", "main", "agent", "auth-profiles.json"), home.store(0));
    await replace(home.at("deep", "down", "claude", ".credentials.json"), home.login(1));
    await daemon.said("credential pushed");
    const store = home.at("deep", "openclaw", "agents", "main", "agent", "auth-profiles.json");
    await becomes(() => home.fileGeneration(store), 1);
  });
});

/** Lists a process's open files with this name, or with names that begin with it, removed or not. */
async function openFiles(pid: number, path: string): Promise<string[]> {
  const directory = `/proc/${String(pid)}/fd`;
  const links = await Promise.allSettled((await readdir(directory)).map((name) => readlink(join(directory, name))));
  return links.flatMap((link) => (link.status === "fulfilled" && link.value.startsWith(path) ? [link.value] : []));
}
