import { describe, expect, test } from "vitest";
import { agentMatcher } from "../../src/config/agent-pattern.js";
import { parseConfig } from "../../src/config/parse.js";

describe("a name in agents", () => {
  test.each([
    ["hr-bot", "hr-bot"],
    ["HR-Bot", "hr-bot"],
    [" HR Bot ", "hr-bot"],
    ["hr.bot", "hr-bot"],
    ["bot@work", "bot-work"],
    ["HR Bot!", "hr-bot"],
    ["C++", "c"],
    ["Größe", "gr-e"],
  ])("%j is the agent whose id OpenClaw makes of it, %s, and no other", (name, id) => {
    const { matches, isGlob } = agentMatcher(name);
    expect([isGlob, matches(id), matches(`${id}x`), matches(`x${id}`)]).toEqual([false, true, false, false]);
  });
});

describe("a pattern in agents", () => {
  test.each<[pattern: string, matched: string[], others: string[]]>([
    ["HR-*", ["hr-bot", "hr-"], ["hr", "her-bot"]],
    ["HR *", ["hr-bot"], ["hr"]],
    ["hr.*", ["hr-bot"], ["hrx"]],
    ["{HR Bot,Main}", ["hr-bot", "main"], ["work"]],
    ["Bot{1..3}", ["bot1", "bot3"], ["bot4"]],
    ["HR (Bot)", ["hr-bot"], ["hr"]],
    ["Team@work-*", ["team-work-a"], ["teamwork-a"]],
    ["bot+*", ["bot-x"], ["botx"]],
    ["!Main", ["work"], ["main"]],
    ["@(HR|Work)-bot", ["hr-bot", "work-bot"], ["main-bot"]],
    ["[A-C]gent", ["agent", "cgent"], ["dgent"]],
    ["*", ["main", "hr-bot"], []],
  ])("%j matches ids as OpenClaw normalises them: %j, not %j", (pattern, matched, others) => {
    const { matches, isGlob } = agentMatcher(pattern);
    expect(isGlob).toBe(true);
    expect([matched.filter((id) => !matches(id)), others.filter((id) => matches(id))]).toEqual([[], []]);
  });
});

describe("what the config says of an agent", () => {
  test("is found by any spelling of its id, and a name comes before a pattern", () => {
    const { bindingOf } = parseConfig(`{ agents: { "Bot*": "ignore", "Bot A": "pinned" } }`, "config.json5");
    expect(["bot-a", "bot-b", "main"].map(bindingOf)).toEqual(["pinned", "ignore", "follow"]);
  });

  test("may stand under two spellings that agree, and is an error where they do not", () => {
    const { bindingOf } = parseConfig(`{ agents: { "HR-Bot": "pinned", "hr-bot": "pinned" } }`, "config.json5");
    expect(bindingOf("hr-bot")).toBe("pinned");
    expect(() => parseConfig(`{ agents: { "HR-Bot": "pinned", "hr-bot": "follow" } }`, "config.json5")).toThrow(
      'config.json5: agents names one agent twice, "HR-Bot" as pinned and "hr-bot" as follow',
    );
  });
});
