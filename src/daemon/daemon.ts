import { join } from "node:path";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import { earliest, toMonotonic } from "../domain/clock.js";
import type { Facts } from "../domain/conditions.js";
import { Failure } from "../domain/errors.js";
import { noOrders } from "../domain/observation.js";
import type { StoreName } from "../domain/store.js";
import { removeOwnLeftovers } from "../io/own-file.js";
import { errnoOf, toFailure } from "../io/system-error.js";
import { takeRunLock } from "../io/run-lock.js";
import { ReconcileLoop } from "../reconcile/loop.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { Schedule } from "../watch/schedule.js";
import { allCalm, dueAt, hasEvents, noteActed, noteActing, noteEvent, ofEach } from "../watch/settle.js";
import { Watcher } from "../watch/watcher.js";
import { expandHome, type Environment } from "../programs/environment.js";
import { compose, type Composition } from "../app/compose.js";
import { DatabaseNews } from "./database-news.js";
import { InterruptedSwitches } from "./interrupted-switches.js";
import type { Lag } from "../app/lag.js";
import { overwrittenBy, Reloader } from "../app/reload.js";
import { factsOf, factsOfFailure, OWN_STATE, undecidedIn, alertWindows } from "../app/alert-facts.js";
import { Alerter, type AlerterPorts } from "./alerter.js";
import { keepWarmAdvice, type KeepWarmAdvice } from "../app/keep-warm-advice.js";
import { KeepWarm, OwnerAtWork } from "./keep-warm.js";
import { replacedLinkText, storesAt } from "../app/replaced-links.js";
import { Metrics, MetricsFile } from "./metrics.js";
import { Reporter } from "./reporter.js";
import { Restarts } from "./restarts.js";
import { openSupervisor, type Supervisor } from "./sd-notify.js";
import { statusLine } from "./status-line.js";
import { readLags, writeHeartbeat } from "../app/status.js";
import { leaveStuck } from "../app/stuck.js";

export interface DaemonOptions {
  readonly config: Config;
  /** Reads the configuration again; on a `Failure` the old one stays. */
  readonly reload: () => Promise<Config>;
  /** Calls back whenever the user asks for a reload, until the returned function is called. */
  readonly onReloadRequest: (callback: () => void) => () => void;
  readonly openLog: (config: Config) => Logger;
  /** Says one line to a person. */
  readonly sayAlert: AlerterPorts["say"];
  readonly environment: Environment;
  /** The variables by which a supervisor says how to tell it things (sd_notify(3)). */
  readonly supervisor: Readonly<Record<string, string | undefined>>;
}

/**
 * Keeps every target in sync with the source until the signal aborts; it finishes a write under way.
 *
 * @throws Failure `busy` if another daemon runs this state directory
 */
export async function runDaemon(options: DaemonOptions, signal: AbortSignal): Promise<void> {
  const { environment } = options;
  let reloading = new AbortController();
  const forget = options.onReloadRequest(() => {
    reloading.abort();
  });
  let composition = await compose(options.config, environment, "write");
  const lock = await takeRunLock(composition.stateDirectory, environment.clock, signal);
  const stopping = AbortSignal.any([signal, lock.lost]);
  let log = options.openLog(composition.config);
  let reporter = new Reporter(log);
  const supervisor = openSupervisor({
    variables: options.supervisor,
    pid: process.pid,
    clock: environment.clock,
    onFailure: (reason) => {
      log.warn({ reason, hint: "install systemd's programs, or give the unit Type=exec" }, "cannot tell systemd");
    },
    onLate: (lateMs) => {
      log.error({ durationMs: Math.round(lateMs), hint: "the watchdog starts the daemon again" }, "a reconcile hangs");
    },
  });
  stopping.addEventListener("abort", () => {
    supervisor.stopping();
  });
  const metrics = new Metrics(environment.clock.now());
  const owner = new OwnerAtWork();
  warnOfKeepWarm(composition, log);
  try {
    await removeStateLeftovers(composition, stopping);
    for (;;) {
      const voices = { log, reporter, supervisor, metrics, sayAlert: options.sayAlert };
      await keepInStep({ ...composition, ...voices, owner }, AbortSignal.any([stopping, reloading.signal]));
      if (stopping.aborted) break;
      supervisor.reloading();
      // A request that comes from here on may be about a file that changed after it was read.
      reloading = new AbortController();
      const next = await reloaded(options, log);
      if (next === null) continue;
      composition = next;
      log = options.openLog(composition.config);
      reporter = new Reporter(log);
      warnOfKeepWarm(composition, log);
    }
    if (owner.isBusy) log.info("waiting for the end of keepWarm's command");
    await owner.idle();
    if (lock.lost.aborted)
      throw new Failure("busy", "another credsyncd took the state directory over", "run one daemon a state directory");
    log.info("stopped");
  } finally {
    forget();
    reporter.stuck(await leaveStuck(composition));
    await lock.release();
    await supervisor.close();
  }
}

/** Once for each configuration: what keeps keepWarm from renewing the login. */
function warnOfKeepWarm({ config, environment }: Pick<Composition, "config" | "environment">, log: Logger): void {
  for (const { what, why, fix } of keepWarmAdvice(config, environment.variables))
    log.warn({ reason: what, why, hint: fix }, "keepWarm may not renew the login");
}

function obstacleOf({ config, environment }: Pick<Composition, "config" | "environment">): KeepWarmAdvice | null {
  return keepWarmAdvice(config, environment.variables).find(({ explainsNoEffect }) => explainsNoEffect) ?? null;
}

/** Under the run lock and the state lock no other process writes there. */
async function removeStateLeftovers({ environment, lock, stateDirectory }: Composition, signal: AbortSignal): Promise<void> {
  try {
    await lock.withLock(signal, () => {
      const { leftovers } = environment.predecessors;
      for (const directory of [stateDirectory, join(stateDirectory, "backups")]) removeOwnLeftovers(directory, leftovers);
      return Promise.resolve();
    });
  } catch (error) {
    // A command is at work for long, or the disk is full: the next start does it.
    if (!(error instanceof Failure)) throw error;
  }
}

/** @returns null for a bad new configuration, which is reported and keeps the old one */
async function reloaded({ reload, openLog, environment }: DaemonOptions, log: Logger): Promise<Composition | null> {
  try {
    const next = await compose(await reload(), environment, "write");
    openLog(next.config).info({ path: next.config.path }, "configuration reloaded");
    return next;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    log.error({ reason: error.message, hint: error.hint }, "configuration not reloaded");
    return null;
  }
}

interface Running extends Composition {
  readonly log: Logger;
  readonly reporter: Reporter;
  readonly supervisor: Supervisor;
  readonly metrics: Metrics;
  readonly sayAlert: AlerterPorts["say"];
  readonly owner: OwnerAtWork;
}

async function keepInStep(running: Running, signal: AbortSignal): Promise<void> {
  const { config, environment, reconciler, gateways, log, reporter, supervisor, metrics, owner } = running;
  const { clock } = environment;
  const interrupted = new InterruptedSwitches(running, log);
  let bursts = allCalm;
  let isResync = false;
  let last: ReconcileResult | null = null;
  const restarts = new Restarts(gateways);
  let restarted: ReadonlySet<StoreName> = new Set();

  let leaving = Promise.resolve();
  /** One after the other, so that the file ends as the last one says. */
  const leaveStatus = (): Promise<void> => {
    leaving = leaving.then(async () => {
      const lags = reloaders.flatMap(({ lag }) => (lag === null ? [] : [lag]));
      if (last !== null) await leaveHeartbeat(running, last, lags);
    });
    return leaving;
  };

  const onResult = async (result: ReconcileResult): Promise<{ lookAgain: boolean }> => {
    restarted = await restarts.storesToRetry(result.plan);
    reporter.report(result);
    reportReplacedLinks(running, result);
    news.looked({ isDecided: result.writes.length === 0 && result.adoptions.length === 0 });
    last = result;
    const overwritten = overwrittenBy(result);
    if (overwritten !== null) for (const reloader of reloaders) reloader.request(overwritten, signal);
    const lookAgain = await watcher.watch(result.observation.files);
    environment.databases.keepOnly(result.observation.files);
    keepWarm?.observe(result);
    metrics.observe(result);
    await tell(factsOf(result), undecidedIn(result));
    await leaveStatus();
    supervisor.status(() => statusLine(result, clock.now()));
    if (!lookAgain) {
      reporter.ready({ stores: result.observation.reads.length, directories: watcher.size });
      supervisor.ready();
    }
    return { lookAgain: lookAgain || restarted.size > 0 };
  };
  const onFailure = async (caught: unknown): Promise<void> => {
    const error = toFailure(caught);
    news.looked({ isDecided: false });
    reporter.fail(error);
    supervisor.status(() => (error instanceof Error ? error.message : "the reconcile failed"));
    metrics.observeFailure();
    if (error instanceof Failure) await tell(factsOfFailure(alerter.facts, error.message, error.hint), new Set());
  };
  const tell = async (facts: Facts, undecided: ReadonlySet<string>): Promise<void> => {
    await alerter.observe({ facts, undecided, others: keepWarm?.conditions ?? [], isResync });
    isResync = false;
    await metricsFile?.write(metrics.render({ alerts: alerter.counts(), keepWarm: keepWarm?.runs ?? null }));
  };
  const loop = new ReconcileLoop({
    reconcile: async (postponed, abort, untilNews) => {
      const { changed, settled } = await interrupted.settle(abort);
      if (changed) for (const reloader of reloaders) reloader.request({ endsAt: null }, signal);
      const orders = { ...noOrders, restarted, postponed };
      restarted = new Set();
      const result = await reconciler.reconcile(config.policy, orders, abort, untilNews);
      const stuck = environment.predecessors.removeStuck();
      reporter.stuck(stuck);
      return settled && stuck.length === 0 ? result : { ...result, failed: new Map([...result.failed, [OWN_STATE, "locked"]]) };
    },
    onResult,
    onFailure,
    hasEvents: () => hasEvents(bursts),
    dueAt: () => {
      const settledAt = earliest(dueAt(bursts.source, config.settle), dueAt(bursts.others, config.settle));
      return earliest(settledAt, toMonotonic(alerter.wakeAt, clock));
    },
    onActing: () => {
      bursts = ofEach(bursts, noteActing);
      news.looking();
    },
    onActed: () => {
      const now = clock.monotonic();
      bursts = ofEach(bursts, (burst) => noteActed(burst, now));
    },
    clock,
    random: Math.random,
  });
  const wake = (path: string | null = null): void => {
    const kind = path !== null && isOfSource(path) ? "source" : "others";
    bursts = { ...bursts, [kind]: noteEvent(bursts[kind], clock.monotonic()) };
    loop.wake();
  };
  const isOfSource = (path: string): boolean =>
    last?.observation.inventory.source.stores.some((store) => store.path === path) === true;
  const news = new DatabaseNews({
    databases: environment.databases,
    onNews: (path) => {
      log.debug({ path }, "changed");
      wake(path);
    },
  });
  const watcher = new Watcher({
    onChange: (path, what) => {
      if (what === "content" && news.takes(path)) return;
      log.debug({ path }, "changed");
      wake(path);
    },
    onRefused: (directory, error) => {
      const hint = "it is looked at every few seconds instead; if it is the limit: sysctl fs.inotify.max_user_watches=1048576";
      log.warn({ path: directory, reason: error.message, hint }, "cannot watch a directory");
    },
    onError: (error) => {
      log.warn({ reason: error.message, hint: "changes there are seen at the next resync" }, "cannot watch");
    },
  });
  const reloaders = gateways.map((gateway) => new Reloader({ gateway, clock, log, onChange: () => void leaveStatus() }));
  const lags = await readLags(running.stateDirectory);
  for (const reloader of reloaders) reloader.resume(lags, signal);
  const alerter = await Alerter.open(alerterPorts(running, signal));
  const keepWarm =
    config.keepWarm === null
      ? null
      : new KeepWarm({
          ...config.keepWarm,
          owner,
          variables: environment.variables,
          obstacle: obstacleOf(running),
          clock,
          log,
          wake,
        });
  const onResync = (): void => {
    isResync = true;
    wake();
  };
  const resync = new Schedule(config.resync, onResync, clock);
  const metricsFile = config.metricsFile === null ? null : new MetricsFile(expandHome(config.metricsFile, environment.home), log);
  const stopped = new AbortController();
  const warming = keepWarm?.run(AbortSignal.any([signal, stopped.signal]));
  try {
    supervisor.watch(loop);
    await loop.run(signal);
  } finally {
    stopped.abort();
    await resync.stop();
    watcher.close();
    news.close();
    await Promise.all([warming, alerter.close(), ...reloaders.map((reloader) => reloader.idle())]);
    await leaving;
  }
}

/** Once, when it is first seen: who follows what the link led to is left behind. */
function reportReplacedLinks({ known, log }: Running, { observation }: ReconcileResult): void {
  for (const link of known.takeNewlyReplaced()) {
    const { what, why, fix } = replacedLinkText(link, storesAt(link.target, observation));
    log.warn({ store: link.store, path: link.target, reason: what, why, hint: fix }, "link replaced by a file");
  }
}

function alerterPorts(
  { config, environment, stateDirectory, ledger, lock, log, sayAlert }: Running,
  signal: AbortSignal,
): AlerterPorts {
  const { repeatEveryMs, command } = config.alerts;
  return {
    stateDirectory,
    leftovers: environment.predecessors.leftovers,
    windows: alertWindows(config),
    repeatEveryMs,
    command,
    variables: environment.variables,
    clock: environment.clock,
    log,
    say: sayAlert,
    record: async (events) => {
      try {
        await lock.withLock(signal, () => ledger.append(events));
      } catch (error) {
        // The history lacks a line, but the alert itself was reported.
        if (!(error instanceof Failure)) throw error;
        log.debug({ reason: error.message }, "alert not recorded");
      }
    },
  };
}

/** `status` can do without it, so that a full disk does not stop the daemon. */
async function leaveHeartbeat(
  { stateDirectory, environment, log }: Running,
  result: ReconcileResult,
  lags: readonly Lag[],
): Promise<void> {
  try {
    await writeHeartbeat(stateDirectory, environment.predecessors.leftovers, { pid: process.pid, result, lags });
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    log.debug({ reason: errnoOf(error) }, "status not written");
  }
}
