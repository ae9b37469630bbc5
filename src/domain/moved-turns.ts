import type { Credential } from "./credential.js";
import { writtenEnd, type LedgerState, type Live } from "./ledger.js";
import type { ObservedTarget, Orders } from "./observation.js";
import { hold, knownGeneration, type TargetReport } from "./target-verdict.js";
import { sentOf } from "./turn.js";

interface Pushed {
  readonly credential: Credential;
  readonly live: Live;
  readonly ledger: LedgerState;
  readonly orders: Orders;
  /** Epoch ms. */
  readonly now: number;
}

/**
 * Puts on hold each write into a shared store that would make a pinned agent's next turn send the pushed login instead of its own
 * (rule R7). A pinned agent keeps its login, although credsyncd does not touch its store.
 */
export function keepPinnedTurns(reports: readonly TargetReport[], pushed: Pushed): readonly TargetReport[] {
  const pinned = reports.flatMap(({ target }) => (isOwnLogin(target, pushed) ? [target] : []));
  if (pinned.length === 0) return reports;
  return reports.map((report) => {
    const { target, verdict } = report;
    if (verdict?.kind !== "write" || pushed.orders.force.has(target.store)) return report;
    const moved = pinned.filter((own) => isMoved(own, target, pushed)).map(({ store }) => store);
    return moved.length === 0 ? report : { target, verdict: hold("moves-pinned", "moves-pinned", moved.join(", ")) };
  });
}

/** A copy of the pushed login is no account of its own. */
function isOwnLogin({ binding, overruledBy, held }: ObservedTarget, { ledger, live }: Pushed): boolean {
  if (binding !== "pinned" || overruledBy == null || held.kind !== "credential") return false;
  return knownGeneration(held, ledger)?.chain !== live.chain;
}

function isMoved(own: ObservedTarget, shared: ObservedTarget, { credential, live, now }: Pushed): boolean {
  const { overruledBy } = own;
  if (overruledBy?.store !== shared.store || own.profile !== shared.profile) return false;
  const { comparesAccounts } = overruledBy;
  if (sentOf(own, shared, now, comparesAccounts) !== "own") return false;
  const expiresAt = writtenEnd(live, shared.expiryMarginMs);
  const held = { kind: "credential", credential, generation: live.generation, issue: live.issue, expiresAt } as const;
  return sentOf(own, { held, account: shared.account ?? live.account }, now, comparesAccounts) === "inherited";
}
