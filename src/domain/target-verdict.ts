import type { Candidate } from "./candidate.js";
import { withoutMargin } from "./candidate.js";
import { isLater, relateAccounts } from "./credential.js";
import type { Fingerprint } from "./generation.js";
import { isSupersededByAdoption, placementKey, type Generation, type LedgerState, type Live, type Placement } from "./ledger.js";
import type { HeldCredential, ObservedTarget, Orders, Policy } from "./observation.js";

/** A consumer that keeps undoing a write is answered at once, then later and later, then left alone (rule R12). */
const REASSERT_AFTER_MS = [0, 5_000, 30_000] as const;

export type TargetHold =
  "target-newer" | "unknown-origin" | "another-account" | "type-mismatch" | "incomplete" | "logged-out" | "reverting";

/** What is to be done with one profile of a target (rules R3, R6, R6a, R7, R12, R16). */
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
    }
  /** It should be written, but not now: the source gives nothing to push, or a re-assertion waits its turn. */
  | { readonly kind: "drift"; readonly reason: string; readonly until: number | null }
  | { readonly kind: "hold"; readonly reason: TargetHold; readonly explanation: string };

export interface TargetContext {
  readonly ledger: LedgerState;
  readonly live: Live | null;
  /** Why nothing can be pushed, in the word of the source's state; null when the live credential is at hand. */
  readonly blocked: string | null;
  readonly liveType: "oauth" | "token" | "api_key" | null;
  readonly candidates: readonly Candidate[];
  /** The generation that this plan's adoption takes from the source into the backups; null for none. */
  readonly keptFromSource: Fingerprint | null;
  readonly policy: Policy;
  readonly orders: Orders;
  readonly now: number;
}

/** Decides what is to be done with one profile of a target that is not pinned or ignored. */
export function judgeTarget(target: ObservedTarget, context: TargetContext): TargetVerdict {
  const { ledger, live, policy } = context;
  const { held } = target;
  const placement = ledger.placements.get(placementKey(target.store, target.profile));
  const known = held.kind === "credential" ? knownGeneration(held, ledger) : null;
  const bound = policy.bind === "matching" && (known !== null || placement !== undefined);

  if (held.kind === "incomplete") {
    return target.listed ? hold("incomplete", held.reason) : { kind: "unrelated" };
  }
  if (!target.listed && !bound) return judgeStranger(target, context);
  if (held.kind === "absent") return judgeAbsent(target, placement, context);
  if (live === null) return drift(context.blocked ?? "source-missing");

  const foreign = relateAccounts(target.account, live.account) === "different";
  const replaceAccount = foreign && followedAnotherAccount(target, placement, ledger, live);
  const otherAccount = hold("another-account", "the profile names another account than the source's");
  if (held.kind === "stub") {
    if (foreign && !replaceAccount) return otherAccount;
    const verdict = judgeStub(placement, live, context);
    return verdict.kind === "write" ? { ...verdict, replaceAccount } : verdict;
  }
  if (context.liveType !== null && held.credential.type !== context.liveType) {
    return target.listed
      ? hold("type-mismatch", `the profile is of type ${held.credential.type}, the source's login is not`)
      : { kind: "unrelated" };
  }
  if (holdsLive(target, held, live)) return { kind: "in-sync" };
  if (foreign && !replaceAccount) return otherAccount;
  // Also while nothing can be pushed: it may be the one login that is left, and it is the user's to choose.
  const isCandidate = context.candidates.some((candidate) => candidate.target === target);
  if (context.blocked !== null) return isCandidate && known === null ? targetNewer() : drift(context.blocked);
  const write = known !== null ? judgeKnown(target, held, known, live, context) : judgeUnknown(target, held, live, context);
  if (write.kind !== "write") return write;
  return afterReverts({ ...write, replaceAccount }, target, placement, live, context);
}

type Write = Extract<TargetVerdict, { kind: "write" }>;

/** The generation that a credential belongs to: by its refresh token, or by its access token where it has no other. */
export function knownGeneration(held: HeldCredential, ledger: LedgerState): Generation | null {
  const name: Fingerprint | null = held.generation ?? ledger.issues.get(held.issue) ?? null;
  return (name === null ? undefined : ledger.generations.get(name)) ?? null;
}

/** Whether a target holds exactly what it is to hold of the live issue. */
function holdsLive(target: ObservedTarget, held: HeldCredential, live: Live): boolean {
  if (held.issue !== live.issue) return false;
  if (held.credential.type === "oauth" && held.generation !== (target.share === "full" ? live.generation : null)) return false;
  return live.expiresAt === null || held.expiresAt === live.expiresAt + target.expiryMarginMs;
}

/** A profile that nothing ties to the source: left alone, and shown where it may be a copy of the source's login. */
function judgeStranger(target: ObservedTarget, { ledger, live, orders }: TargetContext): TargetVerdict {
  const { held } = target;
  if (held.kind !== "credential" || held.credential.type !== "oauth" || !target.related) return { kind: "unrelated" };
  if (relateAccounts(target.account, live?.account ?? null) === "different") return { kind: "unrelated" };
  if (orders.force.has(target.store) && live !== null && ledger.generations.size > 0) return write(true);
  return hold("unknown-origin", "nothing shows that this login descends from the source's");
}

/** A store that the user named is made once; where it vanished after that, someone logged out there. */
function judgeAbsent(
  target: ObservedTarget,
  placement: Placement | undefined,
  { blocked, live, orders }: TargetContext,
): TargetVerdict {
  const wanted = target.creates && (placement === undefined || orders.force.has(target.store));
  if (!wanted) return { kind: "absent" };
  return blocked !== null || live === null ? drift(blocked ?? "source-missing") : write(false);
}

function judgeStub(placement: Placement | undefined, live: Live, { blocked, orders }: TargetContext): TargetVerdict {
  if (blocked !== null) return drift(blocked);
  const rejected = placement?.stub?.replaced ?? placement?.generation ?? null;
  if (rejected === live.generation && orders.force.size === 0) {
    return hold("logged-out", "the program there logged itself out of the very login that the source holds");
  }
  return write(false);
}

/** The ledger saw this profile follow a chain of the account that it names, and the source has moved to another since. */
function followedAnotherAccount(
  target: ObservedTarget,
  placement: Placement | undefined,
  ledger: LedgerState,
  live: Live,
): boolean {
  const followed = placement === undefined ? undefined : ledger.generations.get(placement.generation);
  if (followed === undefined) return false;
  if (followed.chain === live.chain) return false;
  return relateAccounts(target.account, ledger.chainAccounts.get(followed.chain) ?? null) === "same";
}

function judgeKnown(
  target: ObservedTarget,
  held: HeldCredential,
  known: Generation,
  live: Live,
  { ledger, orders, keptFromSource }: TargetContext,
): TargetVerdict {
  if (known.fingerprint === live.generation && held.generation !== null) {
    const newer = !ledger.issues.has(held.issue) && isLater(withoutMargin(held, target), live.expiresAt);
    if (newer && target.share === "full" && !orders.force.has(target.store)) {
      return hold("target-newer", "it holds a newer access token of the live generation");
    }
    // A refresh token is taken away, and the source may have lost its own since it was read.
    return write(target.share === "access-only");
  }
  if (held.generation === null) return write(false);
  const unspent = known.chain !== live.chain && known.sequence === ledger.chainLengths.get(known.chain);
  const doubtful = known.fingerprint !== keptFromSource && isSupersededByAdoption(ledger, known);
  return write(unspent || doubtful);
}

function judgeUnknown(
  target: ObservedTarget,
  held: HeldCredential,
  live: Live,
  { orders, candidates }: TargetContext,
): TargetVerdict {
  if (orders.force.has(target.store)) return write(true);
  const isCandidate = candidates.some((candidate) => candidate.target === target);
  if (isCandidate || isLater(withoutMargin(held, target), live.expiresAt)) return targetNewer();
  return target.listed ? write(true) : hold("unknown-origin", "it held the source's login before, and now holds an unknown one");
}

function afterReverts(
  verdict: Write,
  target: ObservedTarget,
  placement: Placement | undefined,
  live: Live,
  { orders, now }: TargetContext,
): TargetVerdict {
  const heldLive = placement !== undefined && placement.generation === live.generation && placement.issue === live.issue;
  if (!heldLive || placement.stub !== null || orders.force.has(target.store)) return verdict;
  const waitMs = REASSERT_AFTER_MS[placement.reverts];
  if (waitMs === undefined) {
    return hold("reverting", "another program keeps putting an older login back; left alone until the source rotates");
  }
  const until = (placement.revertedAt ?? 0) + waitMs;
  return now < until ? { kind: "drift", reason: "re-asserting", until } : { ...verdict, revert: true };
}

function write(backup: boolean): Write {
  return { kind: "write", backup, revert: false, replaceAccount: false };
}

function hold(reason: TargetHold, explanation: string): TargetVerdict {
  return { kind: "hold", reason, explanation };
}

function targetNewer(): TargetVerdict {
  return hold("target-newer", "it holds an unknown login that ends after the source's, and nothing proves whose it is");
}

function drift(reason: string): TargetVerdict {
  return { kind: "drift", reason, until: null };
}
