import { StoreError } from "../domain/errors.js";
import type { StoreName } from "../domain/store.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";

/** An agent for which its program refuses to work at all. */
export interface RefusedAgent {
  readonly store: StoreName;
  readonly path: string;
  readonly error: StoreError;
}

/**
 * The agents that OpenClaw refuses: each has a file of a former version that was never taken over, and no profile in a database
 * of its own. What they would inherit does not help them.
 */
export function refusedAgents({ observation }: ReconcileResult): RefusedAgent[] {
  const readOf = new Map(observation.reads.map((read) => [read.target.store.name, read]));
  return observation.inventory.findings.flatMap(({ store, path, blocks }) => {
    const read = readOf.get(store);
    const isUnknown = read !== undefined && read.snapshot === null;
    if (blocks !== true || isUnknown || (read?.snapshot?.profiles.length ?? 0) > 0) return [];
    const what = `OpenClaw refuses every command of this agent: it has not taken over ${path}`;
    return [{ store, path, error: new StoreError("malformed", what, "let OpenClaw take it over: openclaw doctor --fix") }];
  });
}
