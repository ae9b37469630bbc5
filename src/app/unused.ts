import { placementKey } from "../domain/ledger.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";

/** A followed profile that its program lists and never uses. */
export interface UnusedProfile {
  readonly store: StoreName;
  readonly profile: ProfileId;
  readonly explanation: string;
  readonly hint: string;
}

/** Every profile that gets the login, or has it, in a store whose program never uses it; by `placementKey`. */
export function unusedProfiles(result: ReconcileResult): Map<string, UnusedProfile> {
  const found = new Map<string, UnusedProfile>();
  const unusedIn = new Map(result.observation.reads.map(({ target }) => [target.store.name, target.unused]));
  for (const { target, verdict } of result.plan.reports) {
    if (verdict?.kind !== "in-sync" && verdict?.kind !== "write" && verdict?.kind !== "drift") continue;
    const { store, profile } = target;
    const instead = unusedIn.get(store)?.get(profile);
    if (instead === undefined) continue;
    const explanation = `this OpenClaw does not use this profile: since 2026.8.1 it sends no login under ${profile}`;
    found.set(placementKey(store, profile), { store, profile, explanation, hint: hintFor(store, instead, result) });
  }
  return found;
}

/** The step after which its agents send the login. */
function hintFor(store: StoreName, instead: ProfileId, { observation, plan, ledger }: ReconcileResult): string {
  const { inventory, reads } = observation;
  const from = reads.find(({ target }) => target.store.name === store)?.target.origin.inheritsFrom ?? null;
  const used = plan.reports.find(({ target }) => target.profile === instead && (target.store === store || target.store === from));
  switch (used?.verdict?.kind) {
    case "in-sync":
    case "write":
    case "drift":
      return `its agents send ${instead}, which follows as well; OpenClaw removes this one with: openclaw doctor --fix`;
    case "hold":
    case "unrelated":
      return `decide about ${instead} in ${used.target.store}, which its agents send: credsyncd status`;
    case "absent":
    case undefined:
      break;
  }
  if (inventory.source.selection.kind === "same-id")
    return `sign in to OpenClaw under another id, such as ${instead}, and name that one in the config of credsyncd`;
  const owner = reads.find(({ target }) => target.store.name === (from ?? store))?.target;
  if (owner?.creation == null)
    return `let credsyncd make ${instead}, which its agents send: set create: "when-provider-missing" in its config, then: credsyncd sync`;
  return ledger.placements.has(placementKey(owner.store.name, instead))
    ? `have ${instead}, which its agents send, made again: credsyncd sync --force ${owner.store.name}`
    : `its agents send ${instead}: sign in to OpenClaw under that id`;
}
