import type { Candidate } from "./candidate.js";
import { endOf, holdsOwnChain, isNewer, parentOf, prove } from "./candidate.js";
import { relateAccounts, type Account } from "./credential.js";
import { isLater, type End, type Ends } from "./end.js";
import { fencedGeneration, type Fences } from "./fence.js";
import type { Fingerprint } from "./generation.js";
import {
  endOfLive,
  haveCommonFlow,
  isDoubtfullySuperseded,
  isNewest,
  placementKey,
  sameTerms,
  writtenEnd,
  type Generation,
  type LedgerState,
  type Live,
  type Placement,
} from "./ledger.js";
import {
  refreshGenerationOf,
  type Held,
  type HeldCredential,
  type ObservedTarget,
  type Orders,
  type Policy,
} from "./observation.js";
import type { SourceVerdict } from "./source-verdict.js";
import type { Share, StoreName } from "./store.js";

/** A consumer that keeps undoing a write is answered at once, then later and later, then left alone (rule R12). */
const REASSERT_AFTER_MS = [0, 5_000, 30_000] as const;

export type TargetHold =
  | "target-newer"
  | "unknown-origin"
  | "another-account"
  | "type-mismatch"
  | "provider-mismatch"
  | "incomplete"
  | "logged-out"
  | "reverting"
  | "moves-pinned";

/** The exact cause of a profile's hold; `describe/target.ts` has the words. */
export type TargetHoldCause =
  | "incomplete"
  | "other-provider"
  | "other-type"
  | "other-account"
  | "never-seen"
  | "secret-changed"
  | "login-changed"
  | "newer-login"
  | "newer-access-token"
  | "other-source"
  | "expires-earlier"
  | "expiry-unusable"
  | "logged-out"
  | "reverting"
  | "moves-pinned";

/** The decision on one profile of a target (rules R3, R6, R6a, R7, R12, R16). */
export type TargetVerdict =
  /** Not this source's business: another provider, kind or account. */
  | { readonly kind: "unrelated" }
  | { readonly kind: "in-sync" }
  | { readonly kind: "absent" }
  | {
      readonly kind: "write";
      /** The overwritten credential is not known to be spent, so it is kept in the backups first. */
      readonly backup: boolean;
      /** It held the live issue before: something put this back. */
      readonly revert: boolean;
      /** The identity fields in the profile name the previous account and are replaced. */
      readonly replaceAccount: boolean;
      /** Less than the target's own share where the live generation is suspect. */
      readonly share: Share;
    }
  /** It should be written, but not now: the source gives nothing to push, or a re-assertion waits its turn. */
  | { readonly kind: "drift"; readonly reason: string; readonly until: number | null }
  | {
      readonly kind: "hold";
      readonly reason: TargetHold;
      readonly cause: TargetHoldCause;
      /** The subject of the cause: a provider, a type, stores, or the missing part; null for nothing more. */
      readonly detail: string | null;
    };

/** One profile of a target, with the decision on it. */
export interface TargetReport {
  readonly target: ObservedTarget;
  /** Null for a pinned or ignored agent. */
  readonly verdict: TargetVerdict | null;
}

/** Checks whether a profile gets the login, or has it. */
export function isServed({ verdict }: TargetReport): boolean {
  return verdict?.kind === "in-sync" || verdict?.kind === "write" || verdict?.kind === "drift";
}

export interface TargetContext {
  readonly source: SourceVerdict;
  readonly ledger: LedgerState;
  readonly live: Live | null;
  /** The former name of the live login's account until this plan; null if its name did not change. */
  readonly formerAccount: Account | null;
  /** Why nothing can be pushed, in the word of the source's state; null when the live credential is at hand. */
  readonly blocked: string | null;
  readonly liveType: "oauth" | "token" | "api_key" | null;
  /** The live generation may be spent: a refresh of it failed somewhere, and the answer may be lost. */
  readonly suspect: boolean;
  /** True if the live login's refresh token is available, too. */
  readonly wholeAtHand: boolean;
  readonly fences: Fences;
  readonly candidates: readonly Candidate[];
  /** The generation that this plan's adoption takes from the source into the backups; null for none. */
  readonly keptFromSource: Fingerprint | null;
  readonly policy: Policy;
  readonly orders: Orders;
  /** As in `PlanInput`. */
  readonly restarted: ReadonlySet<StoreName>;
  readonly ends: Ends;
  readonly now: number;
}

/** Input for judging one target. */
interface Context extends TargetContext {
  /** How much of the live login this target is given. */
  readonly share: Share;
}

/** Decides on one profile of a target that is not pinned or ignored. */
export function judgeTarget(target: ObservedTarget, targets: TargetContext): TargetVerdict {
  const context: Context = { ...targets, share: shareFor(target, targets) };
  const { ledger, live } = context;
  const { held } = target;
  const placement = ledger.placements.get(placementKey(target.store, target.profile));
  const known = knownGeneration(held, ledger);

  if (held.kind === "incomplete") {
    return target.listed ? hold("incomplete", "incomplete", held.reason) : { kind: "unrelated" };
  }
  if (!target.listed && !isBound(target, known, placement, context)) return judgeStranger(target, context);
  if (held.kind === "absent") return judgeAbsent(target, placement, context);
  if (target.listed && !target.related) return hold("provider-mismatch", "other-provider", target.provider);
  if (live === null) return drift(context.blocked ?? "source-missing");

  const isNamedOtherwise = relateAccounts(target.account, live.account) === "different";
  const hasOldName = isNamedOtherwise && holdsOwnChain(target, live, ledger);
  const foreign = isNamedOtherwise && !hasOldName;
  const replaceAccount = hasOldName || (foreign && followedAnotherAccount(target, placement, ledger, live));
  const otherAccount = hold("another-account", "other-account");
  if (held.kind === "stub") {
    if (foreign && !replaceAccount) return otherAccount;
    const verdict = judgeStub(placement, live, context);
    return verdict.kind === "write" ? { ...verdict, replaceAccount } : verdict;
  }
  if (held.kind === "fence") {
    if (foreign && !replaceAccount) return otherAccount;
    const verdict = judgeFence(target, context);
    if (verdict.kind !== "write") return verdict;
    // A failed refresh of what was written is no quarrel: with the access token alone there is no other one.
    return known?.fingerprint === live.generation
      ? { ...verdict, replaceAccount }
      : afterReverts({ ...verdict, replaceAccount }, target, placement, live, context);
  }
  if (context.liveType !== null && held.credential.type !== context.liveType) {
    return target.listed ? hold("type-mismatch", "other-type", held.credential.type) : { kind: "unrelated" };
  }
  if (holdsLive(target, held, live, context)) {
    const renamed = hasOldName && relateAccounts(target.account, context.formerAccount) === "same";
    return renamed && context.blocked === null ? { ...write(false, context.share), replaceAccount } : { kind: "in-sync" };
  }
  if (foreign && !replaceAccount) return otherAccount;
  // Also while nothing can be pushed: it may be the one login that is left, and it is the user's to choose.
  const isCandidate = context.candidates.some((candidate) => candidate.target === target);
  if (context.blocked !== null)
    return isCandidate && known === null ? hold("target-newer", "newer-login") : drift(context.blocked);
  const verdict =
    known !== null ? judgeKnown(target, held, known, live, context) : judgeUnknown(target, held, live, placement, context);
  if (verdict.kind !== "write") return verdict;
  return afterReverts({ ...verdict, replaceAccount }, target, placement, live, context);
}

type Write = Extract<TargetVerdict, { kind: "write" }>;

/**
 * The generation that a profile holds: by its refresh token, by its access token where it has no other, or by what its
 * program was to spend.
 */
export function knownGeneration(held: Held, ledger: LedgerState): Generation | null {
  const name = generationName(held, ledger);
  return (name === null ? undefined : ledger.generations.get(name)) ?? null;
}

function generationName(held: Held, ledger: LedgerState): Fingerprint | null {
  const named = refreshGenerationOf(held);
  return named === null && held.kind === "credential" ? (ledger.issues.get(held.issue) ?? null) : named;
}

/** Checks whether the ledger ties the profile to this flow. A login that only another flow ever had may be another sign-in. */
function isBound(
  { standsIn }: ObservedTarget,
  known: Generation | null,
  placement: Placement | undefined,
  { ledger, live, policy }: Context,
): boolean {
  if (policy.bind !== "matching" && standsIn !== true) return false;
  const tie = known ?? (placement && ledger.generations.get(fencedGeneration(placement.fence, ledger) ?? placement.generation));
  if (live === null || tie === undefined) return known !== null || followsByPlacement(placement, ledger);
  return haveCommonFlow(ledger, tie.chain, live.chain);
}

/** Checks whether the ledger saw the profile with a known login, or spending one. */
function followsByPlacement(placement: Placement | undefined, ledger: LedgerState): boolean {
  if (placement === undefined) return false;
  return placement.generation !== "" || placement.stub !== null || fencedGeneration(placement.fence, ledger) !== null;
}

/**
 * A suspect generation is given without its refresh token, lest another program spends it a second time: to whoever does
 * not have it already. A store that the user names is given its whole share.
 */
function shareFor({ share, held, store }: ObservedTarget, { suspect, wholeAtHand, live, orders }: TargetContext): Share {
  if (wholeAtHand && (!suspect || orders.force.has(store))) return share;
  return held.kind === "credential" && held.generation !== null && held.generation === live?.generation ? share : "access-only";
}

/** Checks whether a target has exactly its part of the live issue. */
function holdsLive(target: ObservedTarget, held: HeldCredential, live: Live, { share }: Context): boolean {
  if (held.issue !== live.issue) return false;
  if (held.credential.type === "oauth" && held.generation !== (share === "full" ? live.generation : null)) return false;
  // An OAuth login without an end is one of which the source does not say it; a token without one lasts for good.
  if (live.expiresAt === null) return held.credential.type !== "token" || held.expiresAt === null;
  return held.expiresAt === writtenEnd(live, target.expiryMarginMs);
}

/** A profile that nothing ties to the source: left alone, and shown where it may be a copy of the source's login. */
function judgeStranger(target: ObservedTarget, { ledger, live, orders, share }: Context): TargetVerdict {
  const { held } = target;
  if (held.kind !== "credential" || held.credential.type !== "oauth" || !target.related) return { kind: "unrelated" };
  if (relateAccounts(target.account, live?.account ?? null) === "different") return { kind: "unrelated" };
  if (orders.force.has(target.store) && live !== null && ledger.generations.size > 0) return write(true, share);
  return hold("unknown-origin", "never-seen");
}

/** A store that the user named is made once; where it vanished after that, someone logged out there. */
function judgeAbsent(
  target: ObservedTarget,
  placement: Placement | undefined,
  { blocked, live, orders, share }: Context,
): TargetVerdict {
  const wanted = target.creates && (placement === undefined || orders.force.has(target.store));
  if (!wanted) return { kind: "absent" };
  return blocked !== null || live === null ? drift(blocked ?? "source-missing") : write(false, share);
}

function judgeStub(placement: Placement | undefined, live: Live, { blocked, orders, share }: Context): TargetVerdict {
  if (blocked !== null) return drift(blocked);
  const rejected = placement?.stub?.replaced ?? placement?.generation ?? null;
  if (rejected === live.generation && orders.force.size === 0) {
    return hold("logged-out", "logged-out");
  }
  return write(false, share);
}

/** While a refresh is under way its program will write; once it failed there is nothing left there to lose. */
function judgeFence(target: ObservedTarget, { blocked, fences, liveType, share }: Context): TargetVerdict {
  const fence = fences.at(target);
  const until = fence === null ? null : fences.busyUntil(fence);
  if (until !== null) return { kind: "drift", reason: "refreshing", until };
  if (blocked !== null) return drift(blocked);
  if (liveType === "oauth") return write(false, share);
  return target.listed ? hold("type-mismatch", "other-type", "oauth") : { kind: "unrelated" };
}

/** The ledger saw this profile follow a chain of the account that it names, and this flow has moved to another since. */
function followedAnotherAccount(
  target: ObservedTarget,
  placement: Placement | undefined,
  ledger: LedgerState,
  live: Live,
): boolean {
  const followed = placement === undefined ? undefined : ledger.generations.get(placement.generation);
  if (followed === undefined) return false;
  if (followed.chain === live.chain || !haveCommonFlow(ledger, followed.chain, live.chain)) return false;
  return relateAccounts(target.account, ledger.chainAccounts.get(followed.chain) ?? null) === "same";
}

function judgeKnown(
  target: ObservedTarget,
  held: HeldCredential,
  known: Generation,
  live: Live,
  { ledger, orders, keptFromSource, share, ends }: Context,
): TargetVerdict {
  const isAfterLive = isLater(endOf(held, target, ends), endOfLive(live, ends));
  if (known.fingerprint === live.generation && held.generation !== null) {
    const newer = !ledger.issues.has(held.issue) && isAfterLive;
    if (newer && target.share === "full" && !orders.force.has(target.store)) return hold("target-newer", "newer-access-token");
    // A refresh token is taken away, and the source may have lost its own since it was read.
    return write(share === "access-only", share);
  }
  const unspent = known.chain !== live.chain && isNewest(ledger, known);
  if (unspent && isAfterLive && !haveCommonFlow(ledger, known.chain, live.chain) && !orders.force.has(target.store)) {
    return hold("target-newer", "other-source");
  }
  if (held.generation === null) return write(false, share);
  const doubtful = known.fingerprint !== keptFromSource && isDoubtfullySuperseded(ledger, known);
  return write(unspent || doubtful, share);
}

function judgeUnknown(
  target: ObservedTarget,
  held: HeldCredential,
  live: Live,
  placement: Placement | undefined,
  context: Context,
): TargetVerdict {
  const { ledger, orders, candidates, share, ends } = context;
  if (orders.force.has(target.store)) return write(true, share);
  // A secret that does not rotate is edited by people only, and no end orders it.
  if (held.credential.type !== "oauth") {
    if (target.listed && !followsByPlacement(placement, ledger)) return write(true, share);
    return hold("unknown-origin", "secret-changed");
  }
  const isCandidate = candidates.some((candidate) => candidate.target === target);
  const [end, liveEnd] = [endOf(held, target, ends), endOfLive(live, ends)];
  // The login may have expired since then; that proves nothing. A hold stays while the source's expiry is unknown.
  const wasNewer = liveEnd === null && end !== null && isOnHold(target, ledger);
  const origin = rotationOf(target, end, placement, live, context);
  if (isCandidate || ((isNewer(end, liveEnd, ends) || wasNewer) && origin !== "beaten"))
    return hold("target-newer", "newer-login");
  // Its program may have spent the live login. Servers shorten what a token lasts, and programs leave no expiry, or a wrong one.
  const mayBeNewer = liveEnd === null || !ends.isOver(end) || isOnHold(target, ledger);
  if (target.listed && origin === "from-live" && mayBeNewer) {
    return hold("target-newer", end === null ? "expiry-unusable" : "expires-earlier");
  }
  return target.listed ? write(true, share) : hold("unknown-origin", "login-changed");
}

/**
 * Relates an unknown login in a profile to the live one: likely its next generation (`from-live`); surely from the sign-in
 * before, when the user signed in again (`beaten`); or unrelated as far as known.
 */
function rotationOf(
  target: ObservedTarget,
  end: End,
  placement: Placement | undefined,
  live: Live,
  context: Context,
): "from-live" | "beaten" | "unknown" {
  const { ledger } = context;
  const parent = placement === undefined ? undefined : parentOf(placement, ledger);
  if (placement === undefined || parent === undefined || placement.terms.share !== "full") return "unknown";
  if (parent.fingerprint === live.generation) {
    // A hold stays: the time of a refresh proves something only when the login first appears. A login with unknown origin and
    // expiry may come from a refresh that spent the live login.
    const isDoubtful = isOnHold(target, ledger) || end === null;
    return isDoubtful || isProven(target, placement, parent, context) ? "from-live" : "unknown";
  }
  if (parent.chain === live.chain || ledger.chainOrigins.get(live.chain) !== "sign-in") return "unknown";
  if (!haveCommonFlow(ledger, parent.chain, live.chain)) return "unknown";
  if (relateAccounts(ledger.chainAccounts.get(parent.chain) ?? null, live.account) === "different") return "unknown";
  // Once on hold as such it stays so: a proof by the time of a refresh lasts for minutes.
  const wasBeaten = holdOn(target, ledger) === "unknown-origin";
  return wasBeaten || isProven(target, placement, parent, context) ? "beaten" : "unknown";
}

function isOnHold(target: ObservedTarget, ledger: LedgerState): boolean {
  return holdOn(target, ledger) === "target-newer";
}

function holdOn({ store, profile }: ObservedTarget, { holds }: LedgerState): string | null {
  return holds.get(placementKey(store, profile)) ?? null;
}

function isProven(target: ObservedTarget, placement: Placement, parent: Generation, context: Context): boolean {
  const { source, ledger, live, ends, now } = context;
  return prove(target, placement, parent, { verdict: source, ledger, live, ends, now }) !== null;
}

function afterReverts(
  verdict: Write,
  target: ObservedTarget,
  placement: Placement | undefined,
  live: Live,
  { orders, restarted, now, share }: Context,
): TargetVerdict {
  const heldLive = placement !== undefined && placement.generation === live.generation && placement.issue === live.issue;
  // If the user changed the terms, nobody put an older login back.
  const sameTermsAsBefore = placement !== undefined && sameTerms(placement.terms, { ...target, share });
  if (!heldLive || !sameTermsAsBefore || placement.stub !== null || orders.force.has(target.store)) return verdict;
  const waitMs = REASSERT_AFTER_MS[placement.reverts];
  if (waitMs === undefined) {
    if (restarted.has(target.store)) return { ...verdict, revert: true };
    return hold("reverting", "reverting");
  }
  const revertedAt = placement.revertedAt ?? 0;
  const until = revertedAt + waitMs;
  // Under a clock that was set back since, the wait would last for as long as that.
  return now >= revertedAt && now < until ? { kind: "drift", reason: "re-asserting", until } : { ...verdict, revert: true };
}

function write(backup: boolean, share: Share): Write {
  return { kind: "write", backup, revert: false, replaceAccount: false, share };
}

export function hold(
  reason: TargetHold,
  cause: TargetHoldCause,
  detail: string | null = null,
): Extract<TargetVerdict, { kind: "hold" }> {
  return { kind: "hold", reason, cause, detail };
}

function drift(reason: string): TargetVerdict {
  return { kind: "drift", reason, until: null };
}
