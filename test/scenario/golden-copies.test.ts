import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { openclawHome } from "../support/openclaw-home.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { modeOf, readIfPresent } from "../support/store-file.js";
import { PROFILE, replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

function goldenFile(home: TemporaryHome, agent: string): string {
  return join(home.agentDirectory(agent), "auth-profiles.provisioned.json");
}

describe("a golden copy beside an agent's profiles", () => {
  test("has its profiles kept in sync, gets nothing else, and is private", async () => {
    const home = await TemporaryHome.create({ agents });
    const golden = goldenFile(home, "main");
    const other = { type: "api_key", provider: "openai", key: home.token("key", 1) };
    await replace(golden, JSON.stringify({ version: 1, profiles: { [PROFILE]: home.profile(0), "openai:default": other } }));
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation", stores: 3 });
    expect(JSON.parse(await readFile(golden, "utf8"))).toEqual({
      version: 1,
      profiles: { [PROFILE]: home.profile(2), "openai:default": other },
    });
    expect(await modeOf(golden)).toBe("600");
    expect(existsSync(goldenFile(home, "work"))).toBe(false);
    expect(existsSync(`${golden}.lock`)).toBe(false);
    const { stdout } = await credsyncd(home, ["status"]);
    expect(stdout).toMatch(/^openclaw:main\/provisioned +anthropic:claude-cli +in-sync/m);
  });

  test("that is made while the daemon runs is picked up, and one that vanishes is not made again", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const golden = goldenFile(home, "work");
    await replace(golden, home.store(0));
    await becomes(() => home.fileGeneration(golden), 1);
    await home.remove(golden);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation", stores: 2 });
    expect(existsSync(golden)).toBe(false);
  });

  test("without a login of the source's is left as it is", async () => {
    const home = await TemporaryHome.create({ agents });
    const text = JSON.stringify({
      version: 1,
      profiles: { "openai:default": { type: "api_key", provider: "openai", key: "k" } },
    });
    await replace(goldenFile(home, "main"), text);
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await readFile(goldenFile(home, "main"), "utf8")).toBe(text);
  });

  test("gives the notes on the agent's profiles no pardon: it is not what the agent uses", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ agents: { main: "follow" } }`);
    await credsyncd(home, ["sync"]);
    const notes = join(home.agentDirectory("main"), "auth-state.json");
    const punished = JSON.stringify({ version: 1, usageStats: { [PROFILE]: { errorCount: 3, cooldownUntil: 9e15 } } });
    await writeFile(notes, punished);
    await replace(goldenFile(home, "main"), home.store(0));
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    expect(await home.fileGeneration(goldenFile(home, "main"))).toBe(1);
    expect(await readFile(notes, "utf8")).toBe(punished);
  });

  test("follows what the user decided for its agent", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ agents: { main: "pinned" } }`);
    await replace(goldenFile(home, "main"), home.store(0));
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await home.fileGeneration(goldenFile(home, "main"))).toBe(0);
  });

  test("beside a database is left alone and shown: what a script put back from it would stop OpenClaw", async () => {
    const { home } = await openclawHome("2026.9.6");
    const golden = goldenFile(home, "work");
    await replace(golden, home.store(0));
    await home.writeLogin(2);
    await credsyncd(home, ["sync"]);
    expect(await home.fileGeneration(golden)).toBe(0);
    expect((await credsyncd(home, ["status"])).stdout).toContain(
      `openclaw:work/provisioned left alone: a file that OpenClaw does not read`,
    );
  });
});

describe("a login that OpenClaw keeps in an encrypted sidecar", () => {
  const oauthRef = { source: "openclaw-credentials", provider: "openai-codex", id: "0123456789abcdef0123456789abcdef" };

  test("is on hold as not supported, and neither it nor its profile is written, even by force", async () => {
    const home = await TemporaryHome.create({ agents });
    const id = "openai-codex:default";
    await home.writeConfig(`{ profiles: ["${PROFILE}", "${id}"] }`);
    const profile = { type: "oauth", provider: "openai-codex", oauthRef, expires: 9e12 };
    const text = JSON.stringify({ version: 1, profiles: { [PROFILE]: home.profile(1), [id]: profile } });
    await replace(home.storeFile("work"), text);
    const sidecar = home.at(".openclaw", "credentials", "auth-profiles", `${oauthRef.id}.json`);
    await replace(sidecar, `{"ciphertext":"x"}`);
    await credsyncd(home, ["sync"]);
    const { stdout } = await credsyncd(home, ["status"]);
    expect(stdout).toMatch(new RegExp(`^openclaw:work +${id} +held`, "m"));
    expect(stdout).toContain(`openclaw:work ${id}: its tokens are in an encrypted sidecar, which is not supported`);
    await home.writeLogin(2);
    await credsyncd(home, ["sync", "--force", "openclaw:work"]);
    expect(await home.readProfile("work", id)).toEqual(profile);
    expect(await home.generationOf("work")).toBe(2);
    expect(await readIfPresent(sidecar)).toBe(`{"ciphertext":"x"}`);
  });
});
