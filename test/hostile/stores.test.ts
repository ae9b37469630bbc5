import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chown, link, lstat, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { credsyncd, type Spoken } from "../support/command-line.js";
import { corpusFile, corpusFiles } from "../support/corpus.js";
import { RunningDaemon, type LogLine } from "../support/running-daemon.js";
import { PROFILE, TemporaryHome } from "../support/temporary-home.js";

const isRoot = process.geteuid?.() === 0;
const SOMEONE = 12_345;
const DEPTH = 1_000_000;
const MANY = 100_000_000;

/** Puts something into an agent's place, whose file is there and holds the login. */
type Spoil = (path: string, home: TemporaryHome) => Promise<unknown>;

const instead = (make: (path: string) => unknown) => async (path: string) => {
  await rm(path);
  await make(path);
};
const pipe = (path: string): void => {
  execFileSync("mkfifo", [path]);
};
const text = (make: (home: TemporaryHome) => string | Buffer) => async (path: string, home: TemporaryHome) => {
  await writeFile(path, make(home));
  await home.age(path);
};
const deep = (before: string, after: string) => text((home) => home.store(1).replace("{", `{${before}${after}`));
/** So many profiles beside the one that follows. */
const many = (count: number) =>
  text((home) => {
    const profiles: Record<string, unknown> = { [PROFILE]: home.profile(1) };
    for (let index = 0; index < count; index++) profiles[`x:${String(index)}`] = { type: "api_key", provider: "x", key: "k" };
    return JSON.stringify({ version: 1, profiles });
  });
const at = (place: (path: string) => string, make: (path: string) => void) => (path: string) => {
  make(place(path));
  return Promise.resolve();
};
const beside = (name: string) => (path: string) => path.replace("auth-profiles.json", name);

/** Each is an agent, and what is said of it. */
const held: Readonly<Record<string, readonly [Spoil, RegExp]>> = {
  ...Object.fromEntries(
    corpusFiles("held").map((name) => [
      name.replace(".json", ""),
      [text((home) => corpusFile("held", name, home, 1)), /./] as const,
    ]),
  ),
  "deep-in-a-field": [deep(`"x":${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}`, ","), /nested too deeply/],
  "deep-and-open": [text(() => "[".repeat(DEPTH)), /nested too deeply/],
  "thousands-of-profiles": [many(5000), /holds 5001 profiles, and more than 300 are not served/],
  "hundred-megabytes": [(path) => truncate(path, MANY), /has 100000000 bytes/],
  "a-pipe": [instead(pipe), /not a regular file/],
  "a-directory": [instead((path) => mkdir(path, { mode: 0o700 })), /not a regular file/],
  "a-device": [instead((path) => symlink("/dev/zero", path)), /not a regular file/],
  "a-full-device": [instead((path) => symlink("/dev/full", path)), /not a regular file/],
  "a-link-to-itself": [instead((path) => symlink(path, path)), /lead in a circle/],
  "lock-is-a-pipe": [at((path) => `${path}.lock`, pipe), /auth-profiles\.json\.lock is not a regular file/],
  "lock-is-a-device": [(path) => symlink("/dev/zero", `${path}.lock`), /auth-profiles\.json\.lock is not a regular file/],
  "lock-is-a-directory": [(path) => mkdir(`${path}.lock`), /auth-profiles\.json\.lock is not a regular file/],
  "lock-is-large": [
    async (path) => {
      await writeFile(`${path}.lock`, "");
      await truncate(`${path}.lock`, MANY);
    },
    /auth-profiles\.json\.lock has 100000000 bytes/,
  ],
  "database-is-a-pipe": [at(beside("openclaw-agent.sqlite"), pipe), /openclaw-agent\.sqlite is not a regular file/],
  "database-is-a-device": [
    (path) => symlink("/dev/zero", beside("openclaw-agent.sqlite")(path)),
    /openclaw-agent\.sqlite is not a regular file/,
  ],
  ...(isRoot
    ? {
        "of-another-user": [(path: string) => chown(path, SOMEONE, SOMEONE), /belongs to user 12345/] as const,
        "in-a-directory-of-another-user": [
          (path: string) => chown(dirname(path), SOMEONE, SOMEONE),
          /agent belongs to user 12345/,
        ] as const,
      }
    : {}),
};

const odd: Readonly<Record<string, Spoil>> = {
  "notes-are-broken": (path) =>
    writeFile(beside("auth-state.json")(path), `{"usageStats":{"${PROFILE}":{"errorCount":1,"errorCount":2}}}`),
  "leftover-is-a-directory": (path) => mkdir(`${path}.credsyncd-01234567-0123-0123-0123-0123456789ab.tmp`),
  "hundreds-of-profiles": many(299),
};
const served = corpusFiles("served").map((name) => name.replace(".json", ""));
const healthy = ["good-1", "good-2"];
const agents = ["good-1", ...Object.keys(held), ...served, ...Object.keys(odd), "good-2"];

interface SyncReport {
  readonly writes: readonly {
    readonly store: string;
    readonly result: string;
    readonly error?: string;
    readonly hint?: string;
  }[];
  readonly errors: readonly { readonly store: string; readonly error: string; readonly hint: string }[];
  readonly holds: readonly { readonly store: string; readonly explanation: string; readonly hint: string }[];
}

/** Describes what is at a path, without opening anything but a file. */
async function stateOf(path: string): Promise<string> {
  const found = await lstat(path);
  const content = found.isFile() && found.size < MANY ? await readFile(path, "latin1") : "";
  return `${String(found.mode)} ${String(found.uid)} ${String(found.ino)} ${String(found.size)} ${content}`;
}

describe("among hostile stores", () => {
  let home: TemporaryHome;
  let sync: Spoken;
  let report: SyncReport;
  let lines: readonly LogLine[];
  let ended: Awaited<RunningDaemon["ended"]>;
  let generations: (number | null)[];
  const before = new Map<string, string>();
  const cleanUps: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    home = await TemporaryHome.create({ agents, atEnd: (cleanUp) => cleanUps.push(cleanUp) });
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    for (const [agent, [spoil]] of Object.entries(held)) await spoil(home.storeFile(agent), home);
    for (const [agent, spoil] of Object.entries(odd)) await spoil(home.storeFile(agent), home);
    for (const agent of served) await text((of) => corpusFile("served", `${agent}.json`, of, 1))(home.storeFile(agent), home);
    for (const agent of Object.keys(held)) before.set(agent, await stateOf(home.storeFile(agent)));
    await home.writeLogin(2);
    sync = await credsyncd(home, ["sync", "--json"]);
    report = JSON.parse(sync.stdout) as SyncReport;
    expect(await home.generations(healthy)).toEqual([2, 2]);
    const daemon = RunningDaemon.launch(home, { args: ["-v"], atEnd: (cleanUp) => cleanUps.unshift(cleanUp) });
    await daemon.said("ready");
    await home.writeLogin(3);
    await daemon.said("credential pushed", { reason: "rotation" });
    generations = await home.generations(healthy);
    ended = await daemon.stop();
    ({ lines } = daemon);
  });

  afterAll(async () => {
    for (const cleanUp of cleanUps) await cleanUp();
  });

  test("the healthy ones get every rotation, by a command and by the daemon", () => {
    expect(sync.code).toBe(3);
    expect(generations).toEqual([3, 3]);
    expect(ended).toEqual({ code: 0, signal: null });
  });

  test.each(Object.entries(held))("%s is reported with the remedy, and stays as it is", async (agent, [, sentence]) => {
    const store = `openclaw:${agent}`;
    const { errors, writes, holds } = report;
    const told = [
      ...errors.filter((each) => each.store === store).map(({ error, hint }) => ({ reason: error, hint })),
      ...writes
        .filter((each) => each.store === store && each.result === "failed")
        .map((each) => ({ reason: each.error, ...each })),
      ...holds.filter((each) => each.store === store).map(({ explanation, hint }) => ({ reason: explanation, hint })),
    ];
    expect(told).toHaveLength(1);
    expect(told[0]?.reason).toMatch(sentence);
    expect(told[0]?.hint).toMatch(/\w/);
    expect(lines).toContainEqual(expect.objectContaining({ store, reason: expect.stringMatching(sentence) as string }));
    expect(await stateOf(home.storeFile(agent))).toBe(before.get(agent));
  });

  test.each(served)("%s gets the login, and nothing else of it changes", async (agent) => {
    const original = corpusFile("served", `${agent}.json`, home, 1).toString("utf8");
    const now = await readFile(home.storeFile(agent), "utf8");
    const masked = (content: string): string =>
      ["access", "refresh"]
        .reduce((result, kind) => {
          const tokens = [1, 3].map((generation) => home.token(kind, generation));
          return tokens.reduce((each, token) => each.replace(`"${kind}":"${token}"`, `"${kind}":"*"`), result);
        }, content)
        .replaceAll(/("expires":\s*)(?:"soon"|\{\}|[^,}\s]+)/g, "$1*");
    expect(masked(now)).toBe(masked(original));
    expect(await home.generationOf(agent)).toBe(3);
  });

  test.each(Object.keys(odd))("%s does not keep an agent from its login", async (agent) => {
    expect(await home.generationOf(agent)).toBe(3);
  });

  test("every command still works, and says nothing that a terminal would obey", async () => {
    for (const command of [["status", "-v"], ["doctor"], ["history"], ["restore", "--list"], ["sync", "--dry-run"]]) {
      const { code, stdout, stderr } = await credsyncd(home, command);
      expect([0, 1, 3]).toContain(code);
      // eslint-disable-next-line no-control-regex
      expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
      expect(stderr).not.toMatch(/^\s+at /m);
    }
  });

  test("no program of the same process got another prototype", () => {
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("none of them left a lock or a temporary file", () => {
    for (const agent of [...healthy, ...served]) expect(existsSync(`${home.storeFile(agent)}.lock`)).toBe(false);
    const names = execFileSync("find", [home.at(".openclaw"), "-name", "*.tmp", "-type", "f"], { encoding: "utf8" });
    expect(names).toBe("");
  });
});

describe("a hard-linked credential file", () => {
  test("is replaced under its own name; doctor reports that its other name keeps the old login", async () => {
    const home = await TemporaryHome.create({ agents: ["work"] });
    const other = home.at("other-name.json");
    await link(home.storeFile("work"), other);
    await home.writeLogin(2);
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).toMatch(/warning +hard links: openclaw:work: .* has 2 names \(hard links\)\n.*the others keep the old one/);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    expect(await home.generationOf("work")).toBe(2);
    expect(await home.fileGeneration(other)).toBe(1);
  });

  test("that is two agents' is brought in sync in both", async () => {
    const home = await TemporaryHome.create({ agents: ["work", "ops"] });
    await rm(home.storeFile("ops"));
    await link(home.storeFile("work"), home.storeFile("ops"));
    await home.writeLogin(2);
    for (let count = 0; count < 2; count++) await credsyncd(home, ["sync"]);
    expect(await home.generations(["work", "ops"])).toEqual([2, 2]);
  });
});

describe("a Claude Code directory", () => {
  test.each(corpusFiles("claude"))("with %s is reported, stays as it is, and stops nobody", async (name) => {
    const home = await TemporaryHome.create({ agents: healthy });
    await home.writeConfig(`{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "~/box/.claude", share: "full" }] }`);
    const file = join(home.at("box", ".claude"), ".credentials.json");
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const bytes = corpusFile("claude", name, home, 70);
    await writeFile(file, bytes, { mode: 0o600 });
    await home.age(file);
    await home.writeLogin(2);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(await home.generations(healthy)).toEqual([2, 2]);
    expect(code).toBe(3);
    expect(stdout).toMatch(/claude-code:~\/box\/\.claude/);
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });

  test.each(corpusFiles("claude"))("that is the source, with %s, is pushed to nobody and stays as it is", async (name) => {
    const home = await TemporaryHome.create({ agents: healthy });
    const bytes = corpusFile("claude", name, home, 70);
    await writeFile(home.loginFile, bytes);
    await home.age(home.loginFile);
    const { code, stdout } = await credsyncd(home, ["sync"]);
    expect(code).toBe(69);
    expect(stdout).toMatch(/^source unreadable {2}.+\n {2}\w/);
    expect(await home.generations(healthy)).toEqual([1, 1]);
    expect((await readFile(home.loginFile)).equals(bytes)).toBe(true);
  });
});
