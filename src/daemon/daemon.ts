import { join } from "node:path";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import { Failure } from "../domain/errors.js";
import { removeOwnLeftovers } from "../io/own-file.js";
import { takeRunLock } from "../io/run-lock.js";
import type { Environment } from "../programs/environment.js";
import { compose, type Composition } from "../app/compose.js";
import type { AlerterPorts } from "./alerter.js";
import { keepInStep } from "./keep-in-step.js";
import { OwnerAtWork } from "./keep-warm.js";
import { Metrics } from "./metrics.js";
import { warnOfKeepWarm } from "./observers/keep-warm.js";
import { Reporter } from "./reporter.js";
import { openSupervisor } from "./sd-notify.js";
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
