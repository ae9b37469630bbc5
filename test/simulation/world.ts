import { Failure } from "../../src/domain/errors.js";
import { noOrigin, type Inventory, type SourceStore, type TargetStore } from "../../src/domain/inventory.js";
import { relateAccounts } from "../../src/domain/credential.js";
import { flowId, liveOf, placementKey } from "../../src/domain/ledger.js";
import { noOrders, type Binding, type Held, type HeldCredential, type Orders } from "../../src/domain/observation.js";
import type { CredentialStore } from "../../src/domain/store.js";
import { isUnfinished, Reconciler, type ReconcileResult } from "../../src/reconcile/reconciler.js";
import { ModelAgent, ModelClaude, type ActorWorld } from "./actors.js";
import { FencingAgent, FencingHome } from "./fencing-agent.js";
import { Judge } from "./judge.js";
import { isPlausible } from "./model-end.js";
import { fenceIn } from "./model-fence.js";
import { isClaude, ModelFile, type AgentContent, type AgentProfile, type ClaudeContent, type FileContent } from "./model-file.js";
import { DurableBackups, DurableLedger, DurableStateLock, ModelBackups, ModelLedger, ModelStateLock } from "./model-memory.js";
import { Crash, ModelProcess } from "./model-process.js";
import { ModelServer, type Grant } from "./model-server.js";
import { CLAUDE_PROFILE, ModelAgentStore, ModelClaudeStore, readImage, type StoreWorld } from "./model-stores.js";
import { Names } from "./names.js";
import type { AgentStoreSetting, InitialProfile, Setting } from "./setting.js";
import type { Interruption, Program, Step } from "./steps.js";

const START_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LISTED = ["anthropic:claude-cli"];
/** A refresh that lasts longer counts as failed. */
const REFRESH_LASTS_MS = 180_000;
/** After so many looks everything must be at rest. */
const LOOKS_TO_REST = 20;

interface Target {
  readonly name: string;
  readonly file: ModelFile;
  binding: Binding;
  readonly named: readonly string[] | null;
  readonly share: "full" | "access-only";
  readonly expiryMarginMs: number;
  readonly creates: boolean;
}

interface Credsyncd {
  readonly process: ModelProcess;
  readonly reconciler: Reconciler;
}

/** One world: the real reconciler among model programs, files and people. */
export class World {
  readonly judge: Judge;
  readonly #setting: Setting;
  readonly #server: ModelServer;
  readonly #names = new Names();
  readonly #claudes: ModelClaude[] = [];
  readonly #agents: ModelAgent[] = [];
  readonly #home = new FencingHome();
  readonly #files: ModelFile[] = [];
  readonly #targets: Target[] = [];
  readonly #ledger = new DurableLedger();
  readonly #backups = new DurableBackups();
  readonly #stateLock = new DurableStateLock();
  readonly #signal = new AbortController().signal;
  readonly #trace: string[] | null;
  #now = START_MS;
  /** Reconciles under way, one within the other. */
  #looking = 0;
  /** When the daemon wants to look again, by its own clock. */
  #daemonDueAt: number | null = null;
  /** In true time; a clock that jumped does not tell how long a refresh has lasted. */
  #clockJumpedAt = 0;
  #daemonSkewMs: number;
  #daemon: Credsyncd;
  /** How far credsyncd's own clock runs ahead for a while. */
  #aheadMs = 0;
  /** How long what the server grants lasts for the time being. */
  #lifetimeMs: number | null = null;
  /** How often an account's e-mail changed. */
  readonly #renamed = new Map<string, number>();
  #processes = 0;
  #lifetimes = 0;
  /** How often what happened, to show that a simulation is not an idle one. */
  readonly counts = new Map<string, number>();

  /** @param trace receives the story, line by line; null tells none, which is faster */
  constructor(setting: Setting, trace: string[] | null) {
    this.#setting = setting;
    this.#trace = trace;
    this.#daemonSkewMs = setting.daemonSkewMs;
    this.#server = new ModelServer({ replayRevokes: setting.replayRevokes });
    const skewed = setting.daemonSkewMs !== 0 || setting.claude.skewMs !== 0 || setting.agents.some(({ skewMs }) => skewMs !== 0);
    this.judge = new Judge({
      server: this.#server,
      names: this.#names,
      files: () => this.#files,
      ledger: this.#ledger,
      backups: this.#backups,
      sourceProfile: this.#sourceProfile,
      flow: this.#flow,
      sourceName: this.#sourceName,
      loginNamesAccount: setting.sourceIs === "main" || setting.claude.writesUuid,
      credsyncdNow: () => this.#credsyncdNow,
      expiryIsOrder:
        !skewed &&
        !setting.variableLifetime &&
        setting.ends !== true &&
        setting.agents.every(({ expiryMarginMs }) => expiryMarginMs === 0),
      acceptsAccountChange: setting.policy.onAccountChange === "push",
      isRefreshing: (claim) => this.#isRefreshing(claim),
      hasSpent: (...what) => this.#home.hasSpent(...what),
      hasUnmarked: (...what) => this.#home.hasUnmarked(...what),
      note: this.#note,
    });
    this.#populate();
    this.#daemon = this.#start("the daemon", noOrders);
  }

  /** Lets one thing happen. */
  async perform(step: Step): Promise<void> {
    // Nothing takes no time at all: two refreshes never end at the same moment.
    this.#now += 50;
    switch (step.kind) {
      case "reconcile":
        this.#note(`the daemon reconciles`);
        await this.#reconcile(this.#daemon, step.during);
        return;
      case "busy-siblings":
        return this.#keepBusy(step.seconds);
      case "force":
      case "adopt":
        return this.#command(step);
      case "wait":
        if (this.#setting.fencing === true && this.#looking === 0) return this.#waitAwake(step.ms);
        this.#note(this.#performOutside(step));
        return;
      default:
        this.#note(this.#performOutside(step));
    }
  }

  /** R7a: what else changes in the source's file does not hold its login up. */
  async #keepBusy(seconds: number): Promise<void> {
    const [file] = this.#files;
    if (this.#looking > 0 || file === undefined) return;
    this.#count("busy-siblings");
    this.#note(`for ${String(seconds)} s other fields of ${file.name} change all the time`);
    let result: ReconcileResult | null = null;
    for (let second = 0; second < seconds; second++) {
      if (file.content !== null) file.replace(edited(file.content), this.#now);
      result = await this.#reconcile(this.#daemon, []);
      // Events that could not be recorded, or not be read, are new at the next scan.
      if (result === null || result.plan.flows[0].source.kind === "unreadable") return;
      this.#now += 1000;
    }
    const source = result?.plan.flows[0].source;
    if (seconds < 7 || this.#aheadMs !== 0 || source?.kind !== "held" || source.reason !== "account-unsettled") return;
    this.judge.accuse("R7a", "a login waits for as long as its siblings change");
  }

  /** Time passes, and the daemon looks when it said that it would. */
  async #waitAwake(ms: number): Promise<void> {
    this.#note(`${String(ms / 1000)} s pass`);
    const end = this.#now + ms;
    for (let looks = 0; looks < LOOKS_TO_REST && this.#daemonDueAt !== null; looks++) {
      const dueAt = this.#daemonDueAt - this.#daemonSkewMs - this.#aheadMs;
      if (dueAt > end) break;
      this.#now = Math.max(this.#now, dueAt);
      this.#note(`the daemon looks again`);
      this.#daemonDueAt = null;
      await this.#reconcile(this.#daemon, []);
    }
    this.#now = Math.max(this.#now, end);
  }

  /** Ends every fault, lets nobody act any more, and demands rest (I5). */
  async settle(): Promise<void> {
    this.#note("— faults end, and nobody but the daemon acts any more —");
    if (this.#setting.ends === true) this.#rightEnds();
    for (const actor of [...this.#claudes, ...this.#agents]) {
      if (this.#setting.calm) actor.finishRefresh();
      actor.crash();
    }
    for (const file of this.#files) Object.assign(file, { lock: null, readFault: null, writeFault: null });
    this.#ledger.failures = 0;
    this.#backups.failures = 0;
    if (this.#setting.ends === true && this.#setting.calm) await this.#rotateRightly();
    const result = await this.#reconcileToRest();
    if (result === null) return;
    this.#checkReports(result);
    const [{ source }] = result.plan.flows;
    const isAsked = source.kind === "held" && source.reason === "source-rolled-back" && source.acceptable;
    if (this.#setting.ends === true && this.#setting.sourceIs === "claude" && isAsked) {
      await this.#acceptOnce(source.held);
      if ((await this.#reconcileToRest()) === null) return;
    }
    for (const waitMs of this.#timesThatMatter()) {
      this.#now += waitMs;
      if ((await this.#reconcileToRest()) === null) return;
    }
    for (const laterMs of [60_000, DAY_MS]) {
      this.#now += laterMs;
      const before = this.#activity();
      await this.#reconcile(this.#daemon, []);
      if (this.#activity() !== before)
        this.judge.accuse("I5", `something was written ${String(laterMs / 1000)} s after all was at rest`);
    }
  }

  /**
   * Returns the moments at which unknown expiries become known. A record from a clock that ran ahead counts again when its moment
   * has come. An expiry too far ahead to be believed is believed when it comes near.
   */
  #timesThatMatter(): number[] {
    if (this.#setting.ends === true) return [3 * DAY_MS, 400 * DAY_MS];
    const aheadMs = Math.max(0, ...this.#ledger.events.map(({ at }) => at)) - this.#credsyncdNow;
    return aheadMs > 0 ? [aheadMs] : [];
  }

  /** Every clock is right again, and so is every end that is written from now on. */
  #rightEnds(): void {
    this.#aheadMs = 0;
    this.#lifetimeMs = null;
    for (const actor of [...this.#claudes, ...this.#agents]) Object.assign(actor, { aheadMs: 0, endForm: "ms" });
  }

  /** Wrong expiries hold up the next rotations for two days at most. */
  async #rotateRightly(): Promise<void> {
    await this.#reconcile(this.#daemon, []);
    this.#now += 3 * DAY_MS;
    const [claude] = this.#claudes;
    if (claude === undefined) return;
    const refresh = { forced: true, reissue: false };
    this.#note(`claude ${claude.beginRefresh(refresh)}`);
    this.#note(`claude ${claude.finishRefresh()}`);
    claude.crash();
  }

  /** R4: once the user accepted what the source holds, only what came since is compared with. */
  async #acceptOnce(held: HeldCredential): Promise<void> {
    const [claude] = this.#claudes;
    if (claude === undefined || this.#ledger.state.issues.has(held.issue)) return;
    this.#note(`the user accepts what the source holds: sync --force ${this.#sourceName}`);
    const orders = { force: new Set([this.#sourceName]), adopt: null };
    await this.#reconcile(this.#start("the command", orders), []);
    this.#now += HOUR_MS;
    this.#note(`claude ${claude.beginRefresh({ forced: true, reissue: false })}`);
    this.#note(`claude ${claude.finishRefresh()}`);
    this.#now += 6000;
    await this.#reconcile(this.#daemon, []);
    this.#now += 6000;
    const source = (await this.#reconcile(this.#daemon, []))?.plan.flows[0].source;
    if (source?.kind !== "held" || source.reason !== "source-rolled-back" || source.held.issue === held.issue) return;
    const now = this.#credsyncdNow;
    const isLater = !isPlausible(held.expiresAt, now) || (source.held.expiresAt ?? 0) > held.expiresAt;
    if (isPlausible(source.held.expiresAt, now) && source.held.expiresAt > now && isLater)
      this.judge.accuse("R4", "the rotation after what the user accepted is held again");
  }

  /** Describes the content of every file at the end, for a person. */
  describe(): string[] {
    return [
      ...this.#files.map(({ name, text }) => `${name}: ${text}`),
      `backups: ${this.#backups.stored.map(({ text }) => text).join(" ")}`,
    ];
  }

  readonly #note = (words: string): void => {
    this.#trace?.push(words);
  };

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  #populate(): void {
    const { setting, world } = { setting: this.#setting, world: this.#actorWorld() };
    const claude = new ModelClaude(this.#addFile<ClaudeContent>("claude", null), setting.claude, world);
    this.#claudes.push(claude);
    const old = this.#server.signIn("anna", START_MS + 30 * DAY_MS, START_MS + setting.claude.skewMs - 9 * HOUR_MS, 8 * HOUR_MS);
    const current = this.#server.refresh(old.refresh, this.#now, {
      clientNow: START_MS + setting.claude.skewMs - 2 * HOUR_MS,
      lifetimeMs: 8 * HOUR_MS,
      reissue: false,
    });
    if (typeof current === "string") throw new Error("a fresh login can be refreshed");
    this.#placeClaude(claude, setting.sourceIs === "claude" ? current : this.#otherSignIn("anna"));
    const main = this.#addAgent(setting.agents[0], { old, current }, null);
    for (const agent of setting.agents.slice(1)) this.#addAgent(agent, { old, current }, main);
    if (setting.sourceIs === "main") this.#addTarget({ name: "claude-code", file: claude.file, named: null, share: "full" });
    this.#populateFollower(current, world);
  }

  get #credsyncdNow(): number {
    return this.#now + this.#daemonSkewMs + this.#aheadMs;
  }

  get #isOwnTarget(): boolean {
    return this.#setting.ownTarget === true;
  }

  /** A source that is a target, too, has one name for both. */
  get #sourceName(): string {
    return this.#isOwnTarget ? "openclaw:main" : "source";
  }

  get #sourceProfile(): string {
    return this.#setting.sourceIs === "claude" ? CLAUDE_PROFILE : "anthropic:claude-cli";
  }

  get #flow(): string {
    return flowId(this.#isOwnTarget ? this.#sourceName : null, this.#sourceProfile);
  }

  #populateFollower(current: Grant, world: ActorWorld): void {
    const { follower, claude } = this.#setting;
    if (follower === null) return;
    const file = this.#addFile<ClaudeContent>("claude-follower", null);
    const program = new ModelClaude(file, claude, world);
    this.#claudes.push(program);
    if (follower.starts !== "absent")
      this.#placeClaude(program, follower.starts === "copy" ? current : this.#otherSignIn("anna"));
    this.#addTarget({ name: "claude-code:follower", file, named: null, share: follower.share, creates: follower.creates });
  }

  #placeClaude({ file, accountFile, setting }: ModelClaude, grant: Grant): void {
    const login = {
      accessToken: grant.access,
      refreshToken: grant.refresh,
      expiresAt: grant.expiresAt,
      ...(setting.writesSignInEnd ? { refreshTokenExpiresAt: grant.signInEndsAt } : {}),
      ...(setting.writesUuid ? { accountUuid: "uuid-anna" } : {}),
      tier: 1,
    };
    file.replace({ mcpOAuth: 0, claudeAiOauth: login }, this.#now);
    if (setting.writesAccountFile) accountFile.account = { uuid: "uuid-anna", email: this.#emailOf("anna") };
  }

  #otherSignIn(account: string): Grant {
    return this.#server.signIn(account, START_MS + 20 * DAY_MS, START_MS - 3 * HOUR_MS, 8 * HOUR_MS);
  }

  #addAgent(
    agent: AgentStoreSetting,
    logins: { readonly old: Grant; readonly current: Grant },
    main: ModelFile<AgentContent> | null,
  ): ModelFile<AgentContent> {
    const profiles: Record<string, AgentProfile> = {
      "openai:default": { type: "api_key", provider: "openai", key: "k-openai", note: 0 },
    };
    for (const { id, holds, email } of agent.profiles) profiles[id] = this.#initialProfile(holds, email, logins);
    const file = this.#addFile<AgentContent>(agent.name, agent.exists ? { profiles, usage: 0 } : null);
    const world = this.#actorWorld();
    this.#agents.push(
      agent.era === "S3"
        ? new FencingAgent(file, agent, main, { world, home: this.#home })
        : new ModelAgent(file, agent, main, world),
    );
    if (main === null && this.#setting.sourceIs === "main" && !this.#isOwnTarget) return file;
    const name = `openclaw:${agent.name}`;
    const { binding, share, expiryMarginMs } = agent;
    this.#addTarget({ name, file, named: LISTED, binding, share, expiryMarginMs });
    if (agent.twice) this.#addTarget({ name: `${name}-alias`, file, named: LISTED, binding, share, expiryMarginMs });
    return file;
  }

  #initialProfile(
    holds: InitialProfile,
    email: boolean,
    { old, current }: { readonly old: Grant; readonly current: Grant },
  ): AgentProfile {
    if (holds === "api-key") return { type: "api_key", provider: "anthropic", key: "k-anthropic", note: 0 };
    const account = holds === "other-account" ? "bert" : "anna";
    const grant = holds === "copy" ? current : holds === "old-copy" ? old : this.#otherSignIn(account);
    const fields: AgentProfile = {
      type: "oauth",
      provider: "anthropic",
      access: grant.access,
      refresh: grant.refresh,
      expires: grant.expiresAt,
      note: 0,
    };
    return email ? { ...fields, email: `${account}@x` } : fields;
  }

  #addFile<Content extends FileContent>(name: string, content: Content | null): ModelFile<Content> {
    const file = new ModelFile<Content>(name, content, this.#now);
    this.#files.push(file);
    return file;
  }

  #addTarget<Content extends FileContent>(
    target: Omit<Partial<Target>, "file"> & Pick<Target, "name" | "named" | "share"> & { readonly file: ModelFile<Content> },
  ): void {
    const file = target.file as unknown as ModelFile;
    this.#targets.push({ binding: "follow", expiryMarginMs: 0, creates: false, ...target, file });
  }

  #actorWorld(): ActorWorld {
    return {
      server: this.#server,
      now: () => this.#now,
      emailOf: (account) => this.#emailOf(account),
      refuses: (access) => this.#setting.ends === true && this.#server.refuses(access, this.#now),
      lifetimeMs: () => {
        this.#lifetimes += 1;
        if (this.#lifetimeMs !== null) return this.#lifetimeMs;
        return this.#setting.variableLifetime ? ([8, 2, 12, 1][this.#lifetimes % 4] ?? 8) * HOUR_MS : 8 * HOUR_MS;
      },
    };
  }

  #emailOf(account: string): string {
    const times = this.#renamed.get(account) ?? 0;
    return `${account}${times === 0 ? "" : String(times)}@x`;
  }

  #start(kind: string, orders: Orders): Credsyncd {
    this.#processes += 1;
    const process = new ModelProcess(`${kind} ${String(this.#processes)}`, {
      trueNow: () => this.#now,
      skewMs: () => this.#daemonSkewMs + this.#aheadMs,
      elapse: (durationMs) => {
        this.#now += durationMs;
      },
      orders,
    });
    const storeWorld: StoreWorld = { names: this.#names, judge: this.judge, now: () => this.#now, note: this.#note };
    const store = (name: string, file: ModelFile): CredentialStore => {
      if (!isClaude(file)) return new ModelAgentStore(name, file as unknown as ModelFile<AgentContent>, process, storeWorld);
      const accountFile = this.#claudes.find((claude) => claude.file === file)?.accountFile ?? { account: null };
      return new ModelClaudeStore(name, file, process, { world: storeWorld, accountFile });
    };
    const sourceFile = this.#files[this.#setting.sourceIs === "claude" ? 0 : 1];
    if (sourceFile === undefined) throw new Error("there is always a source");
    const providers = ["anthropic", "claude-cli"];
    const source: SourceStore = {
      stores: [store(this.#sourceName, sourceFile)],
      selection: this.#isOwnTarget
        ? { kind: "same-id", source: this.#sourceName, named: LISTED, matches: (id) => LISTED.includes(id), text: LISTED.join() }
        : { kind: "one", profile: this.#sourceProfile, providers, followers: LISTED },
      copies:
        this.#setting.fencing === true && this.#setting.sourceIs === "main"
          ? { contentOf: readImage, expiryMarginMs: 300_000 }
          : null,
      signIn: "sign in",
    };
    const stores = this.#targets.map((target) => ({ target, store: store(target.name, target.file) }));
    const takeInventory = async (): Promise<Inventory> => {
      await process.pass("looking for the stores");
      const targets = stores.map(({ target, store: opened }): TargetStore => {
        const { named, creates, ...options } = target;
        const single = named === null ? { profile: CLAUDE_PROFILE, providers, creates } : null;
        return { ...options, store: opened, single, creation: null, origin: noOrigin };
      });
      return { source, targets, findings: [], unmatchedAgents: [], programs: [], files: [] };
    };
    const ledger = this.#ledger;
    const reconciler = new Reconciler({
      takeInventory,
      ledger: new ModelLedger(ledger, process, this.judge),
      backups: new ModelBackups(this.#backups, process, { ledger, judge: this.judge }),
      lock: new ModelStateLock(this.#stateLock, process),
      fingerprintOf: this.#names.fingerprintOf,
      clock: process.clock,
    });
    return { process, reconciler };
  }

  async #reconcile({ process, reconciler }: Credsyncd, during: readonly Interruption[]): Promise<ReconcileResult | null> {
    const interruptions = during.map(({ before, late = false, happens }): [number, () => Promise<void>] => [
      before,
      async () => {
        if (late) await passTurns();
        await this.#interrupt(process, happens);
      },
    ]);
    process.interruptWith(new Map(interruptions));
    this.#looking += 1;
    this.judge.noteLook();
    try {
      const result = await reconciler.reconcile(this.#setting.policy, process.orders, this.#signal);
      if (process === this.#daemon.process) this.#daemonDueAt = result.plan.wakeAt;
      this.#noteResult(result, process.orders);
      return result;
    } catch (error) {
      if (error instanceof Failure) {
        this.#count(`failure: ${error.code}`);
        this.judge.checkSilent("a failure's message", `${error.message} ${error.hint ?? ""}`);
        this.#note(`    fails: ${error.message}`);
      } else if (error instanceof Crash) {
        if (process === this.#daemon.process) this.#daemon = this.#start("the daemon", noOrders);
      } else {
        this.judge.accuse("bug", error instanceof Error ? (error.stack ?? error.message) : "something was thrown");
      }
      return null;
    } finally {
      this.#looking -= 1;
      process.interruptWith(new Map());
    }
  }

  async #interrupt(process: ModelProcess, happens: Interruption["happens"]): Promise<void> {
    if (happens.kind === "crash-credsyncd") {
      this.#count("crash of credsyncd");
      this.#note(`    ${process.name} is killed before ${process.lastPlace}`);
      process.kill();
      return;
    }
    this.#note(`    before ${process.lastPlace}:`);
    await this.perform(happens);
  }

  async #command(step: Extract<Step, { kind: "force" | "adopt" }>): Promise<void> {
    const names = [this.#sourceName, ...this.#targets.map(({ name }) => name)];
    const store = names[step.store % names.length] ?? this.#sourceName;
    this.#note(`the user runs: ${step.kind === "force" ? "sync --force" : "adopt"} ${store}`);
    const orders: Orders =
      step.kind === "force" ? { force: new Set([store]), adopt: null } : { force: new Set(), adopt: { store, profile: null } };
    this.#count(step.kind);
    await this.#reconcile(this.#start("the command", orders), step.during);
  }

  async #reconcileToRest(): Promise<ReconcileResult | null> {
    for (let look = 0; look < LOOKS_TO_REST; look++) {
      const before = this.#activity();
      const result = await this.#reconcile(this.#daemon, []);
      if (result !== null && this.#activity() === before && !isUnfinished(result) && result.plan.wakeAt === null) return result;
      const wakeInMs = result?.plan.wakeAt == null ? 1000 : Math.max(0, result.plan.wakeAt - (this.#now + this.#daemonSkewMs));
      this.#now += wakeInMs;
    }
    this.judge.accuse("I5", `no rest after ${String(LOOKS_TO_REST)} reconciles`);
    return null;
  }

  /** Checks whether a refresh is under way that credsyncd must still leave alone. */
  #isRefreshing(claim: string): boolean {
    const since = this.#home.underWaySince(claim);
    return since !== null && this.#now < since + REFRESH_LASTS_MS && this.#clockJumpedAt < since;
  }

  #activity(): number {
    return this.judge.writes + this.judge.records;
  }

  #checkReports({ plan }: ReconcileResult): void {
    const [{ source, live }] = plan.flows;
    this.#count(`at the end the source is: ${source.kind === "held" ? source.reason : source.kind}`);
    this.#checkErased();
    for (const { target, verdict } of plan.reports) {
      const where = `${target.store} ${target.profile}`;
      if (verdict === null) continue;
      this.#count(`at the end a profile is: ${"reason" in verdict ? `${verdict.kind} ${verdict.reason}` : verdict.kind}`);
      if (verdict.kind === "write") this.judge.accuse("I5", `${where} is still to be written at rest`);
      if (verdict.kind === "unrelated" && target.listed) this.judge.accuse("I5", `${where} is listed, and yet not reported`);
      if (verdict.kind === "drift" && source.kind === "live")
        this.judge.accuse("I5", `${where} drifts at rest, and nothing is held`);
      const inStep = target.held.kind === "credential" && target.held.issue === live?.issue;
      if (verdict.kind === "in-sync" && !inStep) this.judge.accuse("I5", `${where} is called in step, and is not`);
      if (this.#setting.calm) this.#checkCalm(where, target.listed, verdict);
    }
    if (this.#setting.calm && source.kind !== "live") this.judge.accuse("I5", `a calm world ends with the source ${source.kind}`);
  }

  /** R4, R7a: what the source's owner did counts, and another account is noticed. */
  #checkSource({ plan, observation, startedAt }: ReconcileResult): void {
    const [{ source, live }] = plan.flows;
    if (live === null || (source.kind !== "held" && source.kind !== "live")) return;
    const { held } = source;
    if (held.credential.type !== "oauth" || held.generation === null) return;
    // Its clock may have been set back in the middle of it.
    const now = Math.max(this.#credsyncdNow, startedAt);
    const isOver = isPlausible(held.expiresAt, now) && held.expiresAt <= now;
    const isOld = this.#ledger.state.issues.has(held.issue) || isOver;
    if (source.kind === "held" && source.reason === "source-rolled-back" && !isOld) {
      const { signInEndsAt } = held.credential;
      if (held.generation === live.generation) this.judge.accuse("R4", "a reissue of the source's owner is held");
      const rose = signInEndsAt !== null && live.signInEndsAt !== null && signInEndsAt > live.signInEndsAt + 60_000;
      // A generation that is known is an old copy, whatever its sign-in's end.
      const isKnown = this.#ledger.state.generations.has(held.generation);
      if (rose && !isKnown) this.judge.accuse("R4", "a new sign-in of the same account is held");
    }
    if (source.kind !== "live" || this.#setting.policy.onAccountChange === "push" || observation.source.state !== "read") return;
    const profile = observation.source.profiles.find(({ observed }) => observed.profile === this.#sourceProfile);
    if (relateAccounts(profile?.observed.account ?? null, live.account) === "different")
      this.judge.accuse("R7a", "another account is named beside the login, and nothing is raised");
  }

  /** R16a: what a failed refresh took from the source is there again where a copy of it is kept. */
  #checkErased(): void {
    const { state } = this.#ledger;
    const profile = this.judge.sourceProfile;
    const held = this.#files[1]?.content;
    const fields = held != null && "profiles" in held ? held.profiles[profile] : undefined;
    const fence = fields?.type === "oauth" && this.#setting.sourceIs === "main" ? fenceIn(profile, fields) : null;
    const live = liveOf(state, this.#flow);
    const spent = fence === null ? null : this.#server.spentBy(fence);
    if (live === null || spent === null || this.#names.of(spent) !== live.generation) return;
    const before = state.placements.get(placementKey(this.#sourceName, profile));
    const putBackBefore = before?.generation === live.generation && before.issue === live.issue && before.terms.share !== "full";
    const access = this.#names.textOf(live.issue);
    if (putBackBefore || access === null || !this.#keepsOfSource(access)) return;
    if (fields?.email !== undefined && live.account?.email !== this.#names.of(fields.email)) return;
    this.judge.accuse("R16a", `the source is left without ${access}, of which there is a copy`);
  }

  /** Checks whether a backup of the source's own profile has a token: copies of other stores are in other forms. */
  #keepsOfSource(token: string): boolean {
    const own = this.#backups.stored.filter(
      ({ entry }) => entry.store === this.#sourceName && entry.profile === this.judge.sourceProfile,
    );
    return own.some(({ text }) => text.includes(`"${token}"`));
  }

  /**
   * Checks that every copy comes in sync after only the source's program refreshed, unless a consumer keeps putting back its own.
   */
  #checkCalm(where: string, listed: boolean, verdict: { readonly kind: string; readonly reason?: string }): void {
    if (!listed || verdict.kind === "in-sync" || verdict.kind === "absent") return;
    if (verdict.kind === "hold" && verdict.reason === "reverting") return;
    // An unseen old copy beside an old e-mail is another account's, as far as anyone can know.
    if (verdict.kind === "hold" && verdict.reason === "another-account" && this.#renamed.size > 0) return;
    this.judge.accuse("I5", `${where} of a calm world ends as ${verdict.kind} ${verdict.reason ?? ""}`);
  }

  /** R16a: while a failed refresh may have spent what is live, nobody who lacks it is given the whole of it. */
  #checkSuspect({ head, reports, writes, adoption }: ReconcileResult["plan"]["flows"][number], orders: Orders): void {
    if (orders !== noOrders || adoption !== null) return;
    const read = [...(head.state === "present" ? [head.observed] : []), ...reports.map(({ target }) => target)];
    const fences = reports.flatMap(({ target: { held, profile }, verdict }) =>
      verdict !== null && held.kind === "fence" ? [{ ...held, profile }] : [],
    );
    if (fences.some(({ failed }) => !failed)) return;
    const maySpend = (generation: string): boolean =>
      fences.some(({ spends, profile }) => {
        const isUnmarked = read.some((other) => other.profile === profile && holdsGeneration(other.held, generation));
        return spends === generation && !isUnmarked;
      });
    for (const { target, credential, generation } of writes) {
      const whole = credential.type === "oauth" && credential.refresh !== null;
      const had = target.held.kind === "credential" && target.held.generation === generation;
      if (whole && !had && maySpend(generation))
        this.judge.accuse("R16a", `${target.store} ${target.profile} was given the whole of a suspect login`);
    }
  }

  #noteResult(result: ReconcileResult, orders: Orders): void {
    const { plan, writes, adoptions } = result;
    const [adoption = null] = adoptions;
    if (adoption !== null) this.#count(adoption.error === null ? "adoption" : `adoption failed: ${adoption.error.code}`);
    for (const { error } of writes) this.#count(error === null ? "write" : `write failed: ${error.code}`);
    for (const { restoration } of plan.flows)
      if (restoration !== null) this.#count(`the source is put back: ${restoration.share}`);
    for (const { adoption: planned } of plan.flows)
      if (planned !== null) this.#count(`adoption proven by ${planned.candidate.proof ?? "nothing"}`);
    for (const { target, share } of plan.writes)
      if (target.held.kind === "fence") this.#count(`write over a failed fence, ${share}`);
    for (const { kind } of plan.record) if (kind === "fence" || kind === "suspect") this.#count(`recorded: ${kind}`);
    for (const { verdict } of plan.reports)
      if (verdict?.kind === "drift" && verdict.reason === "refreshing") this.#count("waited for a refresh");
    for (const outcome of [adoption, ...writes]) {
      if (outcome?.error) this.judge.checkSilent("an error", `${outcome.error.message} ${outcome.error.hint}`);
    }
    for (const flow of plan.flows) this.#checkSuspect(flow, orders);
    if (orders === noOrders) this.#checkSource(result);
    if (this.#trace === null) return;
    this.judge.checkSilent("a plan", JSON.stringify({ ...plan, reports: plan.reports.map(({ verdict }) => verdict) }));
    const [{ source }] = plan.flows;
    this.#note(`    source: ${source.kind}${"reason" in source ? ` (${source.reason})` : ""}`);
    for (const { target, verdict } of plan.reports) {
      if (verdict === null || verdict.kind === "unrelated") continue;
      this.#note(`    ${target.store} ${target.profile}: ${verdict.kind}${"reason" in verdict ? ` (${verdict.reason})` : ""}`);
    }
    for (const { store, error } of writes) if (error !== null) this.#note(`    writing ${store} failed: ${error.code}`);
    if (adoption?.error) this.#note(`    adopting into the source failed: ${adoption.error.code}`);
  }

  #performOutside(step: Exclude<Step, { kind: "reconcile" | "force" | "adopt" | "busy-siblings" }>): string {
    this.#count(step.kind);
    switch (step.kind) {
      case "wait":
        this.#now += step.ms;
        return `${String(step.ms / 1000)} s pass`;
      case "claude-begin":
      case "claude-finish":
      case "claude-crash":
      case "claude-account":
      case "claude-log-out":
      case "claude-sign-in":
        return this.#performClaude(step);
      case "agent-load":
      case "agent-save":
      case "agent-finish":
      case "agent-crash":
      case "agent-import":
      case "agent-begin":
      case "agent-sign-in":
      case "agent-delete-profile":
      case "hand-copy":
        return this.#performAgent(step);
      case "restore":
      case "remove":
      case "edit":
      case "fault":
      case "foreign-lock":
        return this.#performOnFile(step);
      case "bind": {
        const target = this.#targets[step.store % this.#targets.length];
        if (target === undefined) return "nothing to bind";
        target.binding = step.binding;
        return `the user sets ${target.name} to ${step.binding}`;
      }
      case "ledger-fault":
        this.#ledger.failures = step.times;
        return `the ledger cannot be written, ${String(step.times)} times`;
      case "backup-fault":
        this.#backups.failures = step.times;
        return `backups cannot be written, ${String(step.times)} times`;
      case "compact":
        if (this.#stateLock.holder !== null) return "the ledger is busy";
        this.#ledger.compact(step.kept);
        return "the ledger is compacted";
      case "lose-ledger":
        // Under a running push it would only prove that the push was under way.
        if (this.#stateLock.holder !== null) return "the ledger is busy";
        this.#ledger.lose();
        this.#home.forgetSpent();
        return "the user deletes the ledger: everything is at first sight again";
      case "clock-jump":
        this.#daemonSkewMs += step.ms;
        this.#clockJumpedAt = this.#now;
        return `credsyncd's clock jumps by ${String(step.ms / 1000)} s`;
      case "clock-ahead":
        return this.#setAhead(step);
      case "end-form": {
        const program = this.#programsOf(step)[0];
        if (program === undefined) return "there is no such program";
        program.endForm = step.form;
        return `${program.file.name} writes ends: ${step.form}`;
      }
      case "lifetime":
        this.#lifetimeMs = step.ms;
        return `the server grants ${step.ms === null ? "as long as ever" : `${String(step.ms / 60_000)} min`}`;
      case "email-changes":
        return this.#rename(step.account);
      case "restart":
        this.#daemon.process.kill();
        this.#daemon = this.#start("the daemon", noOrders);
        return "the daemon is restarted";
    }
  }

  #programsOf({ of, who }: { readonly of: Program | "host"; readonly who: number }): (ModelClaude | ModelAgent)[] {
    if (of === "host") return [...this.#claudes, ...this.#agents];
    const programs: readonly (ModelClaude | ModelAgent)[] = of === "claude" ? this.#claudes : this.#agents;
    const program = programs[who % programs.length];
    return program === undefined ? [] : [program];
  }

  #setAhead(step: Extract<Step, { kind: "clock-ahead" }>): string {
    const programs = this.#programsOf(step);
    for (const program of programs) program.aheadMs = step.ms;
    if (step.of === "host") {
      this.#aheadMs = step.ms;
      this.#clockJumpedAt = this.#now;
    }
    const whose = step.of === "host" ? "every clock" : `the clock of ${programs.map(({ file }) => file.name).join()}`;
    return `${whose} ${step.ms === 0 ? "is right" : `runs ${String(step.ms / DAY_MS)} days ahead`}`;
  }

  /** The same account has another e-mail from now on; Claude Code writes it into its account file. */
  #rename(account: string): string {
    if (this.#setting.calm && !this.#isServedEverywhere()) return `${account} thinks of another e-mail`;
    this.#renamed.set(account, (this.#renamed.get(account) ?? 0) + 1);
    const email = this.#emailOf(account);
    for (const { accountFile } of this.#claudes)
      if (accountFile.account?.uuid === `uuid-${account}`) accountFile.account = { uuid: `uuid-${account}`, email };
    return `${account} has the e-mail ${email}`;
  }

  /** A profile that credsyncd never saw following names an account that nobody knows any more. */
  #isServedEverywhere(): boolean {
    const { placements, live } = this.#ledger.state;
    if (live.get(this.#flow) === undefined) return false;
    return this.#targets.every(({ name, named, file }) => {
      const profiles = named ?? [CLAUDE_PROFILE];
      return file.content === null || profiles.every((profile) => placements.has(placementKey(name, profile)));
    });
  }

  #performClaude(step: Extract<Step, { kind: `claude-${string}` }>): string {
    const claude = this.#claudes[step.who % this.#claudes.length];
    if (claude === undefined) return "there is no such Claude Code";
    return `${claude.file.name} ${this.#claudeWords(claude, step)}`;
  }

  #claudeWords(claude: ModelClaude, step: Extract<Step, { kind: `claude-${string}` }>): string {
    switch (step.kind) {
      case "claude-begin":
        return claude.beginRefresh(step);
      case "claude-finish":
        return claude.finishRefresh();
      case "claude-crash":
        return claude.crash();
      case "claude-account":
        return claude.writeAccount();
      case "claude-log-out":
        return claude.logOut();
      case "claude-sign-in":
        return claude.signIn(step.account, this.#now + step.forDays * DAY_MS);
    }
  }

  #performAgent(step: Extract<Step, { kind: `agent-${string}` | "hand-copy" }>): string {
    const agent = this.#agents[step.who % this.#agents.length];
    if (agent === undefined) return "there is no such agent";
    return `agent ${agent.file.name} ${this.#agentWords(agent, step)}`;
  }

  #agentWords(agent: ModelAgent, step: Extract<Step, { kind: `agent-${string}` | "hand-copy" }>): string {
    switch (step.kind) {
      case "agent-load":
        return agent.load();
      case "agent-save":
        return agent.save();
      case "agent-finish":
        return agent.finishRefresh();
      case "agent-crash":
        return agent.crash();
      case "agent-import":
        return agent.importFrom(this.#claudes[0]?.file.content ?? null);
      case "agent-begin":
        return agent.beginRefresh(step.profile, step);
      case "agent-sign-in":
        return agent.signIn(step.profile, step.account, { email: step.email, signInEndsAt: this.#now + 30 * DAY_MS });
      case "agent-delete-profile":
        return agent.deleteProfile(step.profile);
      case "hand-copy":
        return agent.copyByHand(step.profile, this.#claudes[0]?.file.content ?? null);
    }
  }

  #performOnFile(step: Extract<Step, { kind: "restore" | "remove" | "edit" | "fault" | "foreign-lock" }>): string {
    const file = this.#files[step.file % this.#files.length];
    if (file === undefined) return "there is no such file";
    switch (step.kind) {
      case "restore": {
        const content = file.versions[step.version % file.versions.length] ?? null;
        if (content === null) return "there is no such backup";
        file.replace(content, this.#now);
        for (const profile of "profiles" in content ? Object.values(content.profiles) : [])
          if (profile.type === "oauth" && profile.refresh !== undefined) this.#home.noteBroughtBack(profile.refresh);
        return `the user restores an old ${file.name}: ${file.text}`;
      }
      case "remove":
        file.replace(null, this.#now);
        return `the user removes ${file.name}`;
      case "edit":
        if (file.content !== null) file.replace(edited(file.content), this.#now);
        return `someone edits other fields of ${file.name}`;
      case "fault":
        file[step.on] = { code: step.code, left: step.times };
        return `${step.on === "readFault" ? "reading" : "writing"} ${file.name} is going to fail: ${step.code}, ${String(step.times)} times`;
      case "foreign-lock":
        file.tryLock("somebody", this.#now, 60_000);
        return `somebody takes the lock of ${file.name}`;
    }
  }
}

/** Lets everything go on that waits for nothing, such as the other reads of the same look. */
async function passTurns(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await Promise.resolve();
}

function edited(content: FileContent): FileContent {
  if (!("profiles" in content)) return { ...content, mcpOAuth: content.mcpOAuth + 1 };
  const profiles = Object.entries(content.profiles).map(([id, fields]) => [id, { ...fields, note: fields.note + 1 }]);
  return { ...content, profiles: Object.fromEntries(profiles) as Record<string, AgentProfile> };
}

function holdsGeneration(held: Held, generation: string): boolean {
  return held.kind === "credential" && held.generation === generation;
}
