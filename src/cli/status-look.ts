import type { Composition } from "../app/compose.js";
import { absentGateways } from "../app/absent-gateway.js";
import { stillLagging } from "../app/lag.js";
import { alertsNow } from "../app/status-alerts.js";
import type { StatusReport } from "../app/status-report.js";
import { readDaemonStatus, statusOf } from "../app/status.js";
import { findSplitBrains } from "../app/hosts.js";
import { noOrders } from "../domain/observation.js";
import type { FilesOfALook } from "../io/regular-file.js";
import { runningDaemon } from "../io/run-lock.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";

/** Everything as it is at one moment. */
export interface StatusLook {
  readonly result: ReconcileResult;
  readonly report: StatusReport;
  /** Epoch ms. */
  readonly now: number;
}

/** Scans every store, and asks nobody else. @param files the cache of files of the composition */
export async function lookNow(composition: Composition, files: FilesOfALook): Promise<StatusLook> {
  files.forget();
  const { config, environment, stateDirectory, gateways, reconciler, ledger } = composition;
  const now = environment.clock.now();
  const { daemon, lags } = await readDaemonStatus(stateDirectory, (await runningDaemon(stateDirectory, now))?.pid ?? null);
  const result = await reconciler.preview(config.policy, noOrders, new AbortController().signal);
  const alerts = await alertsNow(result, config, stateDirectory, daemon.running, ledger, now);
  const splitBrain = await findSplitBrains(composition, result.observation.inventory);
  const lagging = await stillLagging(lags, gateways, now);
  const report = await statusOf(
    result,
    config,
    { daemon, lags: lagging, absentGateways: await absentGateways(gateways), alerts, splitBrain },
    now,
  );
  return { result, report, now };
}
