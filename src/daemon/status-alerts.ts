import type { Config } from "../config/config.js";
import { advanceAlerts, alertKey, isActive } from "../domain/alerts.js";
import { conditionsOf } from "../domain/conditions.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { factsOf, OWN_STATE, undecidedIn } from "./alert-facts.js";
import { readAlerts } from "./alert-memory.js";
import { wordsFor } from "./alert-words.js";
import { alertWindows } from "./alerter.js";
import type { StatusAlert } from "./status-report.js";

/**
 * The alerts that hold at this moment, whether or not a daemon runs to tell them. What needs time to be known comes from
 * what the daemon remembers; everything else from the look itself.
 *
 * @param result of a mere look
 * @param isRunning whether the daemon's word is that of now
 */
export async function alertsNow(
  result: ReconcileResult,
  config: Config,
  stateDirectory: string,
  isRunning: boolean,
  now: number,
): Promise<StatusAlert[]> {
  const remembered = await readAlerts(stateDirectory);
  const { conditions } = conditionsOf(factsOf(result), alertWindows(config), now);
  const undecided = undecidedIn(result);
  const { alerts } = advanceAlerts(remembered, { conditions, undecided, isResync: false }, config.alerts.repeatEveryMs, now);
  const present = new Map(conditions.map((condition) => [alertKey(condition), condition]));
  const known = new Map(remembered.map((alert) => [alertKey(alert), alert]));
  return alerts.filter(isActive).flatMap((alert): StatusAlert[] => {
    const { kind, store, profile } = alert;
    const since = new Date(alert.since).toISOString();
    const condition = present.get(alertKey(alert));
    if (condition !== undefined) {
      return [{ kind, store, profile, severity: condition.severity, since, ...wordsFor(condition, alert.since, now) }];
    }
    // No look at the stores shows it, or this one could not judge: then the daemon knows.
    const said = known.get(alertKey(alert));
    const isKnownToDaemon = isRunning && (kind === "keep-warm-failed" || store === OWN_STATE || undecided.has(store));
    if (said?.goneSince !== null || !isKnownToDaemon) return [];
    return [{ kind, store, profile, severity: "warning", since, message: said.message, hint: said.hint }];
  });
}
