import { describeSource } from "../domain/describe/source.js";
import { formatDuration } from "../domain/duration.js";
import { placementKey } from "../domain/ledger.js";
import type { Plan } from "../domain/plan.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { factsOf } from "../app/alert-facts.js";
import { storeStates } from "../app/store-states.js";
import { isServed } from "../domain/target-verdict.js";
import type { StoreName } from "../domain/store.js";
import { unusedProfiles } from "../app/unused.js";
import { namesAround } from "../app/words.js";

/** Describes the result of a reconcile in one line: `12 stores in sync, next expiry in 3 h 12 min`. */
export function statusLine(result: ReconcileResult, now: number): string {
  const troubles = new Set(result.plan.flows.flatMap((flow) => sourceTrouble(flow, result) ?? []));
  return [...troubles, storeWords(result), ...expiryWords(result, now)].join(", ");
}

function sourceTrouble(flow: Plan, result: ReconcileResult): string | null {
  const { explanation, severity } = describeSource(flow, namesAround(result.observation.inventory.source, true));
  return severity === null ? null : explanation;
}

function storeWords(result: ReconcileResult): string {
  const count = { error: 0, held: 0, drift: 0, "in-sync": 0, unused: 0 };
  const states = storeStates(factsOf(result));
  const inUse = storesInUse(result);
  for (const [store, state] of states) count[state === "in-sync" && !inUse.has(store) ? "unused" : state] += 1;
  const others = [
    ...(count.drift > 0 ? [`${String(count.drift)} behind`] : []),
    ...(count.held > 0 ? [`${String(count.held)} held`] : []),
    ...(count.unused > 0 ? [`${String(count.unused)} that OpenClaw does not use`] : []),
    ...(count.error > 0 ? [`${String(count.error)} with errors`] : []),
  ];
  const stores = states.size === 1 ? "store" : "stores";
  const inSync = others.length === 0 ? String(states.size) : `${String(count["in-sync"])} of ${String(states.size)}`;
  return [`${inSync} ${stores} in sync`, ...others].join(", ");
}

/** Stores with a profile that gets the login and that its program uses. */
function storesInUse(result: ReconcileResult): Set<StoreName> {
  const unused = unusedProfiles(result);
  const served = result.plan.reports.filter(isServed).map(({ target }) => target);
  return new Set(served.filter(({ store, profile }) => !unused.has(placementKey(store, profile))).map(({ store }) => store));
}

function expiryWords({ plan }: ReconcileResult, now: number): string[] {
  const ends = plan.flows.flatMap(({ live }) => live?.expiresAt ?? []);
  if (ends.length === 0) return [];
  const expiresAt = Math.min(...ends);
  return [
    expiresAt > now ? `next expiry in ${inWords(expiresAt - now)}` : `the access token expired ${inWords(now - expiresAt)} ago`,
  ];
}

/** `3 h 12 min`. */
function inWords(durationMs: number): string {
  return formatDuration(durationMs)
    .replaceAll(/(\d)([a-z])/g, "$1 $2")
    .replaceAll(/ m\b/g, " min");
}
