import { relateAccounts, type Account } from "../../src/domain/credential.js";
import type { Fingerprint } from "../../src/domain/generation.js";
import { foldLedger, placementKey } from "../../src/domain/ledger.js";
import type { ChainId, LedgerEvent, LedgerState, Live, LiveEvent, LiveReason, PlacedEvent } from "../../src/domain/ledger.js";
import { noOrders, type Orders } from "../../src/domain/observation.js";
import type { ProfilePatch, StoredProfile, StoreName } from "../../src/domain/store.js";
import { isPlausible } from "./model-end.js";
import { fenceIn } from "./model-fence.js";
import { slotsOf, type AgentContent, type FileContent, type ModelFile, type Slot } from "./model-file.js";
import type { DurableBackups, DurableLedger } from "./model-memory.js";
import { TOKEN_MARK, type Chain, type ModelServer, type TokenTruth } from "./model-server.js";
import type { Names } from "./names.js";

/** Why something becomes live by an order only. */
const ORDERED: ReadonlySet<LiveReason> = new Set(["accepted", "account-switch", "adoption", "sign-in"]);

/** The end of a sign-in is computed at every refresh: what ends so much later is still the same one. */
const SLIP_MS = 60_000;

export interface Violation {
  /** The invariant or rule, such as `I1`. */
  readonly rule: string;
  readonly words: string;
}

export interface JudgeWorld {
  readonly server: ModelServer;
  readonly names: Names;
  readonly files: () => readonly ModelFile[];
  readonly ledger: DurableLedger;
  readonly backups: DurableBackups;
  readonly sourceProfile: string;
  /** Names what follows it in the ledger. */
  readonly flow: string;
  readonly sourceName: StoreName;
  /** True if the source's program names the account in the login itself. */
  readonly loginNamesAccount: boolean;
  /** True if expiries order correctly: no clock is off, no margin is added, and every access token lasts equally long. */
  readonly expiryIsOrder: boolean;
  /** True if the user accepts an account change beforehand. */
  readonly acceptsAccountChange: boolean;
  /** Checks whether the refresh of a claim is under way, and not for too long. */
  readonly isRefreshing: (claim: string) => boolean;
  /** Checks whether the refresh of a claim spent a refresh token that nobody has brought back by hand. */
  readonly hasSpent: (claim: string, refresh: string) => boolean;
  /** Checks whether another store than this one has a login unmarked that a refresh would have marked there. */
  readonly hasUnmarked: (refresh: string, profile: string, besides: AgentContent) => boolean;
  /** The time (epoch ms) by credsyncd's own clock. */
  readonly credsyncdNow: () => number;
  readonly note: (words: string) => void;
}

export interface CredsyncdWrite {
  readonly patches: readonly ProfilePatch[];
  readonly store: StoreName;
  readonly orders: Orders;
  /** The profiles as the writer had read them. */
  readonly seen: readonly StoredProfile[];
}

/** Watches every write, record and prune of credsyncd, knowing the truth that credsyncd has to guess. */
export class Judge {
  readonly violations: Violation[] = [];
  readonly #world: JudgeWorld;
  readonly #read = new WeakSet<FileContent>();
  /** Generations that the user accepted as the live one by an order, whatever they are. */
  readonly #accepted = new Set<string>();
  /** The chains, by the ledger's names, that a profile was seen following. */
  readonly #followed = new Map<string, Set<ChainId>>();
  /** The generations that a profile was seen holding: an account switch gives one another chain. */
  readonly #held = new Map<string, Set<Fingerprint>>();
  /** True if an order accepted a switch of the account. */
  #accountAccepted = false;
  /** The user's order began another chain: only what came since is compared with. */
  #beganAgain = false;
  /** New access tokens of the live generation that became live in this scan. */
  #reissued = new Set<string>();
  /** The known issues when the source itself showed a new access token, which counts whatever its end: they are older than it. */
  readonly #knownAtReissue = new Map<string, LedgerState["issues"]>();
  /** The known issues when an agent's unknown access token was adopted: only later ones are the owner's answer to it. */
  readonly #adopted = new Map<string, LedgerState["issues"]>();
  writes = 0;
  records = 0;

  constructor(world: JudgeWorld) {
    this.#world = world;
  }

  get sourceProfile(): string {
    return this.#world.sourceProfile;
  }

  accuse(rule: string, words: string): void {
    this.violations.push({ rule, words });
    this.#world.note(`  !! ${rule}: ${words}`);
  }

  /** I1 speaks of what credsyncd has read. */
  noteRead({ content }: ModelFile): void {
    if (content === null || this.#read.has(content)) return;
    this.#read.add(content);
    for (const { refresh } of slotsOf(content)) {
      const truth = this.#world.server.truthOf(refresh);
      if (truth !== null && truth.generation > truth.chain.newestRead) truth.chain.newestRead = truth.generation;
    }
  }

  /** Marks the start of a scan. */
  noteLook(): void {
    this.#reissued = new Set();
  }

  noteWrite(before: FileContent | null, after: FileContent, { patches, store, orders, seen }: CredsyncdWrite): void {
    this.writes += 1;
    const old = new Map(slotsOf(before).map((slot) => [slot.profile, slot]));
    const patched = new Set(patches.map(({ profile }) => profile));
    for (const slot of slotsOf(after)) {
      if (!patched.has(slot.profile)) continue;
      const was = old.get(slot.profile) ?? null;
      this.#checkWhole(slot, store);
      this.#checkRecorded(slot, store);
      if (was === null) continue;
      this.#checkFence(before, slot, store, orders);
      // The user's order for this store is the user's own choice; the login still must not be lost.
      if (!orders.force.has(store)) this.#checkNotOlder(was, slot, store);
      this.#checkNotLost(was.refresh, `the write to ${store}`);
      this.#checkKeepsEnd(was, slot, store);
      if (orders === noOrders)
        this.#checkNotSpender(
          was,
          slot,
          store,
          seen.find(({ id }) => id === slot.profile),
        );
      if (orders === noOrders && store === this.#world.sourceName && slot.profile === this.sourceProfile)
        this.#checkOwnWrite(was, slot);
      this.#checkAccount(seen.find(({ id }) => id === slot.profile)?.account ?? null, was, store);
    }
  }

  notePruned(text: string): void {
    const token = /"(§R[0-9.]+)"/.exec(text)?.[1];
    this.#checkNotLost(token, "pruning the backups");
  }

  /** Judges what became live, and that nothing secret was recorded. */
  noteRecorded(events: readonly LedgerEvent[], before: LedgerState, orders: Orders): void {
    this.records += events.length;
    this.checkSilent("the ledger", JSON.stringify(events));
    let live = before.live.get(this.#world.flow) ?? null;
    const isSignIn = events.some((event) => event.kind === "live" && event.reason === "sign-in");
    if (orders === noOrders && isSignIn && events.some((event) => event.kind === "live" && event.reason === "adoption"))
      this.accuse("R4", "an agent's login took the place of a new sign-in");
    for (const event of events) {
      if (event.kind === "seen" || event.kind === "written") this.#noteFollower(event);
      if (event.kind !== "live") continue;
      if (event.reason === "reissue") {
        this.#reissued.add(event.issue);
        this.#knownAtReissue.set(event.issue, before.issues);
      }
      if (event.reason === "adoption") this.#checkAdoptable(event, before);
      if (event.reason === "adoption" && !before.issues.has(event.issue))
        this.#adopted.set(event.issue, foldLedger(before, events).issues);
      const ordered = orders !== noOrders && ORDERED.has(event.reason);
      const switched = event.reason === "account-switch" || (event.reason === "sign-in" && this.#world.acceptsAccountChange);
      if (ordered || switched) this.#noteOrder(event.generation);
      if (ordered && live !== null && event.chain !== live.chain) this.#beganAgain = true;
      if (live !== null) this.#judgeLive(event, live, before);
      live = { ...event, profile: event.sourceProfile, since: event.at };
    }
  }

  #noteOrder(generation: string): void {
    this.#accepted.add(generation);
    this.#accountAccepted = true;
  }

  checkSilent(where: string, text: string): void {
    const at = text.indexOf(TOKEN_MARK);
    if (at >= 0) this.accuse("I6", `${where} holds a part of a token: …${text.slice(Math.max(0, at - 20), at + 12)}…`);
  }

  #judgeLive(event: LiveEvent, live: Omit<Live, "since">, before: LedgerState): void {
    const from = this.#chainOf(live.generation);
    const to = this.#chainOf(event.generation);
    if (from === null || to === null) return;
    const rise = event.signInEndsAt === null || live.signInEndsAt === null ? null : event.signInEndsAt - live.signInEndsAt;
    const named = relateAccounts(event.account, live.account);
    if (event.reason === "sign-in" && from === to && named !== "different" && rise !== null && rise <= SLIP_MS)
      this.accuse("R4", `a copy of the same sign-in was taken for a new one (${String(rise)} ms later)`);
    if (event.chain !== live.chain) return;
    // R4: where nothing was compared, what is replaced does not count as spent.
    const isCompared = event.reason !== "rotation" || hasPlausibleEnd(before, live, event.at);
    if (from === to) {
      // If expiries lie, a copy from before the ledger looks like a rotation, and its successor spent.
      if (!this.#expiryIsOrder && isCompared) from.continued ||= this.#isOlder(event.generation, live.generation);
      return;
    }
    if (event.reason !== "rotation" && this.#accepted.has(event.generation)) return;
    // The ledger takes a new sign-in for the next generation.
    if (named === "different") this.accuse("I4", `${event.reason}: the login of another account became live`);
    const ownersSame = from.account === to.account;
    const roseOrAppeared = event.signInEndsAt !== null && (rise === null || rise > SLIP_MS);
    if (event.reason === "rotation" && roseOrAppeared) {
      this.accuse("R4", "a new sign-in, told by its later end, was taken for a rotation");
    } else if (event.reason === "adoption" ? ownersSame : isCompared && this.#isProven(event, live)) {
      from.continued = true;
    }
  }

  /** R7a: where the account was not proven, what was replaced is not spent. */
  #isProven(event: LiveEvent, live: Omit<Live, "since">): boolean {
    if (event.signInEndsAt !== null && event.signInEndsAt === live.signInEndsAt) return true;
    // A refresh lowers the end of its sign-in by moments, if at all.
    const apart = Math.abs((event.signInEndsAt ?? 0) - (live.signInEndsAt ?? 0));
    if (event.signInEndsAt !== null && live.signInEndsAt !== null && apart > SLIP_MS) return false;
    return this.#world.loginNamesAccount && relateAccounts(event.account, live.account) === "same";
  }

  /** R5: what says no true end is not adopted, whoever orders it. */
  #checkAdoptable({ issue, expiresAt, at }: LiveEvent, before: LedgerState): void {
    if (before.issues.has(issue) || isPlausible(expiresAt, at)) return;
    this.accuse("R5", `an unknown login that ends at ${String(expiresAt)} was adopted`);
  }

  /** R4, R5: what the source's own program wrote stays, unless it is known, or a rotation that an agent's beats. */
  #checkOwnWrite(was: Slot, slot: Slot): void {
    const { server, ledger, names } = this.#world;
    const [before, after] = [server.truthOf(was.access), server.truthOf(slot.access)];
    if (before === null || after === null || was.refresh === undefined || was.access === undefined) return;
    const issue = names.of(was.access);
    const isOwn = after.chain === before.chain && after.generation === before.generation && before.issue > after.issue;
    if (this.#isAccepted(after)) return;
    const written = names.of(slot.access ?? "");
    if (isOwn && !this.#adopted.has(written) && this.#knownAtReissue.get(written)?.has(issue) !== true)
      this.accuse("R4", `the source's own ${was.access} was overwritten by ${slot.access ?? "?"}`);
    else if (this.#reissued.has(issue)) this.accuse("R5", `${was.access}, which is new at this look, was overwritten`);
    else if (!ledger.state.issues.has(issue)) this.accuse("R5", `${was.access}, which is held as unknown, was overwritten`);
  }

  /** R1: no healthy profile loses its end, and none is made up. */
  #checkKeepsEnd(was: Slot, slot: Slot, store: StoreName): void {
    const had = was.expiresAt !== undefined && was.expiresAt > 0;
    const has = slot.expiresAt !== undefined && slot.expiresAt > 0;
    if (had && !has) this.accuse("R1", `${store} ${slot.profile} lost its end`);
  }

  /** R6a: what is proven to be the next generation of live, with no true end, may have spent live. */
  #checkNotSpender(was: Slot, slot: Slot, store: StoreName, seen: StoredProfile | undefined): void {
    const { server, ledger, names, flow } = this.#world;
    const [before, after] = [server.truthOf(was.refresh), server.truthOf(slot.access)];
    if (before === null || after === null || was.refresh === undefined || this.#isAccepted(after)) return;
    if (before.chain !== after.chain || before.generation <= after.generation) return;
    const { state } = ledger;
    if (state.generations.has(names.of(was.refresh)) || isPlausible(was.expiresAt, this.#world.credsyncdNow())) return;
    const placement = state.placements.get(placementKey(store, slot.profile));
    const live = state.live.get(flow) ?? null;
    if (placement?.generation !== live?.generation || placement?.terms.share !== "full") return;
    if (live?.generation !== this.#generationOf(after)) return;
    const account = seen?.account ?? null;
    if (account === null || relateAccounts(this.#fingerprinted(account), live.account) !== "same") return;
    this.accuse("R6a", `${store} ${slot.profile} went from ${was.refresh}, which spent live, back to ${slot.access ?? "?"}`);
  }

  #fingerprinted({ uuid, email }: Account): Account {
    return { uuid: nameOf(uuid, this.#world.names), email: nameOf(email, this.#world.names) };
  }

  #noteFollower({ store, profile, generation }: PlacedEvent): void {
    const chain = this.#world.ledger.state.generations.get(generation)?.chain;
    const key = `${store} ${profile}`;
    const chains = this.#followed.get(key) ?? new Set();
    if (chain !== undefined) this.#followed.set(key, chains.add(chain));
    this.#held.set(key, (this.#held.get(key) ?? new Set()).add(generation));
  }

  #chainOf(generation: string): Chain | null {
    return this.#world.server.truthOf(this.#world.names.textOf(generation))?.chain ?? null;
  }

  /** I3, at the level of a credential: never half of one and half of another, never a blank one. */
  #checkWhole({ profile, access, refresh, expiresAt }: Slot, store: StoreName): void {
    const accessTruth = this.#world.server.truthOf(access);
    const refreshTruth = this.#world.server.truthOf(refresh);
    if (accessTruth === null || accessTruth.issue === 0) {
      this.accuse("I3", `${store} ${profile} was given ${access === "" ? "a stub" : "something that is no access token"}`);
    } else if (refresh !== undefined && (refreshTruth === null || !isPair(accessTruth, refreshTruth))) {
      this.accuse("I3", `${store} ${profile} was given halves of two credentials`);
    } else if (
      accessTruth.expiresAt !== null &&
      (expiresAt ?? 0) > Math.max(accessTruth.expiresAt, accessTruth.wrong ?? 0) + 300_000
    ) {
      this.accuse("I3", `${store} ${profile} was given an expiry later than the token's`);
    }
  }

  /** R16a: a refresh under way is left alone, and what a failed one was to spend is not handed out whole again. */
  #checkFence(content: FileContent | null, slot: Slot, store: StoreName, orders: Orders): void {
    const fields = content !== null && "profiles" in content ? content.profiles[slot.profile] : undefined;
    const fence = fields?.type === "oauth" ? fenceIn(slot.profile, fields) : null;
    if (fence === null) return;
    if (!fence.failed && this.#world.isRefreshing(fence.claim))
      this.accuse("R16a", `${store} ${slot.profile} was written while its program was refreshing it`);
    const spent = this.#world.server.spentBy(fence);
    const [before, after] = [this.#world.server.truthOf(spent), this.#world.server.truthOf(slot.access)];
    const ordered = orders.force.has(store) || after === null || this.#isAccepted(after);
    if (!ordered && before !== null && this.#ledgerOrders(after, before))
      this.accuse("I2", `${store} ${slot.profile} went from the fence of ${spent ?? "?"} back to ${slot.access ?? "?"}`);
    if (orders !== noOrders || spent === null || slot.refresh !== spent || content === null || !("profiles" in content)) return;
    if (this.#world.hasSpent(fence.claim, spent))
      this.accuse("R16a", `${store} ${slot.profile} was given ${spent} whole, which a refresh had spent`);
    else if (!this.#world.hasUnmarked(spent, slot.profile, content))
      this.accuse("R16a", `${store} ${slot.profile} was given ${spent} whole, of which a refresh had failed there`);
  }

  /** Checks that a live login is in the ledger before credsyncd pushes it. */
  #checkRecorded({ profile, access, refresh }: Slot, store: StoreName): void {
    const { ledger, names } = this.#world;
    const issue = ledger.state.issues.get(names.of(access ?? ""));
    const generationKnown = refresh === undefined || ledger.state.generations.has(names.of(refresh));
    if (issue === undefined || !generationKnown) this.accuse("R4", `${store} ${profile} was given what the ledger does not know`);
  }

  #checkNotOlder(was: Slot, slot: Slot, store: StoreName): void {
    const { server, names, ledger } = this.#world;
    const expiryIsOrder = this.#expiryIsOrder;
    const before = server.truthOf(was.refresh ?? was.access);
    const after = server.truthOf(slot.access);
    if (before === null || after?.chain !== before.chain) return;
    if (!expiryIsOrder && !this.#ledgerOrders(after, before)) return;
    if (this.#isAccepted(after)) return;
    if (after.generation < before.generation) {
      this.accuse("I2", `${store} ${slot.profile} went from ${was.refresh ?? was.access ?? "?"} back to ${slot.access ?? "?"}`);
      return;
    }
    const oldIssue = server.truthOf(was.access);
    if (this.#knownAtReissue.get(names.of(slot.access ?? ""))?.has(names.of(was.access ?? "")) === true) return;
    const ordered = expiryIsOrder && ledger.state.issues.has(names.of(was.access ?? ""));
    if (!ordered || oldIssue?.generation !== after.generation || after.issue >= oldIssue.issue) return;
    this.accuse("I2", `${store} ${slot.profile} went from ${was.access ?? "?"} back to ${slot.access ?? "?"}`);
  }

  #isOlder(generation: string, than: string): boolean {
    const { server, names } = this.#world;
    const [left, right] = [server.truthOf(names.textOf(generation)), server.truthOf(names.textOf(than))];
    return left !== null && right !== null && left.generation < right.generation;
  }

  /** Checks whether the ledger itself has one generation before another, so that no expiry had to decide. */
  #ledgerOrders(earlier: TokenTruth, later: TokenTruth): boolean {
    const { generations } = this.#world.ledger.state;
    const [left, right] = [generations.get(this.#generationOf(earlier)), generations.get(this.#generationOf(later))];
    return left !== undefined && left.chain === right?.chain && left.sequence < right.sequence;
  }

  #generationOf({ chain, generation }: TokenTruth): Fingerprint {
    return this.#world.names.of(`${TOKEN_MARK}R${String(chain.id)}.${String(generation)}`);
  }

  get #expiryIsOrder(): boolean {
    return this.#world.expiryIsOrder && !this.#beganAgain;
  }

  #isAccepted(truth: TokenTruth): boolean {
    return this.#accepted.has(this.#generationOf(truth));
  }

  /** I1. */
  #checkNotLost(token: string | undefined, by: string): void {
    const { server, files, backups } = this.#world;
    const truth = server.truthOf(token);
    if (truth === null || token === undefined) return;
    const { chain, generation } = truth;
    if (generation !== chain.newestRead || chain.continued || generation <= chain.rejected) return;
    const here = files().flatMap(({ content }) => slotsOf(content).map(({ refresh }) => server.truthOf(refresh)));
    // A later one that its program wrote just now proves it spent.
    if (here.some((other) => other?.chain === chain && other.generation >= generation)) return;
    if (backups.stored.some(({ text }) => text.includes(`"${token}"`))) return;
    this.accuse("I1", `${by} removed the last copy of ${token}, the newest of its chain that was read`);
  }

  /** I4. */
  #checkAccount(named: Account | null, was: Slot, store: StoreName): void {
    const { names, ledger, flow, acceptsAccountChange } = this.#world;
    const live = ledger.state.live.get(flow) ?? null;
    if (named === null || live === null) return;
    const fingerprinted = this.#fingerprinted(named);
    if (relateAccounts(fingerprinted, live.account) !== "different") return;
    // R7: an e-mail says nothing where the login itself is this account's, nor where the account has another one now.
    const isOtherId = fingerprinted.uuid !== null && live.account?.uuid != null;
    const held = ledger.state.issues.get(names.of(was.access ?? "")) ?? names.of(was.refresh ?? "");
    if (!isOtherId && ledger.state.generations.get(held)?.chain === live.chain) return;
    if (ownerOf(named) === ownerOf({ uuid: textOf(live.account?.uuid, names), email: textOf(live.account?.email, names) }))
      return;
    const key = `${store} ${was.profile}`;
    const itsOwn = [...(this.#held.get(key) ?? [])].map((generation) => ledger.state.generations.get(generation)?.chain);
    const chains = [...(this.#followed.get(key) ?? []), ...itsOwn].filter((chain) => chain !== undefined);
    const followed = chains.some(
      (chain) => relateAccounts(ledger.state.chainAccounts.get(chain) ?? null, fingerprinted) === "same",
    );
    if (followed && (acceptsAccountChange || this.#accountAccepted)) return;
    this.accuse("I4", `${store} ${was.profile} names ${named.email ?? named.uuid ?? "?"} and was overwritten`);
  }
}

function hasPlausibleEnd({ chainEnds }: LedgerState, { chain }: Pick<Live, "chain">, now: number): boolean {
  const stated = chainEnds.get(chain)?.sinceReissue ?? [];
  return stated.some(({ expiresAt, recordedAt }) => recordedAt <= now && isPlausible(expiresAt, recordedAt));
}

function isPair(access: TokenTruth, refresh: TokenTruth): boolean {
  return refresh.issue === 0 && access.chain === refresh.chain && access.generation === refresh.generation;
}

/** Whoever it truly is: an account keeps its id, and may have another e-mail later. */
function ownerOf({ uuid, email }: Account): string | null {
  return uuid?.replace("uuid-", "") ?? email?.replace(/\d*@x$/, "") ?? null;
}

function textOf(name: string | null | undefined, names: Names): string | null {
  return name == null ? null : names.textOf(name);
}

function nameOf(text: string | null, names: Names): string | null {
  return text === null ? null : names.of(text);
}
