import { existsSync, lstatSync, rmSync, symlinkSync } from "node:fs";
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { replaceFile } from "../../src/io/atomic-file.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { claudeDirectories } from "../../src/programs/claude-code/store.js";
import { ClaudeKeychainStore, keychainDirectory } from "../../src/programs/claude-code/keychain.js";
import { OpenclawJsonStore } from "../../src/programs/openclaw/json.js";
import { credsyncd } from "../support/command-line.js";
import { corpusFile, corpusFiles } from "../support/corpus.js";
import { environmentIn } from "../support/environment.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { TemporaryHome } from "../support/temporary-home.js";
import { failureOf, loginOf, patchFor } from "../programs/contract.js";

const signal = new AbortController().signal;
const kind = { profile: "anthropic:claude-cli", provider: "claude-cli" };

function storeText(secret: string): string {
  const profile = {
    type: "oauth",
    provider: "claude-cli",
    access: `a-${secret}`,
    refresh: `r-${secret}`,
    expires: 4_102_444_800_000,
  };
  return JSON.stringify({ version: 1, profiles: { [kind.profile]: profile } });
}

describe("a link that is put in a file's place", () => {
  test("between the scan and the write is not followed: nothing is written, here or there", async () => {
    const directory = await temporaryDirectory();
    const [agent, victim] = [join(directory, "agent"), join(directory, "victim.json")];
    await mkdir(agent, { mode: 0o700 });
    const path = join(agent, "auth-profiles.json");
    await writeFile(path, storeText("mine"), { mode: 0o600 });
    await writeFile(victim, storeText("victim"), { mode: 0o600 });
    const store = new OpenclawJsonStore("openclaw:work", agent, directory, environmentIn(directory));
    const { revision } = await store.read();
    await rm(path);
    await symlink(victim, path);
    const failure = await failureOf(store.write([patchFor(kind, loginOf(1))], revision, signal));
    expect(failure.code).toBe("conflict");
    expect(await readFile(victim, "utf8")).toBe(storeText("victim"));
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
  });

  test("at the last moment is replaced itself, and its destination stays as it is", async () => {
    const directory = await temporaryDirectory();
    const [path, victim] = [join(directory, "mine.json"), join(directory, "victim.json")];
    await writeFile(path, "old", { mode: 0o600 });
    await writeFile(victim, "victim", { mode: 0o600 });
    const swap = (): boolean => {
      rmSync(path);
      symlinkSync(victim, path);
      return true;
    };
    await replaceFile(path, "new", { isStillWanted: swap, discard: new Leftovers().discard });
    expect(await readFile(victim, "utf8")).toBe("victim");
    expect(await readFile(path, "utf8")).toBe("new");
    expect(lstatSync(path).isSymbolicLink()).toBe(false);
  });

  test("of the directory behind another link keeps the write from happening", async () => {
    const directory = await temporaryDirectory();
    const [real, other, agent] = ["real", "other", "agent"].map((name) => join(directory, name)) as [string, string, string];
    for (const path of [real, other, agent]) await mkdir(path, { mode: 0o700 });
    const name = "auth-profiles.json";
    await writeFile(join(real, name), storeText("mine"), { mode: 0o600 });
    await symlink(join(real, name), join(agent, name));
    const store = new OpenclawJsonStore("openclaw:work", agent, directory, environmentIn(directory));
    const { revision } = await store.read();
    await rename(real, `${real}.moved`);
    await mkdir(real, { mode: 0o700 });
    await writeFile(join(other, name), storeText("victim"), { mode: 0o600 });
    await symlink(join(other, name), join(real, name));
    const failure = await failureOf(store.write([patchFor(kind, loginOf(1))], revision, signal));
    expect(failure.code).toBe("conflict");
    expect(await readFile(join(other, name), "utf8")).toBe(storeText("victim"));
    expect(await readFile(join(`${real}.moved`, name), "utf8")).toBe(storeText("mine"));
  });
});

describe("an OpenClaw source in which a key stands twice", () => {
  test("is read as OpenClaw reads it, and pushed", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"], generation: 1 });
    await home.writeConfig(`{ source: { kind: "openclaw", agent: "main", profile: "anthropic:claude-cli" } }`);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    const entry = JSON.stringify(home.profile(2));
    const twice = `{"version":1,"profiles":{"anthropic:claude-cli":{"type":"api_key"},"anthropic:claude-cli":${entry}}}`;
    await writeFile(home.storeFile("main"), twice);
    await home.age(home.storeFile("main"));
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    expect(await home.generationOf("work")).toBe(2);
    expect(await readFile(home.storeFile("main"), "utf8")).toBe(twice);
  });
});

describe("what a keychain gives", () => {
  async function macWith(content: Buffer): Promise<ClaudeKeychainStore> {
    const home = await temporaryDirectory();
    const tools = join(home, "tools");
    for (const directory of [tools, join(home, "keychain"), join(home, ".claude")]) await mkdir(directory, { mode: 0o700 });
    await copyFile(fileURLToPath(new URL("../programs/security.mjs", import.meta.url)), join(tools, "security"));
    await chmod(join(tools, "security"), 0o755);
    await writeFile(join(tools, "package.json"), `{"type":"module"}`);
    await writeFile(join(home, "keychain", "Claude Code-credentials|alice"), content);
    const PATH = `${tools}:${process.env["PATH"] ?? ""}`;
    const environment = environmentIn(home, { PATH, USER: "alice", STAND_IN_KEYCHAIN: join(home, "keychain") });
    return new ClaudeKeychainStore("claude-code", claudeDirectories(environment), keychainDirectory(environment), environment);
  }

  test.each(corpusFiles("claude"))("such as %s, is a login on hold or a sentence", async (name) => {
    const home = await TemporaryHome.create();
    const store = await macWith(corpusFile("claude", name, home, 70));
    try {
      const { profiles } = await store.read();
      expect(profiles.map(({ content }) => content.kind)).toEqual(["incomplete"]);
    } catch (error) {
      expect(error).toMatchObject({ name: "StoreError", hint: expect.stringMatching(/\w/) as string });
    }
    expect(existsSync(dirname(home.loginFile))).toBe(true);
  });

  test("is never mended where it is no UTF-8", async () => {
    const login = `{"x":"\u00ff","claudeAiOauth":{}}`;
    const store = await macWith(Buffer.from(login, "latin1"));
    await expect(store.read()).rejects.toMatchObject({ code: "malformed" });
  });
});
