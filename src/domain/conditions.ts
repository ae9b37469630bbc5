import type { Condition } from "./alerts.js";
import type { Description, Names } from "./describe/description.js";
import { describeSource, describeSuspect } from "./describe/source.js";
import { describeTarget } from "./describe/target.js";
import { isTransient, type StoreError } from "./errors.js";
import type { Live } from "./ledger.js";
import type { HeldCredential } from "./observation.js";
import type { SourceVerdict } from "./source-verdict.js";
import type { ProfileId, StoreName } from "./store.js";
import type { TargetHold, TargetReport } from "./target-verdict.js";

/** The result of one scan for one followed login and everything that follows it. */
export interface FlowFacts {
  readonly store: StoreName;
  readonly profile: ProfileId;
  /** The profile for a person; null where the source has just one, under a name of no meaning to a user. */
  readonly shownProfile: ProfileId | null;
  readonly verdict: SourceVerdict;
  /** The source is being given what it lacks, so that its state is about to be over. */
  readonly isHealing: boolean;
  /** The live login may be spent. */
  readonly isSuspect: boolean;
  readonly live: Live | null;
  readonly names: Names;
  readonly reports: readonly TargetReport[];
}

/** The result of one scan, as far as a person may have to act on it. */
export interface Facts {
  readonly flows: readonly FlowFacts[];
  /** Stores that could not be read, served or written. */
  readonly failures: readonly { readonly store: StoreName; readonly error: StoreError }[];
  /** Stores that were written, so that what was planned for them is done. */
  readonly written: ReadonlySet<StoreName>;
}

/** How long before an expiry the user wants an alert (ms). */
export interface Windows {
  readonly expiringWithinMs: number;
  readonly signInWithinMs: number;
}

export interface Judged {
  readonly conditions: readonly Condition[];
  /** When time alone changes what there is to tell (epoch ms), in no order. */
  readonly changesAt: readonly number[];
}

/** The other edge of the window: what ends later than this much of it is well again. */
const HYSTERESIS = 1.1;

/** Everything that is not as it should be, at a time. */
export function conditionsOf({ flows, failures, written }: Facts, windows: Windows, now: number): Judged {
  const failed = new Set(failures.map(({ store }) => store));
  const conditions = new Map<string, Condition>();
  const changesAt: number[] = [];
  const crowded = crowdedStores(flows);
  for (const flow of flows) {
    for (const condition of sourceConditions(flow, windows, now)) add(conditions, condition);
    for (const report of flow.reports) {
      const condition = targetCondition(report, flow, failed, written);
      if (condition === null) continue;
      const isOneOfMany = report.verdict?.kind === "hold" && crowded.has(condition.store);
      add(conditions, isOneOfMany ? { ...condition, profile: null } : condition);
    }
    changesAt.push(...thresholdsOf(flow, windows));
  }
  for (const failure of failures) add(conditions, failureCondition(failure, flows));
  return { conditions: [...conditions.values()], changesAt: changesAt.filter((at) => at > now) };
}

/** So many held profiles of one store are an alert each; more are one together, whatever ids its program gives them. */
export const MOST_HELD = 10;

/** Returns the stores with too many held profiles for an alert each. */
function crowdedStores(flows: readonly FlowFacts[]): Set<StoreName> {
  const counts = new Map<StoreName, number>();
  for (const { reports } of flows) {
    for (const { target, verdict } of reports)
      if (verdict?.kind === "hold") counts.set(target.store, (counts.get(target.store) ?? 0) + 1);
  }
  return new Set([...counts].flatMap(([store, count]) => (count > MOST_HELD ? [store] : [])));
}

/** One a store, profile and kind; the first one found says enough. */
function add(conditions: Map<string, Condition>, condition: Condition): void {
  const key = JSON.stringify([condition.kind, condition.store, condition.profile]);
  if (!conditions.has(key)) conditions.set(key, condition);
}

const usual = {
  severity: "warning",
  reason: null,
  explanation: null,
  hint: null,
  startedAt: null,
  endsAt: null,
  patience: "none",
  onlyKeeps: false,
} as const;

function sourceConditions(flow: FlowFacts, windows: Windows, now: number): Condition[] {
  const { store, shownProfile: profile, verdict, isHealing, isSuspect, live, names } = flow;
  const place = { ...usual, store, profile, endsAt: live?.expiresAt ?? null };
  const ending = { ...place, hint: `sign in: ${names.signIn}` };
  const isLost = isLosing(flow);
  const restoration = isLost && isHealing ? ({ share: "access-only" } as const) : null;
  const described = describeSource({ head: flow, source: verdict, adoption: null, restoration, suspect: false }, names);
  const state = { ...place, ...worded(described) };
  const suspect = { ...place, ...worded(describeSuspect(names)), kind: "suspect" } as const;
  const doubts: Condition[] = isLost ? [{ ...state, kind: "suspect" }] : isSuspect && live !== null ? [suspect] : [];
  if (isHealing) return doubts;
  switch (verdict.kind) {
    case "missing":
      return [{ ...state, kind: "source-missing" }];
    case "unreadable":
    case "fenced":
      return described.severity === null ? [] : [{ ...state, kind: "source-unreadable" }];
    case "logged-out":
      return [{ ...state, kind: "logged-out", reason: verdict.timeLimit ? "time-limit" : null }];
    case "restored": {
      // The source may state a later expiry than the true one.
      const held = { ...verdict.held, expiresAt: live?.expiresAt ?? verdict.held.expiresAt };
      const ends = endConditions(ending, held, windows, now);
      return [...doubts, ...ends.map((condition) => ({ ...condition, reason: "source-refresh-failed" }))];
    }
    case "held":
      // Nobody receives this login, so it may expire: the agents have another one.
      return verdict.reason === "account-unsettled" ? [] : [{ ...state, kind: verdict.reason }, ...doubts];
    case "live":
    case "becomes-live":
      return [...doubts, ...endConditions(ending, verdict.held, windows, now)];
  }
}

type Place = Omit<Condition, "kind">;

function worded({
  reason,
  explanation,
  hint,
  severity,
}: Description): Pick<Condition, "reason" | "explanation" | "hint" | "severity"> {
  return { reason, explanation, hint, severity: severity ?? "warning" };
}

/** The source's own program lost the live login, of which no more than the access token is put back. */
function isLosing({ verdict }: FlowFacts): boolean {
  if (verdict.kind === "restored") return true;
  return verdict.kind === "fenced" && verdict.until === null && verdict.copy !== null && !verdict.wasRestored;
}

function endConditions(place: Place, held: HeldCredential, windows: Windows, now: number): Condition[] {
  const { expiresAt, signInEndsAt, isRefreshable } = endsOf(held);
  const conditions: Condition[] = [];
  if (expiresAt !== null && expiresAt <= now) {
    const reason = !isRefreshable ? "static" : signInEndsAt !== null && signInEndsAt <= now ? "sign-in-over" : "idle";
    const severity = reason === "idle" ? "warning" : "error";
    conditions.push({ ...place, kind: "expired", severity, reason, startedAt: expiresAt, endsAt: expiresAt });
  } else if (expiresAt !== null && isWithin(expiresAt, windows.expiringWithinMs * HYSTERESIS, now)) {
    const startedAt = expiresAt - windows.expiringWithinMs;
    // Programs renew a login in its last minutes: by then the sign-in must hold still.
    const isLast = signInEndsAt !== null && signInEndsAt <= expiresAt;
    const reason = !isRefreshable ? "static" : isLast ? "sign-in-over" : "idle";
    conditions.push({ ...place, kind: "expiring", reason, startedAt, endsAt: expiresAt, onlyKeeps: startedAt > now });
  }
  if (signInEndsAt !== null && isWithin(signInEndsAt, windows.signInWithinMs * HYSTERESIS, now)) {
    const startedAt = signInEndsAt - windows.signInWithinMs;
    const isOver = signInEndsAt <= now;
    const severity = isOver ? "error" : "warning";
    const reason = isOver ? "over" : null;
    const ends = { startedAt, endsAt: signInEndsAt, onlyKeeps: startedAt > now };
    conditions.push({ ...place, kind: "sign-in-ends", severity, reason, ...ends });
  }
  return conditions;
}

function isWithin(end: number, windowMs: number, now: number): boolean {
  return end - now <= windowMs;
}

interface Ends {
  readonly expiresAt: number | null;
  readonly signInEndsAt: number | null;
  /** True if its owner can get the next access token without a person. */
  readonly isRefreshable: boolean;
}

function endsOf({ credential, expiresAt }: HeldCredential): Ends {
  if (credential.type !== "oauth") return { expiresAt, signInEndsAt: null, isRefreshable: false };
  return { expiresAt, signInEndsAt: credential.signInEndsAt, isRefreshable: credential.refresh !== null };
}

function thresholdsOf({ verdict, live }: FlowFacts, { expiringWithinMs, signInWithinMs }: Windows): number[] {
  if (verdict.kind !== "live" && verdict.kind !== "becomes-live" && verdict.kind !== "restored") return [];
  const ends = endsOf(verdict.held);
  const expiresAt = verdict.kind === "restored" ? (live?.expiresAt ?? null) : ends.expiresAt;
  const { signInEndsAt } = ends;
  return [
    ...(expiresAt === null ? [] : [expiresAt - expiringWithinMs, expiresAt]),
    ...(signInEndsAt === null ? [] : [signInEndsAt - signInWithinMs, signInEndsAt]),
  ];
}

function targetCondition(
  report: TargetReport,
  flow: FlowFacts,
  failed: ReadonlySet<StoreName>,
  written: ReadonlySet<StoreName>,
): Condition | null {
  const { target, verdict } = report;
  const { store, profile } = target;
  const place = { ...usual, store, profile, endsAt: flow.live?.expiresAt ?? null };
  const behind: Condition = { ...place, kind: "drift", reason: "behind", patience: "two-resyncs" };
  switch (verdict?.kind) {
    case undefined:
    case "unrelated":
    case "in-sync":
    case "absent":
      return null;
    case "write":
      return failed.has(store) || written.has(store) ? null : behind;
    case "drift":
      // If the source has no usable login, the alert belongs to the source, not to every agent.
      return isBlocked(flow) ? null : { ...behind, reason: verdict.reason };
    case "hold":
      return heldCondition({ ...place, ...worded(describeTarget(report, flow.names)) }, verdict.reason);
  }
}

function isBlocked({ verdict, isHealing }: FlowFacts): boolean {
  return !isHealing && verdict.kind !== "live" && verdict.kind !== "becomes-live" && verdict.kind !== "restored";
}

function heldCondition(held: Place, reason: TargetHold): Condition {
  switch (reason) {
    case "target-newer":
    case "unknown-origin":
    case "reverting":
    case "logged-out":
      return { ...held, kind: reason };
    case "another-account":
    case "type-mismatch":
    case "provider-mismatch":
    case "incomplete":
    case "moves-pinned":
      return { ...held, kind: "drift", patience: "two-resyncs" };
  }
}

/** Returns the condition for a failure. A transient one, which credsyncd retries, counts only if it lasts. */
function failureCondition({ store, error }: Facts["failures"][number], flows: readonly FlowFacts[]): Condition {
  const mends = isTransient(error.code);
  return {
    ...usual,
    kind: error.code === "unsupported" ? "unsupported-store" : "store-error",
    store,
    profile: null,
    severity: mends ? "warning" : "error",
    reason: failedWrite(store, flows),
    explanation: error.message,
    hint: error.hint,
    patience: mends ? "a-minute" : "none",
  };
}

/** Returns the kind of write that failed: `push` to an agent, or `mend` of the source; null if there was nothing to write. */
function failedWrite(store: StoreName, flows: readonly FlowFacts[]): "push" | "mend" | null {
  if (flows.some((flow) => flow.store === store && flow.verdict.kind !== "unreadable")) return "mend";
  const isBehind = ({ target, verdict }: TargetReport): boolean => target.store === store && verdict?.kind === "write";
  return flows.some(({ reports }) => reports.some(isBehind)) ? "push" : null;
}
