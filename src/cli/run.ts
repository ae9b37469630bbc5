import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { logLevelFor } from "../config/log-level.js";
import { runDaemon } from "../daemon/daemon.js";
import { openAlertLine, openLog } from "../daemon/log.js";
import { systemEnvironment } from "../daemon/system.js";
import { exitCodes, type CommonOptions, type ExitCode } from "./output.js";

/** `credsyncd run`: the daemon in the foreground. */
export async function run(options: CommonOptions): Promise<ExitCode> {
  const environment = systemEnvironment();
  const load = (): Promise<Config> => loadConfig(options.config ?? null, environment);
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    // Not `once`: packages that tidy up at an end take a signal without listeners for one that ends the process at once.
    process.on(name, () => {
      stop.abort();
    });
  }
  await runDaemon(
    {
      config: await load(),
      reload: load,
      onReloadRequest: (callback) => {
        process.on("SIGHUP", callback);
        return () => process.off("SIGHUP", callback);
      },
      openLog: ({ log }) =>
        openLog(logLevelFor(options, log.level), options.json === true ? "json" : log.format, {
          variables: process.env,
          isTerminal: process.stdout.isTTY,
        }),
      sayAlert: openAlertLine(process.env),
      environment,
      supervisor: process.env,
    },
    stop.signal,
  );
  return exitCodes.done;
}
