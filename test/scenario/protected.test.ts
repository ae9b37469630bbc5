import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

/** A home in which `hr-bot` has a login that is older than the source's, and its own. */
async function homeWithOwn(agents: readonly string[], written: string): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents });
  await replace(home.openclawConfig, JSON.stringify({ agents: { list: [{ id: "main" }, { id: written }] } }));
  await home.writeLogin(3);
  await home.writeProfile("hr-bot", 2, { fields: { email: "own@example.com" } });
  return home;
}

describe("an agent that the config names", () => {
  test.each([
    ["HR-Bot", "HR-Bot"],
    ["HR Bot", "HR Bot"],
    ["HR-Bot", "hr-bot"],
    ["HR-Bot", "HR-*"],
  ])("as openclaw.json writes it, %j, by %j, is left its login", async (written, name) => {
    const home = await homeWithOwn(["main"], written);
    await home.writeConfig(JSON.stringify({ agents: { [name]: "pinned" } }));
    const { code, stderr } = await credsyncd(home, ["sync"]);
    expect([code, stderr, ...(await home.generations(["main", "hr-bot"]))]).toEqual([0, "", 3, 2]);
  });
});

describe("a name in agents that no agent has", () => {
  const warning =
    /^credsyncd: warning: agents in the config names "hr-bott", and there is no such agent.*\n.*did you mean "hr-bot"\?/;

  test.each([
    [["config", "check"], 0],
    [["sync"], 0],
    [["sync", "--dry-run"], 0],
    [["adopt", "openclaw:hr-bot"], 0],
    [["set-active", "--provider", "claude-cli", "--profile", "anthropic:claude-cli"], 0],
    [["migrate", "--provider", "claude-cli", "--from", "anthropic:other", "--to", "anthropic:claude-cli"], 0],
  ])("is reported by %j", async (args, expected) => {
    const home = await homeWithOwn(["main"], "hr-bot");
    await home.writeConfig(`{ agents: { "hr-bott": "pinned" } }`);
    if (args[0] === "adopt") await home.writeProfile("hr-bot", 4);
    const { code, stderr } = await credsyncd(home, args);
    expect([code, stderr]).toEqual([expected, expect.stringMatching(warning)]);
  });

  test("is reported by restore, and in everyone's JSON", async () => {
    const home = await homeWithOwn(["main"], "hr-bot");
    await credsyncd(home, ["sync"]);
    await home.writeConfig(`{ agents: { "hr-bott": "pinned", "x*": "ignore" } }`);
    const { backups } = JSON.parse((await credsyncd(home, ["restore", "--list", "--json"])).stdout) as {
      backups: { store: string; at: string }[];
    };
    const [backup] = backups;
    const at = ["--store", backup?.store ?? "", "--at", backup?.at ?? "", "--yes"];
    expect((await credsyncd(home, ["restore", ...at])).stderr).toMatch(warning);
    for (const args of [["config", "check"], ["sync"], ["status"], ["restore", ...at]]) {
      const { stdout } = await credsyncd(home, [...args, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({ unmatchedAgents: ["hr-bott", "x*"] });
    }
  });

  test("is logged by the daemon once, and once more when an agent has it", async () => {
    const home = await homeWithOwn(["main"], "hr-bot");
    await home.writeConfig(`{ agents: { "new-*": "pinned" } }`);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(4);
    await daemon.said("credential pushed", {});
    expect((await credsyncd(home, ["status"])).stdout).toContain(`the config names "new-*", and there is no such agent`);
    await home.configureAgents(["main", "hr-bot", "new-one"]);
    await daemon.said("resolved", { about: "agents new-*" });
    expect(daemon.news.filter(({ msg }) => msg === "no agent has this name")).toMatchObject([
      { level: "warn", agent: "new-*", hint: "correct the name, or take it out" },
    ]);
  });
});
