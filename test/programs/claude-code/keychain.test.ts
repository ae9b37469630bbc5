import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CLAUDE_PROFILE, claudeDirectories } from "../../../src/programs/claude-code/store.js";
import { ClaudeKeychainStore, keychainDirectory, keychainItem } from "../../../src/programs/claude-code/keychain.js";
import { environmentIn } from "../../support/environment.js";
import { readClaudeFixture } from "../../support/fixtures.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { failureOf, loginOf, patchFor, summaryOf, type Login } from "../contract.js";

const signal = new AbortController().signal;
const ITEM = "Claude Code-credentials|alice";
const kind = { profile: CLAUDE_PROFILE, provider: null };

function document({ access, refresh, expires }: Login, note = "plain"): string {
  const login = { accessToken: access, refreshToken: refresh, expiresAt: expires, scopes: ["user:inference"] };
  return JSON.stringify({ mcpOAuth: { note }, claudeAiOauth: login });
}

/** A Mac's home with a keychain, and what the store and Claude Code do there. */
class Mac {
  readonly store: ClaudeKeychainStore;
  readonly home: string;

  private constructor(home: string, variables: Readonly<Record<string, string>>) {
    const environment = environmentIn(home, variables);
    this.home = home;
    this.store = new ClaudeKeychainStore(
      "claude-code",
      claudeDirectories(environment),
      keychainDirectory(environment),
      environment,
    );
  }

  static async create(): Promise<Mac> {
    const home = await temporaryDirectory();
    const tools = join(home, "tools");
    for (const directory of [tools, join(home, "keychain"), join(home, ".claude")]) await mkdir(directory, { mode: 0o700 });
    await copyFile(fileURLToPath(new URL("../security.mjs", import.meta.url)), join(tools, "security"));
    await chmod(join(tools, "security"), 0o755);
    // Without an extension Node takes the program for CommonJS, unless a manifest says otherwise.
    await writeFile(join(tools, "package.json"), `{"type":"module"}`);
    const PATH = `${tools}:${process.env["PATH"] ?? ""}`;
    return new Mac(home, { PATH, USER: "alice", STAND_IN_KEYCHAIN: join(home, "keychain") });
  }

  get file(): string {
    return join(this.home, ".claude", ".credentials.json");
  }

  putItem(text: string): Promise<void> {
    return writeFile(join(this.home, "keychain", ITEM), text);
  }

  item(): Promise<string> {
    return readFile(join(this.home, "keychain", ITEM), "utf8");
  }

  is(state: string): Promise<void> {
    return writeFile(join(this.home, "keychain", "state"), state);
  }

  calls(): Promise<string> {
    return readFile(join(this.home, "keychain", "calls"), "utf8");
  }
}

describe("the keychain", () => {
  test("is read before the file, which is read where there is no item", async () => {
    const mac = await Mac.create();
    expect((await mac.store.read()).profiles).toEqual([]);
    await writeFile(mac.file, await readClaudeFixture("valid"), { mode: 0o600 });
    const [fromFile] = (await mac.store.read()).profiles;
    expect(fromFile === undefined ? "" : summaryOf(fromFile)).toContain("0-FAKEAA 4102444800000");
    await mac.putItem(document(loginOf(1)));
    const snapshot = await mac.store.read();
    expect(snapshot.profiles.map(summaryOf)[0]).toContain(String(loginOf(1).expires));
    expect(snapshot.files).toContain(join(mac.home, "Library", "Keychains", "login.keychain-db"));
    expect(await mac.calls()).toContain("find-generic-password -a alice -w -s Claude Code-credentials\n");
  });

  test("gets the new login and keeps everything else; no token is ever an argument, and no file appears", async () => {
    const mac = await Mac.create();
    await mac.putItem(document(loginOf(1)));
    const { revision } = await mac.store.read();
    await mac.store.write([patchFor(kind, loginOf(2))], revision, signal);
    expect(await mac.item()).toBe(document(loginOf(2)));
    expect((await mac.calls()).match(/^-i$/gm)).toHaveLength(1);
    expect(await mac.calls()).not.toContain("add-generic-password");
    expect(existsSync(mac.file)).toBe(false);
    expect((await readdir(join(mac.home, ".claude"))).filter((name) => name.includes("lock"))).toEqual([]);
  });

  test("whose item is not plain is read by its bytes, and written whole", async () => {
    const mac = await Mac.create();
    await mac.putItem(document(loginOf(1), "café ☃"));
    const { revision } = await mac.store.read();
    await mac.store.write([patchFor(kind, loginOf(2))], revision, signal);
    expect(await mac.item()).toBe(document(loginOf(2), "café ☃"));
  });

  test("is not written when it changed since it was read", async () => {
    const mac = await Mac.create();
    await mac.putItem(document(loginOf(1)));
    const { revision } = await mac.store.read();
    await mac.putItem(document(loginOf(3)));
    expect((await failureOf(mac.store.write([patchFor(kind, loginOf(2))], revision, signal))).code).toBe("conflict");
    expect(await mac.item()).toBe(document(loginOf(3)));
  });

  test("without an item leaves the login in the file", async () => {
    const mac = await Mac.create();
    await writeFile(mac.file, document(loginOf(1)), { mode: 0o600 });
    const { revision } = await mac.store.read();
    await mac.store.write([patchFor(kind, loginOf(2))], revision, signal);
    expect(await readFile(mac.file, "utf8")).toBe(document(loginOf(2)));
    expect(existsSync(join(mac.home, "keychain", ITEM))).toBe(false);
  });

  test.each(["locked", "asks"])("that is %s is busy, and never taken for a logout", async (state) => {
    const mac = await Mac.create();
    await writeFile(mac.file, document(loginOf(1)), { mode: 0o600 });
    await mac.putItem(document(loginOf(2)));
    const { revision } = await mac.store.read();
    await mac.is(state);
    expect((await failureOf(mac.store.read())).code).toBe("locked");
    expect((await failureOf(mac.store.write([patchFor(kind, loginOf(3))], revision, signal))).code).toBe("locked");
    expect(await readFile(mac.file, "utf8")).toBe(document(loginOf(1)));
  });

  test("that refuses a write without saying so is found out", async () => {
    const mac = await Mac.create();
    await mac.putItem(document(loginOf(1)));
    const { revision } = await mac.store.read();
    await mac.is("refuses");
    expect((await failureOf(mac.store.write([patchFor(kind, loginOf(2))], revision, signal))).code).toBe("io");
    expect(await mac.item()).toBe(document(loginOf(1)));
  });

  test("with an item that would have to be an argument is left alone", async () => {
    const mac = await Mac.create();
    await mac.putItem(document(loginOf(1), "x".repeat(3000)));
    const { revision } = await mac.store.read();
    expect((await failureOf(mac.store.write([patchFor(kind, loginOf(2))], revision, signal))).code).toBe("unsupported");
    expect(await mac.item()).toBe(document(loginOf(1), "x".repeat(3000)));
  });
});

test.each([
  [null, "alice", "Claude Code-credentials", "alice"],
  ["/srv/box/.claude", "alice", "Claude Code-credentials-d2ed3cab", "alice"],
  [null, "Zoë Q", "Claude Code-credentials", "claude-code-user"],
])("the item of %j for %j is %s of %s", (directory, user, service, account) => {
  expect(keychainItem(directory, user)).toEqual({ service, account });
});

test.each([
  [{}, null],
  [{ CLAUDE_CONFIG_DIR: "/a" }, "/a"],
  [{ CLAUDE_CONFIG_DIR: "/a", CLAUDE_SECURESTORAGE_CONFIG_DIR: "/b" }, "/b"],
  [{ CLAUDE_CONFIG_DIR: "/a", CLAUDE_SECURESTORAGE_CONFIG_DIR: "" }, null],
])("with %j the item is named by %j", (variables, directory) => {
  expect(keychainDirectory(environmentIn("/home/alice", variables))).toBe(directory);
});
