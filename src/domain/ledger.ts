import type { AlertKind } from "./alerts.js";
import type { Account } from "./credential.js";
import type { End, Ends, StatedEnd } from "./end.js";
import { NO_FINGERPRINT, type Fingerprint } from "./generation.js";
import type { ProfileId, Share, StoreName } from "./store.js";

export type ChainId = string;

/**
 * Names a flow, which is one followed profile of the source and everything that follows it: by the profile alone for
 * Claude Code's one login, else by the source's name and the profile.
 */
export type FlowId = string;

/** @param source null for a source that has just this one profile */
export function flowId(source: StoreName | null, profile: ProfileId): FlowId {
  return source === null ? profile : `${source} ${profile}`;
}

/** Why a credential became live. */
export type LiveReason = "first-sight" | "rotation" | "reissue" | "sign-in" | "account-switch" | "adoption" | "accepted";

/** An issue became live. Written before anything is pushed. */
export interface LiveEvent {
  readonly kind: "live";
  readonly at: number;
  readonly sourceProfile: ProfileId;
  /** Absent where the profile alone names the flow. */
  readonly flow?: FlowId | undefined;
  readonly chain: ChainId;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  readonly expiresAt: number | null;
  readonly signInEndsAt: number | null;
  /** Fingerprinted. */
  readonly account: Account | null;
  readonly reason: LiveReason;
  /** The store that brought it: the source, or the agent's store that was adopted from. */
  readonly from: StoreName;
  /** Nothing proves that it comes from the generation before it, which therefore does not count as spent. */
  readonly unproven?: true | undefined;
}

/** The account of what is live became known, or changed its e-mail. */
export interface AccountEvent {
  readonly kind: "account";
  readonly at: number;
  readonly sourceProfile: ProfileId;
  /** Absent where the profile alone names the flow. */
  readonly flow?: FlowId | undefined;
  /** Fingerprinted. */
  readonly account: Account;
}

/** A generation was read that is a member of the chain but not its live one (the loser of two rotations). */
export interface MemberEvent {
  readonly kind: "member";
  readonly at: number;
  readonly sourceProfile: ProfileId;
  readonly chain: ChainId;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  readonly expiresAt: number | null;
}

/** How much of a login the configuration gave a profile, and how much later than the truth it was said to end. */
export interface Terms {
  readonly share: Share;
  readonly expiryMarginMs: number;
}

/** All of the login, with its true end. */
const plainTerms: Terms = { share: "full", expiryMarginMs: 0 };

/** A profile of a store was seen holding, or was given, a known issue. */
export interface PlacedEvent {
  readonly kind: "seen" | "written";
  readonly at: number;
  readonly store: StoreName;
  readonly profile: ProfileId;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  /** Fingerprint of the profile's other fields, for the proof that nothing else was edited. */
  readonly surroundings: Fingerprint;
  /** Absent: all of the login, with its true end. */
  readonly terms?: Terms;
  readonly durationMs?: number;
  /** credsyncd made this profile because its program does not use another one. */
  readonly made?: true;
  /** In a compacted ledger only: what earlier events had made of this placement. */
  readonly carried?: Pick<Placement, "reverts" | "revertedAt" | "stub" | "fence" | "writtenAt">;
}

/** A store's profile was seen logged out; `replaced` is the generation it was last known to hold. */
export interface StubEvent {
  readonly kind: "stub";
  readonly at: number;
  readonly store: StoreName;
  readonly profile: ProfileId;
  readonly replaced: Fingerprint | null;
  readonly timeLimit: boolean;
}

/**
 * A store's profile was seen fenced: its program is refreshing it, or failed to. Recorded before the mark is overwritten,
 * since it ties what comes after it to the generation that was spent.
 */
export interface FenceEvent extends Fence {
  readonly kind: "fence";
  readonly at: number;
  readonly store: StoreName;
  readonly profile: ProfileId;
}

/** A failed refresh was to spend the live generation: it may be spent, and the answer lost. */
export interface SuspectEvent {
  readonly kind: "suspect";
  readonly at: number;
  readonly generation: Fingerprint;
  /** The store that had the fence. */
  readonly store: StoreName;
  readonly profile: ProfileId;
}

/** A consumer put something else back over the live issue. */
export interface RevertEvent {
  readonly kind: "revert";
  readonly at: number;
  readonly store: StoreName;
  readonly profile: ProfileId;
}

/** A hold began (`reason`) or ended (`null`); for the history only, it decides nothing. */
export interface HoldEvent {
  readonly kind: "hold";
  readonly at: number;
  readonly store: StoreName;
  readonly profile: ProfileId;
  readonly reason: string | null;
}

/** An alert began or ended; only the history shows it, and no decision depends on it. */
export interface AlertNoted {
  readonly kind: "alert";
  readonly at: number;
  readonly event: "raised" | "resolved" | "superseded";
  readonly alert: AlertKind;
  readonly store: StoreName;
  readonly profile: ProfileId | null;
  /** When what it is about began (epoch ms). */
  readonly since: number;
}

/** The fingerprints that follow were made with this key; another key makes all that came before meaningless. */
export interface KeyEvent {
  readonly kind: "key";
  readonly at: number;
  readonly keyId: string;
}

export type LedgerEvent =
  | LiveEvent
  | AccountEvent
  | MemberEvent
  | PlacedEvent
  | StubEvent
  | FenceEvent
  | SuspectEvent
  | RevertEvent
  | HoldEvent
  | AlertNoted
  | KeyEvent;

export interface Generation {
  readonly fingerprint: Fingerprint;
  readonly chain: ChainId;
  /** Its place in the chain, from 1; a later one comes after an earlier one. */
  readonly sequence: number;
  /** The expiry of its newest issue. */
  readonly end: StatedEnd;
  /** True if an agent's rotation brought it, not the source. */
  readonly adopted: boolean;
  /** True if nothing proves that it comes from the generation before it. */
  readonly unproven: boolean;
}

export interface Live {
  readonly profile: ProfileId;
  readonly chain: ChainId;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  readonly expiresAt: number | null;
  readonly signInEndsAt: number | null;
  readonly account: Account | null;
  readonly since: number;
}

/** A refresh that a program marked in a profile. */
export interface Fence {
  /** The same in every store that the refresh concerns. */
  readonly claim: string;
  readonly failed: boolean;
  /** The generation that it was to spend; null where it was never read. */
  readonly spends: Fingerprint | null;
  /** From when on it is waited for: its first sight, or a jump of the clock after that (epoch ms). */
  readonly since: number;
}

/** The ledger's memory of one profile of one store. */
export interface Placement {
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  readonly surroundings: Fingerprint;
  readonly terms: Terms;
  readonly at: number;
  /** How often the live issue was put out of place since it became live. */
  readonly reverts: number;
  readonly revertedAt: number | null;
  /** Set while the profile is logged out: the generation that the stub replaced. */
  readonly stub: { readonly replaced: Fingerprint | null; readonly timeLimit: boolean } | null;
  /** Set from when the profile was fenced until it was seen holding something known again. */
  readonly fence: Fence | null;
  /** credsyncd made this profile because its program does not use another one. */
  readonly made?: true;
  /** When credsyncd itself last wrote this generation there; absent where others did. */
  readonly writtenAt?: number | undefined;
}

/** The newest expiries of a chain, and those of them that the source's own next rotation is compared with. */
export interface ChainEnds {
  readonly all: readonly StatedEnd[];
  readonly sinceReissue: readonly StatedEnd[];
}

/** Everything the ledger knows, folded from its events. */
export interface LedgerState {
  readonly keyId: string | null;
  readonly generations: ReadonlyMap<Fingerprint, Generation>;
  /** The generation of every issue. */
  readonly issues: ReadonlyMap<Fingerprint, Fingerprint>;
  readonly chainLengths: ReadonlyMap<ChainId, number>;
  /** The account of every chain, as last known (fingerprinted). */
  readonly chainAccounts: ReadonlyMap<ChainId, Account | null>;
  /** Why the first generation of every chain became live. */
  readonly chainOrigins: ReadonlyMap<ChainId, LiveReason>;
  /** The newest expiries of every chain. */
  readonly chainEnds: ReadonlyMap<ChainId, ChainEnds>;
  /** The flows that every chain was live in. */
  readonly chainFlows: ReadonlyMap<ChainId, ReadonlySet<FlowId>>;
  /** By flow, as it brought it itself; see `liveOf`. */
  readonly live: ReadonlyMap<FlowId, Live>;
  /** Generations that may have been spent with the answer lost, and since when. */
  readonly suspects: ReadonlyMap<Fingerprint, number>;
  readonly placements: ReadonlyMap<string, Placement>;
  readonly holds: ReadonlyMap<string, string>;
}

type Mutable<State> = {
  -readonly [Key in keyof State]: State[Key] extends ReadonlyMap<infer K, infer V> ? Map<K, V> : State[Key];
};

export const emptyLedger: LedgerState = {
  keyId: null,
  generations: new Map(),
  issues: new Map(),
  chainLengths: new Map(),
  chainAccounts: new Map(),
  chainOrigins: new Map(),
  chainEnds: new Map(),
  chainFlows: new Map(),
  live: new Map(),
  suspects: new Map(),
  placements: new Map(),
  holds: new Map(),
};

/** Terms as an event states them: the usual ones need no words. */
export function statedTerms({ share, expiryMarginMs }: Terms): { terms?: Terms } {
  return sameTerms({ share, expiryMarginMs }, plainTerms) ? {} : { terms: { share, expiryMarginMs } };
}

export function sameTerms(left: Terms, right: Terms): boolean {
  return left.share === right.share && left.expiryMarginMs === right.expiryMarginMs;
}

/** The key of a profile of a store in the ledger's maps. */
export function placementKey(store: StoreName, profile: ProfileId): string {
  return JSON.stringify([store, profile]);
}

/** Folds events into a state; the given state stays as it was. */
export function foldLedger(state: LedgerState, events: Iterable<LedgerEvent>): LedgerState {
  const next: Mutable<LedgerState> = {
    keyId: state.keyId,
    generations: new Map(state.generations),
    issues: new Map(state.issues),
    chainLengths: new Map(state.chainLengths),
    chainAccounts: new Map(state.chainAccounts),
    chainOrigins: new Map(state.chainOrigins),
    chainEnds: new Map(state.chainEnds),
    chainFlows: new Map(state.chainFlows),
    live: new Map(state.live),
    suspects: new Map(state.suspects),
    placements: new Map(state.placements),
    holds: new Map(state.holds),
  };
  for (const event of events) foldEvent(next, event);
  if (next.placements.size > state.placements.size) forgetBeyond(MOST_PLACEMENTS, next.placements, byAge(next.placements));
  if (next.holds.size > state.holds.size) forgetBeyond(MOST_HOLDS, next.holds, [...next.holds.keys()]);
  return next;
}

/**
 * The ledger remembers this many profiles of one store: the last that changed, even after they are gone. A program may invent new
 * ids repeatedly. This number and the next exceed what a served store can have.
 */
const MOST_PLACEMENTS = 1000;
const MOST_HOLDS = 500;

function byAge(placements: ReadonlyMap<string, Placement>): string[] {
  if (placements.size <= MOST_PLACEMENTS) return [];
  return [...placements].sort(([, left], [, right]) => left.at - right.at).map(([key]) => key);
}

/** @param keys of the map, the first to be forgotten first */
function forgetBeyond(most: number, map: Map<string, unknown>, keys: readonly string[]): void {
  if (map.size <= most) return;
  const counts = new Map<StoreName, number>();
  for (const key of keys) counts.set(splitKey(key).store, (counts.get(splitKey(key).store) ?? 0) + 1);
  if (Math.max(...counts.values()) <= most) return;
  for (const key of keys) {
    const { store } = splitKey(key);
    const count = counts.get(store) ?? 0;
    if (count <= most) continue;
    map.delete(key);
    counts.set(store, count - 1);
  }
}

function foldEvent(state: Mutable<LedgerState>, event: LedgerEvent): void {
  switch (event.kind) {
    case "key":
      if (event.keyId !== state.keyId) {
        for (const map of [state.generations, state.issues, state.chainLengths, state.chainOrigins, state.chainEnds]) map.clear();
        for (const map of [state.chainAccounts, state.chainFlows, state.live, state.suspects, state.placements, state.holds])
          map.clear();
        state.keyId = event.keyId;
      }
      return;
    case "member":
      foldGeneration(state, event, { adopted: false, unproven: false });
      return;
    case "account": {
      const flow = event.flow ?? event.sourceProfile;
      const live = state.live.get(flow);
      if (live === undefined) return;
      state.live.set(flow, { ...live, account: event.account });
      state.chainAccounts.set(live.chain, event.account);
      return;
    }
    case "live": {
      const flow = event.flow ?? event.sourceProfile;
      const flows = state.chainFlows.get(event.chain);
      if (flows?.has(flow) !== true) state.chainFlows.set(event.chain, new Set([...(flows ?? []), flow]));
      if (!state.chainOrigins.has(event.chain)) state.chainOrigins.set(event.chain, event.reason);
      foldEnds(state, event);
      foldGeneration(state, event, { adopted: event.reason === "adoption", unproven: event.unproven === true });
      // A new access token under it proves that the refresh token is alive.
      if (event.reason === "reissue") state.suspects.delete(event.generation);
      state.chainAccounts.set(event.chain, event.account ?? state.chainAccounts.get(event.chain) ?? null);
      state.live.set(flow, {
        profile: event.sourceProfile,
        chain: event.chain,
        generation: event.generation,
        issue: event.issue,
        expiresAt: event.expiresAt,
        signInEndsAt: event.signInEndsAt,
        account: event.account,
        since: event.at,
      });
      return;
    }
    case "seen":
    case "written":
      foldPlacement(state, event);
      return;
    case "stub": {
      const key = placementKey(event.store, event.profile);
      const before = state.placements.get(key) ?? unplaced(event.at);
      state.placements.set(key, { ...before, stub: { replaced: event.replaced, timeLimit: event.timeLimit }, fence: null });
      return;
    }
    case "fence": {
      const key = placementKey(event.store, event.profile);
      const before = state.placements.get(key) ?? unplaced(event.at);
      const { claim, failed, spends, since } = event;
      state.placements.set(key, { ...before, fence: { claim, failed, spends, since } });
      return;
    }
    case "suspect":
      state.suspects.set(event.generation, event.at);
      return;
    case "revert": {
      const key = placementKey(event.store, event.profile);
      const before = state.placements.get(key);
      if (before) state.placements.set(key, { ...before, reverts: before.reverts + 1, revertedAt: event.at });
      return;
    }
    case "hold": {
      const key = placementKey(event.store, event.profile);
      if (event.reason === null) state.holds.delete(key);
      else state.holds.set(key, event.reason);
      return;
    }
    case "alert":
      return;
  }
}

/** A stub or a fence seen where nothing was known before: it replaced nothing that the ledger could name. */
function unplaced(at: number): Placement {
  return {
    generation: NO_FINGERPRINT,
    issue: NO_FINGERPRINT,
    surroundings: NO_FINGERPRINT,
    terms: plainTerms,
    at,
    reverts: 0,
    revertedAt: null,
    stub: null,
    fence: null,
  };
}

function foldGeneration(
  state: Mutable<LedgerState>,
  event: LiveEvent | MemberEvent,
  origin: Pick<Generation, "adopted" | "unproven">,
): void {
  const end = { expiresAt: event.expiresAt, recordedAt: event.at };
  const known = state.generations.get(event.generation);
  if (known?.chain === event.chain) {
    state.generations.set(event.generation, { ...known, end });
  } else {
    if (known !== undefined) takeOut(state, known);
    const sequence = (state.chainLengths.get(event.chain) ?? 0) + 1;
    state.chainLengths.set(event.chain, sequence);
    state.generations.set(event.generation, { fingerprint: event.generation, chain: event.chain, sequence, end, ...origin });
  }
  state.issues.set(event.issue, event.generation);
}

/** The account of a generation turned out to be another one, so that it never was a member of its chain. */
function takeOut({ chainLengths }: Mutable<LedgerState>, { chain, sequence }: Generation): void {
  if (chainLengths.get(chain) === sequence) chainLengths.set(chain, sequence - 1);
}

/** So many expiries of a chain are kept: an earlier one is days old. */
const KEPT_ENDS = 64;

/**
 * Restarts the comparison of expiries after the owner's own reissue, which may shorten a token's life, and after a login that the
 * user accepted. Otherwise earlier expiries would hold up every later rotation.
 */
function foldEnds(state: Mutable<LedgerState>, event: LiveEvent): void {
  const end = { expiresAt: event.expiresAt, recordedAt: event.at };
  const { all, sinceReissue } = state.chainEnds.get(event.chain) ?? { all: [], sinceReissue: [] };
  const beginsAgain = event.reason === "accepted" || event.reason === "reissue";
  state.chainEnds.set(event.chain, {
    all: [...all, end].slice(-KEPT_ENDS),
    sinceReissue: [...(beginsAgain ? [] : sinceReissue), end].slice(-KEPT_ENDS),
  });
}

function foldPlacement(state: Mutable<LedgerState>, event: PlacedEvent): void {
  const key = placementKey(event.store, event.profile);
  const before = state.placements.get(key);
  const terms = event.terms ?? plainTerms;
  const sameIssue = before?.generation === event.generation && before.issue === event.issue;
  const same = sameIssue && sameTerms(before.terms, terms);
  const writtenBefore = before?.generation === event.generation ? before.writtenAt : undefined;
  const writtenAt = event.kind === "written" ? event.at : writtenBefore;
  state.placements.set(key, {
    generation: event.generation,
    issue: event.issue,
    surroundings: event.surroundings,
    terms,
    at: event.at,
    reverts: same ? before.reverts : 0,
    revertedAt: same ? before.revertedAt : null,
    stub: null,
    fence: null,
    ...(event.made === true || before?.made === true ? { made: true } : {}),
    ...(writtenAt === undefined ? {} : { writtenAt }),
    ...event.carried,
  });
}

/** How many of the newest events a compaction keeps as they are, for `history`. */
const KEPT_FOR_HISTORY = 2000;

/**
 * Replaces old events by the fewest that leave the same state; the newest stay as they are.
 *
 * Folding the result gives the same state as folding the events. Generations are never dropped: an old copy must be
 * recognised however old it is.
 */
export function compactLedger(events: readonly LedgerEvent[], kept = KEPT_FOR_HISTORY): LedgerEvent[] {
  const lastKey = lastChangeOfKey(events);
  const cut = Math.max(lastKey, events.length - kept);
  const old = events.slice(lastKey, cut);
  const state = foldLedger(emptyLedger, old);
  return [
    ...old.filter(({ kind }) => isKept(kind)),
    ...[...state.placements].map(([key, placement]) => placementEvent(key, placement)),
    ...[...state.holds].map(([key, reason]): HoldEvent => ({ kind: "hold", at: 0, ...splitKey(key), reason })),
    ...events.slice(cut),
  ];
}

/** Checks whether an event of this kind stays as it is in a compacted ledger. */
function isKept(kind: LedgerEvent["kind"]): boolean {
  return kind === "key" || kind === "live" || kind === "account" || kind === "member" || kind === "suspect";
}

/** Returns the index of the first event that counts. The same key again invalidates nothing. */
function lastChangeOfKey(events: readonly LedgerEvent[]): number {
  let [keyId, index]: [string | null, number] = [null, 0];
  for (const [at, event] of events.entries()) {
    if (event.kind !== "key" || event.keyId === keyId) continue;
    [keyId, index] = [event.keyId, at];
  }
  return index;
}

function placementEvent(key: string, placement: Placement): PlacedEvent {
  const { reverts, revertedAt, stub, fence, writtenAt, terms, ...placed } = placement;
  const carried = { reverts, revertedAt, stub, fence, ...(writtenAt === undefined ? {} : { writtenAt }) };
  return { kind: "seen", ...splitKey(key), ...placed, ...statedTerms(terms), carried };
}

/** Splits a placement's key into its parts. */
export function splitKey(key: string): { store: StoreName; profile: ProfileId } {
  const [store, profile] = JSON.parse(key) as [StoreName, ProfileId];
  return { store, profile };
}

/**
 * Returns the live issue of a flow. If another flow shares the sign-in and went further, its login is live here too: the own one
 * is spent.
 */
export function liveOf(state: LedgerState, flow: FlowId): Live | null {
  const own = state.live.get(flow);
  if (own === undefined) return null;
  // A static secret is never spent, so that each flow goes its own way.
  if (!isOauth(own) || state.live.size === 1) return own;
  let newest = own;
  for (const live of state.live.values()) {
    if (live.chain === own.chain && sequenceOf(state, live) > sequenceOf(state, newest)) newest = live;
  }
  return newest;
}

function sequenceOf(state: LedgerState, { generation }: Live): number {
  return state.generations.get(generation)?.sequence ?? 0;
}

/** A token's generation is its issue: both are the fingerprint of the one secret it has. */
export function isOauth(live: Live): boolean {
  return live.generation !== live.issue;
}

/** For so many generations the doubt lasts whether a later one comes from it. The number comes out of thin air: ten days of them. */
const DOUBTED_GENERATIONS = 32;

/** Checks whether a generation is certainly spent: a later one of its chain is known, and surely comes from it. */
export function isSpent(state: LedgerState, generation: Fingerprint): boolean {
  const known = state.generations.get(generation);
  if (known === undefined) return false;
  const later = (state.chainLengths.get(known.chain) ?? 0) - known.sequence;
  if (later <= 0) return false;
  return later > DOUBTED_GENERATIONS || !isDoubtfullySuperseded(state, known);
}

/** Checks whether no later generation of its chain is known. */
export function isNewest({ chainLengths }: LedgerState, { chain, sequence }: Generation): boolean {
  return sequence === chainLengths.get(chain);
}

/** A generation's name for a person: its place in the chain and the start of its fingerprint, such as `g7:3f9a1c`. */
export function displayGeneration(state: LedgerState, generation: Fingerprint | null): string | null {
  if (generation === null || generation === "") return null;
  const known = state.generations.get(generation);
  return `g${known === undefined ? "?" : String(known.sequence)}:${generation.slice(0, 6)}`;
}

/**
 * Checks whether a generation is likely spent, but not certainly: an agent's login was adopted after it, or nothing proved that
 * the next one belongs to the same account.
 */
export function isDoubtfullySuperseded(state: LedgerState, generation: Generation): boolean {
  for (const { chain, sequence, adopted, unproven } of state.generations.values()) {
    if ((adopted || unproven) && chain === generation.chain && sequence === generation.sequence + 1) return true;
  }
  return false;
}

/**
 * The latest known end of a chain, which every new generation of it ends after; null where none is known.
 *
 * @param which `sinceReissue` for what the source's own program brings; what an agent has may be older than a reissue
 */
export function latestEnd({ chainEnds }: LedgerState, { chain }: Live, ends: Ends, which: keyof ChainEnds): End {
  return ends.latestOf(chainEnds.get(chain)?.[which] ?? []);
}

/** When the live access token ends. */
export function endOfLive({ expiresAt, since }: Live, ends: Ends): End {
  return ends.of(expiresAt, since);
}

/** The expiry (epoch ms) that a target is given for the live login; null where the source states none. */
export function writtenEnd({ expiresAt }: Live, expiryMarginMs: number): number | null {
  return expiresAt === null ? null : expiresAt + expiryMarginMs;
}

/** Checks whether a source had both chains in one profile. Otherwise only their expiries order the two. */
export function haveCommonFlow({ chainFlows }: LedgerState, left: ChainId, right: ChainId): boolean {
  return left === right || [...(chainFlows.get(left) ?? [])].some((flow) => chainFlows.get(right)?.has(flow) === true);
}
