import { Secret } from "../../src/domain/secret.js";
import { fenced } from "../support/openclaw-fence.js";
import { ModelAgent, wordsOf, type ActorWorld, type AgentSetting, type RefreshChoice } from "./actors.js";
import { fenceIn, type ModelFence } from "./model-fence.js";
import type { AgentContent, AgentProfile, ClaudeContent, ModelFile } from "./model-file.js";
import type { RefreshAnswer } from "./model-server.js";

interface Peer {
  readonly file: ModelFile<AgentContent>;
  readonly original: AgentProfile;
}

interface Claim {
  readonly profile: string;
  readonly claim: string;
  readonly begunAt: number;
  readonly fence: AgentProfile;
  readonly original: AgentProfile;
  readonly peers: readonly Peer[];
  /** `not-asked`: the access token is in its last minutes. */
  readonly answer: RefreshAnswer | "no-answer" | "not-asked";
}

/** The agents of one OpenClaw, which fence each other's stores. */
export class FencingHome {
  readonly agents: FencingAgent[] = [];
  readonly #spent = new Set<string>();
  readonly #broughtBack = new Set<string>();
  #claims = 0;

  nextClaim(): string {
    this.#claims += 1;
    return this.#claims.toString(16).padStart(32, "0");
  }

  noteSpent(claim: string): void {
    this.#spent.add(claim);
  }

  /** Forgets credsyncd's knowledge of refreshes: nothing guides what it pushes from then on. */
  forgetSpent(): void {
    this.#spent.clear();
  }

  /** A person put a login into a store, marked or not. */
  noteBroughtBack(refresh: string): void {
    this.#broughtBack.add(refresh);
  }

  /** Checks whether the refresh of a claim spent a refresh token that nobody has brought back by hand. */
  hasSpent(claim: string, refresh: string): boolean {
    return this.#spent.has(claim) && !this.#broughtBack.has(refresh);
  }

  /** Checks whether another store than this one has a login unmarked that a refresh would have marked there. */
  hasUnmarked(refresh: string, profile: string, besides: AgentContent): boolean {
    return this.agents.some(({ file: { content } }) => {
      const held = content === besides ? undefined : content?.profiles[profile];
      return held?.type === "oauth" && held.refresh === refresh;
    });
  }

  /** When the refresh of a claim began that is still under way; null where its program is done or dead. */
  underWaySince(claim: string): number | null {
    return this.agents.find((agent) => agent.claim?.claim === claim)?.claim?.begunAt ?? null;
  }
}

/**
 * A model of one agent of OpenClaw 2026.9.4 and later. While it refreshes, marks replace the tokens in every store that has them,
 * and they stay if the refresh fails, for whatever reason (2026.9.5, `fenceOAuthRefreshPeers`, `settleOAuthRefreshPeerClaims`).
 * In the last five minutes of an access token it asks no server, and still marks its own store once the shared one has the login
 * (2026.9.6, as it runs).
 */
export class FencingAgent extends ModelAgent {
  readonly #home: FencingHome;
  claim: Claim | null = null;

  constructor(
    file: ModelFile<AgentContent>,
    setting: AgentSetting,
    main: ModelFile<AgentContent> | null,
    { world, home }: { readonly world: ActorWorld; readonly home: FencingHome },
  ) {
    super(file, setting, main, world);
    this.#home = home;
    home.agents.push(this);
  }

  /** It reads what it inherits, and copies nothing. */
  override load(): string {
    return "loads its store";
  }

  override importFrom(): string {
    return "imports nothing";
  }

  override beginRefresh(profile: string, { forced, reissue, network = "up" }: RefreshChoice): string {
    const { now } = this.world;
    if (this.claim !== null) return "is refreshing already";
    const original = this.file.content?.profiles[profile];
    if (original?.type !== "oauth" || original.refresh === undefined) return "has nothing to refresh there";
    const fence = fenceIn(profile, original);
    if (fence !== null) return fence.failed ? this.#failPeersOf(profile, original) : "waits for the refresh under way";
    if (original.access?.startsWith("§") !== true) return "has nothing that it understands";
    const due = this.clock() + (this.setting.early ? 300_000 : 0) >= (original.expires ?? Infinity);
    if (!forced && !due && !this.world.refuses(original.access)) return "needs no refresh yet";
    if (!this.file.tryLock(this.name, now(), 30_000)) return "finds its lock busy";
    this.file.unlock(this.name);
    const isOver = this.clock() >= (original.expires ?? Infinity);
    if (!forced && !isOver && !this.world.refuses(original.access)) return this.#passLastMinutes(profile, original);
    const inherited = this.fresherInMain(profile, original);
    if (inherited !== null) {
      put(this.file, profile, { ...original, ...inherited }, now());
      return `takes main's ${inherited.access ?? "?"} instead of refreshing`;
    }
    if (this.#others().some((file) => fencesIn(file, profile).some((other) => other.spends(new Secret(original.refresh ?? "")))))
      return "finds its login claimed by another refresh";
    const claim = this.#home.nextClaim();
    const mark = fenced({ ...original }, { profile, failed: false, claim }) as unknown as AgentProfile;
    const peers = this.#others().flatMap((file): Peer[] => {
      const held = file.content?.profiles[profile];
      return held?.type === "oauth" && held.refresh === original.refresh ? [{ file, original: held }] : [];
    });
    for (const file of [this.file, ...peers.map((peer) => peer.file)]) put(file, profile, mark, now());
    const answer = network === "down" ? "no-answer" : this.#spend(original.refresh, reissue);
    if (typeof answer !== "string" && answer.refresh !== original.refresh) this.#home.noteSpent(claim);
    const heard = network === "answer-lost" ? "no-answer" : answer;
    this.claim = { profile, claim, begunAt: now(), fence: mark, original, peers, answer: heard };
    return `fences ${[this.file, ...peers.map((peer) => peer.file)].map((file) => file.name).join(", ")} and spends ${original.refresh}: ${
      network === "up" ? wordsOf(answer as RefreshAnswer) : network
    }`;
  }

  override finishRefresh(): string {
    const { claim } = this;
    if (claim === null) return "has nothing to settle";
    this.claim = null;
    const { answer, profile, peers } = claim;
    if (answer === "not-asked") {
      for (const { file, original } of peers) if (this.#isOwn(file, claim)) put(file, profile, original, this.world.now());
      this.#failIfOwn(this.file, claim);
      return "leaves a failed fence of its own, and takes main's back";
    }
    if (typeof answer === "string") {
      for (const file of [this.file, ...peers.map((peer) => peer.file)]) this.#failIfOwn(file, claim);
      return `leaves a failed fence: ${answer}`;
    }
    const { now } = this.world;
    if (!this.#isOwn(this.file, claim)) {
      const current = this.file.content?.profiles[profile];
      const takes = current !== undefined && this.#isSafeSettlement(claim.original, current);
      for (const { file } of peers) this.#failIfOwn(file, claim);
      return takes
        ? `finds another login, takes it and drops ${answer.access}`
        : `finds its fence gone and drops ${answer.access}`;
    }
    const renewed: AgentProfile = {
      ...claim.original,
      access: answer.access,
      refresh: answer.refresh,
      expires: this.endOf(answer),
    };
    put(this.file, profile, renewed, now());
    for (const peer of peers) this.#settlePeer(peer, claim, renewed);
    return `saves ${answer.access}`;
  }

  override copyByHand(profile: string, claude: ClaudeContent | null): string {
    const refresh = claude?.claudeAiOauth?.refreshToken;
    if (refresh !== undefined) this.#home.noteBroughtBack(refresh);
    return super.copyByHand(profile, claude);
  }

  override crash(): string {
    this.claim = null;
    return super.crash();
  }

  /** It goes on with what it has, and asks no server: the first time the shared store is given it, the next its own is marked. */
  #passLastMinutes(profile: string, original: AgentProfile): string {
    const { now } = this.world;
    const goesOn = `goes on with ${original.access ?? "?"} in its last minutes`;
    if (this.main === null || this.main.content === null) return goesOn;
    const shared = this.main.content.profiles[profile];
    if (shared === undefined) {
      put(this.main, profile, { ...original }, now());
      return `${goesOn}, and gives it to main`;
    }
    if (shared.type !== "oauth" || shared.refresh !== original.refresh) return goesOn;
    const claim = this.#home.nextClaim();
    const mark = fenced({ ...original }, { profile, failed: false, claim }) as unknown as AgentProfile;
    for (const file of [this.file, this.main]) put(file, profile, mark, now());
    const peers = [{ file: this.main, original: shared }];
    this.claim = { profile, claim, begunAt: now(), fence: mark, original, peers, answer: "not-asked" };
    return `${goesOn}, and fences it, which main has, without asking a server`;
  }

  #spend(refresh: string, reissue: boolean): RefreshAnswer {
    const { server, now, lifetimeMs } = this.world;
    return server.refresh(refresh, now(), { clientNow: this.clock(), lifetimeMs: lifetimeMs(), reissue });
  }

  /** The stores of the other agents of this OpenClaw. */
  #others(): ModelFile<AgentContent>[] {
    return this.#home.agents.filter((agent) => agent !== this).map(({ file }) => file);
  }

  /** A failed fence spreads to whoever holds the login that it names. */
  #failPeersOf(profile: string, mark: AgentProfile): string {
    const fence = fenceIn(profile, mark);
    let spread = 0;
    for (const file of this.#others()) {
      const held = file.content?.profiles[profile];
      if (held?.type !== "oauth" || held.refresh === undefined || fenceIn(profile, held) !== null) continue;
      if (fence?.spends(new Secret(held.refresh)) !== true) continue;
      put(file, profile, mark, this.world.now());
      spread += 1;
    }
    return `cannot use its failed fence, and fences ${String(spread)} others`;
  }

  #isOwn(file: ModelFile<AgentContent>, { profile, fence }: Claim): boolean {
    return JSON.stringify(file.content?.profiles[profile]) === JSON.stringify(fence);
  }

  #failIfOwn(file: ModelFile<AgentContent>, claim: Claim): void {
    if (this.#isOwn(file, claim)) put(file, claim.profile, failed(claim.fence), this.world.now());
  }

  /** A peer inherits main's from then on where it is surely of the same account, else it keeps a failed fence. */
  #settlePeer({ file, original }: Peer, claim: Claim, renewed: AgentProfile): void {
    const { profile } = claim;
    if (!this.#isOwn(file, claim)) return;
    const shared = this.main === null ? renewed : this.main.content?.profiles[profile];
    const usable = shared !== undefined && this.#isUsable(shared);
    const same = original.email !== undefined ? original.email === shared?.email : shared === renewed;
    // Main has nobody to inherit from.
    if (usable && same && this.main !== file) remove(file, profile, this.world.now());
    else put(file, profile, failed(claim.fence), this.world.now());
  }

  #isSafeSettlement(original: AgentProfile, current: AgentProfile): boolean {
    return this.#isUsable(current) && original.email !== undefined && original.email === current.email;
  }

  #isUsable({ type, access, expires = 0 }: AgentProfile): boolean {
    return type === "oauth" && access?.startsWith("§") === true && expires > this.clock() + 300_000;
  }
}

function failed(fence: AgentProfile): AgentProfile {
  const mark = (text: string | undefined): string => (text ?? "").replace(/:(access|refresh):/, ":failed:$1:");
  return { ...fence, access: mark(fence.access), refresh: mark(fence.refresh) };
}

function fencesIn(file: ModelFile<AgentContent>, profile: string): ModelFence[] {
  const held = file.content?.profiles[profile];
  const fence = held?.type === "oauth" ? fenceIn(profile, held) : null;
  return fence === null ? [] : [fence];
}

function put(file: ModelFile<AgentContent>, profile: string, fields: AgentProfile, now: number): void {
  const { content } = file;
  if (content === null) return;
  file.replace({ ...content, profiles: { ...content.profiles, [profile]: fields } }, now);
}

function remove(file: ModelFile<AgentContent>, profile: string, now: number): void {
  const { content } = file;
  if (content === null) return;
  const kept = Object.entries(content.profiles).filter(([id]) => id !== profile);
  file.replace({ ...content, profiles: Object.fromEntries(kept) }, now);
}
