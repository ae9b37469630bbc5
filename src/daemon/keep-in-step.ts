import { earliest, toMonotonic } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import { noOrders } from "../domain/observation.js";
import type { StoreName } from "../domain/store.js";
import { toFailure } from "../io/system-error.js";
import type { UntilNews } from "../reconcile/apply.js";
import { ReconcileLoop } from "../reconcile/loop.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { OWN_STATE } from "../app/alert-facts.js";
import { Events } from "./events.js";
import { InterruptedSwitches } from "./interrupted-switches.js";
import type { Observer, Running } from "./observer.js";
import { observeForAlerts } from "./observers/alerts.js";
import { Gateways } from "./observers/gateways.js";
import { observeForKeepWarm } from "./observers/keep-warm.js";
import { observeForLog } from "./observers/log.js";
import { observeForMetrics } from "./observers/metrics.js";
import { StatusFile } from "./observers/status-file.js";
import { observeForSystemd } from "./observers/systemd.js";
import { Restarts } from "./restarts.js";

/** Reconciles under one configuration, and passes every result to the observers, until the signal is aborted. */
export async function keepInStep(running: Running, signal: AbortSignal): Promise<void> {
  const { config, environment, reconciler, log, reporter, supervisor } = running;
  const { clock } = environment;
  const ended = new AbortController();
  const whileRunning = AbortSignal.any([signal, ended.signal]);
  const alerts = await observeForAlerts(running, () => warm.keepWarm?.conditions ?? [], signal);
  const onEvent = (): void => {
    loop.wake();
  };
  const events = new Events({ config, databases: environment.databases, clock, log, onEvent });
  const interrupted = new InterruptedSwitches(running, log);
  const restarts = new Restarts(running.gateways);
  const gateways = new Gateways(running, () => void statusFile.write(), whileRunning);
  const statusFile = new StatusFile(running, () => gateways.lags);
  const wake = (): void => {
    events.wake();
  };
  const warm = observeForKeepWarm(running, wake, whileRunning);
  const metricsContext = () => ({ alerts: alerts.alerter.counts(), keepWarm: warm.keepWarm?.runs ?? null });
  /** In this order: first who must know soon, then who tells what the ones before made of it. */
  const observers: readonly Observer[] = [
    observeForLog(running),
    gateways,
    warm,
    alerts,
    observeForMetrics(running, metricsContext),
    statusFile,
    observeForSystemd(running),
  ];

  const reconcile = async (postponed: ReadonlySet<StoreName>, abort: AbortSignal, untilNews: UntilNews) => {
    const { changed, settled } = await interrupted.settle(abort);
    if (changed) gateways.reload({ endsAt: null });
    const round = { postponed, restarted: restarts.take(), untilNews };
    const result = await reconciler.reconcile(config.policy, noOrders, abort, round);
    const stuck = environment.predecessors.removeStuck();
    reporter.stuck(stuck);
    return settled && stuck.length === 0 ? result : withOwnTrouble(result);
  };
  const loop = new ReconcileLoop({
    reconcile,
    onResult: async (result) => {
      const mayHold = await restarts.observe(result.plan);
      const mayHaveMissed = await events.watch(result);
      const look = { result, isResync: events.takeResync() };
      for (const observer of observers) await observer.observe(look);
      const ready = { stores: result.observation.reads.length, directories: events.directories };
      if (!mayHaveMissed) for (const observer of observers) observer.ready?.(ready);
      return { lookAgain: mayHaveMissed || mayHold };
    },
    onFailure: async (caught) => {
      const failure = toFailure(caught);
      if (!(failure instanceof Failure)) throw failure;
      events.failed();
      const occasion = { isResync: events.takeResync() };
      for (const observer of observers) await observer.observeFailure?.(failure, occasion);
    },
    hasEvents: () => events.hasEvents(),
    dueAt: () => earliest(events.dueAt(), toMonotonic(alerts.alerter.wakeAt, clock)),
    onActing: () => {
      events.acting();
    },
    onActed: () => {
      events.acted();
    },
    clock,
    random: Math.random,
  });
  try {
    await gateways.resume();
    supervisor.watch(loop);
    await loop.run(signal);
  } finally {
    ended.abort();
    await events.close();
    await Promise.all(
      observers.map(async (observer) => {
        await observer.close?.();
      }),
    );
    // A gateway's last word came only now.
    await statusFile.close();
  }
}

function withOwnTrouble(result: ReconcileResult): ReconcileResult {
  return { ...result, failed: new Map([...result.failed, [OWN_STATE, "locked"]]) };
}
