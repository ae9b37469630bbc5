import type { Plan } from "../domain/plan.js";
import type { StoreName } from "../domain/store.js";
import { UNKNOWN_LISTENER, type Gateway } from "../programs/gateway.js";
import { programOf } from "../programs/registry.js";

/**
 * Notices that a gateway has restarted while credsyncd leaves stores of it alone, because it kept undoing the writes. Its new
 * start has read the stores, so one more write may hold.
 */
export class Restarts {
  readonly #gateways: readonly Gateway[];
  /** The listeners when the stores were first left alone, by the gateway's name; null while none is. */
  #before: ReadonlyMap<string, string> | null = null;
  #toRetry: ReadonlySet<StoreName> = new Set();

  constructor(gateways: readonly Gateway[]) {
    this.#gateways = gateways;
  }

  /** Applies the plan of a scan. @returns true if stores must be written once more */
  async observe(plan: Pick<Plan, "reports">): Promise<boolean> {
    this.#toRetry = await this.#storesToRetry(plan);
    return this.#toRetry.size > 0;
  }

  /** @returns the stores to write once more, each time only once */
  take(): ReadonlySet<StoreName> {
    const toRetry = this.#toRetry;
    this.#toRetry = new Set();
    return toRetry;
  }

  async #storesToRetry(plan: Pick<Plan, "reports">): Promise<ReadonlySet<StoreName>> {
    const leftAlone = revertingStores(plan);
    if (leftAlone.size === 0) {
      this.#before = null;
      return leftAlone;
    }
    const before = this.#before;
    const now = await this.#listeners();
    // One that does not listen just now is still known by its last start.
    this.#before = new Map([...(before ?? []), ...now]);
    const isNew = before !== null && [...now].some(([name, listener]) => before.get(name) !== listener);
    return isNew ? leftAlone : new Set();
  }

  async #listeners(): Promise<Map<string, string>> {
    const known = new Map<string, string>();
    for (const { name, listener } of this.#gateways) {
      const who = await listener();
      if (who !== null && who !== UNKNOWN_LISTENER) known.set(name, who);
    }
    return known;
  }
}

function revertingStores({ reports }: Pick<Plan, "reports">): ReadonlySet<StoreName> {
  const stores = new Set<StoreName>();
  for (const { target, verdict } of reports) {
    if (verdict?.kind === "hold" && verdict.reason === "reverting" && programOf(target.store)?.hasGateway === true)
      stores.add(target.store);
  }
  return stores;
}
