import type { Config } from "../config/config.js";
import { loadConfig } from "../config/load.js";
import { logLevelFor } from "../config/log-level.js";
import { runDaemon } from "../daemon/daemon.js";
import { LineWriter } from "../daemon/line-writer.js";
import { openAlertLine, openLog } from "../daemon/log.js";
import { systemEnvironment } from "../app/system.js";
import { exitCodes, type CommonOptions, type ExitCode } from "./output.js";

/** How long the last lines may wait for a reader that stalls (ms). */
const LAST_WORDS_MS = 1000;

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
  const [stdout, stderr] = [new LineWriter(process.stdout), new LineWriter(process.stderr)];
  try {
    await runDaemon(
      {
        config: await load(),
        reload: load,
        onReloadRequest: (callback) => {
          process.on("SIGHUP", callback);
          return () => process.off("SIGHUP", callback);
        },
        openLog: ({ log }) => {
          const format = options.json === true ? "json" : log.format;
          const surroundings = { variables: process.env, isTerminal: process.stdout.isTTY };
          return openLog(logLevelFor(options, log.level), format, surroundings, stdout);
        },
        sayAlert: openAlertLine(process.env, stderr),
        environment,
        supervisor: process.env,
      },
      stop.signal,
    );
  } finally {
    await Promise.all([stdout, stderr].map((writer) => writer.flush(LAST_WORDS_MS)));
  }
  return exitCodes.done;
}
