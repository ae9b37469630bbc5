import { relateAccounts, type Account } from "../../src/domain/credential.js";
import type { ChainId, LedgerEvent, LedgerState, Live, LiveEvent, LiveReason, PlacedEvent } from "../../src/domain/ledger.js";
import { noOrders, type Orders } from "../../src/domain/observation.js";
import type { ProfilePatch, StoredProfile, StoreName } from "../../src/domain/store.js";
import { fenceIn } from "./model-fence.js";
import { slotsOf, type FileContent, type ModelFile, type Slot } from "./model-file.js";
import type { DurableBackups, DurableLedger } from "./model-memory.js";
import { TOKEN_MARK, type Chain, type ModelServer, type TokenTruth } from "./model-server.js";
import type { Names } from "./names.js";

/** Why something becomes live by an order only. */
const ORDERED: ReadonlySet<LiveReason> = new Set(["accepted", "account-switch", "adoption", "sign-in"]);

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
  /** Whether an expiry orders truly: no clock is off, no margin is added, and every access token lasts equally long. */
  readonly expiryIsOrder: boolean;
  /** Whether the user accepts an account change beforehand. */
  readonly acceptsAccountChange: boolean;
  /** Whether the refresh of a claim is under way, and not for too long. */
  readonly isRefreshing: (claim: string) => boolean;
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
  /** Whether a switch of the account was accepted by an order. */
  #accountAccepted = false;
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
      // What the user ordered for this very store is the user's own choice; it still must not be lost.
      if (!orders.force.has(store)) this.#checkNotOlder(was, slot, store);
      this.#checkNotLost(was.refresh, `the write to ${store}`);
      this.#checkAccount(seen.find(({ id }) => id === slot.profile)?.account ?? null, slot.profile, store);
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
    for (const event of events) {
      if (event.kind === "seen" || event.kind === "written") this.#noteFollower(event);
      if (event.kind !== "live") continue;
      const ordered = orders !== noOrders && ORDERED.has(event.reason);
      const switched = event.reason === "account-switch" || (event.reason === "sign-in" && this.#world.acceptsAccountChange);
      if (ordered || switched) this.#noteOrder(event.generation);
      if (live !== null) this.#judgeLive(event, live);
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

  #judgeLive(event: LiveEvent, live: Omit<Live, "since">): void {
    const from = this.#chainOf(live.generation);
    const to = this.#chainOf(event.generation);
    if (from === null || to === null || event.chain !== live.chain) return;
    if (from === to) {
      // Where expiries lie, a copy from before the ledger looks like a rotation, and its successor spent.
      if (!this.#world.expiryIsOrder) from.continued ||= this.#isOlder(event.generation, live.generation);
      return;
    }
    if (event.reason !== "rotation" && this.#accepted.has(event.generation)) return;
    // The ledger takes a new sign-in for the next generation.
    const known = relateAccounts(event.account, live.account);
    if (known === "different") this.accuse("I4", `${event.reason}: the login of another account became live`);
    const ownersSame = from.account === to.account;
    const roseOrAppeared = event.signInEndsAt !== null && event.signInEndsAt > (live.signInEndsAt ?? 0);
    if (event.reason === "rotation" && roseOrAppeared) {
      this.accuse("R4", "a new sign-in, told by its later end, was taken for a rotation");
    } else if (event.reason !== "adoption" || ownersSame) {
      from.continued = true;
    }
  }

  #noteFollower({ store, profile, generation }: PlacedEvent): void {
    const chain = this.#world.ledger.state.generations.get(generation)?.chain;
    const key = `${store} ${profile}`;
    const chains = this.#followed.get(key) ?? new Set();
    if (chain !== undefined) this.#followed.set(key, chains.add(chain));
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
    } else if (accessTruth.expiresAt !== null && (expiresAt ?? 0) > accessTruth.expiresAt + 300_000) {
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
    if (orders === noOrders && spent !== null && slot.refresh === spent)
      this.accuse("R16a", `${store} ${slot.profile} was given ${spent} whole, of which a refresh had failed there`);
  }

  /** What becomes live is in the ledger before anything is pushed. */
  #checkRecorded({ profile, access, refresh }: Slot, store: StoreName): void {
    const { ledger, names } = this.#world;
    const issue = ledger.state.issues.get(names.of(access ?? ""));
    const generationKnown = refresh === undefined || ledger.state.generations.has(names.of(refresh));
    if (issue === undefined || !generationKnown) this.accuse("R4", `${store} ${profile} was given what the ledger does not know`);
  }

  #checkNotOlder(was: Slot, slot: Slot, store: StoreName): void {
    const { server, names, ledger, expiryIsOrder } = this.#world;
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
    const ordered = expiryIsOrder && ledger.state.issues.has(names.of(was.access ?? ""));
    if (!ordered || oldIssue?.generation !== after.generation || after.issue >= oldIssue.issue) return;
    this.accuse("I2", `${store} ${slot.profile} went from ${was.access ?? "?"} back to ${slot.access ?? "?"}`);
  }

  #isOlder(generation: string, than: string): boolean {
    const { server, names } = this.#world;
    const [left, right] = [server.truthOf(names.textOf(generation)), server.truthOf(names.textOf(than))];
    return left !== null && right !== null && left.generation < right.generation;
  }

  /** Whether the ledger itself has one generation before another, so that no expiry had to be asked. */
  #ledgerOrders(earlier: TokenTruth, later: TokenTruth): boolean {
    const { generations } = this.#world.ledger.state;
    const [left, right] = [generations.get(this.#generationOf(earlier)), generations.get(this.#generationOf(later))];
    return left !== undefined && left.chain === right?.chain && left.sequence < right.sequence;
  }

  #generationOf({ chain, generation }: TokenTruth): string {
    return this.#world.names.of(`${TOKEN_MARK}R${String(chain.id)}.${String(generation)}`);
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
    if (backups.holds(token)) return;
    this.accuse("I1", `${by} removed the last copy of ${token}, the newest of its chain that was read`);
  }

  /** I4. */
  #checkAccount(named: Account | null, profile: string, store: StoreName): void {
    const { names, ledger, flow, acceptsAccountChange } = this.#world;
    const live = ledger.state.live.get(flow)?.account ?? null;
    if (named === null) return;
    const fingerprinted = { uuid: nameOf(named.uuid, names), email: nameOf(named.email, names) };
    if (relateAccounts(fingerprinted, live) !== "different") return;
    const chains = [...(this.#followed.get(`${store} ${profile}`) ?? [])];
    const followed = chains.some(
      (chain) => relateAccounts(ledger.state.chainAccounts.get(chain) ?? null, fingerprinted) === "same",
    );
    if (followed && (acceptsAccountChange || this.#accountAccepted)) return;
    this.accuse("I4", `${store} ${profile} names ${named.email ?? named.uuid ?? "?"} and was overwritten`);
  }
}

function isPair(access: TokenTruth, refresh: TokenTruth): boolean {
  return refresh.issue === 0 && access.chain === refresh.chain && access.generation === refresh.generation;
}

function nameOf(text: string | null, names: Names): string | null {
  return text === null ? null : names.of(text);
}
