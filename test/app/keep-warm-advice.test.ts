import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse.js";
import { keepWarmAdvice, type KeepWarmAdvice } from "../../src/app/keep-warm-advice.js";

function adviceOn(text: string, variables: Record<string, string> = {}): KeepWarmAdvice[] {
  return keepWarmAdvice(parseConfig(text, "/config.json5"), variables);
}

describe("what keeps keepWarm from renewing a login", () => {
  test("is nothing where it is as recommended, or off", () => {
    expect(adviceOn('{ keepWarm: { command: ["claude", "mcp", "list"] } }')).toEqual([]);
    expect(adviceOn("{}", { CLAUDE_CODE_OAUTH_TOKEN: "made-up" })).toEqual([]);
  });

  test("is claude auth status, for which there is a better command", () => {
    expect(adviceOn('{ keepWarm: { command: ["/opt/claude", "auth", "status", "--text"] } }')).toMatchObject([
      {
        what: expect.stringContaining("only by chance") as string,
        why: expect.stringContaining("8.5 s") as string,
        fix: expect.stringContaining('["claude", "mcp", "list"]') as string,
        explainsNoEffect: true,
      },
    ]);
  });

  test("is a variable, which is named without its value", () => {
    const variables = { CLAUDE_CODE_OAUTH_TOKEN: "made-up-token", CLAUDE_CODE_USE_BEDROCK: "1" };
    const advice = adviceOn('{ keepWarm: { command: ["my-wrapper"] } }', variables);
    expect(advice.map(({ what }) => what)).toEqual([
      expect.stringContaining("CLAUDE_CODE_OAUTH_TOKEN is set"),
      expect.stringContaining("CLAUDE_CODE_USE_BEDROCK is set"),
    ]);
    expect(JSON.stringify(advice)).not.toContain("made-up-token");
  });

  test("is no variable of Claude Code's where another program owns the login", () => {
    const config = '{ source: { kind: "openclaw", profile: "openai:default" }, keepWarm: { command: ["my-own"] } }';
    expect(adviceOn(config, { CLAUDE_CODE_USE_BEDROCK: "1" })).toEqual([]);
  });

  test.each([
    ["claude", "10m", /only in its last 5m/],
    ["claude", "1m 59s", /do not fit before/],
    ["my-own", "0s", /do not fit before/],
  ])("is a time at which %s changes nothing, or too late: %s", (program, before, what) => {
    expect(adviceOn(`{ keepWarm: { command: ["${program}", "mcp", "list"], before: "${before}" } }`)).toMatchObject([
      { what: expect.stringMatching(what) as string },
    ]);
  });

  test.each([
    ["claude", "5m"],
    ["claude", "2m"],
    ["my-own", "10m"],
  ])("is not the time with %s %s before the end", (program, before) => {
    expect(adviceOn(`{ keepWarm: { command: ["${program}", "mcp", "list"], before: "${before}" } }`)).toEqual([]);
  });
});
