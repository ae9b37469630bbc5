import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { credsyncd, MAIN } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "coder"];

/** A home whose agents have the old login, and whose source has the next one. */
async function homeBehind(): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents });
  await home.writeLogin(2);
  return home;
}

describe("agents in a file that openclaw.json includes", () => {
  const list = (...ids: readonly string[]): string => `{ list: [${ids.map((id) => `{ id: "${id}" }`).join(", ")}] }`;

  test("are served as if they stood in it, and a new one as soon as it stands there", async () => {
    const home = await homeBehind();
    const included = home.at(".openclaw", "agents.json5");
    await writeFile(included, list("main"));
    await writeFile(home.openclawConfig, `{ agents: { $include: "./agents.json5" } }`);
    await RunningDaemon.start(home);
    await becomes(() => home.generations(agents), [2, 1]);
    await replace(included, list("main", "coder"));
    await becomes(() => home.generations(agents), [2, 2]);
  });

  test("are not taken for gone while it is missing: an error with an exit code, and no login is proposed to be removed", async () => {
    const home = await homeBehind();
    await writeFile(home.openclawConfig, `{ agents: { $include: "./agents.json5" } }`);
    const sync = await credsyncd(home, ["sync"]);
    expect(sync.code).toBe(3);
    expect(sync.stdout + sync.stderr).toMatch(/openclaw\.json includes .*agents\.json5, which is not there/);
    expect(await home.generations(agents)).toEqual([2, 2]);
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).not.toMatch(/\brm\b.*auth-profiles|does not know any more/);
    const { code } = await credsyncd(home, [
      "set-active",
      "--provider",
      "anthropic",
      "--profile",
      "anthropic:claude-cli",
      "--dry-run",
    ]);
    expect(code).toBe(65);
  });
});

test("an agent whose directory needs a variable that is not set is an error, and served once .env sets it", async () => {
  const home = await homeBehind();
  await writeFile(
    home.openclawConfig,
    `{ agents: { list: [{ id: "main" }, { id: "coder", agentDir: "\${ROOT}/.openclaw/agents/coder/agent" }] } }`,
  );
  const daemon = await RunningDaemon.start(home);
  await becomes(() => home.generations(agents), [2, 1]);
  const error = daemon.lines.find(({ msg, store }) => msg === "store error" && store === "openclaw:coder");
  expect(error?.["reason"]).toBe("the agentDir of coder in openclaw.json needs the variable ROOT, which is not set");
  await replace(home.at(".openclaw", ".env"), "ROOT=~\n");
  await becomes(() => home.generations(agents), [2, 2]);
});

test("the openclaw.json that OPENCLAW_CONFIG_PATH names counts, and a service is given the variable", async () => {
  const home = await homeBehind();
  await rm(home.openclawConfig);
  await home.makeDirectory(home.at("etc"));
  await writeFile(home.at("etc", "openclaw.json"), `{ agents: { list: [{ id: "main" }, { id: "coder" }] } }`);
  const variables = { OPENCLAW_CONFIG_PATH: home.at("etc", "openclaw.json"), OPENCLAW_GATEWAY_TOKEN: "made-up" };
  expect((await credsyncd(home, ["sync"], variables)).code).toBe(0);
  expect(await home.generations(agents)).toEqual([2, 2]);
  const { stdout } = await credsyncd(home, ["service", "print"], variables);
  expect(stdout).toContain(`OPENCLAW_CONFIG_PATH=${home.at("etc", "openclaw.json")}`);
  expect(stdout).not.toContain("made-up");
});

test.skipIf(process.getuid?.() !== 0)("an openclaw.json of root's that only root can write is read as any other", async () => {
  const home = await homeBehind();
  const store = home.at("store");
  await home.makeDirectory(store);
  const config = join(store, "openclaw.json");
  await writeFile(config, `{ agents: { list: [{ id: "main" }, { id: "coder" }] } }`);
  await chmod(config, 0o444);
  await chmod(store, 0o755);
  await rm(home.openclawConfig);
  await symlink(config, home.openclawConfig);
  const user = 12_345;
  for (const entry of await readdir(home.path, { recursive: true })) {
    if (!entry.startsWith("store") && entry !== join(".openclaw", "openclaw.json")) await chown(home.at(entry), user, user);
  }
  await chown(home.path, user, user);
  const child = spawn(process.execPath, [MAIN, "sync"], { env: home.environment(), uid: user, gid: user, cwd: "/" });
  const ended = once(child, "close") as Promise<[number | null]>;
  const [result, talk, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  home.spoken.push(result, talk);
  expect([code, talk]).toEqual([0, ""]);
  expect(await home.generations(agents)).toEqual([2, 2]);
});
