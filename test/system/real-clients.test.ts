import { readFile } from "node:fs/promises";
import { describe, expect, inject, test } from "vitest";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { PROFILE, replace, TemporaryHome } from "../support/temporary-home.js";
import { CLAUDE_VERSION } from "./clients.js";
import { RealClaude, RealOpenclaw } from "./programs.js";
import { ACCOUNT, StandIn, type Pair } from "./stand-in.js";

const AGENTS = ["main", "work", "research"] as const;
/** Claude Code refreshes an access token in its last five minutes. */
const NEARLY_EXPIRED_SECONDS = 200;
const EXPIRED_SECONDS = -60;
const EIGHT_HOURS_SECONDS = 28_800;
const KEEP_WARM_PATIENCE_MS = 600_000;

const OPENCLAW_VERSION = "2026.4.15";
const claude = inject("clients").claude[CLAUDE_VERSION];
const openclaw = inject("clients").openclaw[OPENCLAW_VERSION];
const isMissing = "missing" in claude || "missing" in openclaw;

describe.skipIf(isMissing)(`with Claude Code ${CLAUDE_VERSION} and OpenClaw ${OPENCLAW_VERSION}`, () => {
  test("a login that Claude Code refreshes reaches every agent that OpenClaw made, and OpenClaw shows it", async () => {
    const host = await Host.make(NEARLY_EXPIRED_SECONDS);
    const before = host.standIn.current;
    await RunningDaemon.start(host.home);

    host.standIn.lifetimeSeconds = EIGHT_HOURS_SECONDS;
    const answer = await host.claude.ask();

    const after = host.standIn.current;
    expect(after).not.toEqual(before);
    expect(answer.stdout).toContain(`AUTH=${after.access}`);
    await host.everyoneComesToHold(after);
    for (const agent of AGENTS) {
      expect(await host.openclaw.profile(agent, PROFILE)).toMatchObject({ status: "ok", expiresAt: await host.loginExpiry() });
    }
  });

  test("an expired login that Claude Code refreshes reaches every agent", async () => {
    const host = await Host.make(EXPIRED_SECONDS);
    await RunningDaemon.start(host.home);

    host.standIn.lifetimeSeconds = EIGHT_HOURS_SECONDS;
    const answer = await host.claude.ask();

    const after = host.standIn.current;
    expect(answer.stdout).toContain(`AUTH=${after.access}`);
    await host.everyoneComesToHold(after);
  });

  test("keepWarm has Claude Code itself renew a login that nobody uses, before it ends and once, for every agent", async () => {
    const host = await Host.make(NEARLY_EXPIRED_SECONDS);
    const { current: before, tokenRequests } = host.standIn;
    host.standIn.lifetimeSeconds = EIGHT_HOURS_SECONDS;
    const command = JSON.stringify([host.claude.binary, "mcp", "list"]);
    await host.home.writeConfig(`{ keepWarm: { before: "4m", command: ${command} } }`);

    const { variables } = host.claude;
    const daemon = await RunningDaemon.start(host.home, { variables, patienceMs: KEEP_WARM_PATIENCE_MS });

    expect(await daemon.said("login kept warm")).toMatchObject({ store: "claude-code" });
    const after = host.standIn.current;
    expect(after.refresh).not.toBe(before.refresh);
    await host.everyoneComesToHold(after);
    expect(host.standIn.tokenRequests).toBe(tokenRequests + 1);
    expect(daemon.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("an agent's rotation is adopted, and a running Claude Code session goes on with it without a refresh of its own", async () => {
    const host = await Host.make(EIGHT_HOURS_SECONDS);
    const before = host.standIn.current;
    const daemon = await RunningDaemon.start(host.home);
    const session = host.claude.session();
    expect(await session.ask("hi")).toBe(`AUTH=${before.access}`);

    const rotated = await host.standIn.refresh(before.refresh);
    const requests = host.standIn.tokenRequests;
    await host.give("work", rotated, rotated.expiresAt);

    expect(await daemon.said("agent rotation adopted")).toMatchObject({ store: "openclaw:work", proof: "same-account" });
    await host.everyoneComesToHold(rotated);
    expect(await session.ask("hi again")).toBe(`AUTH=${rotated.access}`);
    expect(host.standIn.tokenRequests).toBe(requests);
  });

  test("four Claude Codes at once on an expired login, and the daemon: one refresh, nobody is logged out", async () => {
    const host = await Host.make(EXPIRED_SECONDS);
    await RunningDaemon.start(host.home);
    const requests = host.standIn.tokenRequests;

    host.standIn.lifetimeSeconds = EIGHT_HOURS_SECONDS;
    const answers = await Promise.all(Array.from({ length: 4 }, () => host.claude.ask()));

    const after = host.standIn.current;
    expect(host.standIn.tokenRequests).toBe(requests + 1);
    expect(answers.map(({ stdout }) => stdout.trim())).toEqual(answers.map(() => `AUTH=${after.access}`));
    await host.everyoneComesToHold(after);
    expect(JSON.parse((await host.claude.status()).stdout)).toMatchObject({ loggedIn: true });
  });
});

/** A host as people have it: Claude Code is signed in, and OpenClaw's agents hold a copy of its login. */
class Host {
  readonly home: TemporaryHome;
  readonly standIn: StandIn;
  readonly claude: RealClaude;
  readonly openclaw: RealOpenclaw;

  private constructor(home: TemporaryHome, standIn: StandIn) {
    if ("missing" in claude || "missing" in openclaw) throw new Error("a program is missing");
    this.home = home;
    this.standIn = standIn;
    this.claude = new RealClaude(claude.binary, home, standIn);
    this.openclaw = new RealOpenclaw(openclaw, home, standIn);
  }

  /** @param lifetimeSeconds how long the access token lives that everybody holds at first */
  static async make(lifetimeSeconds: number): Promise<Host> {
    const home = await TemporaryHome.create({ generation: null });
    const standIn = await StandIn.start((kind, generation) => home.token(kind, generation));
    const host = new Host(home, standIn);
    await host.openclaw.putOnPath();
    host.standIn.lifetimeSeconds = lifetimeSeconds;
    await host.claude.signIn();
    for (const agent of AGENTS) if (agent !== "main") await host.openclaw.addAgent(agent);
    for (const agent of AGENTS) await host.give(agent, host.standIn.current);
    return host;
  }

  /** Puts a pair into an agent's store, as the agent's own program does. */
  async give(agent: string, { access, refresh }: Pair, expiresAt?: number): Promise<void> {
    const account = { email: ACCOUNT.email, accountId: ACCOUNT.uuid };
    const expires = expiresAt ?? (await this.loginExpiry());
    const profile = { type: "oauth", provider: "claude-cli", access, refresh, expires, ...account };
    const content = { version: 1, profiles: { [PROFILE]: profile } };
    await replace(this.home.storeFile(agent), `${JSON.stringify(content, null, 2)}\n`);
  }

  async login(): Promise<{ accessToken: string; refreshToken: string; expiresAt: number }> {
    const file = JSON.parse(await readFile(this.home.loginFile, "utf8")) as { claudeAiOauth: Awaited<ReturnType<Host["login"]>> };
    return file.claudeAiOauth;
  }

  async loginExpiry(): Promise<number> {
    return (await this.login()).expiresAt;
  }

  async everyoneComesToHold({ access, refresh }: Pair): Promise<void> {
    const whole = { access, refresh };
    await becomes(() => this.#held(), { login: whole, ...Object.fromEntries(AGENTS.map((agent) => [agent, whole])) });
  }

  async #held(): Promise<Record<string, unknown>> {
    const { accessToken, refreshToken } = await this.login();
    const held: Record<string, unknown> = { login: { access: accessToken, refresh: refreshToken } };
    for (const agent of AGENTS) {
      const profile = await this.home.readProfile(agent);
      held[agent] = { access: profile?.["access"], refresh: profile?.["refresh"] };
    }
    return held;
  }
}
