import { placementKey } from "../domain/ledger.js";
import type { StoreName } from "../domain/store.js";
import { sentOf } from "../domain/turn.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import type { TargetReport } from "../domain/target-verdict.js";

/** The store whose login of a profile's id its agent's next turn sends; null for none. */
export type SendsFrom = (report: TargetReport) => StoreName | null;

/** Returns the login that every agent's next turn would send, which need not be its own store's. */
export function turnsIn({ observation, plan }: ReconcileResult, now: number): SendsFrom {
  const overruledBy = new Map(observation.reads.map(({ target }) => [target.store.name, target.origin.overruledBy ?? null]));
  const rows = new Map(plan.reports.map(({ target }) => [placementKey(target.store, target.profile), target]));
  return ({ target: own }) => {
    const other = overruledBy.get(own.store) ?? null;
    const inherited = other === null ? null : (rows.get(placementKey(other.store, own.profile)) ?? null);
    switch (sentOf(own, inherited, now, other?.comparesAccounts)) {
      case "own":
        return own.store;
      case "inherited":
        return inherited?.store ?? null;
      case "nothing":
        return null;
    }
  };
}
