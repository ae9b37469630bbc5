import type { Logger } from "pino";
import type { Config } from "../config/load.js";
import { Failure } from "../domain/errors.js";
import { noOrders } from "../domain/observation.js";
import { errnoOf } from "../io/system-error.js";
import { takeRunLock } from "../io/run-lock.js";
import { ReconcileLoop } from "../reconcile/loop.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { Schedule } from "../watch/schedule.js";
import { calm, dueAt, noteActed, noteActing, noteEvent } from "../watch/settle.js";
import { Watcher } from "../watch/watcher.js";
import type { Environment } from "../stores/environment.js";
import { compose, type Composition } from "./compose.js";
import { Reloader } from "./reload.js";
import { Reporter } from "./reporter.js";
import { writeHeartbeat } from "./status.js";

export interface DaemonOptions {
  readonly config: Config;
  /** Reads the configuration again; on a `Failure` the old one stays. */
  readonly reload: () => Promise<Config>;
  /** Calls back whenever the user asks for a reload, until the returned function is called. */
  readonly onReloadRequest: (callback: () => void) => () => void;
  readonly openLog: (config: Config) => Logger;
  readonly environment: Environment;
}

/**
 * Keeps every target in step with the source until the signal is aborted; a write in hand is finished.
 *
 * @throws Failure `busy` when another daemon runs this state directory
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
  try {
    for (;;) {
      await keepInStep(composition, log, reporter, AbortSignal.any([stopping, reloading.signal]));
      if (stopping.aborted) break;
      // A request that comes from here on may be about a file that changed after it was read.
      reloading = new AbortController();
      const next = await reloaded(options, log);
      if (next === null) continue;
      composition = next;
      log = options.openLog(composition.config);
      reporter = new Reporter(log);
    }
    if (lock.lost.aborted)
      throw new Failure("busy", "another credsyncd took the state directory over", "run one daemon a state directory");
    log.info("stopped");
  } finally {
    forget();
    await lock.release();
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

async function keepInStep(
  { config, environment, stateDirectory, reconciler, gateways }: Composition,
  log: Logger,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = environment;
  let burst = calm;

  const onResult = async (result: ReconcileResult): Promise<{ lookAgain: boolean }> => {
    reporter.report(result);
    if (result.writes.some(({ store, error }) => error === null && store.startsWith("openclaw:"))) {
      for (const reloader of reloaders) reloader.request(signal);
    }
    const lookAgain = await watcher.watch(result.observation.files);
    await leaveHeartbeat(stateDirectory, result, log);
    if (!lookAgain) reporter.ready({ stores: result.observation.reads.length, directories: watcher.size });
    return { lookAgain };
  };
  const loop = new ReconcileLoop({
    reconcile: (abort) => reconciler.reconcile(config.policy, noOrders, abort),
    onResult,
    onFailure: (error) => {
      reporter.fail(error);
    },
    dueAt: () => dueAt(burst, config.settle),
    onActing: () => {
      burst = noteActing(burst);
    },
    onActed: () => {
      burst = noteActed(burst, clock.monotonic());
    },
    clock,
    random: Math.random,
  });
  const wake = (): void => {
    burst = noteEvent(burst, clock.monotonic());
    loop.wake();
  };
  const watcher = new Watcher({
    onChange: (path) => {
      log.debug({ path }, "changed");
      wake();
    },
    onError: (error) => {
      log.warn({ reason: error.message, hint: "changes there are seen at the next resync" }, "cannot watch");
    },
  });
  const reloaders = gateways.map((gateway) => new Reloader({ gateway, clock, log }));
  const resync = new Schedule(config.resync, wake);
  try {
    await loop.run(signal);
  } finally {
    await resync.stop();
    await watcher.close();
    await Promise.all(reloaders.map((reloader) => reloader.idle()));
  }
}

/** `status` can do without it, so that a full disk does not stop the daemon. */
async function leaveHeartbeat(stateDirectory: string, result: ReconcileResult, log: Logger): Promise<void> {
  try {
    await writeHeartbeat(stateDirectory, process.pid, result);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    log.debug({ reason: errnoOf(error) }, "status not written");
  }
}
