import { describe, expect, test } from "vitest";
import { defaults } from "../../src/config/config.js";
import { configPath, loadConfig } from "../../src/config/load.js";
import { parseConfig } from "../../src/config/parse.js";
import { configShapeOf } from "../../src/config/schema.js";
import { programs } from "../../src/programs/registry.js";
import { systemEnvironment } from "../../src/app/system.js";
import { Failure } from "../../src/domain/errors.js";
import type { Environment } from "../../src/programs/environment.js";

const PATH = "/etc/credsyncd.json5";

function failureOf(text: string): Failure {
  try {
    parseConfig(text, PATH);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

function environment(variables: Readonly<Record<string, string>>): Environment {
  return { ...systemEnvironment(), home: "/home/me", variables };
}

describe("a bad configuration", () => {
  test.each([
    ["an unknown key", `{ agent: {} }`, /unknown key "agent" at the top level/, /did you mean "agents"\?/],
    ["an unknown nested key", `{ settle: { quietMS: 1 } }`, /unknown key "quietMS" at settle/, /did you mean "quietMs"\?/],
    [
      "an unknown key of a later target",
      `{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dri: "x" }] }`,
      /unknown key "dri" at targets\.1/,
      /did you mean "dir"\?/,
    ],
    ["an unknown key that is like no other", `{ zzzzzzzz: 1 }`, /unknown key "zzzzzzzz" at the top level/, /remove it/],
    ["a wrong type", `{ settle: { quietMs: "fast" } }`, /settle\.quietMs must be a whole number/, /config schema/],
    ["a wrong type at the top", `[]`, /the top level must be of type object/, /config schema/],
    ["a wrong word", `{ agents: { main: "folow" } }`, /agents\.main must be "follow", "pinned" or "ignore"/, /config schema/],
    [
      "a duration without its unit",
      `{ alerts: { expiringWithin: "60" } }`,
      /alerts\.expiringWithin must be a duration/,
      /config schema/,
    ],
    [
      "a number for a duration",
      `{ alerts: { expiringWithin: 60 } }`,
      /alerts\.expiringWithin must be of type string/,
      /config schema/,
    ],
    [
      "a number out of range",
      `{ settle: { capMs: -1 } }`,
      /settle\.capMs must be a whole number of milliseconds, from 0 to 600000/,
      /config schema/,
    ],
    ["a cron expression that is none", `{ resync: "often" }`, /resync must be a cron expression/, /config schema/],
    [
      "a kind of store that does not exist",
      `{ targets: [{ kind: "codex" }] }`,
      /targets\.0\.kind must be "claude-code" or "openclaw"$/,
      /config schema/,
    ],
    [
      "a source of a kind that does not exist",
      `{ source: { kind: "codex" } }`,
      /source\.kind must be "claude-code" or "openclaw"$/,
      /config schema/,
    ],
    ["a source that is a text", `{ source: "claude-code" }`, /source must be of type object/, /config schema/],
    ["a target without its directory", `{ targets: [{ kind: "claude-code" }] }`, /targets\.0\.dir must be/, /config schema/],
    [
      "a share that does not exist",
      `{ targets: [{ kind: "openclaw", share: "half" }] }`,
      /targets\.0\.share must be "full" or "access-only"/,
      /config schema/,
    ],
    [
      "a margin beyond an hour",
      `{ targets: [{ kind: "openclaw", expiryMargin: "61m" }] }`,
      /targets\.0\.expiryMargin must be a duration of at most an hour/,
      /config schema/,
    ],
    [
      "a margin without its unit",
      `{ targets: [{ kind: "openclaw", expiryMargin: "5" }] }`,
      /targets\.0\.expiryMargin must be a duration/,
      /config schema/,
    ],
    [
      "a mistyped margin",
      `{ targets: [{ kind: "openclaw", expiryMargins: "5m" }] }`,
      /unknown key "expiryMargins" at targets\.0/,
      /did you mean "expiryMargin"\?/,
    ],
    [
      "an OpenClaw that is a target twice",
      `{ targets: [{ kind: "openclaw" }, { kind: "openclaw", share: "access-only" }] }`,
      /targets\.1 is the same as targets\.0/,
      /take one of them out/,
    ],
    [
      "a directory that is a target twice",
      `{ targets: [{ kind: "claude-code", dir: "~/box" }, { kind: "openclaw" }, { kind: "claude-code", dir: "~/box", share: "full" }] }`,
      /targets\.2 is the same as targets\.0/,
      /take one of them out/,
    ],
    [
      "a command that is a text",
      `{ alerts: { command: "mail me" } }`,
      /alerts\.command must be a command as an array/,
      /config schema/,
    ],
    [
      "a command without a program",
      `{ keepWarm: { command: [] } }`,
      /keepWarm\.command\.0 must be of type string/,
      /config schema/,
    ],
    [
      "alerts without a pause",
      `{ alerts: { repeatEvery: "10s" } }`,
      /alerts\.repeatEvery must be a duration of at least a minute/,
      /config schema/,
    ],
    [
      "metrics for nobody",
      `{ metrics: { textfile: "credsyncd.txt" } }`,
      /metrics\.textfile must be the absolute path/,
      /config schema/,
    ],
    ["a mistyped keepWarm", `{ keepWarm: { comand: ["x"] } }`, /unknown key "comand" at keepWarm/, /did you mean "command"\?/],
    ["an empty text", `{ profiles: [""] }`, /profiles\.0 must be a text that is not empty/, /config schema/],
    ["a missing bracket", `{\n  bind: "listed",\n  agents: {\n`, /is not JSON5 at line 4/, /missing comma, quote or bracket/],
    ["an empty file", ``, /is not JSON5 at line 1/, /./],
  ])("with %s is refused by name and place, with a hint", (_what, text, message, hint) => {
    const failure = failureOf(text);
    expect(failure.code).toBe("config");
    expect(failure.message.startsWith(PATH)).toBe(true);
    expect(failure.message).toMatch(message);
    expect(failure.hint).toMatch(hint);
  });
});

describe("the binding of an agent", () => {
  const { bindingOf } = parseConfig(
    `{ agents: { "scratch-*": "ignore", "scratch-1": "pinned", "*-1": "follow", "hr-{a,b}": "pinned" } }`,
    PATH,
  );

  test.each([
    ["main", "follow", "nothing names it"],
    ["scratch-1", "pinned", "an exact name beats a pattern, wherever it stands"],
    ["scratch-2", "ignore", "a pattern matches"],
    ["other-1", "follow", "a later pattern matches"],
    ["scratch-x-1", "ignore", "the first of two patterns counts"],
    ["hr-b", "pinned", "patterns know alternatives"],
    ["constructor", "follow", "names that every object has are no agents"],
  ])("of %s is %s: %s", (agent, binding) => {
    expect(bindingOf(agent)).toBe(binding);
  });
});

describe("the place of the configuration", () => {
  test.each([
    [null, {}, "/home/me/.config/credsyncd/config.json5", false],
    [null, { XDG_CONFIG_HOME: "/xdg" }, "/xdg/credsyncd/config.json5", false],
    [null, { XDG_CONFIG_HOME: "" }, "/home/me/.config/credsyncd/config.json5", false],
    [null, { CREDSYNCD_CONFIG: "~/mine.json5", XDG_CONFIG_HOME: "/xdg" }, "/home/me/mine.json5", true],
    ["/named.json5", { CREDSYNCD_CONFIG: "~/mine.json5" }, "/named.json5", true],
  ])("for --config %s and %j is %s", (option, variables, path, named) => {
    expect(configPath(option, environment(variables))).toEqual({ path, named });
  });

  test("may be empty, unless the user named it", async () => {
    const nowhere = environment({ XDG_CONFIG_HOME: "/does/not/exist" });
    expect(await loadConfig(null, nowhere)).toMatchObject({ path: null, file: { profiles: ["anthropic:claude-cli"] } });
    await expect(loadConfig("/does/not/exist.json5", nowhere)).rejects.toThrow(/there is no such file/);
  });

  test("says the same where it is empty as where it is not there", () => {
    expect(defaults).toEqual(configShapeOf(programs).parse({}));
  });
});

describe("a configuration", () => {
  test("says in milliseconds what the file says with units", () => {
    const { alerts } = parseConfig(`{ alerts: { expiringWithin: "1h 30m", signInWithin: "2d", repeatEvery: "90m" } }`, PATH);
    const millis = { expiringWithinMs: 5_400_000, signInWithinMs: 172_800_000, repeatEveryMs: 5_400_000 };
    expect(alerts).toEqual({ ...millis, command: null });
  });

  test("runs nothing and writes no metrics by default", () => {
    expect(parseConfig("{}", PATH)).toMatchObject({
      alerts: { command: null, repeatEveryMs: 21_600_000 },
      keepWarm: null,
      metricsFile: null,
    });
    const text = `{
      alerts: { command: ["notify-send", "credsyncd"] },
      keepWarm: { command: ["claude", "mcp", "list"] },
      metrics: { textfile: "~/metrics/credsyncd.prom" },
    }`;
    expect(parseConfig(text, PATH)).toMatchObject({
      alerts: { command: ["notify-send", "credsyncd"] },
      keepWarm: { command: ["claude", "mcp", "list"], beforeMs: 240_000 },
      metricsFile: "~/metrics/credsyncd.prom",
    });
  });

  test.each([
    ['command: ["claude", "mcp", "list"], before: "1h"', 300_000],
    ['command: ["/opt/bin/claude", "auth", "status"], before: "5m 1s"', 300_000],
    ['command: ["claude", "mcp", "list"], before: "3m"', 180_000],
    ['command: ["my-own"], before: "1h"', 3_600_000],
  ])("starts Claude Code no sooner than it renews a login: %s", (keepWarm, beforeMs) => {
    expect(parseConfig(`{ keepWarm: { ${keepWarm} } }`, PATH).keepWarm).toMatchObject({ beforeMs });
  });

  test("gives another Claude Code directory no refresh token by default", () => {
    const { targets } = parseConfig(
      `{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "/a" }, { kind: "claude-code", dir: "/b", share: "full" }] }`,
      PATH,
    );
    expect(targets.map(({ share }) => share)).toEqual(["full", "access-only", "full"]);
  });

  test.each([
    ["nothing", "", "full", 0],
    ["full", `share: "full"`, "full", 0],
    ["access-only", `share: "access-only"`, "access-only", 300_000],
    ["access-only without a margin", `share: "access-only", expiryMargin: "0s"`, "access-only", 0],
    ["access-only with another margin", `share: "access-only", expiryMargin: "7m 30s"`, "access-only", 450_000],
    ["a margin alone", `expiryMargin: "5m"`, "full", 300_000],
  ])("gives OpenClaw what it says: %s", (_what, options, share, expiryMarginMs) => {
    const { targets } = parseConfig(`{ targets: [{ kind: "openclaw", ${options} }] }`, PATH);
    expect(targets).toMatchObject([{ share, expiryMarginMs }]);
  });
});
