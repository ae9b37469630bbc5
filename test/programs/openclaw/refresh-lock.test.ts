import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ownIdentity } from "../../../src/io/process-identity.js";
import { OpenclawJsonStore } from "../../../src/programs/openclaw/json.js";
import { refreshedBy, refreshLockNames, withRefreshLocks } from "../../../src/programs/openclaw/refresh-lock.js";
import { agentLayout, OpenclawSqliteStore } from "../../../src/programs/openclaw/sqlite.js";
import type { Environment } from "../../../src/programs/environment.js";
import type { CredentialStore } from "../../../src/domain/store.js";
import { Secret } from "../../../src/domain/secret.js";
import { environmentIn } from "../../support/environment.js";
import { copyOpenclaw } from "../../support/fixtures.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { failureOf, loginOf, patchFor } from "../contract.js";

const signal = new AbortController().signal;
const ours = { profile: "anthropic:claude-cli", provider: "claude-cli" };

interface Setting {
  readonly stateDirectory: string;
  readonly locks: string;
  readonly environment: Environment;
}

async function setUp(): Promise<Setting> {
  const home = await temporaryDirectory();
  const stateDirectory = join(home, ".openclaw");
  return { stateDirectory, locks: join(stateDirectory, "locks", "oauth-refresh"), environment: environmentIn(home) };
}

/** Returns the content of a lock that a program of this host writes. */
function payloadOf(pid: number): string {
  return JSON.stringify({ pid, createdAt: new Date().toISOString(), starttime: ownIdentity().startTime }, null, 2);
}

async function holdAsPeer(locks: string, name: string): Promise<string> {
  await mkdir(locks, { recursive: true });
  await writeFile(join(locks, name), payloadOf(process.pid));
  return join(locks, name);
}

describe("the names of OpenClaw's refresh lock", () => {
  test("are the ones that the real program was seen to use", () => {
    expect(refreshLockNames("anthropic", "anthropic:default")).toEqual([
      "sha256-3ca41129fe4df4051f8cd238745d9783c6bef528402e728a4e7c5f3485af52a5.lock",
      "lock-d86ff71f0416cea6738a705bf801262d.lock",
    ]);
  });

  test("are of one shape, and differ by provider and profile", () => {
    const names = [
      ["a", "b"],
      ["a", "c"],
      ["ab", ""],
      ["", "ab"],
      ["é", "\u{1f511}"],
    ].flatMap(([provider = "", profile = ""]) => refreshLockNames(provider, profile));
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(sha256-[0-9a-f]{64}|lock-[0-9a-f]{32})\.lock$/);
  });
});

describe("OpenClaw's refresh locks", () => {
  test("exist under both names during an action, and are gone after it", async () => {
    const { stateDirectory, locks, environment } = await setUp();
    const held = await withRefreshLocks(stateDirectory, [ours], environment, signal, () => readdir(locks));
    expect(held.sort()).toEqual([...refreshLockNames(ours.provider, ours.profile)].sort());
    expect(await readdir(locks)).toEqual([]);
  });

  test("are gone after a failure too", async () => {
    const { stateDirectory, locks, environment } = await setUp();
    const failure = new Error("a reason of its own");
    const failed = withRefreshLocks(stateDirectory, [ours], environment, signal, () => Promise.reject(failure));
    await expect(failed).rejects.toBe(failure);
    expect(await readdir(locks)).toEqual([]);
  });

  test.each([0, 1])("held by another program under its name number %i: nothing is done, and it stays theirs", async (index) => {
    const { stateDirectory, locks, environment } = await setUp();
    const name = refreshLockNames(ours.provider, ours.profile)[index] ?? "";
    const theirs = await holdAsPeer(locks, name);
    const stopped = AbortSignal.abort();
    const failed = withRefreshLocks(stateDirectory, [ours], environment, stopped, () => Promise.reject(new Error("it was done")));
    expect((await failureOf(failed)).code).toBe("locked");
    expect(await readdir(locks)).toEqual([name]);
    expect(await readFile(theirs, "utf8")).toContain(`"pid": ${String(process.pid)}`);
  });

  test("are shared by the stores of this process, since they guard one login in every agent", async () => {
    const { stateDirectory, locks, environment } = await setUp();
    let inside = 0;
    const meet = async (): Promise<void> => {
      inside += 1;
      await expect.poll(() => inside).toBe(3);
    };
    await Promise.all([1, 2, 3].map(() => withRefreshLocks(stateDirectory, [ours], environment, signal, meet)));
    expect(await readdir(locks)).toEqual([]);
  });

  test("are taken in one order, so that two writes of two profiles never wait for each other", async () => {
    const { stateDirectory, environment } = await setUp();
    const profiles = ["a", "b", "c"].map((profile) => ({ profile, provider: "anthropic" }));
    const orders = [profiles, [...profiles].reverse(), profiles.slice(1)];
    const done = orders.map((order) =>
      withRefreshLocks(stateDirectory, order, environment, signal, () => Promise.resolve("done")),
    );
    expect(await Promise.all(done)).toEqual(["done", "done", "done"]);
  });

  test("are none for a profile that names no provider, and nothing is made for them", async () => {
    const { stateDirectory, environment } = await setUp();
    const nameless = [{ profile: "x", provider: null }];
    expect(await withRefreshLocks(stateDirectory, nameless, environment, signal, () => Promise.resolve("done"))).toBe("done");
    await expect(readdir(stateDirectory)).rejects.toThrow("ENOENT");
  });

  test.each<[string, (locks: string) => Promise<unknown>]>([
    ["leads nowhere", (locks) => symlink(join(locks, "nowhere", "at all"), locks)],
    ["is a file", (locks) => writeFile(locks, "")],
  ])("are reported as the obstacle if their directory %s", async (_what, spoil) => {
    const { stateDirectory, locks, environment } = await setUp();
    await mkdir(dirname(locks), { recursive: true });
    await spoil(locks);
    const failed = withRefreshLocks(stateDirectory, [ours], environment, signal, () => Promise.resolve("done"));
    expect((await failureOf(failed)).message).toMatch(new RegExp(`^cannot write ${locks}: `));
  });

  test("are of logins alone: a token or a key is not refreshed", () => {
    const token = {
      ...patchFor(ours, loginOf(1)),
      credential: { type: "token", token: new Secret("t"), expiresAt: null } as const,
    };
    expect(refreshedBy([token, patchFor(ours, loginOf(1))]).map(({ profile }) => profile)).toEqual([ours.profile]);
  });
});

describe("a write of a login while another program refreshes it", () => {
  test.each([
    ["a file", "2026.5.28"],
    ["a database", "2026.9.6"],
  ] as const)("waits for it in %s, and is done once it is free", async (_what, version) => {
    const home = await temporaryDirectory();
    const stateDirectory = await copyOpenclaw(version, home);
    const environment = environmentIn(home);
    const directory = join(stateDirectory, "agents", "ops", "agent");
    const path = join(directory, "openclaw-agent.sqlite");
    const store: CredentialStore =
      version === "2026.9.6"
        ? new OpenclawSqliteStore({ name: "openclaw:ops", path, layout: agentLayout, stateDirectory }, environment)
        : new OpenclawJsonStore("openclaw:ops", directory, stateDirectory, environment);
    const [name] = refreshLockNames(ours.provider, ours.profile);
    const lock = await holdAsPeer(join(stateDirectory, "locks", "oauth-refresh"), name);
    const { revision } = await store.read(signal);
    const patch = patchFor(ours, loginOf(1));
    expect((await failureOf(store.write([patch], revision, AbortSignal.abort()))).code).toBe("locked");
    expect((await store.read(signal)).revision).toBe(revision);
    await rm(lock);
    await store.write([patch], revision, signal);
    expect(await readdir(dirname(lock))).toEqual([]);
  });
});
