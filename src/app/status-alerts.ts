import type { Config } from "../config/config.js";
import { advanceAlerts, alertKey, isActive, type Alert, type Condition } from "../domain/alerts.js";
import { conditionsOf } from "../domain/conditions.js";
import type { LedgerEvent } from "../domain/ledger.js";
import type { StoreName } from "../domain/store.js";
import type { LedgerFile } from "../io/ledger-file.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { factsOf, OWN_STATE, undecidedIn, alertWindows } from "./alert-facts.js";
import { readAlerts } from "./alert-memory.js";
import { wordsFor } from "./alert-words.js";
import type { StatusAlert } from "./status-report.js";

/**
 * Returns the alerts that are active now, with or without a daemon. The daemon's memory supplies those that need time to be
 * known; the scan supplies all others.
 *
 * @param result of a scan without writes
 * @param isRunning true if the daemon's memory is up to date
 */
export async function alertsNow(
  result: ReconcileResult,
  config: Config,
  stateDirectory: string,
  isRunning: boolean,
  ledger: Pick<LedgerFile, "events">,
  now: number,
): Promise<StatusAlert[]> {
  const remembered = await readAlerts(stateDirectory);
  const { conditions } = conditionsOf(factsOf(result), alertWindows(config), now);
  // This scan writes nothing, so it cannot know whether the planned writes would succeed.
  const undecided = new Set([...undecidedIn(result), ...toBeWritten(result)]);
  const { alerts } = advanceAlerts(remembered, { conditions, undecided, isResync: false }, config.alerts.repeatEveryMs, now);
  const present = new Map(conditions.map((condition) => [alertKey(condition), condition]));
  const known = new Map(remembered.map((alert) => [alertKey(alert), alert]));
  // An alert that no daemon remembers did not begin with this scan.
  const isRemembered = (alert: Alert): boolean => known.get(alertKey(alert))?.resolvedAt === null;
  const isOfUnknownAge = (alert: Alert): boolean => present.get(alertKey(alert))?.startedAt === null && !isRemembered(alert);
  const active = alerts.filter(isActive);
  const events = active.some(isOfUnknownAge) ? await ledger.events() : [];
  return active.flatMap((alert): StatusAlert[] => {
    const { kind, store, profile } = alert;
    const condition = present.get(alertKey(alert));
    if (condition !== undefined) {
      const { severity } = condition;
      const since = isOfUnknownAge(alert) ? heldSince(condition, events) : alert.since;
      // The caller shows its age beside it.
      return [{ kind, store, profile, severity, since: iso(since), ...wordsFor(condition, now, now) }];
    }
    // No look at the stores shows it, or this one could not judge: then the daemon knows.
    const said = known.get(alertKey(alert));
    const isKnownToDaemon = isRunning && (kind === "keep-warm-failed" || store === OWN_STATE || undecided.has(store));
    if (said?.goneSince !== null || !isKnownToDaemon) return [];
    const { severity, message, hint } = said;
    return [{ kind, store, profile, severity, since: iso(alert.since), message, hint }];
  });
}

function toBeWritten({ plan }: ReconcileResult): StoreName[] {
  return plan.flows.flatMap(({ writes, adoption, restoration }) => [
    ...writes.map(({ target }) => target.store),
    ...[adoption, restoration].flatMap((mend) => (mend === null ? [] : [mend.into.store])),
  ]);
}

/** When (epoch ms) a hold was recorded that lasts still; null for what the ledger tells no time of. */
function heldSince({ kind, reason, store, profile }: Condition, events: readonly LedgerEvent[]): number | null {
  const last = events.findLast(
    (event) => event.kind === "hold" && event.store === store && (profile === null || event.profile === profile),
  );
  // A compacted ledger has the hold, but not its time.
  const isSame = last?.kind === "hold" && [kind, reason].includes(last.reason);
  return isSame && last.at > 0 ? last.at : null;
}

function iso(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
