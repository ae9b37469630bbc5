import { bestProven, findCandidates, findUnadoptable, withoutMargin, type Candidate } from "./candidate.js";
import { mergeAccounts, type Credential, type OauthCredential } from "./credential.js";
import { Ends, longestLifeMs } from "./end.js";
import { Fences } from "./fence.js";
import type { Fingerprint } from "./generation.js";
import {
  flowId,
  foldLedger,
  liveOf,
  placementKey,
  sameTerms,
  statedTerms,
  writtenEnd,
  type AccountEvent,
  type HoldEvent,
  type LedgerEvent,
  type LedgerState,
  type Live,
  type LiveEvent,
  type LiveReason,
  type SuspectEvent,
  type Terms,
} from "./ledger.js";
import { keepPinnedTurns } from "./moved-turns.js";
import type { HeldCredential, ObservedSource, ObservedTarget, Orders, Policy } from "./observation.js";
import { ACCOUNT_SETTLES_MS, heldBySource, judgeSource, type SourceVerdict } from "./source-verdict.js";
import type { ProfileId, Share, StoreName } from "./store.js";
import { judgeTarget, knownGeneration, type TargetReport } from "./target-verdict.js";

export interface PlanInput {
  readonly source: ObservedSource;
  /** The provider of these logins, which tells how long they can last; null where no profile names it. */
  readonly provider: string | null;
  readonly targets: readonly ObservedTarget[];
  readonly ledger: LedgerState;
  readonly policy: Policy;
  readonly orders: Orders;
  /** Stores whose program restarted: credsyncd writes once more what that program undid. */
  readonly restarted: ReadonlySet<StoreName>;
  /** Epoch ms. */
  readonly now: number;
  /** The clock was set, or the computer slept, since the last plan: how long something has lasted is not known. */
  readonly clockJumped: boolean;
}

/** One profile to be given the live credential. */
export interface PlannedWrite {
  /** The place that the credential comes from. */
  readonly from: Place;
  readonly target: ObservedTarget;
  readonly credential: Credential;
  /** How much of the login that is. */
  readonly share: Share;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  readonly backup: boolean;
  /** True if one backup of the overwritten generation is enough, in whichever store: hundreds may have it (rule R17). */
  readonly oneBackup: boolean;
  readonly revert: boolean;
  readonly replaceAccount: boolean;
  readonly create: boolean;
}

/** A profile of a store. */
export interface Place {
  readonly store: StoreName;
  readonly profile: ProfileId;
}

/** A write to the source of the login that an agent's program refreshed. */
export interface Adoption {
  /** The place in the source that receives it. */
  readonly into: Place;
  readonly candidate: Candidate;
  readonly credential: OauthCredential;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
  /** The source holds another credential, which is kept in the backups first. */
  readonly backup: boolean;
}

/** A write to the source of the login that its program erased after a failed refresh. */
export interface Restoration {
  readonly into: Place;
  readonly credential: OauthCredential;
  /** Without the refresh token where that may be spent, unless the user ordered it. */
  readonly share: Share;
  readonly expiryMarginMs: number;
  readonly generation: Fingerprint;
  readonly issue: Fingerprint;
}

/** One reconcile's plan for one followed profile of the source and everything that follows it. */
export interface Plan {
  readonly head: ObservedSource;
  readonly source: SourceVerdict;
  /** To be durable before anything is pushed. */
  readonly record: readonly LedgerEvent[];
  readonly adoption: Adoption | null;
  /** Every login that the user's order to adopt may mean. */
  readonly ordered: readonly Candidate[];
  /** Logins that the user's order may mean, but whose expiry cannot be used. */
  readonly unadoptable: readonly ObservedTarget[];
  /** Never beside an adoption, which brings more. */
  readonly restoration: Restoration | null;
  readonly writes: readonly PlannedWrite[];
  readonly reports: readonly TargetReport[];
  /** The live login after `record` is written; null before the first usable login. */
  readonly live: Live | null;
  /** Live may be spent already: a refresh of it failed somewhere, and the answer may be lost. */
  readonly suspect: boolean;
  /** When time alone requires the next scan (epoch ms); null if only a change can matter. */
  readonly wakeAt: number | null;
}

/** Decides everything in one flow: what the source's content means, which agent's rotation to adopt, what each target is given. */
export function planSync(input: PlanInput): Plan {
  const { source, targets, policy, orders, restarted, now } = input;
  const own = source.state === "present" ? [source.observed] : [];
  const fences = new Fences([...own, ...targets.filter(({ binding }) => binding === "follow")], {
    ...input,
    read: [...own, ...targets],
  });
  const ends = new Ends(now, longestLifeMs(input.provider));
  const verdict = judgeSource(source, { ...input, fences, ends });
  const liveBefore = liveOf(input.ledger, source.flow);

  const renaming = accountEvents(verdict, source, input.ledger, liveBefore, now);
  const becoming = [...becomingLive(verdict, source, liveBefore, now), ...renaming];
  // From here on the ledger includes the source's own login, so that every candidate is compared with it.
  const known = becoming.length === 0 ? input.ledger : foldLedger(input.ledger, becoming);
  const liveInSource = liveOf(known, source.flow);
  const sourceAccount = source.state === "present" ? source.observed.account : null;
  const finding = { verdict, sourceAccount, targets, ledger: known, live: liveInSource, orders, ends, now };
  const candidates = findCandidates(finding);
  const chosen = mayAdopt(source, verdict, policy, orders) ? bestProven(candidates, ends) : null;
  const adoption = chosen === null ? null : adopt(chosen, source, verdict, liveInSource);

  const adopting = adoption === null ? [] : adoptionEvents(adoption, source, known, now);
  const liveEvents = [...becoming, ...adopting];
  const ledger = adopting.length === 0 ? known : foldLedger(known, adopting);
  const live = liveOf(ledger, source.flow);
  const suspicion = live === null || ledger.suspects.has(live.generation) ? [] : suspectEvents(live, fences, now);
  const suspect = live !== null && (suspicion.length > 0 || ledger.suspects.has(live.generation));
  const restoration = adoption === null && live !== null ? restore(verdict, source, live, { orders, suspect }) : null;
  const carried = carriedCredential(verdict, adoption, restoration);

  const context = {
    source: verdict,
    ledger,
    live,
    formerAccount: renaming.length === 0 ? null : (liveBefore?.account ?? null),
    suspect,
    wholeAtHand: carried?.type !== "oauth" || carried.refresh !== null,
    fences,
    blocked: carried === null ? blockedBy(verdict) : null,
    liveType: carried?.type ?? null,
    candidates: candidates.filter((candidate) => candidate !== chosen),
    keptFromSource: adoption?.backup === true ? heldGeneration(verdict) : null,
    policy,
    orders,
    restarted,
    ends,
    now,
  };
  const judged = targets.map((target): TargetReport => {
    if (target.binding !== "follow") return { target, verdict: null };
    return { target, verdict: judgeTarget(target, context) };
  });
  const isPushed = carried !== null && live !== null;
  const reports = isPushed ? keepPinnedTurns(judged, { credential: carried, live, ledger, orders, now }) : judged;
  const writes = carried === null || live === null ? [] : plannedWrites(placeOf(source), reports, carried, live, ledger);
  return {
    head: source,
    source: verdict,
    record: [
      ...liveEvents,
      ...suspicion,
      ...fences.events(),
      ...placementEvents(reports, ledger, live, now),
      ...sourceEvents(source, verdict, input.ledger, live, now),
      ...holdEvents(source, verdict, reports, ledger, now),
    ],
    adoption,
    ordered: candidates.filter(({ ordered }) => ordered),
    unadoptable: findUnadoptable(finding),
    restoration,
    writes,
    reports,
    live,
    suspect,
    wakeAt: earliestWake(verdict, reports, fences, now),
  };
}

function becomingLive(verdict: SourceVerdict, source: ObservedSource, before: Live | null, at: number): LiveEvent[] {
  if (verdict.kind !== "becomes-live" || source.state !== "present") return [];
  const { held } = verdict;
  if (held.generation === null) return [];
  const [seen, known] = [source.observed.account, before?.account ?? null];
  // A rotation is no reason to forget what is known of the account.
  const account = verdict.reason === "reissue" || verdict.reason === "rotation" ? mergeAccounts(seen, known) : seen;
  return [
    {
      kind: "live",
      at,
      ...flowOf(source),
      chain: verdict.chain,
      generation: held.generation,
      issue: held.issue,
      expiresAt: held.expiresAt,
      signInEndsAt: held.credential.type === "oauth" ? held.credential.signInEndsAt : null,
      account,
      reason: verdict.reason,
      from: source.store,
      ...(verdict.unproven ? { unproven: true } : {}),
    },
  ];
}

/** Returns events for the live login's account, if the ledger does not know it or knows another e-mail. */
function accountEvents(
  verdict: SourceVerdict,
  source: ObservedSource,
  ledger: LedgerState,
  live: Live | null,
  at: number,
): AccountEvent[] {
  if (verdict.kind !== "live" || source.state !== "present" || live === null) return [];
  // Another flow with the same login reports this one.
  if (ledger.live.get(source.flow) !== live) return [];
  const account = mergeAccounts(source.observed.account, live.account);
  if (account === null || (account.uuid === live.account?.uuid && account.email === live.account.email)) return [];
  return [{ kind: "account", at, ...flowOf(source), account }];
}

/** How a flow is named in an event: the profile alone where that is enough. */
function flowOf({ profile, flow }: ObservedSource): Pick<LiveEvent, "sourceProfile" | "flow"> {
  return flow === flowId(null, profile) ? { sourceProfile: profile } : { sourceProfile: profile, flow };
}

function placeOf({ store, profile }: Place): Place {
  return { store, profile };
}

/** After R5: a refresh of what is live now failed and may have been sent, so that nobody knows whether it is spent. */
function suspectEvents({ generation }: Live, fences: Fences, at: number): SuspectEvent[] {
  const fence = fences.mayHaveSpent(generation);
  if (fence === null) return [];
  return [{ kind: "suspect", at, generation, store: fence.place.store, profile: fence.place.profile }];
}

function mayAdopt(source: ObservedSource, verdict: SourceVerdict, policy: Policy, orders: Orders): boolean {
  if (verdict.kind === "missing" || verdict.kind === "unreadable") return false;
  if (keepsAnotherType(source)) return false;
  // Its program is about to write; what it has under way must not be overwritten, by an order neither.
  if (verdict.kind === "fenced" && verdict.until !== null) return false;
  // The source's login may be the next generation; credsyncd knows in a moment.
  if (verdict.kind === "held" && verdict.reason === "account-unsettled") return false;
  return orders.adopt !== null || policy.onAgentRotation === "adopt";
}

/** A profile never changes its type; Claude Code's login, which is of no provider, is a token or a full login. */
function keepsAnotherType(source: ObservedSource): boolean {
  if (source.state !== "present" || source.observed.provider === null) return false;
  const { held } = source.observed;
  return held.kind === "credential" && held.credential.type !== "oauth";
}

function adopt(candidate: Candidate, source: ObservedSource, verdict: SourceVerdict, live: Live | null): Adoption | null {
  const { held, generation, target } = candidate;
  if (held.credential.type !== "oauth") return null;
  // credsyncd may have added a margin to the expiry there; the ledger has the true one.
  const isLive = generation === live?.generation && held.issue === live.issue;
  const expiresAt = isLive ? live.expiresAt : withoutMargin(held, target);
  return {
    into: placeOf(source),
    candidate,
    credential: { ...held.credential, expiresAt, signInEndsAt: signInEndOf(verdict) ?? live?.signInEndsAt ?? null },
    generation,
    issue: held.issue,
    backup: sourceIsOverwritten(verdict, candidate),
  };
}

/** The end of the sign-in that stands in the source, where an adoption leaves it: the next refresh is compared with it. */
function signInEndOf(verdict: SourceVerdict): number | null {
  const credential = heldBySource(verdict)?.credential;
  return credential?.type === "oauth" ? credential.signInEndsAt : null;
}

/** The proofs are likely, not certain, and a spent login in the backups harms nobody: whatever the source holds is kept. */
function sourceIsOverwritten(verdict: SourceVerdict, candidate: Candidate): boolean {
  const held = heldBySource(verdict);
  return held !== null && held.generation !== candidate.generation;
}

function heldGeneration(verdict: SourceVerdict): Fingerprint | null {
  return heldBySource(verdict)?.generation ?? null;
}

function adoptionEvents(adoption: Adoption, source: ObservedSource, ledger: LedgerState, at: number): LiveEvent[] {
  const { candidate, generation, issue } = adoption;
  const live = liveOf(ledger, source.flow);
  const reason: LiveReason = "adoption";
  if (generation === live?.generation && issue === live.issue) return [];
  const descends = live !== null && candidate.descends;
  return [
    {
      kind: "live",
      at,
      ...flowOf(source),
      chain: descends ? live.chain : (ledger.generations.get(generation)?.chain ?? generation),
      generation,
      issue,
      expiresAt: adoption.credential.expiresAt,
      signInEndsAt: adoption.credential.signInEndsAt,
      account: descends ? (live.account ?? candidate.target.account) : candidate.target.account,
      reason,
      from: candidate.target.store,
    },
  ];
}

/**
 * Plans to put back what a failed refresh took from the source. The whole login comes back from the kept copy if the refresh was
 * never sent, or by the user's order, which says that it is not spent. Otherwise only the access token comes back, once.
 */
function restore(
  verdict: SourceVerdict,
  source: ObservedSource,
  live: Live,
  { orders, suspect }: { readonly orders: Orders; readonly suspect: boolean },
): Restoration | null {
  if (source.state !== "present" || (verdict.kind !== "fenced" && verdict.kind !== "restored")) return null;
  if (verdict.kind === "fenced" && verdict.until !== null) return null;
  const { copy } = verdict;
  if (copy?.credential.type !== "oauth") return null;
  const whole = orders.force.has(source.store) || (verdict.kind === "fenced" && verdict.neverSent && !suspect);
  if (!whole && (verdict.kind === "restored" || verdict.wasRestored)) return null;
  const share: Share = whole ? "full" : "access-only";
  const expiryMarginMs = whole ? 0 : (source.kept?.expiryMarginMs ?? 0);
  const expiresAt = writtenEnd(live, expiryMarginMs);
  return {
    into: placeOf(source),
    credential: { ...copy.credential, refresh: whole ? copy.credential.refresh : null, expiresAt },
    share,
    expiryMarginMs,
    generation: live.generation,
    issue: live.issue,
  };
}

function carriedCredential(
  verdict: SourceVerdict,
  adoption: Adoption | null,
  restoration: Restoration | null,
): Credential | null {
  if (adoption !== null) return adoption.credential;
  if (verdict.kind === "restored") return (verdict.copy ?? verdict.held).credential;
  if (verdict.kind === "fenced") return restoration === null ? null : (verdict.copy?.credential ?? null);
  return verdict.kind === "live" || verdict.kind === "becomes-live" ? verdict.held.credential : null;
}

function blockedBy(verdict: SourceVerdict): string {
  switch (verdict.kind) {
    case "missing":
      return "source-missing";
    case "unreadable":
      return "source-unreadable";
    case "logged-out":
      return "logged-out";
    case "fenced":
    case "held":
      return verdict.reason;
    case "live":
    case "becomes-live":
    case "restored":
      return "source-missing";
  }
}

function plannedWrites(
  from: Place,
  reports: readonly TargetReport[],
  carried: Credential,
  live: Live,
  ledger: LedgerState,
): PlannedWrite[] {
  const writes: PlannedWrite[] = [];
  for (const { target, verdict } of reports) {
    if (verdict?.kind !== "write") continue;
    const former = target.held.kind === "credential" ? target.held.generation : null;
    const isFormer = former !== live.generation && former !== null && ledger.generations.get(former)?.chain === live.chain;
    writes.push({
      from,
      target,
      credential: shareOf(carried, live, verdict.share, target),
      share: verdict.share,
      generation: live.generation,
      issue: live.issue,
      backup: verdict.backup,
      oneBackup: verdict.backup && isFormer,
      revert: verdict.revert,
      replaceAccount: verdict.replaceAccount,
      create: target.held.kind === "absent",
    });
  }
  return writes;
}

/** Returns a target's part of the live credential: all of it, or (access-only) the part that cannot spend the chain. */
function shareOf(credential: Credential, live: Live, share: Share, { expiryMarginMs }: ObservedTarget): Credential {
  const expiresAt = writtenEnd(live, expiryMarginMs);
  switch (credential.type) {
    case "oauth":
      return { ...credential, refresh: share === "full" ? credential.refresh : null, expiresAt };
    case "token":
      return { ...credential, expiresAt };
    case "api_key":
      return credential;
  }
}

/** Targets seen holding something known, where the ledger does not say so yet. */
function placementEvents(reports: readonly TargetReport[], ledger: LedgerState, live: Live | null, at: number): LedgerEvent[] {
  const events: LedgerEvent[] = [];
  for (const { target, verdict } of reports) {
    if (verdict === null || verdict.kind === "write" || verdict.kind === "unrelated") continue;
    const { store, profile, held, surroundings } = target;
    const before = ledger.placements.get(placementKey(store, profile));
    if (held.kind === "stub" && (before?.stub ?? null) === null) {
      events.push({ kind: "stub", at, store, profile, replaced: before?.generation || null, timeLimit: held.timeLimit });
    }
    if (held.kind !== "credential") continue;
    const known = knownGeneration(held, ledger);
    if (known === null || !ledger.issues.has(held.issue)) continue;
    const inSync = verdict.kind === "in-sync";
    const unchanged =
      before?.generation === known.fingerprint &&
      before.issue === held.issue &&
      before.stub === null &&
      before.fence === null &&
      // The record of a profile that credsyncd made came before its surroundings existed.
      before.surroundings !== "" &&
      (!inSync || sameTerms(before.terms, termsOf(target, held)));
    // A placement of the live issue stays while something older is put in its place: that is how a revert is known.
    const reverted = before !== undefined && before.generation === live?.generation && before.issue === live.issue;
    if (unchanged || (reverted && !inSync)) continue;
    events.push({
      kind: "seen",
      at,
      store,
      profile,
      generation: known.fingerprint,
      issue: held.issue,
      surroundings: surroundings(),
      ...statedTerms({ ...termsOf(target, held), ...(inSync ? {} : { expiryMarginMs: 0 }) }),
    });
  }
  return events;
}

/**
 * Returns the terms under which a present login was given: a suspect one goes out without its refresh token, whatever the
 * configuration says.
 */
function termsOf({ share, expiryMarginMs }: ObservedTarget, { credential, generation }: HeldCredential): Terms {
  if (credential.type !== "oauth") return { share, expiryMarginMs };
  return { share: generation === null ? "access-only" : "full", expiryMarginMs };
}

/** Returns the events for the source's content, whatever it is: a later stub is judged by the login that it replaced. */
function sourceEvents(
  source: ObservedSource,
  verdict: SourceVerdict,
  ledger: LedgerState,
  live: Live | null,
  at: number,
): LedgerEvent[] {
  if (source.state !== "present") return [];
  if (verdict.kind === "unreadable" || verdict.kind === "missing" || verdict.kind === "fenced") return [];
  const { store, profile } = source;
  const before = ledger.placements.get(placementKey(store, profile));
  if (verdict.kind === "logged-out") {
    if (before?.stub) return [];
    return [{ kind: "stub", at, store, profile, replaced: verdict.replaced, timeLimit: verdict.timeLimit }];
  }
  const { held } = verdict;
  const generation = verdict.kind === "restored" ? verdict.lost : held.generation;
  if (generation === null) return [];
  const terms: Terms = {
    share: held.generation === null ? "access-only" : "full",
    expiryMarginMs: verdict.kind === "restored" ? marginOf(held, live) : 0,
  };
  const unmarked = before?.stub === null && before.fence === null;
  if (unmarked && before.generation === generation && before.issue === held.issue && sameTerms(before.terms, terms)) return [];
  const surroundings = source.observed.surroundings();
  return [{ kind: "seen", at, store, profile, generation, issue: held.issue, surroundings, ...statedTerms(terms) }];
}

/** How much later than the truth the live access token is said to end. */
function marginOf({ expiresAt }: HeldCredential, live: Live | null): number {
  return expiresAt === null || live?.expiresAt == null ? 0 : expiresAt - live.expiresAt;
}

/** The beginnings and ends of holds, for the history. */
function holdEvents(
  source: ObservedSource,
  verdict: SourceVerdict,
  reports: readonly TargetReport[],
  ledger: LedgerState,
  at: number,
): LedgerEvent[] {
  const now = new Map<string, HoldEvent>();
  const note = (store: StoreName, profile: ProfileId, reason: string | null): void => {
    now.set(placementKey(store, profile), { kind: "hold", at, store, profile, reason });
  };
  note(source.store, source.profile, verdict.kind === "held" && verdict.until === null ? verdict.reason : null);
  for (const { target, verdict: judged } of reports)
    note(target.store, target.profile, judged?.kind === "hold" ? judged.reason : null);
  return [...now].flatMap(([key, event]) => (event.reason === (ledger.holds.get(key) ?? null) ? [] : [event]));
}

function earliestWake(verdict: SourceVerdict, reports: readonly TargetReport[], fences: Fences, now: number): number | null {
  const waits = reports.flatMap((report) =>
    report.verdict?.kind === "drift" && report.verdict.until !== null ? [report.verdict.until] : [],
  );
  const times = [...waits, ...fences.ends()];
  if (verdict.kind === "held" && verdict.until !== null) times.push(verdict.until);
  // The file that names the account may follow, and may name another one.
  if (verdict.kind === "becomes-live" && verdict.unproven) times.push(now + ACCOUNT_SETTLES_MS);
  return times.length === 0 ? null : Math.min(...times);
}
