import { StoreError } from "../domain/errors.js";
import type { Facts, FlowFacts, Windows } from "../domain/conditions.js";
import type { SourceVerdict } from "../domain/source-verdict.js";
import type { StoreName } from "../domain/store.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { refusedAgents } from "./refused.js";
import { namesAround, sourceProfile } from "./words.js";
import type { Config } from "../config/config.js";

/** credsyncd's own state, where an alert is about no other store. */
export const OWN_STATE = "credsyncd";

/** Returns the facts for the alerts from a reconcile, or from a scan without writes. */
export function factsOf(result: ReconcileResult): Facts {
  const { observation, writes, adoptions, brieflyBusy } = result;
  const outcomes = [...writes, ...adoptions].filter(({ store }) => !brieflyBusy.has(store));
  const attempts = [
    ...observation.inventory.findings,
    ...refusedAgents(result),
    ...observation.reads.map(({ target, error }) => ({ store: target.store.name, error })),
    ...outcomes,
  ];
  return {
    flows: flowsOf(result),
    failures: attempts.flatMap(({ store, error }) => (error === null ? [] : [{ store, error }])),
    written: new Set(outcomes.flatMap(({ store, error }) => (error === null ? [store] : []))),
  };
}

function flowsOf(result: ReconcileResult): FlowFacts[] {
  const { plan, adoptions } = result;
  const names = namesAround(result.observation.inventory.source, true);
  return plan.flows.map((flow) => {
    const { head, source, adoption, restoration, live, suspect, reports } = flow;
    const failed = adoptions.some(({ store, error }) => store === head.store && error !== null);
    // A failed adoption is an alert of the store itself, and neither a rollback nor a logout.
    const isHealing = adoption !== null || (restoration !== null && !failed);
    const shownProfile = sourceProfile(flow) === "" ? null : head.profile;
    const { store, profile } = head;
    return { store, profile, shownProfile, verdict: source, isHealing, isSuspect: suspect, live, names, reports };
  });
}

/** The facts when a reconcile failed as a whole: what was known stays, and credsyncd itself is in trouble. */
export function factsOfFailure(before: Facts | null, message: string, hint: string | null): Facts {
  const known = before ?? { flows: [], failures: [], written: new Set<StoreName>() };
  const error = new StoreError("io", message, hint ?? "see the log");
  return { ...known, failures: [...known.failures.filter(({ store }) => store !== OWN_STATE), { store: OWN_STATE, error }] };
}

/** Returns the stores that a scan could not judge: a half-written, just changed or refreshing one is in no known state. */
export function undecidedIn({ observation, plan, writes, adoptions, brieflyBusy }: ReconcileResult): Set<StoreName> {
  const undecided = new Set<StoreName>(brieflyBusy);
  for (const { head, source } of plan.flows) if (isUndecided(source)) undecided.add(head.store);
  const attempts = [
    ...observation.reads.map(({ target, error }) => ({ store: target.store.name, error })),
    ...writes,
    ...adoptions,
  ];
  for (const { store, error } of attempts) if (error?.code === "torn" || error?.code === "conflict") undecided.add(store);
  return undecided;
}

function isUndecided(source: SourceVerdict): boolean {
  if (source.kind === "unreadable") return source.torn;
  return (source.kind === "fenced" || source.kind === "held") && source.until !== null;
}

/** How much of keepWarm's time is left when it is taken to have failed. */
const PATIENCE_WITH_WARMTH = 0.75;

/**
 * Returns how long before an expiry the user wants an alert: as configured. If keepWarm renews the login in its last minutes,
 * every login gets that close to its expiry, so only one that keepWarm has not renewed by then is news.
 */
export function alertWindows({ alerts, keepWarm }: Pick<Config, "alerts" | "keepWarm">): Windows {
  const { expiringWithinMs, signInWithinMs } = alerts;
  if (keepWarm === null) return { expiringWithinMs, signInWithinMs };
  return { expiringWithinMs: Math.min(expiringWithinMs, Math.round(keepWarm.beforeMs * PATIENCE_WITH_WARMTH)), signInWithinMs };
}
