import { formatDuration } from "../domain/duration.js";
import { placementKey } from "../domain/ledger.js";
import type { Plan } from "../domain/plan.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { refusedAgents } from "../app/refused.js";
import { unusedProfiles } from "../app/unused.js";

/** Describes the result of a reconcile in one line: `12 stores in sync, next expiry in 3 h 12 min`. */
export function statusLine(result: ReconcileResult, now: number): string {
  const troubles = new Set(result.plan.flows.flatMap((flow) => sourceWords(flow) ?? []));
  return [...troubles, storeWords(result), ...expiryWords(result, now)].join(", ");
}

function sourceWords({ source, adoption, restoration }: Plan): string | null {
  switch (source.kind) {
    case "missing":
      return "nobody is signed in";
    case "logged-out":
      return adoption === null ? "the source is logged out" : null;
    case "unreadable":
      return source.torn ? null : `the source is unreadable: ${source.reason}`;
    case "fenced":
      return adoption === null && source.until === null ? "the source's refresh failed" : null;
    case "restored":
      return adoption === null && restoration === null ? "the source's refresh failed" : null;
    case "held":
      return adoption === null && source.until === null ? `the source is held: ${source.reason}` : null;
    case "live":
    case "becomes-live":
      return null;
  }
}

type StoreState = "error" | "held" | "behind" | "in-sync" | "unused" | "separate";

const worstFirst: readonly StoreState[] = ["error", "held", "behind", "in-sync", "unused", "separate"];

function storeWords(result: ReconcileResult): string {
  const count = { error: 0, held: 0, behind: 0, "in-sync": 0, unused: 0, separate: 0 };
  for (const state of storeStates(result)) count[state] += 1;
  const others = [
    ...(count.behind > 0 ? [`${String(count.behind)} behind`] : []),
    ...(count.held > 0 ? [`${String(count.held)} held`] : []),
    ...(count.unused > 0 ? [`${String(count.unused)} that OpenClaw does not use`] : []),
    ...(count.error > 0 ? [`${String(count.error)} with errors`] : []),
  ];
  const total = count["in-sync"] + count.behind + count.held + count.unused + count.error;
  const stores = total === 1 ? "store" : "stores";
  const inSync = others.length === 0 ? String(total) : `${String(count["in-sync"])} of ${String(total)}`;
  return [`${inSync} ${stores} in sync`, ...others].join(", ");
}

/** A store is as its worst profile is; what was just written is in sync. */
function storeStates(result: ReconcileResult): StoreState[] {
  const { plan, observation, writes } = result;
  const byStore = new Map<string, StoreState>();
  const note = (store: string, state: StoreState): void => {
    const known = byStore.get(store) ?? "separate";
    byStore.set(store, worstFirst.indexOf(state) < worstFirst.indexOf(known) ? state : known);
  };
  for (const { store, error } of observation.inventory.findings) if (error !== null) note(store, "error");
  for (const { target, error } of observation.reads) if (error !== null) note(target.store.name, "error");
  for (const { store } of refusedAgents(result)) note(store, "error");
  const unused = unusedProfiles(result);
  const outcomes = new Map(writes.map(({ store, error }) => [store, error]));
  for (const { target, verdict } of plan.reports) {
    switch (verdict?.kind) {
      case "in-sync":
        note(target.store, unused.has(placementKey(target.store, target.profile)) ? "unused" : "in-sync");
        break;
      case "hold":
        note(target.store, "held");
        break;
      case "drift":
        note(target.store, "behind");
        break;
      case "write":
        note(target.store, writtenState(outcomes.get(target.store)));
        break;
      case "absent":
      case "unrelated":
      case undefined:
        break;
    }
  }
  return [...byStore.values()];
}

function writtenState(outcome: ReconcileResult["writes"][number]["error"] | undefined): StoreState {
  if (outcome === undefined) return "behind";
  return outcome === null ? "in-sync" : "error";
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
