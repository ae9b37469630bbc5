import { describe, expect, test } from "vitest";
import { logLevelFor, type LogLevel } from "../../src/config/log-level.js";
import { parseConfig } from "../../src/config/parse.js";

describe("the level of the log", () => {
  test.each(["trace", "debug", "info", "warn", "error", "fatal", "silent"])("may be %s, as pino's", (level) => {
    expect(parseConfig(`{ log: { level: "${level}" } }`, "config.json5").log.level).toBe(level);
  });

  test("is none that pino does not have", () => {
    expect(() => parseConfig(`{ log: { level: "verbose" } }`, "config.json5")).toThrow(/"fatal" or "silent"/);
  });

  test.each<[configured: LogLevel, verbose: LogLevel, quiet: LogLevel]>([
    ["trace", "trace", "warn"],
    ["info", "debug", "warn"],
    ["error", "debug", "error"],
    ["silent", "debug", "silent"],
  ])("%s is %s with -v, and %s with -q", (configured, verbose, quiet) => {
    expect(logLevelFor({ verbose: true }, configured)).toBe(verbose);
    expect(logLevelFor({ quiet: true }, configured)).toBe(quiet);
    expect(logLevelFor({}, configured)).toBe(configured);
  });
});
