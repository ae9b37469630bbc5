import { expandHome } from "../../programs/environment.js";
import { MetricsFile, type MetricsContext } from "../metrics.js";
import type { Observer, Running } from "../observer.js";

/** Counts what the daemon does, and writes it down where the configuration names a file. */
export function observeForMetrics(
  { metrics, config, environment, log }: Pick<Running, "metrics" | "config" | "environment" | "log">,
  context: () => MetricsContext,
): Observer {
  const file = config.metricsFile === null ? null : new MetricsFile(expandHome(config.metricsFile, environment.home), log);
  const write = async (): Promise<void> => {
    await file?.write(metrics.render(context()));
  };
  return {
    observe: async ({ result }) => {
      metrics.observe(result);
      await write();
    },
    observeFailure: async () => {
      metrics.observeFailure();
      await write();
    },
  };
}
