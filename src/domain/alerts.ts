import type { ProfileId, StoreName } from "./store.js";

/** The kinds of alerts, which users see and scripts rely on. */
export const alertKinds = [
  "expiring",
  "expired",
  "sign-in-ends",
  "logged-out",
  "source-missing",
  "source-unreadable",
  "source-rolled-back",
  "account-changed",
  "target-newer",
  "unknown-origin",
  "suspect",
  "reverting",
  "store-error",
  "drift",
  "unsupported-store",
  "keep-warm-failed",
] as const;

export type AlertKind = (typeof alertKinds)[number];

/** `error`: something fails or will for certain; `warning`: a person should look before it does. */
export const severities = ["warning", "error"] as const;

export type Severity = (typeof severities)[number];

/** A problem that one scan found. */
export interface Condition {
  readonly kind: AlertKind;
  readonly store: StoreName;
  readonly profile: ProfileId | null;
  readonly severity: Severity;
  /** One word for scripts and for the choice of words, or null. */
  readonly reason: string | null;
  /** A description of the problem, if the scan knows more than the kind says. */
  readonly explanation: string | null;
  /** A hint for the user, if the scan knows more than the kind says. */
  readonly hint: string | null;
  /** Start of the problem (epoch ms), if the scan knows it; otherwise it starts when credsyncd first sees it. */
  readonly startedAt: number | null;
  /** The end (epoch ms) that it is about, or that the other programs' work has; null for none. */
  readonly endsAt: number | null;
  /** How long the problem must last before credsyncd reports it. A problem that may go away without help gets this time. */
  readonly patience: "none" | "a-minute" | "two-resyncs";
  /** True if the problem is too weak to raise an alert, but keeps an active one: the other edge of a threshold. */
  readonly onlyKeeps: boolean;
}

/** An alert that is pending, active or over. */
export interface Alert {
  readonly kind: AlertKind;
  readonly store: StoreName;
  readonly profile: ProfileId | null;
  /** When the condition began (epoch ms). */
  readonly since: number;
  /** How many resyncs saw it. */
  readonly resyncs: number;
  /** When it was first told (epoch ms); null while its patience lasts. */
  readonly raisedAt: number | null;
  /** When it was last told. */
  readonly saidAt: number | null;
  /** Since when the condition is gone; null while it is there. */
  readonly goneSince: number | null;
  /**
   * When credsyncd reported its end. It remembers the alert for a while, and reports one that comes and goes less and less often.
   */
  readonly resolvedAt: number | null;
  /** How often it was raised lately. */
  readonly raises: number;
}

/** The result of one scan, as far as alerts need it. */
export interface Seen {
  readonly conditions: readonly Condition[];
  /** Stores that the scan could not judge: their alerts stay as they are. */
  readonly undecided: ReadonlySet<StoreName>;
  /** True if the regular resync caused the scan. */
  readonly isResync: boolean;
}

/** `superseded`: it is not over, another alert about the same login or store says now what is wrong. */
export type AlertEvent = "raised" | "repeated" | "resolved" | "superseded";

export interface Notice {
  readonly event: AlertEvent;
  readonly alert: Alert;
  /** Null where it is over. */
  readonly condition: Condition | null;
}

export interface Advanced {
  readonly alerts: readonly Alert[];
  readonly notices: readonly Notice[];
  /** When time alone changes something (epoch ms); null for never. */
  readonly wakeAt: number | null;
}

const MINUTE_MS = 60_000;
const PATIENT_RESYNCS = 2;
/** The numbers come out of thin air: an alert that came back once is over after 10 s, one that keeps coming after half an hour. */
const SETTLE_MS = 10_000;
const SETTLE_FACTOR = 4;
const LONGEST_SETTLE_MS = 30 * MINUTE_MS;
/** So long an alert that is over counts as one that may come and go. */
const REMEMBERED_MS = 60 * MINUTE_MS;

/** A login or store has one alert of these kinds at a time; a later kind says more. */
const EXCLUSIVE: ReadonlySet<AlertKind> = new Set(
  alertKinds.filter((kind) => !["sign-in-ends", "keep-warm-failed", "suspect"].includes(kind)),
);

/** Tells which alert a condition is. */
export function alertKey({ kind, store, profile }: Pick<Condition, "kind" | "store" | "profile">): string {
  return JSON.stringify([kind, store, profile]);
}

/** Checks whether an alert is active: raised, and not resolved. */
export function isActive({ raisedAt, resolvedAt }: Alert): boolean {
  return raisedAt !== null && resolvedAt === null;
}

/** Applies one scan to the alerts. Returns the events to report now, the alerts to remember, and the next time that matters. */
export function advanceAlerts(before: readonly Alert[], seen: Seen, repeatEveryMs: number, now: number): Advanced {
  const conditions = new Map(seen.conditions.map((condition) => [alertKey(condition), condition]));
  const steps: Step[] = [];
  for (const alert of before) {
    const condition = conditions.get(alertKey(alert)) ?? null;
    conditions.delete(alertKey(alert));
    steps.push(condition === null ? gone(alert, seen, now) : present(alert, condition, seen, repeatEveryMs, now));
  }
  for (const condition of conditions.values()) {
    if (!condition.onlyKeeps)
      steps.push(present(newAlert(condition, now), condition, { ...seen, isResync: false }, repeatEveryMs, now));
  }
  const wakes = steps.flatMap(({ wakeAt }) => (wakeAt === null ? [] : [wakeAt]));
  return {
    alerts: steps.flatMap(({ alert }) => (alert === null ? [] : [alert])),
    notices: steps.flatMap(({ notice }) => (notice === null ? [] : [notice])),
    wakeAt: wakes.length === 0 ? null : Math.min(...wakes),
  };
}

interface Step {
  readonly alert: Alert | null;
  readonly notice: Notice | null;
  readonly wakeAt: number | null;
}

function newAlert({ kind, store, profile, startedAt }: Condition, now: number): Alert {
  const unsaid = { raisedAt: null, saidAt: null, goneSince: null, resolvedAt: null };
  return { kind, store, profile, since: startedAt ?? now, resyncs: 0, ...unsaid, raises: 0 };
}

function present(known: Alert, condition: Condition, seen: Seen, repeatEveryMs: number, now: number): Step {
  if (known.resolvedAt !== null) {
    if (condition.onlyKeeps) return { alert: known, notice: null, wakeAt: null };
    return present({ ...newAlert(condition, now), raises: known.raises }, condition, seen, repeatEveryMs, now);
  }
  const since = condition.startedAt ?? known.since;
  const alert: Alert = { ...known, since, goneSince: null, resyncs: known.resyncs + (seen.isResync ? 1 : 0) };
  if (alert.raisedAt === null) {
    if (condition.onlyKeeps || !isPatienceOver(alert, condition, now)) {
      return { alert, notice: null, wakeAt: condition.patience === "a-minute" ? since + MINUTE_MS : null };
    }
    return say("raised", { ...alert, raisedAt: now, raises: alert.raises + 1 }, condition, repeatEveryMs, now);
  }
  const saidAt = alert.saidAt ?? now;
  // A clock that was set back would keep an alert silent for as long.
  if (now >= saidAt + repeatEveryMs || now < saidAt - repeatEveryMs) return say("repeated", alert, condition, repeatEveryMs, now);
  return { alert, notice: null, wakeAt: saidAt + repeatEveryMs };
}

function isPatienceOver({ since, resyncs }: Alert, { patience }: Condition, now: number): boolean {
  switch (patience) {
    case "none":
      return true;
    case "a-minute":
      return now - since >= MINUTE_MS;
    case "two-resyncs":
      return resyncs >= PATIENT_RESYNCS;
  }
}

function say(event: AlertEvent, alert: Alert, condition: Condition, repeatEveryMs: number, now: number): Step {
  const said = { ...alert, saidAt: now };
  return { alert: said, notice: { event, alert: said, condition }, wakeAt: now + repeatEveryMs };
}

function gone(alert: Alert, seen: Seen, now: number): Step {
  const unchanged = { alert, notice: null, wakeAt: null };
  if (alert.resolvedAt !== null) {
    const isFresh = Math.abs(now - alert.resolvedAt) <= REMEMBERED_MS;
    return { ...unchanged, alert: isFresh ? alert : null };
  }
  if (seen.undecided.has(alert.store)) return unchanged;
  if (alert.raisedAt === null) return { ...unchanged, alert: null };
  if (seen.conditions.some((condition) => supersedes(condition, alert))) {
    return { alert: null, notice: { event: "superseded", alert, condition: null }, wakeAt: null };
  }
  const goneSince = alert.goneSince ?? now;
  const settledAt = goneSince + Math.min(SETTLE_MS * SETTLE_FACTOR ** (alert.raises - 1), LONGEST_SETTLE_MS);
  if (now < settledAt && now >= goneSince) return { ...unchanged, alert: { ...alert, goneSince }, wakeAt: settledAt };
  const resolved = { ...alert, goneSince, resolvedAt: now };
  return { alert: resolved, notice: { event: "resolved", alert: resolved, condition: null }, wakeAt: null };
}

/** Checks whether a condition replaces an earlier alert about the same login or store. */
function supersedes(condition: Condition, alert: Alert): boolean {
  if (condition.onlyKeeps || condition.patience === "two-resyncs") return false;
  if (condition.store !== alert.store || !EXCLUSIVE.has(alert.kind) || !EXCLUSIVE.has(condition.kind)) return false;
  return condition.profile === null || alert.profile === null || condition.profile === alert.profile;
}
