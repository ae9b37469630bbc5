/** How much the log says, the most first: pino's levels. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

export type LogLevel = (typeof logLevels)[number];

/** The level for `-v` (at least debug) and `-q` (at most warnings), which take nothing from what the configuration wants already. */
export function logLevelFor(
  { verbose = false, quiet = false }: { readonly verbose?: boolean; readonly quiet?: boolean },
  configured: LogLevel,
): LogLevel {
  const saysMore = (one: LogLevel, other: LogLevel): boolean => logLevels.indexOf(one) < logLevels.indexOf(other);
  if (verbose) return saysMore(configured, "debug") ? configured : "debug";
  return quiet && saysMore(configured, "warn") ? "warn" : configured;
}
