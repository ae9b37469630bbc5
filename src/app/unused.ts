import type { TargetStore, UnsentProvider } from "../domain/inventory.js";
import { placementKey } from "../domain/ledger.js";
import { isServed, type TargetReport } from "../domain/target-verdict.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";

/** A followed profile that its program lists and never uses. */
export interface UnusedProfile {
  readonly store: StoreName;
  readonly profile: ProfileId;
  /** The part of it that keeps its program from using it. */
  readonly reason: "id" | "provider";
  readonly explanation: string;
  readonly hint: string;
}

/** Every profile that gets the login, or has it, in a store whose program never uses it; by `placementKey`. */
export function unusedProfiles(result: ReconcileResult): Map<string, UnusedProfile> {
  const found = new Map<string, UnusedProfile>();
  const targets = new Map(result.observation.reads.map(({ target }) => [target.store.name, target]));
  for (const report of result.plan.reports.filter(isServed)) {
    const { store, profile } = report.target;
    const target = targets.get(store);
    const why = target === undefined ? null : (unusedById(report, target, result) ?? unusedByProvider(report, target));
    if (why !== null) found.set(placementKey(store, profile), { store, profile, ...why });
  }
  return found;
}

/** A followed profile of which the files do not tell whether its program uses it. */
export interface DoubtfulProfile extends UnsentProvider {
  readonly store: StoreName;
  readonly profile: ProfileId;
}

/** Every profile that gets the login, or has it, and is perhaps never used. */
export function doubtfulProfiles(result: ReconcileResult): DoubtfulProfile[] {
  const origins = new Map(result.observation.reads.map(({ target }) => [target.store.name, target.origin]));
  return result.plan.reports.filter(isServed).flatMap(({ target: { store, profile, provider } }) => {
    const origin = origins.get(store);
    if (origin?.versionHint !== null || origin.unsent === undefined || origin.unsent.provider !== provider) return [];
    return [{ store, profile, ...origin.unsent }];
  });
}

type Why = Pick<UnusedProfile, "reason" | "explanation" | "hint">;

function unusedById({ target: { store, profile } }: TargetReport, { unused }: TargetStore, result: ReconcileResult): Why | null {
  const instead = unused?.get(profile);
  if (instead === undefined) return null;
  const explanation = `this OpenClaw does not use this profile: since 2026.8.1 it sends no login under ${profile}`;
  return { reason: "id", explanation, hint: hintFor(store, instead, result) };
}

function unusedByProvider({ target }: TargetReport, { store, origin: { unsent, versionHint } }: TargetStore): Why | null {
  if (unsent === undefined || versionHint === null || target.provider !== unsent.provider) return null;
  const { provider, instead, until } = unsent;
  const rule = `before ${until} it sends no login of provider ${provider}`;
  return {
    reason: "provider",
    explanation: `this OpenClaw does not use this profile: ${rule}, and ${versionHint} wrote openclaw.json`,
    hint: `stop its gateway, give this profile "provider": "${instead}" in ${store.path}, and start the gateway again`,
  };
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
