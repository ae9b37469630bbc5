import { describe, expect, test } from "vitest";
import { isClaudeAuthStatus, isClaudeCommand, variablesAroundLogin } from "../../../src/programs/claude-code/command.js";

describe("claude auth status", () => {
  test.each<[string, string[]]>([
    ["as it is", ["claude", "auth", "status"]],
    ["with an option", ["claude", "auth", "status", "--json"]],
    ["as text", ["claude", "auth", "status", "--text"]],
    ["with an option before it", ["claude", "--debug", "auth", "status"]],
    ["with its path", ["/home/someone/.local/bin/claude", "auth", "status"]],
    ["with a path that has spaces", ["/Users/Some One/bin/claude", "auth", "status"]],
    ["as an installed version", ["/home/someone/.local/share/claude/versions/2.1.332", "auth", "status"]],
    ["as a package", ["npx", "-y", "@anthropic-ai/claude-code@latest", "auth", "status"]],
    ["on node", ["node", "/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js", "auth", "status"]],
    ["on Windows", ["C:\\bin\\claude.exe", "auth", "status"]],
    ["behind other programs", ["nice", "-n", "5", "timeout", "60", "claude", "auth", "status"]],
    ["in a shell", ["sh", "-c", "cd /tmp && exec claude auth status >/dev/null"]],
    ["in quotes", ["sh", "-c", "'/opt/claude' auth status;true"]],
  ])("is recognised %s", (_name, command) => {
    expect(isClaudeAuthStatus(command)).toBe(true);
    expect(isClaudeCommand(command)).toBe(true);
  });

  test.each<[string, string[]]>([
    ["claude mcp list", ["claude", "mcp", "list"]],
    ["a question", ["claude", "-p", "hi"]],
  ])("is not %s", (_name, command) => {
    expect(isClaudeAuthStatus(command)).toBe(false);
    expect(isClaudeCommand(command)).toBe(true);
  });

  test.each<[string, string[]]>([
    ["another program's", ["gh", "auth", "status"]],
    ["one of a user of that name", ["/home/claude/bin/gh", "auth", "status"]],
    ["a script of a similar name", ["claude-warm.sh", "auth", "status"]],
  ])("is not %s", (_name, command) => {
    expect(isClaudeAuthStatus(command)).toBe(false);
    expect(isClaudeCommand(command)).toBe(false);
  });
});

describe("the variables that keep Claude Code away from its login", () => {
  test("are named, where they say something", () => {
    const variables = { CLAUDE_CODE_OAUTH_TOKEN: "made-up", CLAUDE_CODE_USE_BEDROCK: "1", CLAUDE_CODE_USE_VERTEX: "True" };
    expect(variablesAroundLogin(variables, ["claude"])).toEqual(Object.keys(variables));
  });

  test("do not count where the command takes them away", () => {
    const variables = { CLAUDE_CODE_OAUTH_TOKEN: "made-up", CLAUDE_CODE_USE_BEDROCK: "1", CLAUDE_CODE_SIMPLE: "1" };
    const command = ["env", "-u", "CLAUDE_CODE_OAUTH_TOKEN", "--unset=CLAUDE_CODE_USE_BEDROCK", "claude", "mcp", "list"];
    expect(variablesAroundLogin(variables, command)).toEqual(["CLAUDE_CODE_SIMPLE"]);
  });

  test("do not count where they are blank or say no", () => {
    const variables = { CLAUDE_CODE_OAUTH_TOKEN: "", CLAUDE_CODE_USE_BEDROCK: "0", CLAUDE_CODE_USE_VERTEX: "off" };
    expect(variablesAroundLogin({ ...variables, ANTHROPIC_API_KEY: "made-up" }, ["claude"])).toEqual([]);
  });
});
