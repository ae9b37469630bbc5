import type { Composition } from "../daemon/compose.js";
import { stillLagging } from "../daemon/lag.js";
import { alertsNow } from "../daemon/status-alerts.js";
import type { StatusReport } from "../daemon/status-report.js";
import { readDaemonStatus, statusOf } from "../daemon/status.js";
import { findSplitBrains } from "../daemon/switching.js";
import { noOrders } from "../domain/observation.js";
import { runningDaemon } from "../io/run-lock.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { calm, dueAt, noteEvent } from "../watch/settle.js";
import { Watcher } from "../watch/watcher.js";

/** What times on the screen may be behind (ms). */
const REDRAW_MS = 5000;

/** Everything as it is at one moment. */
export interface StatusLook {
  readonly result: ReconcileResult;
  readonly report: StatusReport;
  /** Epoch ms. */
  readonly now: number;
}

/** Looks at every store, and asks nobody else. */
export async function lookNow(composition: Composition): Promise<StatusLook> {
  const { config, environment, stateDirectory, gateways, reconciler } = composition;
  const now = environment.clock.now();
  const { daemon, lags } = await readDaemonStatus(stateDirectory, (await runningDaemon(stateDirectory, now))?.pid ?? null);
  const result = await reconciler.preview(config.policy, noOrders, new AbortController().signal);
  const alerts = await alertsNow(result, config, stateDirectory, daemon.running, now);
  const splitBrain = await findSplitBrains(composition);
  const lagging = await stillLagging(lags, gateways, now);
  const report = await statusOf(result, config, { daemon, lags: lagging, alerts, splitBrain }, now);
  return { result, report, now };
}

/** Shows a look whenever something changed, and the times as they pass, until the user interrupts it. */
export async function watchStatus(composition: Composition, show: (look: StatusLook) => void): Promise<void> {
  const { clock } = composition.environment;
  const changes = new Changes(composition);
  const watcher = new Watcher({
    onChange: () => {
      changes.note();
    },
    onRefused: () => undefined,
    // The next redraw shows what changed.
    onError: () => undefined,
  });
  const { signal } = changes.interrupted;
  try {
    while (!signal.aborted) {
      changes.forget();
      const look = await lookNow(composition);
      const isMissing = await watcher.watch([...look.result.observation.files, ...ownFiles(composition)]);
      if (isMissing) continue;
      show(look);
      await changes.wait(clock.monotonic() + REDRAW_MS);
    }
  } finally {
    watcher.close();
  }
}

/** What changed since the last look, and whether the user has seen enough. */
class Changes {
  readonly interrupted = new AbortController();
  readonly #composition: Composition;
  #burst = calm;
  #wake: () => void = () => undefined;

  constructor(composition: Composition) {
    this.#composition = composition;
    const stop = (): void => {
      this.interrupted.abort();
      this.#wake();
    };
    for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, stop);
    // Who read it went away.
    process.stdout.on("error", stop);
  }

  note(): void {
    this.#burst = noteEvent(this.#burst, this.#composition.environment.clock.monotonic());
    this.#wake();
  }

  forget(): void {
    this.#burst = calm;
  }

  /** Waits until changes have settled, or until a time (ms, monotonic). */
  async wait(until: number): Promise<void> {
    const { environment, config } = this.#composition;
    for (;;) {
      const due = Math.min(dueAt(this.#burst, config.settle) ?? until, until);
      const leftMs = due - environment.clock.monotonic();
      if (leftMs <= 0 || this.interrupted.signal.aborted) return;
      const woken = new AbortController();
      this.#wake = () => {
        woken.abort();
      };
      await environment.clock.sleep(leftMs, woken.signal);
    }
  }
}

/** What the daemon tells in passing. */
function ownFiles({ stateDirectory }: Composition): string[] {
  return ["status.json", "alerts.json", "run.lock"].map((name) => `${stateDirectory}/${name}`);
}
