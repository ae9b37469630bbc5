import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { lstat, readFile, rename, symlink, utimes } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/app/system.js";
import { takeDirectoryLock, type HeldLock } from "../../src/io/directory-lock.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";
import { CLAUDE_VERSIONS } from "./clients.js";
import { RealClaude } from "./programs.js";
import { StandIn } from "./stand-in.js";

/** Claude Code refreshes an access token in its last five minutes. */
const NEARLY_EXPIRED_SECONDS = 200;
const EIGHT_HOURS_SECONDS = 28_800;
const PATIENCE_MS = 240_000;
/** As the store of Claude Code takes its locks. */
const LOCK = { staleMs: 60_000, touchMs: 5000, waitMs: 8000, clock: systemClock };
const HOLDER = fileURLToPath(new URL("../io/directory-lock-holder.mjs", import.meta.url));
/** Everything on one processor, where the system can. */
const ONE_PROCESSOR = spawnSync("taskset", ["-c", "0", "true"]).status === 0 ? ["taskset", "-c", "0"] : [];

describe.each(CLAUDE_VERSIONS)("with Claude Code %s", (version) => {
  const program = inject("clients").claude[version];

  describe.skipIf("missing" in program)("keepWarm", () => {
    test("renews a login at each of 20 ends in a row, with one run each, on one processor, in a home that is in use", async () => {
      const host = await Host.make(version);
      await host.claude.ask();
      const before = host.standIn.tokenRequests;
      const daemon = await host.keepWarm();
      for (let end = 1; end <= 20; end++) {
        await host.bringNearItsEnd();
        await daemon.said("login kept warm");
        expect(host.standIn.tokenRequests).toBe(before + end);
        expect(await host.login()).toMatchObject({ refreshToken: host.standIn.current.refresh });
      }
      const failures = ["login not kept warm yet", "keepWarm stopped"];
      expect(daemon.lines.filter(({ msg, level }) => failures.includes(msg) || level === "error")).toEqual([]);
    });

    test("does not lose the login where the server answers after 12 seconds", async () => {
      const host = await Host.make(version);
      await host.claude.ask();
      const before = host.standIn.tokenRequests;
      host.standIn.tokenAnswerMs = 12_000;
      const daemon = await host.keepWarm();
      await host.bringNearItsEnd();
      await daemon.said("login kept warm");
      expect(host.standIn.tokenRequests).toBe(before + 1);
      const { access, refresh } = host.standIn.current;
      expect(await host.login()).toMatchObject({ accessToken: access, refreshToken: refresh });
      host.standIn.tokenAnswerMs = 0;
      expect((await host.claude.ask()).stdout).toContain(`AUTH=${access}`);
    });
  });

  describe.skipIf("missing" in program)("a linked login", () => {
    test("is a file of its own after a refresh: that is the source, and the old one is reported", async () => {
      const host = await Host.make(version, NEARLY_EXPIRED_SECONDS);
      const { loginFile } = host.home;
      const target = host.home.at("elsewhere.json");
      await rename(loginFile, target);
      await symlink(target, loginFile);
      const before = await readFile(target, "utf8");
      const daemon = await RunningDaemon.start(host.home, { patienceMs: PATIENCE_MS });
      const { expiresAt } = await host.renewedByClaude();
      expect(await daemon.said("link replaced by a file")).toMatchObject({ path: target });
      expect((await lstat(loginFile)).isFile()).toBe(true);
      expect(await readFile(target, "utf8")).toBe(before);
      const pushed = daemon.lines.findLast(({ msg }) => msg === "credential pushed");
      expect(pushed).toMatchObject({ reason: "rotation", expiresAt: new Date(expiresAt).toISOString() });
    });
  });

  describe.skipIf("missing" in program)("the locks", () => {
    test("that credsyncd has keep Claude Code from refreshing, and no longer than that", async () => {
      const host = await Host.make(version, NEARLY_EXPIRED_SECONDS);
      const { current: before, tokenRequests } = host.standIn;
      const release = await host.takeLocks();
      expect((await host.claude.ask()).stdout).toContain(`AUTH=${before.access}`);
      expect(host.standIn.tokenRequests).toBe(tokenRequests);
      await release();
      const after = await host.renewedByClaude();
      expect(after.refresh).not.toBe(before.refresh);
    });

    test("that a killed credsyncd left are taken over after Claude Code's own minute, not before, and the login is kept", async () => {
      const host = await Host.make(version, NEARLY_EXPIRED_SECONDS);
      const { tokenRequests } = host.standIn;
      const locks = [...host.refreshLocks, host.home.at(".claude", ".storage-write.lock")];
      for (const lock of locks) await leaveLock(lock);
      await host.claude.mcpList();
      expect(host.standIn.tokenRequests).toBe(tokenRequests);
      for (const lock of locks) await makeOld(lock);
      await host.renewedByClaude();
      expect(locks.filter((lock) => existsSync(lock))).toEqual([]);
    });

    test("that credsyncd takes over from a killed Claude Code are its own, whatever the dead one's record says", async () => {
      const host = await Host.make(version, NEARLY_EXPIRED_SECONDS);
      const { tokenRequests } = host.standIn;
      host.standIn.tokenAnswerMs = 12_000;
      await host.claude.mcpListKilledWhen(() => host.standIn.tokenRequests > tokenRequests);
      host.standIn.tokenAnswerMs = 0;
      const record = host.home.at(".claude", ".oauth_refresh.lock.owner");
      expect(existsSync(record)).toBe(true);
      for (const lock of host.refreshLocks) await makeOld(lock);
      // The login that the killed one got and did not write, as an agent's adoption would bring it.
      const { access, refresh } = host.standIn.current;
      await host.writeLogin({ accessToken: access, refreshToken: refresh });
      const requests = host.standIn.tokenRequests;

      const release = await host.takeLocks();
      expect((await host.claude.ask()).stdout).toContain(`AUTH=${access}`);
      expect(host.standIn.tokenRequests).toBe(requests);
      await release();
      await host.renewedByClaude();
    });
  });
});

interface Login {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresAt: number;
}

/** A host on which Claude Code is signed in. */
class Host {
  readonly home: TemporaryHome;
  readonly standIn: StandIn;
  readonly claude: RealClaude;
  readonly refreshLocks: readonly string[];

  private constructor(home: TemporaryHome, standIn: StandIn, claude: RealClaude) {
    this.home = home;
    this.standIn = standIn;
    this.claude = claude;
    this.refreshLocks = [home.at(".claude", ".oauth_refresh.lock"), home.at(".claude.lock")];
  }

  /** @param lifetimeSeconds how long the access token lives with which it is signed in; the next ones live for hours */
  static async make(version: (typeof CLAUDE_VERSIONS)[number], lifetimeSeconds = EIGHT_HOURS_SECONDS): Promise<Host> {
    const program = inject("clients").claude[version];
    if ("missing" in program) throw new Error(program.missing);
    const home = await TemporaryHome.create({ generation: null });
    const standIn = await StandIn.start((kind, generation) => home.token(kind, generation));
    const host = new Host(home, standIn, new RealClaude(program.binary, home, standIn));
    standIn.lifetimeSeconds = lifetimeSeconds;
    await host.claude.signIn();
    standIn.lifetimeSeconds = EIGHT_HOURS_SECONDS;
    return host;
  }

  /** The daemon with the recommended command. */
  async keepWarm(): Promise<RunningDaemon> {
    const command = JSON.stringify([this.claude.binary, "mcp", "list"]);
    await this.home.writeConfig(`{ keepWarm: { command: ${command} }, log: { level: "debug" } }`);
    const { variables } = this.claude;
    return RunningDaemon.start(this.home, { variables, patienceMs: PATIENCE_MS, within: ONE_PROCESSOR });
  }

  /** As time would. */
  async bringNearItsEnd(): Promise<void> {
    await this.writeLogin({ expiresAt: Date.now() + NEARLY_EXPIRED_SECONDS * 1000 });
  }

  async writeLogin(changes: Partial<Login>): Promise<void> {
    const file = JSON.parse(await readFile(this.home.loginFile, "utf8")) as { claudeAiOauth: Login };
    await replace(this.home.loginFile, JSON.stringify({ ...file, claudeAiOauth: { ...file.claudeAiOauth, ...changes } }));
  }

  async login(): Promise<Login> {
    return (JSON.parse(await readFile(this.home.loginFile, "utf8")) as { claudeAiOauth: Login }).claudeAiOauth;
  }

  /** Claude Code refreshes once, and keeps what it got. */
  async renewedByClaude(): Promise<Login & { readonly refresh: string }> {
    const { tokenRequests } = this.standIn;
    await this.claude.mcpList();
    expect(this.standIn.tokenRequests).toBe(tokenRequests + 1);
    const { access, refresh } = this.standIn.current;
    const login = await this.login();
    expect(login).toMatchObject({ accessToken: access, refreshToken: refresh });
    return { ...login, refresh };
  }

  /** Takes the locks on refreshes as credsyncd does. @returns what releases them */
  async takeLocks(): Promise<() => Promise<void>> {
    const { signal } = new AbortController();
    const held: HeldLock[] = [];
    for (const lock of this.refreshLocks) held.push(await takeDirectoryLock(lock, LOCK, signal));
    return async () => {
      for (const lock of held.reverse()) await lock.release();
    };
  }
}

/** A credsyncd is killed while it holds a lock. */
async function leaveLock(path: string): Promise<void> {
  const child = spawn(process.execPath, [HOLDER, path], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child.stdout, "data");
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

/** As if it had not been touched for longer than a minute. */
async function makeOld(path: string): Promise<void> {
  const then = new Date(Date.now() - 61_000);
  await utimes(path, then, then);
}
