import type { Facts } from "../domain/conditions.js";
import { targetState } from "../domain/describe/target.js";
import type { StoreName } from "../domain/store.js";

export type StoreState = "in-sync" | "drift" | "held" | "error";

const mildestFirst: readonly StoreState[] = ["in-sync", "drift", "held", "error"];

/** Returns the state of each store that follows: that of its worst profile. A profile that was just written is in sync. */
export function storeStates({ flows, failures, written }: Facts): Map<StoreName, StoreState> {
  const states = new Map<StoreName, StoreState>();
  const note = (store: StoreName, state: StoreState): void => {
    const known = states.get(store) ?? "in-sync";
    states.set(store, mildestFirst.indexOf(state) > mildestFirst.indexOf(known) ? state : known);
  };
  for (const { reports } of flows)
    for (const report of reports) {
      const { store } = report.target;
      const state = targetState(report);
      if (report.verdict?.kind === "write" && written.has(store)) note(store, "in-sync");
      else if (state === "in-sync" || state === "drift" || state === "held") note(store, state);
    }
  for (const { store } of failures) note(store, "error");
  return states;
}
