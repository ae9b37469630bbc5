import { execFileSync } from "node:child_process";
import { chown, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { TemporaryHome } from "../support/temporary-home.js";

const isRoot = process.geteuid?.() === 0;
const SOMEONE = 12_345;
const DEPTH = 1_000_000;
const agents = ["good-1", "good-2"];

type Spoil = (home: TemporaryHome) => Promise<unknown>;

async function clearPlace(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(path, { recursive: true, force: true });
  return path;
}

const pipeAt = (place: (home: TemporaryHome) => string): Spoil => {
  return async (home) => execFileSync("mkfifo", [await clearPlace(place(home))]);
};
const directoryAt = (place: (home: TemporaryHome) => string): Spoil => {
  return async (home) => mkdir(await clearPlace(place(home)), { mode: 0o700 });
};
const fileAt = (place: (home: TemporaryHome) => string, text: string, size?: number): Spoil => {
  return async (home) => {
    const path = await clearPlace(place(home));
    await writeFile(path, text, { mode: 0o600 });
    if (size !== undefined) await truncate(path, size);
  };
};
const own = (name: string) => (home: TemporaryHome) => join(home.stateDirectory, name);
const inOpenclaw = (name: string) => (home: TemporaryHome) => home.at(".openclaw", name);
const config = (text: string): Spoil => {
  return (home) => home.writeConfig(text);
};
const openclawConfig = (text: string): Spoil => fileAt((home) => home.openclawConfig, text);
const listing = (entry: string): Spoil => openclawConfig(`{agents:{list:[{id:"good-1"},${entry},{id:"good-2"}]}}`);
const deep = `${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}`;
const never = 1e300;
const alert = { kind: "expired", store: "s", profile: null, since: never, resyncs: 0, raisedAt: 1, saidAt: 1, goneSince: null };

/** Things that others may leave around the stores, while both agents get the login; with the exit code and the message. */
const goesOn: Readonly<Record<string, readonly [Spoil, number, RegExp]>> = {
  "openclaw.json a pipe": [pipeAt((home) => home.openclawConfig), 3, /openclaw\.json is not a regular file/],
  "openclaw.json a directory": [directoryAt((home) => home.openclawConfig), 3, /openclaw\.json is not a regular file/],
  "openclaw.json of 100 MB": [fileAt((home) => home.openclawConfig, "{", 100_000_000), 3, /has 100000000 bytes/],
  "openclaw.json cut off": [openclawConfig(`{agents:{list:[{id:"good-1",`), 3, /is not JSON5 at line 1/],
  "openclaw.json that is deep": [openclawConfig(`{agents:{list:[{id:"good-1"},{id:"good-2"}]},x:${deep}}`), 0, /written/],
  "openclaw.json with a byte order mark": [openclawConfig(`\ufeff{agents:{list:[{id:"good-1"},{id:"good-2"}]}}`), 0, /written/],
  "openclaw.json with agents twice": [
    openclawConfig(`{agents:{list:[{id:"x"}]},agents:{list:[{id:"good-1"},{id:"good-2"}]}}`),
    0,
    /written/,
  ],
  "openclaw.json with __proto__": [
    openclawConfig(`{"__proto__":{agents:1},agents:{entries:{"__proto__":{agentDir:"/etc"},"good-1":{},"good-2":{}}}}`),
    0,
    /written/,
  ],
  "openclaw.json with agents of another shape": [
    openclawConfig(`{agents:{list:{"@token@":1}}}`),
    3,
    /agents\.list has another shape/,
  ],
  "ids with .. and NUL": [listing(`{id:"../../etc"},{id:".."},{id:"/"},{id:"a\\0b"}`), 0, /written/],
  "an agentDir with a NUL": [listing(`{id:"x",agentDir:"/tmp/a\\0b"}`), 3, /agentDir of x in openclaw\.json is no path/],
  "an agentDir that a terminal obeys": [
    listing(`{id:"x",agentDir:"/tmp/\\u001b[2J"}`),
    3,
    /agentDir of x in openclaw\.json is no path/,
  ],
  "a port beyond all numbers": [
    openclawConfig(`{gateway:{port:1e999},agents:{list:[{id:"good-1"},{id:"good-2"}]}}`),
    0,
    /written/,
  ],
  "an account file that is a pipe": [pipeAt((home) => home.at(".claude.json")), 0, /written/],
  "an account file that is deep": [
    fileAt((home) => home.at(".claude.json"), `{"oauthAccount":{"accountUuid":"u","x":${deep}}}`),
    0,
    /written/,
  ],
  "an account file of 100 MB": [fileAt((home) => home.at(".claude.json"), "{", 100_000_000), 0, /written/],
  "a ledger with lines that are none": [
    fileAt(own("ledger.jsonl"), `null\n[]\n{"kind":"__proto__"}\n{"__proto__":{"kind":"key"}}\n${"[".repeat(DEPTH)}\n\0\xff\n`),
    0,
    /written/,
  ],
  "a ledger with times that are none": [fileAt(own("ledger.jsonl"), `{"kind":"key","at":1e300,"keyId":"k"}\n`), 0, /written/],
  "alerts that are a pipe": [pipeAt(own("alerts.json")), 0, /written/],
  "alerts with times that are none": [
    fileAt(own("alerts.json"), JSON.stringify({ alerts: [{ ...alert, resolvedAt: null, raises: 1, message: "m", hint: "h" }] })),
    0,
    /written/,
  ],
  "alerts of another shape": [fileAt(own("alerts.json"), `{"alerts":{"__proto__":[]}}`), 0, /written/],
  "a status that is a pipe": [pipeAt(own("status.json")), 0, /written/],
  "a run lock that is a pipe": [pipeAt(own("run.lock")), 0, /written/],
  "a run lock of no process": [fileAt(own("run.lock"), `{"pid":-1,"startTime":null,"host":"h","bootId":null}`), 0, /written/],
  "a backup that is a pipe": [pipeAt(own("backups/1-0-0.json")), 0, /written/],
  "a backup that is a directory": [directoryAt(own("backups/1-0-0.json")), 0, /written/],
  "a backup of no time": [
    fileAt(own("backups/1-a-b.json"), `{"at":1e300,"store":"openclaw:good-1","profile":"p","fingerprint":"f","image":"{}"}`),
    0,
    /written/,
  ],
  "a journal that is a pipe": [pipeAt(own("journal/switch-a.json")), 0, /switch-a\.json is not a regular file/],
  "a journal that is cut off": [
    fileAt(own("journal/switch-a.json"), `{"version":1,`),
    0,
    /is not a journal that this version understands/,
  ],
  "a journal of no time": [
    fileAt(
      own("journal/switch-a.json"),
      JSON.stringify({ version: 1, id: "a", at: never, phase: "prepared", provider: "p", profile: "q", donor: null, parts: [] }),
    ),
    0,
    /is not a journal that this version understands/,
  ],
  "a file where the journals belong": [fileAt(own("journal"), "x"), 0, /written/],
};

/** Things that make a command refuse: it writes nothing anywhere. */
const refuses: Readonly<Record<string, readonly [Spoil, number, RegExp]>> = {
  "a key that is a pipe": [pipeAt(own("key")), 65, /key is not a regular file/],
  "a key of 100 MB": [fileAt(own("key"), "a", 100_000_000), 65, /key has 100000000 bytes/],
  "a key that is none": [fileAt(own("key"), "zz"), 65, /does not hold a fingerprint key/],
  "a ledger that is a pipe": [pipeAt(own("ledger.jsonl")), 65, /ledger\.jsonl is not a regular file/],
  "a ledger that is a directory": [directoryAt(own("ledger.jsonl")), 65, /ledger\.jsonl is not a regular file/],
  "a ledger of 2 GB": [fileAt(own("ledger.jsonl"), "{", 2_000_000_000), 65, /ledger\.jsonl has 2000000000 bytes/],
  "a lock on the state that is a pipe": [pipeAt(own("state.lock")), 1, /state\.lock is not a regular file/],
  "a configuration that is a pipe": [pipeAt((home) => home.configFile), 78, /config\.json5 is not a regular file/],
  "a configuration that is deep": [config("[".repeat(DEPTH)), 78, /is not JSON5 at line 1/],
  "a configuration of 100 MB": [fileAt((home) => home.configFile, "{", 100_000_000), 78, /has 100000000 bytes/],
  "an alert command as a text": [
    config(`{alerts:{command:"notify-send hi"}}`),
    78,
    /alerts\.command must be a command as an array, such as \[/,
  ],
  "a reload command as a text": [
    config(`{reload:{openclaw:"openclaw secrets reload"}}`),
    78,
    /reload\.openclaw must be .* a command as an array/,
  ],
  "a keepWarm command as a text": [
    config(`{keepWarm:{command:"claude auth"}}`),
    78,
    /keepWarm\.command must be a command as an array/,
  ],
  "__proto__ in the configuration": [config(`{"__proto__":{source:1}}`), 78, /unknown key "__proto__"/],
  "a NUL in a directory": [
    config(`{targets:[{kind:"claude-code",dir:"/tmp/a\\0b"}]}`),
    78,
    /targets\.0\.dir must be a text without a NUL/,
  ],
  "a NUL in a command": [config(`{alerts:{command:["a\\0b"]}}`), 78, /alerts\.command\.0 must be a text without a NUL/],
  "an agentDirs that is no path": [
    config(`{agentDirs:["srv/agents"]}`),
    78,
    /agentDirs\.0 must be the absolute path of a directory/,
  ],
  "a token for a key": [config(`{"made-up-aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD":1}`), 78, /unknown key "\(not shown\)"/],
};

describe.each(Object.entries(goesOn))("a home with %s", (_name, [spoil, code, sentence]) => {
  test("is served all the same", async () => {
    const home = await TemporaryHome.create({ agents });
    await spoil(home);
    await home.writeLogin(2);
    const said = await credsyncd(home, ["sync"]);
    expect(said.stdout + said.stderr).toMatch(sentence);
    expect(said.code).toBe(code);
    expect(await home.generations(agents)).toEqual([2, 2]);
  });
});

describe.each(Object.entries(refuses))("%s", (_name, [spoil, code, sentence]) => {
  test("is refused with what to do, and nothing is written", async () => {
    const home = await TemporaryHome.create({ agents });
    await spoil(home);
    await home.writeLogin(2);
    const { code: actual, stderr } = await credsyncd(home, ["sync"]);
    expect(stderr).toMatch(sentence);
    expect(stderr).toMatch(/^credsyncd: hint: \w/m);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(actual).toBe(code);
    expect(await home.generations(agents)).toEqual([1, 1]);
  });
});

describe("the daemon", () => {
  test("and every reading command work in a state directory full of pipes and nonsense", async () => {
    const home = await TemporaryHome.create({ agents });
    const names = ["alerts.json", "status.json", "run.lock", "backups/1-0-0.json", "journal/switch-a.json"];
    for (const name of names) await pipeAt(own(name))(home);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    expect(await home.generations(agents)).toEqual([2, 2]);
    for (const command of [["status"], ["doctor"], ["history"], ["restore", "--list"]])
      expect(await credsyncd(home, command)).toMatchObject({ code: 0 });
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });

  test("reports what is there instead of its locks", async () => {
    for (const name of ["run.lock.held", "run.lock.turn"]) {
      const home = await TemporaryHome.create({ agents });
      await fileAt(own(name), "x")(home);
      await home.age(own(name)(home));
      const daemon = RunningDaemon.launch(home);
      expect(await daemon.ended).toEqual({ code: 1, signal: null });
      expect(daemon.stderr).toMatch(/run\.lock\.(?:held|turn) is no directory, which this lock is\n.*hint: move it away/);
    }
  });

  test("goes on where the directory of the agents is a link to itself, and after that", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    const directory = home.at(".openclaw", "agents");
    await rm(directory, { recursive: true });
    await symlink(directory, directory);
    await daemon.said("store error", { store: "openclaw:good-1" });
    await rm(directory);
    for (const agent of agents) await home.writeProfile(agent, 1);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2]);
  });

  test("does not even open a shared database that is a pipe, or another user's", async () => {
    const places: Spoil[] = [pipeAt(inOpenclaw("state/openclaw.sqlite")), directoryAt(inOpenclaw("state/openclaw.sqlite"))];
    if (isRoot) {
      places.push(async (home) => {
        await fileAt(inOpenclaw("state/openclaw.sqlite"), "")(home);
        await chown(home.at(".openclaw", "state", "openclaw.sqlite"), SOMEONE, SOMEONE);
      });
    }
    for (const spoil of places) {
      const home = await TemporaryHome.create({ agents });
      await spoil(home);
      const { code, stdout } = await credsyncd(home, ["sync"]);
      expect(stdout).toMatch(/error {2}openclaw:shared: .*openclaw\.sqlite (?:is not a regular file|belongs to user 12345)/);
      expect(code).toBe(3);
    }
  });

  test("refuses a state directory that is another user's", async ({ skip }) => {
    if (!isRoot) skip("needs the right to give a directory away");
    const home = await TemporaryHome.create({ agents });
    await mkdir(home.stateDirectory, { recursive: true, mode: 0o700 });
    await chown(home.stateDirectory, SOMEONE, SOMEONE);
    const { code, stderr } = await credsyncd(home, ["sync"]);
    expect(stderr).toMatch(/credsyncd belongs to user 12345, not to user 0\n.*hint: /);
    expect(code).toBe(77);
  });
});

describe("an agentDir outside of the home", () => {
  /** A home whose agent `far` is elsewhere, where it has a login of its own that follows. */
  async function farHome(agentDir: (far: string) => string = (far) => far): Promise<{ home: TemporaryHome; far: string }> {
    const outside = await TemporaryHome.create({ generation: null });
    const home = await TemporaryHome.create({ agents });
    const far = outside.at("far");
    await mkdir(far, { mode: 0o700 });
    await writeFile(join(far, "auth-profiles.json"), home.store(1), { mode: 0o600 });
    await listing(`{id:"far",agentDir:${JSON.stringify(agentDir(far))}}`)(home);
    await home.writeLogin(2);
    return { home, far };
  }

  test.each(["sync", "run"])("is refused by %s, with the line that allows it, and nothing is read or made there", async (by) => {
    const { home, far } = await farHome();
    const line = `add it to the config of credsyncd: agentDirs: ["${far}"]`;
    if (by === "run") {
      const daemon = RunningDaemon.launch(home);
      expect(await daemon.said("store error", { store: "openclaw:far" })).toMatchObject({
        reason: expect.stringContaining(`leads to ${far}, outside of this user's home`) as string,
        hint: expect.stringContaining(line) as string,
      });
      await daemon.said("ready");
    } else {
      const { code, stdout } = await credsyncd(home, ["sync"]);
      expect(stdout).toContain(`openclaw:far: the agentDir of far in openclaw.json leads to ${far}`);
      expect(stdout).toContain(line);
      expect(code).toBe(3);
    }
    expect(await home.generations(agents)).toEqual([2, 2]);
    expect(await home.fileGeneration(join(far, "auth-profiles.json"))).toBe(1);
    for (const command of ["status", "doctor"]) expect((await credsyncd(home, [command])).stdout).toContain(line);
  });

  test.each([
    ["itself", (far: string) => far],
    ["the one above it", (far: string) => dirname(far)],
  ])("is served where the config names %s", async (_what, named) => {
    const { home, far } = await farHome();
    await home.writeConfig(`{ agentDirs: [${JSON.stringify(named(far))}] }`);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
    expect(await home.fileGeneration(join(far, "auth-profiles.json"))).toBe(2);
  });

  test("is refused where the config names one that only begins like it", async () => {
    const { home, far } = await farHome();
    await home.writeConfig(`{ agentDirs: [${JSON.stringify(far.slice(0, -1))}] }`);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 3 });
    expect(await home.fileGeneration(join(far, "auth-profiles.json"))).toBe(1);
  });

  test("is refused behind a link, and by way of ..", async () => {
    const { home, far } = await farHome();
    await symlink(dirname(far), home.at("link"));
    for (const path of ["~/link/far", `../../${"../".repeat(20)}${far}`]) {
      await listing(`{id:"far",agentDir:${JSON.stringify(path)}}`)(home);
      const { code, stdout } = await credsyncd(home, ["sync"]);
      expect(stdout).toContain(`leads to ${far}`);
      expect(code).toBe(3);
    }
    expect(await home.fileGeneration(join(far, "auth-profiles.json"))).toBe(1);
  });

  test.each(["/etc", "/root/../etc/ssl", "/home/somebody-else/.openclaw/agents/main/agent"])(
    "such as %s is refused",
    async (path) => {
      const home = await TemporaryHome.create({ agents });
      await home.writeConfig(`{ create: "always" }`);
      await listing(`{id:"far",agentDir:"${path}"}`)(home);
      const { code, stdout } = await credsyncd(home, ["sync"]);
      expect(stdout).toMatch(/the agentDir of far in openclaw\.json leads to \/(?:etc|home)/);
      expect(code).toBe(3);
    },
  );

  test("says nothing where the agent is ignored", async () => {
    const { home } = await farHome();
    await home.writeConfig(`{ agents: { far: "ignore" } }`);
    expect(await credsyncd(home, ["sync"])).toMatchObject({ code: 0 });
  });

  test("keeps a switch from changing any agent, unless that one takes no part", async () => {
    const { home, far } = await farHome();
    const ids = {
      "anthropic:a": { ...home.profile(5), provider: "anthropic" },
      "anthropic:b": { ...home.profile(6), provider: "anthropic" },
    };
    for (const file of [...agents.map((agent) => home.storeFile(agent)), join(far, "auth-profiles.json")])
      await writeFile(file, JSON.stringify({ version: 1, profiles: ids }));
    const order = async (): Promise<unknown[]> =>
      Promise.all(
        agents.map(async (agent) => (JSON.parse(await readFile(home.storeFile(agent), "utf8")) as { order?: unknown }).order),
      );
    const command = ["set-active", "--provider", "anthropic", "--profile", "anthropic:b"];
    const refused = await credsyncd(home, command);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toMatch(/the agentDir of far in openclaw\.json leads to .*\n.*agentDirs: \[.*nothing was changed/);
    expect(await order()).toEqual([undefined, undefined]);
    expect(await credsyncd(home, [...command, "--agents", "good-*"])).toMatchObject({ code: 0 });
    expect(await order()).toEqual([{ anthropic: ["anthropic:b"] }, { anthropic: ["anthropic:b"] }]);
  });

  test("is no place for doctor to mend", async ({ skip }) => {
    if (process.platform === "win32") skip("has no permissions");
    const { home, far } = await farHome();
    execFileSync("chmod", ["777", far]);
    execFileSync("chmod", ["666", join(far, "auth-profiles.json")]);
    await credsyncd(home, ["doctor", "--fix"]);
    expect(execFileSync("stat", ["-c", "%a", far, join(far, "auth-profiles.json")], { encoding: "utf8" })).toBe("777\n666\n");
  });
});
