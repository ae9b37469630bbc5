import { StoreError } from "../domain/errors.js";
import type { StoreName } from "../domain/store.js";
import type { Observation } from "../reconcile/observe.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";

/** An agent for which its program refuses to work at all. */
export interface RefusedAgent {
  readonly store: StoreName;
  readonly path: string;
  readonly error: StoreError;
}

/**
 * The agents that OpenClaw refuses: each has a file of a former version that was never taken over, and no profile in a database
 * of its own, or inherits from such a one (seen with 2026.9.6). No other profile that they have or would inherit helps them.
 */
export function refusedAgents({ observation }: ReconcileResult): RefusedAgent[] {
  const { reads, inventory } = observation;
  const readOf = new Map(reads.map((read) => [read.target.store.name, read]));
  const refused = new Map<StoreName, string>();
  for (const { store, path, blocks } of inventory.findings) {
    const read = readOf.get(store);
    const isUnknown = read !== undefined && read.snapshot === null;
    if (blocks === true && !isUnknown && (read?.snapshot?.profiles.length ?? 0) === 0) refused.set(store, path);
  }
  for (const { store, from } of heirsIn(observation)) {
    const path = refused.get(from);
    if (path !== undefined && !refused.has(store)) refused.set(store, path);
  }
  return [...refused].map(([store, path]) => {
    const what = `OpenClaw refuses every command of this agent: it has not taken over ${path}`;
    return { store, path, error: new StoreError("malformed", what, "let OpenClaw take it over: openclaw doctor --fix") };
  });
}

/** Every agent that inherits, whether or not it has a store of its own. */
function heirsIn({ reads, inventory }: Observation): { readonly store: StoreName; readonly from: StoreName }[] {
  const withStores = reads.map(({ target }) => ({ store: target.store.name, from: target.origin.overruledBy?.store ?? null }));
  const without = inventory.findings.map(({ store, inheritsFrom }) => ({ store, from: inheritsFrom ?? null }));
  return [...withStores, ...without].flatMap(({ store, from }) => (from === null ? [] : [{ store, from }]));
}
