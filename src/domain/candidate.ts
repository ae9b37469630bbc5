import { haveDifferentIds, relateAccounts, type Account } from "./credential.js";
import { isLater, type End, type Ends } from "./end.js";
import { fencedGeneration } from "./fence.js";
import type { Fingerprint, Identity } from "./generation.js";
import {
  endOfLive,
  haveCommonFlow,
  isNewest,
  latestEnd,
  placementKey,
  type Fence,
  type Generation,
  type LedgerState,
  type Live,
  type Placement,
} from "./ledger.js";
import type { HeldCredential, ObservedTarget, Orders } from "./observation.js";
import { REFRESH_WINDOW_MS, type SourceVerdict } from "./source-verdict.js";

/** A login that appears this soon after a refresh under way came from that refresh. Later, someone may have signed in. */
const FENCE_PROVES_MS = 10 * 60_000;

/** Why an agent's unknown generation is surely the next one of the source's chain (rule R5a). */
export type Proof =
  "live-generation" | "same-account" | "refresh-fence" | "source-lost-parent" | "refreshed-at-expiry" | "ordered";

/** A target that may hold a newer generation than the source, because its own program refreshed (rule R5). */
export interface Candidate {
  readonly target: ObservedTarget;
  readonly held: HeldCredential;
  readonly generation: Fingerprint;
  /** Null: it may be another sign-in, so a person decides. */
  readonly proof: Proof | null;
  /** The user named this store. */
  readonly ordered: boolean;
  /** True if the ledger ties it to the live chain. A login that only the user's order ties to it begins its own chain. */
  readonly descends: boolean;
}

interface Context {
  readonly verdict: SourceVerdict;
  /** The account of the source's login, even of a logged-out one. */
  readonly sourceAccount: Account | null;
  readonly targets: readonly ObservedTarget[];
  /** With what the source brings just now. */
  readonly ledger: LedgerState;
  readonly live: Live | null;
  readonly orders: Orders;
  readonly ends: Ends;
  readonly now: number;
}

/** Every target that may hold what the source should hold, in no order. */
export function findCandidates(context: Context): Candidate[] {
  const candidates: Candidate[] = [];
  for (const target of context.targets) {
    const candidate = asCandidate(target, context);
    if (candidate !== null) candidates.push(candidate);
  }
  return candidates;
}

/**
 * The candidate to adopt: the latest expiry among the proven. An unproven one never stands in a proven one's way,
 * since it stays where it is, held.
 */
export function bestProven(candidates: readonly Candidate[], ends: Ends): Candidate | null {
  let best: Candidate | null = null;
  for (const candidate of candidates) {
    if (candidate.ordered) return candidate;
    if (candidate.proof === null) continue;
    if (best === null || isLater(endOf(candidate.held, candidate.target, ends), endOf(best.held, best.target, ends)))
      best = candidate;
  }
  return best;
}

/** The logins that the user's order may mean, and whose expiry is none that a login can have: nobody could use them. */
export function findUnadoptable(context: Context): ObservedTarget[] {
  return context.targets.filter((target) => {
    const { held } = target;
    if (target.binding !== "follow" || held.kind !== "credential" || held.credential.type !== "oauth") return false;
    if (held.generation === null || context.ledger.issues.has(held.issue)) return false;
    return isOrdered(target, held, context) && endOf(held, target, context.ends) === null;
  });
}

function asCandidate(target: ObservedTarget, context: Context): Candidate | null {
  const { held } = target;
  if (target.binding !== "follow") return null;
  if (held.kind !== "credential" || held.credential.type !== "oauth" || held.generation === null) return null;
  if (namesAnotherAccount(target, context)) return null;
  // By its name it is the source's, and it was made another provider's: what it holds now is of no use to the source.
  if (target.listed && !target.related) return null;
  const { generation } = held;
  // A target without a refresh token cannot have refreshed. The user may still order the adoption of its login.
  const candidate = target.share === "full" ? asDescendant(target, held, generation, context) : null;
  if (!isOrdered(target, held, context)) return candidate;
  // Nobody could use what expires at a time that no login has, and the source least of all.
  if (!context.ledger.issues.has(held.issue) && endOf(held, target, context.ends) === null) return null;
  if (generation === context.live?.generation) {
    return { target, held, generation, proof: "live-generation", ordered: true, descends: true };
  }
  if (!target.related && candidate === null) return null;
  return { target, held, generation, proof: candidate?.proof ?? "ordered", ordered: true, descends: candidate !== null };
}

/** Tokens of one account never go where another account's name stands, by an order neither: the name would stay. */
function namesAnotherAccount(target: ObservedTarget, { live, sourceAccount, ledger }: Context): boolean {
  const account = live?.account ?? null;
  if (relateAccounts(account, sourceAccount) === "different") return true;
  if (live !== null && holdsOwnChain(target, live, ledger)) return false;
  return [account, sourceAccount].some((other) => relateAccounts(target.account, other) === "different");
}

/**
 * Checks whether a profile has a generation of the live chain. Such a generation belongs to the live login's account, whatever
 * e-mail is beside it: accounts change their e-mail.
 */
export function holdsOwnChain({ held, account }: ObservedTarget, live: Live, ledger: LedgerState): boolean {
  if (held.kind !== "credential" || haveDifferentIds(account, live.account)) return false;
  const generation = held.generation ?? ledger.issues.get(held.issue);
  return generation !== undefined && ledger.generations.get(generation)?.chain === live.chain;
}

function asDescendant(target: ObservedTarget, held: HeldCredential, generation: Fingerprint, context: Context): Candidate | null {
  const { ledger, live, verdict } = context;
  const candidate = { target, held, generation, ordered: false, descends: true };
  // The ledger is still empty, and the source's fence names this login.
  if (live === null) {
    const isLost = verdict.kind === "fenced" && verdict.neverSent && verdict.until === null && verdict.lost === generation;
    const hasEnd = endOf(held, target, context.ends) !== null;
    return isLost && hasEnd && target.related ? { ...candidate, descends: false, proof: "live-generation" } : null;
  }
  if (generation === live.generation) {
    return outdatesSource(held, live, target, context) ? { ...candidate, proof: "live-generation" } : null;
  }
  if (ledger.generations.has(generation)) return null;
  const placement = ledger.placements.get(placementKey(target.store, target.profile));
  const parent = placement === undefined ? undefined : parentOf(placement, ledger);
  if (placement === undefined || parent?.chain !== live.chain) return null;
  if (placement.terms.share !== "full") return null;
  if (!laterThanSource(held, target, live, context) || !sourceIsBehind(parent, context)) return null;
  return { ...candidate, proof: prove(target, placement, parent, context) };
}

/** Returns the generation that the profile last had, or was spending. */
export function parentOf(placement: Placement, ledger: LedgerState): Generation | undefined {
  return ledger.generations.get(fencedGeneration(placement.fence, ledger) ?? placement.generation);
}

function isOrdered(target: ObservedTarget, { generation, issue }: Identity, { verdict, orders, ledger, live }: Context): boolean {
  if (orders.adopt === null || orders.adopt.store !== target.store) return false;
  if (orders.adopt.profile !== null && orders.adopt.profile !== target.profile) return false;
  if (verdict.kind === "live" && verdict.held.issue === issue) return false;
  if (generation === null || generation === live?.generation) return generation !== null;
  const known = ledger.generations.get(generation);
  // A login that only another source had is as new to this source as an unknown one.
  return known === undefined || (isNewest(ledger, known) && (live === null || !haveCommonFlow(ledger, known.chain, live.chain)));
}

/**
 * Checks whether a target with the live generation is ahead of the source: the source is behind it, or its access token is newer.
 */
function outdatesSource(held: HeldCredential, live: Live, target: ObservedTarget, { verdict, ledger, ends }: Context): boolean {
  if (held.issue !== live.issue) {
    const reissued = !ledger.issues.has(held.issue) && isNewer(endOf(held, target, ends), endOfLive(live, ends), ends);
    return reissued && (verdict.kind === "live" || verdict.kind === "restored");
  }
  switch (verdict.kind) {
    case "held":
      if (verdict.adoptionPending) return true;
      // The ledger does not know this issue: the owner itself wrote it.
      if (verdict.reason !== "source-rolled-back" || !ledger.issues.has(verdict.held.issue)) return false;
      return isMember(verdict.held.generation, live, ledger);
    case "logged-out":
      return !verdict.timeLimit && verdict.replaced !== live.generation && isMember(verdict.replaced, live, ledger);
    case "fenced":
      if (verdict.until !== null || !isMember(verdict.lost, live, ledger)) return false;
      // If the refresh was never sent, the login comes back from a copy, or else from this target.
      return verdict.lost !== live.generation || (verdict.neverSent && verdict.copy === null);
    // The refresh token may be spent, even if an agent still has it.
    case "restored":
    case "missing":
    case "unreadable":
    case "live":
    case "becomes-live":
      return false;
  }
}

function isMember(generation: Fingerprint | null, live: Live, ledger: LedgerState): boolean {
  return generation !== null && ledger.generations.get(generation)?.chain === live.chain;
}

/**
 * Checks whether an unknown generation expires later than the source's login and everything in its chain. An old copy from before
 * the ledger is unknown, too.
 */
function laterThanSource(held: HeldCredential, target: ObservedTarget, live: Live, { ledger, verdict, ends }: Context): boolean {
  const end = endOf(held, target, ends);
  if (!isNewer(end, latestEnd(ledger, live, ends, "all"), ends)) return false;
  switch (verdict.kind) {
    case "live":
    case "becomes-live":
    case "held":
      return isNewer(end, ends.of(verdict.held.expiresAt), ends);
    case "logged-out":
    case "fenced":
    case "restored":
      return true;
    case "missing":
    case "unreadable":
      return false;
  }
}

/** The true expiry of a token that credsyncd may have written with a margin. */
export function withoutMargin(held: HeldCredential, target: ObservedTarget): number | null {
  return held.expiresAt === null ? null : held.expiresAt - target.expiryMarginMs;
}

/** When a token that credsyncd may have written with a margin ends. */
export function endOf(held: HeldCredential, target: ObservedTarget, ends: Ends): End {
  return ends.of(withoutMargin(held, target));
}

/** Checks whether one expiry is later than another. If the other one is unknown, an expiry that is not over counts as later. */
export function isNewer(end: End, than: End, ends: Ends): boolean {
  return than === null ? end !== null && !ends.isOver(end) : isLater(end, than);
}

/**
 * Checks whether the source may still be where the agent was at its refresh: at the parent, before it, or logged out from there.
 */
function sourceIsBehind(parent: Generation, { verdict, ledger }: Context): boolean {
  switch (verdict.kind) {
    case "live":
      return atOrBefore(verdict.held.generation, parent, ledger);
    // A new access token under the live refresh token is the owner's own write, of this very moment.
    case "becomes-live":
      return verdict.reason === "rotation";
    case "held":
      if (verdict.reason !== "source-rolled-back" || verdict.provenSignIn) return false;
      return ledger.issues.has(verdict.held.issue) && atOrBefore(verdict.held.generation, parent, ledger);
    case "logged-out":
      return !verdict.timeLimit && atOrBefore(verdict.replaced, parent, ledger);
    case "fenced":
      return verdict.until === null && atOrBefore(verdict.lost, parent, ledger);
    case "restored":
      return atOrBefore(verdict.lost, parent, ledger);
    case "missing":
    case "unreadable":
      return false;
  }
}

/**
 * Checks whether a generation is the parent or earlier. Generations that credsyncd wrote to the source do not count as its
 * progress.
 */
function atOrBefore(generation: Fingerprint | null, parent: Generation, ledger: LedgerState): boolean {
  const known = generation === null ? undefined : ledger.generations.get(generation);
  return known !== undefined && known.chain === parent.chain && ownSequence(known, ledger) <= parent.sequence;
}

/** The place in the chain of the last generation up to this one that the source's own program brought. */
function ownSequence(generation: Generation, ledger: LedgerState): number {
  const adopted = new Set<number>();
  for (const member of ledger.generations.values()) {
    if (member.chain === generation.chain && member.adopted) adopted.add(member.sequence);
  }
  let { sequence } = generation;
  while (sequence > 1 && adopted.has(sequence)) sequence -= 1;
  return sequence;
}

type ProofContext = Pick<Context, "verdict" | "ledger" | "live" | "ends" | "now">;

/** Why what a profile holds is surely the next generation after the one it was last known to hold, or null (rule R5a). */
export function prove(
  target: ObservedTarget,
  placement: Placement,
  parent: Generation,
  { verdict, ledger, live, ends, now }: ProofContext,
): Proof | null {
  if (relateAccounts(target.account, live?.account ?? null) === "same") return "same-account";
  if (settledRefresh(placement.fence, parent, now)) return "refresh-fence";
  if (verdict.kind === "logged-out" && verdict.replaced !== null) {
    const lost = ledger.generations.get(verdict.replaced);
    if (lost?.fingerprint === parent.fingerprint) return "source-lost-parent";
    if (lost?.chain === parent.chain && ownSequence(lost, ledger) === parent.sequence) return "source-lost-parent";
  }
  // Once held, it stays held: that the parent's end draws near later says nothing of when the login changed.
  const wasHeld = ledger.holds.get(placementKey(target.store, target.profile)) === "target-newer";
  const parentEnd = ends.of(parent.end.expiresAt, parent.end.recordedAt);
  const atExpiry = parentEnd !== null && now >= parentEnd - REFRESH_WINDOW_MS && !wasHeld;
  if (target.listed && atExpiry && target.surroundings() === placement.surroundings) return "refreshed-at-expiry";
  return null;
}

/** Checks whether the profile was last seen with a refresh under way that was to spend the parent. */
function settledRefresh(fence: Fence | null, parent: Generation, now: number): boolean {
  // After a failed one only a person brings a new login.
  if (fence === null || fence.failed || fence.spends !== parent.fingerprint) return false;
  return now >= fence.since && now < fence.since + FENCE_PROVES_MS;
}
