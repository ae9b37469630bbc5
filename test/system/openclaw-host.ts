import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { agentLayout, sharedLayout } from "../../src/programs/openclaw/sqlite.js";
import { OpenclawHands } from "../support/openclaw-home.js";
import { replace, TemporaryHome, type AtEnd } from "../support/temporary-home.js";
import type { Found, OpenclawProgram, OpenclawRelease } from "./clients.js";
import { freePort, RealOpenclaw, RunningGateway } from "./programs.js";
import { ACCOUNT, StandIn, type Pair } from "./stand-in.js";

/** `main` is there from the first; the others are made by OpenClaw's own command. */
export const AGENTS = ["main", "work", "research"] as const;
/** The name that OpenClaw gives a login from its oldest format. */
export const DEFAULT_PROFILE = "anthropic:default";
/** A login that one agent has for itself, beside what it inherits. */
const OWN_PROFILE = "anthropic:research";
const MODEL = "anthropic/claude-sonnet-4-6";
const EIGHT_HOURS_SECONDS = 28_800;
const MOST_REPAIRS = 4;

/** A profile in a store. */
interface Place {
  readonly store: OpenclawHands;
  readonly profile: string;
}

/**
 * A host with a login of Claude Code and a real OpenClaw, all of whose agents hold that login. OpenClaw made its agents and
 * wrote its stores itself: it has no command that signs in without a network, but it takes over the files of its first
 * versions (`credentials/oauth.json` at any start in the JSON eras, with `doctor --fix` in the SQLite eras, and there also
 * an agent's `auth-profiles.json`).
 */
export class OpenclawHost {
  readonly home: TemporaryHome;
  readonly standIn: StandIn;
  readonly openclaw: RealOpenclaw;
  /** Every place where a login is. */
  readonly places: readonly Place[];
  readonly #release: OpenclawRelease;
  readonly #port: number;

  private constructor(program: OpenclawProgram, release: OpenclawRelease, home: TemporaryHome, standIn: StandIn, port: number) {
    this.home = home;
    this.standIn = standIn;
    this.openclaw = new RealOpenclaw(program, home, standIn);
    this.places = placesOf(release, home);
    this.#release = release;
    this.#port = port;
  }

  static async make(program: OpenclawProgram, release: OpenclawRelease, atEnd: AtEnd): Promise<OpenclawHost> {
    const home = await TemporaryHome.create({ generation: null, atEnd });
    const standIn = await StandIn.start((kind, generation) => home.token(kind, generation), atEnd);
    const host = new OpenclawHost(program, release, home, standIn, await freePort());
    await host.#signIn();
    await host.openclaw.putOnPath();
    for (const agent of AGENTS) if (agent !== "main") await host.openclaw.addAgent(agent);
    await host.#handOver();
    await host.#configureOpenclaw();
    return host;
  }

  /**
   * Begins again with a credsyncd that knows nothing, while everybody has the whole login.
   *
   * @param config more of its configuration, as JSON5
   */
  async begin(config = ""): Promise<void> {
    const pair = await this.rotate();
    for (const { store, profile } of this.places) {
      const { access, refresh, expiresAt: expires } = pair;
      await store.writeProfile({ ...(await store.readProfile(profile)), access, refresh, expires }, profile);
    }
    await this.configure(config);
  }

  /** Gives the host a credsyncd that knows nothing. @param config more of its configuration, as JSON5 */
  async configure(config = ""): Promise<void> {
    await this.forget(`{ profiles: ["${DEFAULT_PROFILE}", "${OWN_PROFILE}"], ${config} }`);
  }

  /** Gives the host a credsyncd that knows nothing. @param config all of its configuration, as JSON5 */
  async forget(config: string): Promise<void> {
    await this.home.writeConfig(config);
    await rm(this.home.stateDirectory, { recursive: true, force: true });
  }

  /**
   * Gives an agent a login of its own under the id that the others use, instead of its present one, and puts that back at the end
   * of the test.
   *
   * @param email the e-mail in it; null for none
   * @returns the content of its store then, under that id
   */
  async giveOwn(agent: string, { access, refresh, expiresAt: expires }: Pair, email: string | null): Promise<object> {
    const store = this.#storeOf(agent);
    const [before, notes] = [await store.readSet(), await store.readNotes()];
    onTestFinished(async () => {
      await store.writeSet(before);
      await store.writeNotes(notes ?? { version: 1 });
    });
    const own = { type: "oauth", provider: "anthropic", access, refresh, expires, ...(email === null ? {} : { email }) };
    await store.writeSet({ version: 1, profiles: { [DEFAULT_PROFILE]: own } });
    // Else it would take turns with what else it inherits.
    await store.writeNotes({ version: 1, order: { anthropic: [DEFAULT_PROFILE] } });
    return own;
  }

  /** Reads an agent's own profile under the id that the others use. */
  async ownOf(agent: string): Promise<object | null> {
    return this.#storeOf(agent).readProfile(DEFAULT_PROFILE);
  }

  #storeOf(agent: string): OpenclawHands {
    const place = this.places.find(({ store }) => store.name === `openclaw:${agent}`);
    if (place === undefined) throw new Error(`${agent} has no store of its own`);
    return place.store;
  }

  /** Makes OpenClaw forget the devices that spoke to its gateway, such as one with too few rights to reload it. */
  async forgetDevices(): Promise<void> {
    await rm(this.home.at(".openclaw", "devices"), { recursive: true, force: true });
  }

  /** Takes every login from OpenClaw's stores. */
  async empty(): Promise<void> {
    for (const { store } of this.places) await store.writeSet({ ...(await store.readSet()), profiles: {} });
  }

  /** Signs in as Claude Code does. */
  async #signIn(): Promise<void> {
    const account = { accountUuid: ACCOUNT.uuid, emailAddress: ACCOUNT.email };
    await replace(this.home.at(".claude.json"), JSON.stringify({ oauthAccount: account }));
    await this.#writeLogin(await this.standIn.refresh(this.standIn.invitation));
  }

  /** Refreshes as Claude Code does. @returns the new login */
  async rotate(lifetimeSeconds = EIGHT_HOURS_SECONDS): Promise<Pair> {
    this.standIn.lifetimeSeconds = lifetimeSeconds;
    const pair = await this.standIn.refresh(this.standIn.current.refresh);
    await this.#writeLogin(pair);
    return pair;
  }

  /** Makes it later: the login, which everybody still holds, ends so much sooner. */
  async letTimePass(seconds: number): Promise<void> {
    this.standIn.age(seconds * 1000);
    const pair = this.standIn.current;
    await this.#writeLogin(pair);
    for (const { store, profile } of this.places) {
      await store.writeProfile({ ...(await store.readProfile(profile)), expires: pair.expiresAt }, profile);
    }
  }

  async #writeLogin({ access, refresh, expiresAt }: Pair): Promise<void> {
    await this.home.writeLogin(1, { expiresAt, fields: { accessToken: access, refreshToken: refresh } });
  }

  /** The refresh token that Claude Code's file holds. */
  async loginRefresh(): Promise<string> {
    const file = JSON.parse(await readFile(this.home.loginFile, "utf8")) as { claudeAiOauth: { refreshToken: string } };
    return file.claudeAiOauth.refreshToken;
  }

  startGateway(): Promise<RunningGateway> {
    return RunningGateway.start(this.openclaw, this.#port);
  }

  /** Reads the login in every place, as the program that owns it sees it. */
  async held(): Promise<Record<string, unknown>[]> {
    return Promise.all(
      this.places.map(async ({ store, profile }) => {
        const { access, refresh, expires } = (await store.readProfile(profile)) ?? {};
        return { access, refresh, expires };
      }),
    );
  }

  /** Returns the login that every place should have. */
  holding({ access, refresh, expiresAt }: Pair): Record<string, unknown>[] {
    return this.places.map(() => ({ access, refresh, expires: expiresAt }));
  }

  /** Returns the login that every place should have if it gets the access token alone. @param marginMs added to its end */
  holdingAccess({ access, expiresAt }: Pair, marginMs: number): Record<string, unknown>[] {
    return this.places.map(() => ({ access, refresh: undefined, expires: expiresAt + marginMs }));
  }

  /** The places that OpenClaw keeps waiting because of a failure. */
  async penalties(): Promise<string[]> {
    const punished = this.places.map(async ({ store, profile }) => {
      // The first versions keep their notes beside the profiles.
      const notes = { ...(await store.readSet()), ...(await store.readNotes()) } as {
        usageStats?: Record<string, Record<string, unknown>>;
      };
      const stats = notes.usageStats?.[profile] ?? {};
      return stats["cooldownUntil"] === undefined && stats["disabledUntil"] === undefined ? [] : [`${store.name} ${profile}`];
    });
    return (await Promise.all(punished)).flat();
  }

  /** Gives OpenClaw the login that stands in the source. */
  async #handOver(): Promise<void> {
    const { access, refresh, expiresAt } = this.standIn.current;
    const login = { access, refresh, expires: expiresAt, email: ACCOUNT.email };
    await replace(this.home.at(".openclaw", "credentials", "oauth.json"), JSON.stringify({ anthropic: login }));
    if (this.#release.era === "json") {
      // Reading an agent without a store of its own copies main's to it, in these versions.
      for (const agent of AGENTS) await this.openclaw.profiles(agent);
      return;
    }
    const own = { version: 1, profiles: { [OWN_PROFILE]: { type: "oauth", provider: "anthropic", ...login } } };
    await replace(this.home.storeFile("research"), JSON.stringify(own));
    await this.#repair();
  }

  /** On a busy machine 2026.9.6 puts parts of it off to another run: it gives its own thread five seconds to start. */
  async #repair(): Promise<void> {
    for (let runs = 1; ; runs += 1) {
      try {
        await this.openclaw.run("doctor", "--fix", "--non-interactive");
        return;
      } catch (error) {
        if (runs === MOST_REPAIRS || !String(error).includes("maintenance deferred")) throw error;
      }
    }
  }

  async #configureOpenclaw(): Promise<void> {
    const path = this.home.openclawConfig;
    const config = JSON.parse(await readFile(path, "utf8")) as { agents: { defaults?: object } };
    const gateway = { mode: "local", port: this.#port, bind: "loopback", auth: { mode: "token", token: "made-up" } };
    const agents = { ...config.agents, defaults: { ...config.agents.defaults, model: { primary: MODEL } } };
    const logging = { file: this.home.at("tmp", "openclaw.log") };
    await mkdir(this.home.at("tmp"), { recursive: true });
    await replace(path, JSON.stringify({ ...config, agents, gateway, logging }, null, 2));
  }
}

/** Makes one host for all tests of a suite, and ends it after them. @param use is given it before the first one */
export function onHost(program: Found<OpenclawProgram>, release: OpenclawRelease, use: (host: OpenclawHost) => void): void {
  const cleanUps: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    if ("missing" in program) throw new Error(program.missing);
    use(await OpenclawHost.make(program, release, (cleanUp) => cleanUps.unshift(cleanUp)));
  });
  afterAll(async () => {
    for (const cleanUp of cleanUps) await cleanUp();
  });
}

/** Returns the places where each era keeps the login. */
function placesOf({ era }: OpenclawRelease, home: TemporaryHome): Place[] {
  if (era === "json") {
    return AGENTS.map((agent) => {
      return { store: new OpenclawHands(`openclaw:${agent}`, home.storeFile(agent), null), profile: DEFAULT_PROFILE };
    });
  }
  const database = (agent: string): OpenclawHands =>
    new OpenclawHands(`openclaw:${agent}`, join(home.agentDirectory(agent), "openclaw-agent.sqlite"), agentLayout);
  const own = { store: database("research"), profile: OWN_PROFILE };
  if (era === "sqlite") return [{ store: database("main"), profile: DEFAULT_PROFILE }, own];
  const shared = new OpenclawHands("openclaw:shared", home.at(".openclaw", "state", "openclaw.sqlite"), sharedLayout);
  // Its doctor puts an agent's own login into the shared store as well.
  return [{ store: shared, profile: DEFAULT_PROFILE }, { store: shared, profile: OWN_PROFILE }, own];
}
