import { relateAccounts } from "./credential.js";
import { isLater, type End, type Ends } from "./end.js";
import type { Fences } from "./fence.js";
import type { Fingerprint } from "./generation.js";
import {
  endOfLive,
  isOauth,
  latestEnd,
  liveOf,
  placementKey,
  type ChainId,
  type LedgerState,
  type Live,
  type LiveReason,
  type Placement,
} from "./ledger.js";
import type { HeldCredential, ObservedSource, Orders, Policy } from "./observation.js";
import { shellWord } from "./shell-word.js";

/** Claude Code writes its login and its account file one after the other; after this long both are there. */
export const ACCOUNT_SETTLES_MS = 5000;
/**
 * A new sign-in expires at least this much later: the server computes the sign-in's end again at each refresh, a moment apart.
 */
const SIGN_IN_ROSE_MS = 60_000;
/** Programs refresh shortly before the end of an access token; people sign in at any time. */
export const REFRESH_WINDOW_MS = 10 * 60_000;

export type SourceHold = "source-rolled-back" | "account-changed" | "account-unsettled";

/** The exact cause of a source's hold; `describe/source.ts` has the words. */
export type SourceHoldCause =
  | "no-refresh-token"
  | "other-kind"
  | "other-account"
  | "account-renamed"
  | "earlier-sign-in"
  | "account-unsettled"
  | "older-login"
  | "older-login-of-earlier-sign-in"
  | "older-than-known"
  | "older-access-token"
  | "adoption-unfinished"
  | "unseen-expired"
  | "unseen-expires-earlier";

/** The meaning of the source's content (rules R1, R2, R4, R7a). */
export type SourceVerdict =
  | { readonly kind: "missing" }
  | { readonly kind: "unreadable"; readonly reason: string; readonly hint: string | null; readonly torn: boolean }
  | { readonly kind: "logged-out"; readonly replaced: Fingerprint | null; readonly timeLimit: boolean }
  /**
   * Its program is refreshing it (until `until`, epoch ms, when credsyncd scans again), or failed to: neither a logout nor a
   * login.
   */
  | {
      readonly kind: "fenced";
      readonly reason: "source-refreshing" | "source-refresh-failed";
      /** The generation that it was to spend, as the fence says, else what it was last known to hold. */
      readonly lost: Fingerprint | null;
      readonly until: number | null;
      /** A copy of the live issue, where that is what was lost. */
      readonly copy: HeldCredential | null;
      /** The failed refresh never reached a server, so that what it lost is not spent. */
      readonly neverSent: boolean;
      /** It was put back once already, and its program marked it again: another time is the user's own choice. */
      readonly wasRestored: boolean;
    }
  /** The live access token stands there without the refresh token (`lost`), since a refresh of it failed and its program erased it. */
  | {
      readonly kind: "restored";
      readonly held: HeldCredential;
      readonly lost: Fingerprint;
      /** The kept copy of the whole; null where there is none. */
      readonly copy: HeldCredential | null;
    }
  /** The source holds the live issue. */
  | { readonly kind: "live"; readonly held: HeldCredential }
  /** The source's login will become live. */
  | {
      readonly kind: "becomes-live";
      readonly held: HeldCredential;
      readonly reason: LiveReason;
      readonly chain: ChainId;
      /** Nothing proves that it comes from what was live, which therefore does not count as spent. */
      readonly unproven: boolean;
    }
  /** Nothing is pushed from the source; `provenSignIn` also closes the way for an agent's rotation. */
  | {
      readonly kind: "held";
      readonly held: HeldCredential;
      readonly reason: SourceHold;
      readonly cause: SourceHoldCause;
      /** True if the user's order can make it live; nobody can force a login that is known to be spent into every agent. */
      readonly acceptable: boolean;
      readonly provenSignIn: boolean;
      /**
       * True if the source still has the login from before an adoption: credsyncd must finish the adoption, from any target that
       * has it.
       */
      readonly adoptionPending: boolean;
      /** When credsyncd must scan again (epoch ms), or null. */
      readonly until: number | null;
    };

interface Context {
  readonly ledger: LedgerState;
  readonly fences: Fences;
  readonly policy: Policy;
  readonly orders: Orders;
  readonly ends: Ends;
  readonly now: number;
}

type PresentSource = Extract<ObservedSource, { state: "present" }>;

/** Decides what the source's content means; the order of the questions is the order of rule R4's table. */
export function judgeSource(source: ObservedSource, context: Context): SourceVerdict {
  if (source.state === "missing") return { kind: "missing" };
  if (source.state === "unreadable") return { kind: "unreadable", reason: source.reason, hint: source.hint, torn: source.torn };
  const { held } = source.observed;
  switch (held.kind) {
    case "incomplete":
      return { kind: "unreadable", reason: held.reason, hint: null, torn: false };
    case "absent":
      return { kind: "missing" };
    case "stub": {
      const placement = context.ledger.placements.get(placementKey(source.store, source.profile));
      const replaced = placement?.stub ? placement.stub.replaced : placement?.generation || null;
      return { kind: "logged-out", replaced, timeLimit: held.timeLimit };
    }
    case "fence":
      return judgeFence(source, context);
    case "credential":
      return judgeCredential(source, held, context);
  }
}

function judgeFence(source: PresentSource, { fences, ledger }: Context): SourceVerdict {
  const fence = fences.at(source.observed);
  const until = fence === null ? null : fences.busyUntil(fence);
  const placement = ledger.placements.get(placementKey(source.store, source.profile));
  const live = liveOf(ledger, source.flow);
  // The mark itself names the login that the refresh was to spend: the last known login may be another one.
  const lostLive = live !== null && fence?.spends === live.generation;
  const mayRestore = lostLive && relateAccounts(source.observed.account, live.account) !== "different";
  const copy = mayRestore ? copyOf(source, live) : null;
  const wasRestored = live !== null && placement !== undefined && wasGivenBack(placement, live);
  const lost = fence?.spends ?? (placement?.generation || null);
  const neverSent = fence !== null && fences.wasNeverSent(fence);
  const fenced = { kind: "fenced", lost, until, copy, neverSent, wasRestored } as const;
  return { ...fenced, reason: until === null ? "source-refresh-failed" : "source-refreshing" };
}

function copyOf({ kept }: PresentSource, live: Live): HeldCredential | null {
  const isLive = ({ generation, issue }: HeldCredential): boolean => generation === live.generation && issue === live.issue;
  return kept?.copies.find(isLive) ?? null;
}

function wasGivenBack({ generation, issue, terms }: Placement, live: Live): boolean {
  return generation === live.generation && issue === live.issue && terms.share === "access-only";
}

/** The live issue alone: what credsyncd put back after a failed refresh, or somebody's own work. */
function judgeBare(source: PresentSource, held: HeldCredential, live: Live, { ledger }: Context): SourceVerdict | null {
  const placement = ledger.placements.get(placementKey(source.store, source.profile));
  if (held.issue !== live.issue || placement === undefined) return null;
  // The mark was recorded before the write, of which a crash leaves no record.
  if (!wasGivenBack(placement, live) && placement.fence?.spends !== live.generation) return null;
  return { kind: "restored", held, lost: live.generation, copy: copyOf(source, live) };
}

/** The whole credential that stands in the source; null where there is none. */
export function heldBySource(verdict: SourceVerdict): HeldCredential | null {
  switch (verdict.kind) {
    case "live":
    case "becomes-live":
    case "held":
      return verdict.held;
    case "missing":
    case "unreadable":
    case "logged-out":
    case "fenced":
    case "restored":
      return null;
  }
}

function judgeCredential(source: PresentSource, held: HeldCredential, context: Context): SourceVerdict {
  const live = liveOf(context.ledger, source.flow);
  const accepted = context.orders.force.has(source.store);
  if (held.credential.type === "oauth" && held.generation !== null && held.expiresAt === null) {
    return { kind: "unreadable", reason: "the login has no expiry that can be read", hint: null, torn: false };
  }
  const hold: Hold = (reason, cause, { provenSignIn = false, acceptable = true } = {}) => ({
    kind: "held",
    held,
    reason,
    cause,
    acceptable,
    provenSignIn,
    adoptionPending: false,
    until: null,
  });
  const becomeLive: BecomeLive = (reason, chain, { unproven = false } = {}) => ({
    kind: "becomes-live",
    held,
    reason,
    chain,
    unproven,
  });

  if (live === null) return judgeFirst(source, held, context.ledger, hold, becomeLive);
  if (held.generation === null)
    return judgeBare(source, held, live, context) ?? hold("account-changed", "no-refresh-token", spent);
  if (held.generation === live.generation) {
    if (relateAccounts(source.observed.account, live.account) === "different") {
      if (accepted || context.policy.onAccountChange === "push") return becomeLive("account-switch", newChain(held.generation));
      return hold("account-changed", "account-renamed", { provenSignIn: true });
    }
    return judgeSameGeneration(held, live, accepted, context, hold, becomeLive);
  }

  const known = context.ledger.generations.get(held.generation);
  if (known !== undefined) {
    // A static secret is never spent, so that putting an earlier one back is the owner's own choice.
    if (held.credential.type !== "oauth" && !isOauth(live)) return becomeLive("rotation", known.chain);
    if (known.chain === live.chain) return hold("source-rolled-back", "older-login", spent);
    if (!accepted && missedAdoption(source, held, live, context.ledger)) {
      const verdict = hold("source-rolled-back", "adoption-unfinished");
      return verdict.kind === "held" ? { ...verdict, adoptionPending: true } : verdict;
    }
    if (known.sequence < (context.ledger.chainLengths.get(known.chain) ?? 0)) {
      return hold("source-rolled-back", "older-login-of-earlier-sign-in", spent);
    }
    if (accepted || context.policy.onAccountChange === "push") return becomeLive("account-switch", known.chain);
    return hold("account-changed", "earlier-sign-in", { provenSignIn: true });
  }
  return judgeUnknown(source, { ...held, generation: held.generation }, live, accepted, context, hold, becomeLive);
}

/** Judges the first scan of this source. Its login may be known already from an earlier source. */
function judgeFirst(
  source: PresentSource,
  held: HeldCredential,
  ledger: LedgerState,
  hold: Hold,
  becomeLive: BecomeLive,
): SourceVerdict {
  if (held.generation === null) {
    // A copy of all of it is kept: it was put back by halves after a failed refresh, and the ledger that knew so was lost.
    if (source.kept?.copies.some(({ generation, issue }) => generation !== null && issue === held.issue) === true) {
      return {
        kind: "unreadable",
        reason: "the login lost its refresh token, but credsyncd has a copy",
        hint: `if the refresh never reached the server, restore all of it: credsyncd restore --store ${shellWord(source.store)} --list - else sign in again`,
        torn: false,
      };
    }
    return {
      kind: "unreadable",
      reason: "the login has an access token but no refresh token",
      hint: "a copy cannot be a source: name the place of the full login in the config",
      torn: false,
    };
  }
  const known = ledger.generations.get(held.generation);
  if (known === undefined) return becomeLive("first-sight", newChain(held.generation));
  if (held.credential.type === "oauth" && known.sequence < (ledger.chainLengths.get(known.chain) ?? 0))
    return hold("source-rolled-back", "older-than-known", spent);
  return becomeLive("first-sight", known.chain);
}

/** The live generation was adopted, and the source has not moved since: its own program did not choose what it holds. */
function missedAdoption(source: PresentSource, held: HeldCredential, live: Live, ledger: LedgerState): boolean {
  if (ledger.generations.get(live.generation)?.adopted !== true) return false;
  const placement = ledger.placements.get(placementKey(source.store, source.profile));
  if (placement?.generation !== held.generation || placement.issue !== held.issue) return false;
  return placement.stub === null && placement.at <= live.since;
}

type Hold = (
  reason: SourceHold,
  cause: SourceHoldCause,
  more?: { readonly provenSignIn?: boolean; readonly acceptable?: boolean },
) => SourceVerdict;

/** It is known, and not to be had back by an order. */
const spent = { acceptable: false };

type BecomeLive = (reason: LiveReason, chain: ChainId, more?: { readonly unproven?: boolean }) => SourceVerdict;

/** A new access token under the live refresh token is the owner's own write, whatever its end. */
function judgeSameGeneration(
  held: HeldCredential,
  live: Live,
  accepted: boolean,
  { ledger, ends }: Context,
  hold: Hold,
  becomeLive: BecomeLive,
): SourceVerdict {
  // Only the expiry of a token may change.
  const isExtended = held.credential.type === "token" && held.expiresAt !== live.expiresAt;
  if (held.issue === live.issue) return isExtended ? becomeLive("reissue", live.chain) : { kind: "live", held };
  if (ledger.issues.has(held.issue)) return hold("source-rolled-back", "older-access-token", spent);
  const end = ends.of(held.expiresAt);
  if (accepted || !ends.isOver(end) || isLater(end, endOfLive(live, ends))) return becomeLive("reissue", live.chain);
  return hold("source-rolled-back", "unseen-expired");
}

function judgeUnknown(
  source: PresentSource,
  held: HeldCredential & { readonly generation: Fingerprint },
  live: Live,
  accepted: boolean,
  context: Context,
  hold: Hold,
  becomeLive: BecomeLive,
): SourceVerdict {
  const account = relateAccounts(source.observed.account, live.account);
  const signInEndsAt = held.credential.type === "oauth" ? held.credential.signInEndsAt : null;
  const changedKind = (held.credential.type === "oauth") !== isOauth(live);
  const accept = (): SourceVerdict => becomeLive("accepted", newChain(held.generation));
  if (changedKind) return accepted ? accept() : hold("account-changed", "other-kind");

  const { ends } = context;
  const changedAt = loginChangedAt(source, held, context.ledger);
  const settlesAt = changedAt + ACCOUNT_SETTLES_MS;
  const isProven = provesSameAccount(source, signInEndsAt, live) || isRefreshByItsTime(changedAt, signInEndsAt, live, ends);
  if (!source.accountInCredential && context.now < settlesAt && !isProven) {
    if (accepted) return accept();
    return {
      kind: "held",
      held,
      reason: "account-unsettled",
      cause: "account-unsettled",
      acceptable: true,
      provenSignIn: false,
      adoptionPending: false,
      until: settlesAt,
    };
  }
  const seenAt = firstSeenAt(source, held, context.ledger) ?? context.now;
  const end = ends.of(held.expiresAt, seenAt);
  // A hold stays while only time passes.
  const wasOver = end !== null && end <= seenAt;
  const before = latestEnd(context.ledger, live, ends, "sinceReissue");
  const fresh = before === null ? !wasOver : isLater(end, before);
  // An older copy of the same sign-in is no change of account, whatever the account file names.
  const differs = account === "different" && (fresh || !isSameSignIn(signInEndsAt, live));
  if (differs || (signInRose(signInEndsAt, live.signInEndsAt) && (fresh || !wasOver))) {
    const oneSided = (source.observed.account === null) !== (live.account === null);
    if (accepted) return accept();
    if ((differs || oneSided) && context.policy.onAccountChange === "hold") {
      return hold("account-changed", "other-account", { provenSignIn: true });
    }
    return becomeLive("sign-in", newChain(held.generation));
  }
  // An order changes nothing about what follows from the chain: a rotation stays a member, so that the older one is known.
  if (held.credential.type !== "oauth" || fresh) {
    const isNamed = account === "same" || (source.observed.account === null && live.account === null);
    const isOfAccount =
      isSameSignIn(signInEndsAt, live) || (source.accountInCredential && isNamed && !signInMoved(signInEndsAt, live));
    return becomeLive("rotation", live.chain, { unproven: isOauth(live) && (before === null || !isOfAccount) });
  }
  if (accepted) return accept();
  return hold("source-rolled-back", "unseen-expires-earlier");
}

/** When the login itself changed (epoch ms): what stands beside it in the file may change every second. */
function loginChangedAt(source: PresentSource, held: HeldCredential, ledger: LedgerState): number {
  return Math.min(source.changedAt, firstSeenAt(source, held, ledger) ?? source.changedAt);
}

/** When the ledger recorded what the source holds (epoch ms); null where this is its first sight. */
function firstSeenAt(source: PresentSource, held: HeldCredential, ledger: LedgerState): number | null {
  const placement = ledger.placements.get(placementKey(source.store, source.profile));
  return placement?.generation === held.generation && placement.issue === held.issue ? placement.at : null;
}

/**
 * Guesses a refresh by its time, if no sign-in end decides. Programs refresh in a token's last minutes; people sign in at any
 * time.
 */
function isRefreshByItsTime(changedAt: number, signInEndsAt: number | null, live: Live, ends: Ends): boolean {
  if (signInEndsAt !== null || live.signInEndsAt !== null) return false;
  const liveEnd: End = endOfLive(live, ends);
  return liveEnd !== null && changedAt >= liveEnd - REFRESH_WINDOW_MS && changedAt <= liveEnd;
}

/**
 * Checks whether an unknown generation surely belongs to the live one's account, so that nothing needs the account file: its own
 * account is the same, its sign-in ends at the same moment, or no account is known anywhere.
 */
function provesSameAccount(source: PresentSource, signInEndsAt: number | null, live: Live): boolean {
  if (source.accountInCredential && relateAccounts(source.observed.account, live.account) === "same") return true;
  if (signInEndsAt !== null && live.signInEndsAt !== null) return isSameSignIn(signInEndsAt, live);
  return source.observed.account === null && live.account === null && signInEndsAt === live.signInEndsAt;
}

/** Two sign-ins do not end at the same millisecond; the account in the file beside may have been late. */
function isSameSignIn(signInEndsAt: number | null, live: Live): boolean {
  return signInEndsAt !== null && signInEndsAt === live.signInEndsAt;
}

/** Checks whether the ends of two sign-ins differ by more than a refresh changes them. */
function signInMoved(current: number | null, { signInEndsAt: before }: Live): boolean {
  return current !== null && before !== null && Math.abs(current - before) > SIGN_IN_ROSE_MS;
}

/** A refresh never raises the end of a sign-in and never adds one; it may lower it. */
function signInRose(current: number | null, before: number | null): boolean {
  return current !== null && (before === null || current > before + SIGN_IN_ROSE_MS);
}

/** A chain is named after its first generation. */
function newChain(first: Fingerprint): ChainId {
  return first;
}
