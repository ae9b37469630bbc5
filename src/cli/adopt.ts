import { loadConfig } from "../config/load.js";
import { compose } from "../app/compose.js";
import { overwrittenBy } from "../app/reload.js";
import { commandEnvironment } from "../app/system.js";
import { Failure } from "../domain/errors.js";
import { displayGeneration } from "../domain/ledger.js";
import type { Orders } from "../domain/observation.js";
import type { Plan } from "../domain/plan.js";
import { isUnfinished, type ReconcileResult } from "../reconcile/reconciler.js";
import { tellGateways } from "./gateways.js";
import { tidily } from "./stuck.js";
import { refuseIfStopped } from "./interruption.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode } from "./output.js";
import { shellWord } from "../domain/shell-word.js";
import { warnOfUnmatched } from "./unmatched.js";
import { NO_STORE_HINT } from "../app/words.js";

export interface AdoptOptions extends CommonOptions {
  readonly profile?: string;
}

/** `credsyncd adopt STORE`: the login that a held target has becomes the source's, and then everyone's. */
export async function adopt(store: string, options: AdoptOptions, signal: AbortSignal): Promise<ExitCode> {
  const environment = commandEnvironment();
  const config = await loadConfig(options.config ?? null, environment);
  const composition = await compose(config, environment, "write");
  const { reconciler } = composition;
  const orders: Orders = { force: new Set(), adopt: { store, profile: options.profile ?? null } };
  refuseUnlessAdoptable(store, options.profile ?? null, await reconciler.preview(config.policy, orders, signal));
  const output = openOutput(options);
  const unmatchedAgents = await warnOfUnmatched(composition, output);
  refuseIfStopped(signal);
  const result = await tidily(composition, output, () => reconciler.reconcile(config.policy, orders, signal));
  const flow = orderedFlow(result);
  const outcome = result.adoptions.find(({ store: written }) => written === flow?.adoption?.into.store);
  if (flow === null || outcome === undefined)
    throw new Failure("busy", `${store} changed meanwhile: nothing was adopted`, "look at it again: credsyncd status");
  const { error } = outcome;
  if (error !== null) throw new Failure("general", error.message, error.hint, error);
  const failed = result.writes.filter((write) => write.error !== null).map((write) => write.store);
  const generation = displayGeneration(result.ledger, flow.live?.generation ?? null);
  const pushed = result.writes.length - failed.length;
  const gateways = await tellGateways(overwrittenBy(result), composition, { output, signal });
  output.result(
    `the source now holds ${generation ?? "it"}, from ${store}; pushed to ${String(pushed)} other ${pushed === 1 ? "store" : "stores"}${failed.length === 0 ? "" : `; not written: ${failed.join(", ")}`}`,
    { schemaVersion: 1, adopted: true, from: store, generation, pushed, failed, unmatchedAgents, gateways },
  );
  if (signal.aborted && isUnfinished(result)) return exitCodes.busy;
  return failed.length === 0 ? exitCodes.done : exitCodes.partial;
}

/** The flow in which the ordered login is adopted. */
function orderedFlow({ plan }: ReconcileResult): Plan | null {
  return plan.flows.find(({ adoption }) => adoption?.candidate.ordered === true) ?? null;
}

function refuseUnlessAdoptable(store: string, profile: string | null, result: ReconcileResult): void {
  const { plan, observation } = result;
  const names = observation.reads.map(({ target }) => target.store.name);
  if (!names.includes(store))
    throw new Failure(
      "usage",
      `there is no store ${store}`,
      names.length === 0 ? NO_STORE_HINT : `stores here: ${names.join(", ")}`,
    );
  if (plan.flows.every(({ source }) => source.kind === "missing" || source.kind === "unreadable")) {
    const { signIn } = observation.inventory.source;
    throw new Failure("source-unavailable", "the source has no login that could be replaced", `sign in there once: ${signIn}`);
  }
  const eligible = plan.flows.flatMap(({ ordered }) => ordered.map(({ target }) => target.profile));
  if (eligible.length > 1)
    throw new Failure(
      "usage",
      `${store} has several logins: ${eligible.join(", ")}`,
      `name one: credsyncd adopt ${shellWord(store)} --profile ID`,
    );
  const [unusable] = plan.flows.flatMap(({ unadoptable }) => unadoptable);
  if (orderedFlow(result) === null && unusable !== undefined)
    throw new Failure(
      "bad-data",
      `the login in ${unusable.profile} of ${store} has no expiry that can be used, so it is not adopted`,
      `have its program renew it, or sign in again; to overwrite it: credsyncd sync --force ${shellWord(store)}`,
    );
  if (orderedFlow(result) === null) {
    const what = profile ?? "any profile";
    throw new Failure(
      "bad-data",
      `${store} has nothing to adopt in ${what}`,
      "only a full login of the source's provider and type that is newer than or unknown to it can be adopted: see credsyncd status",
    );
  }
}
