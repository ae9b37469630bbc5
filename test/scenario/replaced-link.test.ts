import { spawn } from "node:child_process";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { becomes } from "../support/condition.js";
import { credsyncd } from "../support/command-line.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

/** The source's file is a link to another one, which holds generation 1. */
async function linked(target: readonly string[]): Promise<{ home: TemporaryHome; target: string }> {
  const home = await TemporaryHome.create({ agents, generation: null });
  const place = home.at(...target);
  await replace(place, home.login(1));
  await mkdir(home.at(".claude"), { recursive: true });
  await symlink(place, home.loginFile);
  for (const agent of agents) await home.writeProfile(agent, 1);
  return { home, target: place };
}

async function linkFindings(home: TemporaryHome): Promise<{ level: string; what: string; fix: string }[]> {
  const { stdout } = await credsyncd(home, ["doctor", "--json"]);
  const { findings } = JSON.parse(stdout) as { findings: { check: string; level: string; what: string; fix: string }[] };
  return findings.filter(({ check, level }) => check === "symlinks" && level !== "ok");
}

describe("a link at the source's path that Claude Code replaces by a file at its refresh", () => {
  test("leaves the new file as the source, and who follows the old one is reported", async () => {
    const { home, target } = await linked(["shared", ".credentials.json"]);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2]);
    expect(await daemon.said("link replaced by a file")).toMatchObject({
      level: "warn",
      store: "claude-code",
      path: target,
      hint: expect.stringContaining(`{ kind: "claude-code", dir: "${home.at("shared")}" }`) as string,
    });
    expect(await readFile(target, "utf8")).toBe(home.login(1));

    await home.writeLogin(3);
    await becomes(() => home.generations(agents), [3, 3]);
    await replace(target, home.login(4));
    await home.writeLogin(5);
    await becomes(() => home.generations(agents), [5, 5]);
    expect(daemon.lines.filter(({ msg }) => msg === "link replaced by a file")).toHaveLength(1);
    await daemon.stop();

    const again = await RunningDaemon.start(home);
    await again.stop();
    expect(again.lines.filter(({ msg }) => msg === "link replaced by a file")).toEqual([]);
    expect(await linkFindings(home)).toMatchObject([
      { level: "warning", what: expect.stringContaining(`was a link to ${target}`) as string },
    ]);
  });

  test("is noticed where it happened while no daemon ran, and names a program that uses the old file", async () => {
    const { home, target } = await linked(["shared", ".credentials.json"]);
    await (await RunningDaemon.start(home)).stop();
    await home.writeLogin(2);
    const user = spawn("sleep", ["600"], { env: home.environment({ CLAUDE_CONFIG_DIR: home.at("shared") }), stdio: "ignore" });
    onTestFinished(() => {
      user.kill("SIGKILL");
    });
    const findings = await linkFindings(home);
    expect(findings).toMatchObject([{ what: expect.stringContaining(target) as string }]);
    if (process.platform === "linux") expect(findings[0]?.what).toContain(`(pid ${String(user.pid)})`);
    const daemon = await RunningDaemon.start(home);
    expect(daemon.lines.map(({ msg }) => msg)).toContain("link replaced by a file");
  });

  test("leaves no target behind: one that is the old file is kept in sync by its own name", async () => {
    const { home, target } = await linked(["box", ".claude", ".credentials.json"]);
    const dir = home.at("box", ".claude");
    await home.writeConfig(JSON.stringify({ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir }] }));
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(2);
    await becomes(async () => (await readFile(target, "utf8")).includes(home.token("access", 2)), true);
    expect(await daemon.said("link replaced by a file")).toMatchObject({ why: expect.stringContaining(dir) as string });
    expect(await linkFindings(home)).toMatchObject([{ level: "info" }]);
  });

  test("is over once the old file is a link to the new one, or gone", async () => {
    const { home, target } = await linked(["shared", "login.json"]);
    await (await RunningDaemon.start(home)).stop();
    await home.writeLogin(2);
    expect(await linkFindings(home)).toMatchObject([{ fix: expect.stringContaining(home.loginFile) as string }]);
    await home.remove(target);
    expect(await linkFindings(home)).toEqual([]);
    await symlink(home.loginFile, target);
    expect(await linkFindings(home)).toEqual([]);
  });
});
