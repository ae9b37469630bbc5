import { link, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

/** Replaces a file or a directory by a link. */
async function linkInPlaceOf(path: string, target: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(dirname(path), { recursive: true });
  await symlink(target, path);
}

interface Refused {
  readonly code: number | null;
  readonly refused: readonly string[];
  readonly text: string;
}

/** A sync after a rotation: what it refuses, and its exit code. */
async function rotated(home: TemporaryHome, generation = 2): Promise<Refused> {
  await home.writeLogin(generation);
  const { code, stdout } = await credsyncd(home, ["sync", "--json"]);
  const { errors } = JSON.parse(stdout) as { errors: { store: string; error: string }[] };
  return { code, refused: errors.map(({ store }) => store), text: errors.map(({ error }) => error).join("\n") };
}

describe("a place under two names", () => {
  const agents = ["evil", "main", "work"];

  test.each(["pinned", "ignore"])("belongs to the agent whose file it is, not to a %s one that links to it", async (binding) => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(JSON.stringify({ agents: { evil: binding } }));
    await linkInPlaceOf(home.storeFile("evil"), home.storeFile("work"));
    const { code, refused, text } = await rotated(home);
    expect([code, refused]).toEqual([3, ["openclaw:evil"]]);
    expect(text).toContain("is the very file of openclaw:work, which follows the source, share full");
    expect(await home.generations(["main", "work"])).toEqual([2, 2]);
    expect((await credsyncd(home, ["status", "--check"])).code).toBe(3);
    expect((await credsyncd(home, ["sync", "--force", "openclaw:work"])).stdout).not.toContain("no store openclaw:work");
  });

  test.each([
    ["pinned", "file"],
    ["ignore", "file"],
    ["pinned", "directory"],
    ["ignore", "directory"],
  ])("of a %s agent is left alone under a name that links to its %s, whoever comes first", async (binding, what) => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(JSON.stringify({ agents: { work: binding } }));
    await home.writeProfile("work", 1, { fields: { email: "own@example.com" } });
    const placeOf = (agent: string): string => (what === "file" ? home.storeFile(agent) : home.agentDirectory(agent));
    await linkInPlaceOf(placeOf("evil"), placeOf("work"));
    const { code, refused } = await rotated(home);
    expect([code, refused]).toEqual([3, ["openclaw:evil"]]);
    expect(await home.generations(["main", "work"])).toEqual([2, 1]);
    const provider = ["--provider", "claude-cli", "--profile", "anthropic:claude-cli"];
    const { stdout } = await credsyncd(home, ["set-active", ...provider, "--json"]);
    const { stores } = JSON.parse(stdout) as { stores: { store: string; result: string }[] };
    expect(stores.filter(({ result }) => result === "updated").map(({ store }) => store)).toEqual(["openclaw:main"]);
  });

  test("neither of which is a link is under the stricter of what is said of them", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    await home.writeConfig(`{ agents: { work: "pinned" } }`);
    await rm(home.storeFile("main"));
    await link(home.storeFile("work"), home.storeFile("main"));
    const { code, refused } = await rotated(home);
    expect([code, refused, await home.generationOf("work")]).toEqual([3, ["openclaw:main"], 1]);
  });

  test("belongs to the agent whose file it is also where the whole OpenClaw is behind a link", async () => {
    const home = await TemporaryHome.create({ agents });
    await home.writeConfig(`{ agents: { evil: "pinned" } }`);
    await rename(home.at(".openclaw"), home.at("dotfiles"));
    await symlink("dotfiles", home.at(".openclaw"));
    await linkInPlaceOf(home.storeFile("evil"), "../../work/agent/auth-profiles.json");
    expect(await rotated(home)).toMatchObject({ code: 3, refused: ["openclaw:evil"] });
    expect(await home.generations(["main", "work"])).toEqual([2, 2]);
  });

  test("and one word about both is no failure", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    await linkInPlaceOf(home.storeFile("work"), home.storeFile("main"));
    expect(await rotated(home)).toMatchObject({ code: 0, refused: [] });
    expect((await credsyncd(home, ["status"])).stdout).toMatch(/openclaw:work +same file as openclaw:main/);
  });
});

describe("a link in a store's place", () => {
  const agents = ["main", "work"];

  /** An OpenClaw of a container's, in this home or not, whose agent main links to the host's. */
  async function boxed(home: TemporaryHome, box: string, first: boolean): Promise<void> {
    const targets = [{ kind: "openclaw", stateDir: box, share: "access-only" }, { kind: "openclaw" }];
    await home.writeConfig(JSON.stringify({ targets: first ? targets : targets.reverse() }));
    await replace(join(box, "openclaw.json"), JSON.stringify({ agents: { list: [{ id: "main" }] } }));
  }

  test.each<[what: string, first: boolean, tamper: (home: TemporaryHome, box: string) => Promise<void>]>([
    ["a file", true, (home, box) => linkInPlaceOf(join(box, "agents/main/agent/auth-profiles.json"), home.storeFile("work"))],
    ["a file", false, (home, box) => linkInPlaceOf(join(box, "agents/main/agent/auth-profiles.json"), home.storeFile("work"))],
    ["a directory", true, (home, box) => linkInPlaceOf(join(box, "agents/main/agent"), home.agentDirectory("work"))],
    ["one above it", true, (home, box) => linkInPlaceOf(join(box, "agents/main"), dirname(home.agentDirectory("work")))],
    ["agents", true, (home, box) => linkInPlaceOf(join(box, "agents"), home.at(".openclaw", "agents"))],
    [
      "agentDir",
      true,
      (home, box) => {
        const agent = { id: "main", agentDir: home.agentDirectory("work") };
        return replace(join(box, "openclaw.json"), JSON.stringify({ agents: { list: [agent] } }));
      },
    ],
  ])("leads no container's OpenClaw to the host's agents: %s, listed first: %s", async (_what, first, tamper) => {
    const home = await TemporaryHome.create({ agents });
    const box = home.at("box", "openclaw");
    await boxed(home, box, first);
    await tamper(home, box);
    const { code, refused, text } = await rotated(home);
    expect([code, refused]).toEqual([3, [`openclaw:main@${box}`]]);
    expect(text).toContain(`outside of ${box}`);
    // All of the login, its refresh token too.
    expect(await home.generations(agents)).toEqual([2, 2]);
  });

  test.each([".credentials.json", "another file of its own"])(
    "of a Claude Code target is refused by every command alike, in its own directory too: %s",
    async (name) => {
      const home = await TemporaryHome.create({ agents });
      const box = home.at("box", ".claude");
      await home.writeConfig(JSON.stringify({ targets: [{ kind: "claude-code", dir: box }, { kind: "openclaw" }] }));
      const led = name === ".credentials.json" ? home.storeFile("main") : join(box, name);
      if (name !== ".credentials.json") await replace(led, home.login(1));
      await linkInPlaceOf(join(box, ".credentials.json"), led);
      const before = await readFile(led, "utf8");
      const store = `claude-code:${box}`;
      expect((await credsyncd(home, ["sync", "--dry-run"])).stdout).toContain(`error  ${store}`);
      expect(await rotated(home)).toMatchObject({ code: 3, refused: [store] });
      if (name !== ".credentials.json") expect(await readFile(led, "utf8")).toBe(before);
      expect(await home.generations(agents)).toEqual([2, 2]);
    },
  );

  test("leads the user's own agents nowhere outside of the home, but where its config allows it", async () => {
    const home = await TemporaryHome.create({ agents });
    const outside = await temporaryDirectory();
    const file = join(outside, "auth-profiles.json");
    await writeFile(file, home.store(1), { mode: 0o600 });
    for (const [path, target] of [
      [home.storeFile("work"), file],
      [home.agentDirectory("work"), outside],
    ] as const) {
      await linkInPlaceOf(path, target);
      const { code, refused, text } = await rotated(home);
      expect([code, refused]).toEqual([3, ["openclaw:work"]]);
      expect(text).toContain("outside of this user's home");
      expect(await home.fileGeneration(file)).toBe(1);
    }
    await home.writeConfig(JSON.stringify({ agentDirs: [outside] }));
    expect(await rotated(home)).toMatchObject({ code: 0, refused: [] });
    expect(await home.fileGeneration(file)).toBe(2);
  });

  test("of agents as a whole is the user's own to lead anywhere", async () => {
    const home = await TemporaryHome.create({ agents });
    const elsewhere = join(await temporaryDirectory(), "agents");
    await rename(home.at(".openclaw", "agents"), elsewhere).catch(async () => {
      await rm(home.at(".openclaw", "agents"), { recursive: true });
      for (const agent of agents) await replace(join(elsewhere, agent, "agent", "auth-profiles.json"), home.store(1));
    });
    await linkInPlaceOf(home.at(".openclaw", "agents"), elsewhere);
    expect(await rotated(home)).toMatchObject({ code: 0, refused: [] });
    expect(await home.generations(agents)).toEqual([2, 2]);
  });

  test("to nothing is one error for --dry-run, sync, status and doctor, with what to do", async () => {
    const home = await TemporaryHome.create();
    const box = home.at("box", ".claude");
    await home.writeConfig(JSON.stringify({ targets: [{ kind: "claude-code", dir: box }] }));
    await linkInPlaceOf(join(box, ".credentials.json"), home.at("gone.json"));
    const words = /is a symbolic link to nothing\s+put back what it leads to, or remove the link: rm \S+\.credentials\.json/;
    for (const [args, code] of [
      [["sync", "--dry-run"], 3],
      [["sync"], 3],
      [["status", "--check"], 3],
    ] as const) {
      const spoken = await credsyncd(home, args);
      expect([spoken.code, spoken.stdout]).toEqual([code, expect.stringMatching(words)]);
    }
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).toContain("remove the link");
    expect(stdout).not.toContain("name . as a target");
    await rm(join(box, ".credentials.json"));
    expect((await credsyncd(home, ["sync"])).stdout).toContain("written");
  });
});

describe("an openclaw.json that is half saved", () => {
  const config = { agents: { list: [{ id: "main" }, { id: "hr-bot", agentDir: "~/.openclaw/agents/hr/agent" }] } };

  async function homeWithPin(): Promise<TemporaryHome> {
    const home = await TemporaryHome.create({ agents: ["main", "hr"] });
    await replace(home.openclawConfig, JSON.stringify(config));
    await home.writeConfig(`{ agents: { "hr-bot": "pinned" } }`);
    await home.writeProfile("hr", 1, { fields: { email: "own@example.com" } });
    return home;
  }

  const half = JSON.stringify(config).slice(0, 60);

  test.each<[string, (home: TemporaryHome) => Promise<void>]>([
    ["torn", (home) => writeFile(home.openclawConfig, half)],
    ["empty", (home) => writeFile(home.openclawConfig, "")],
    ["gone", (home) => rm(home.openclawConfig)],
  ])("unpins nobody in a process that starts then, where it was understood before: %s", async (_what, damage) => {
    const home = await homeWithPin();
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    expect((await stat(join(home.stateDirectory, "places.json"))).mode & 0o777).toBe(0o600);
    await damage(home);
    const { code, refused } = await rotated(home);
    expect([code, refused, ...(await home.generations(["main", "hr"]))]).toEqual([3, ["openclaw"], 2, 1]);
    const daemon = await RunningDaemon.start(home);
    await home.writeLogin(3);
    await becomes(() => home.generations(["main", "hr"]), [3, 1]);
    await daemon.stop();
  });

  test("leaves every agent alone where it was never understood and any is protected", async () => {
    const home = await homeWithPin();
    await writeFile(home.openclawConfig, half);
    const { code, refused, text } = await rotated(home);
    expect([code, new Set(refused)]).toEqual([3, new Set(["openclaw", "openclaw:hr", "openclaw:main"])]);
    expect(text).toContain("was never understood, so nobody knows whose store this is");
    expect(await home.generations(["main", "hr"])).toEqual([1, 1]);
    await replace(home.openclawConfig, JSON.stringify(config));
    expect(await rotated(home, 3)).toMatchObject({ code: 0 });
    expect(await home.generations(["main", "hr"])).toEqual([3, 1]);
  });

  test("unpins no agent whose API key is all that tells it from the others", async () => {
    const home = await homeWithPin();
    const own = { source: { kind: "openclaw" }, profiles: ["anthropic:default"], agents: { "hr-bot": "pinned" } };
    await home.writeConfig(JSON.stringify(own));
    const store = (key: string): string =>
      JSON.stringify({ version: 1, profiles: { "anthropic:default": { type: "api_key", provider: "anthropic", key } } });
    await replace(home.storeFile("main"), store("made-up-company"));
    await replace(home.storeFile("hr"), store("made-up-hr"));
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    await writeFile(home.openclawConfig, half);
    expect((await credsyncd(home, ["sync"])).code).toBe(3);
    expect(await home.readProfile("hr", "anthropic:default")).toMatchObject({ key: "made-up-hr" });
  });

  test("leaves nothing of a mere look behind", async () => {
    const home = await homeWithPin();
    await credsyncd(home, ["status"]);
    await credsyncd(home, ["sync", "--dry-run"]);
    await expect(stat(home.stateDirectory)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("a target's directory that was removed and made again", () => {
  test("is filled as a new one is, and a logout in a directory that is kept stays one", async () => {
    const home = await TemporaryHome.create();
    const box = home.at("box", ".claude");
    const file = join(box, ".credentials.json");
    await mkdir(box, { recursive: true });
    await home.writeConfig(JSON.stringify({ targets: [{ kind: "claude-code", dir: box }] }));
    expect((await credsyncd(home, ["sync"])).stdout).toContain("written");
    await rm(file);
    expect((await credsyncd(home, ["sync"])).stdout).not.toContain("written");
    await rm(box, { recursive: true });
    expect((await credsyncd(home, ["sync"])).stdout).not.toContain("written");
    await mkdir(box);
    expect((await credsyncd(home, ["sync", "--dry-run"])).stdout).toContain("would write");
    expect((await credsyncd(home, ["sync"])).stdout).toContain("written");
    await rm(file);
    expect((await credsyncd(home, ["sync"])).stdout).not.toContain("written");
  });

  test("is filled for an agent where credsyncd makes profiles", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    await home.writeConfig(`{ create: "always" }`);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
    await rm(home.storeFile("work"));
    await credsyncd(home, ["sync"]);
    expect(await home.generationOf("work")).toBe(null);
    await rm(home.at(".openclaw", "agents", "work"), { recursive: true });
    await mkdir(home.agentDirectory("work"), { recursive: true });
    await credsyncd(home, ["sync"]);
    expect(await home.generationOf("work")).toBe(1);
  });
});

describe("a directory that is switched to another one", () => {
  test("is noticed where Claude Code's own is a link, or one above it is", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await mkdir(home.at("a", "dot"), { recursive: true });
    await rename(home.at(".claude"), home.at("a", "dot", "claude"));
    await symlink("a", home.at("current"));
    await symlink("current/dot/claude", home.at(".claude"));
    await RunningDaemon.start(home);
    await replace(home.at("b", "dot", "claude", ".credentials.json"), home.login(2));
    await switchLink(home.at("current"), "b");
    await becomes(() => home.generationOf("main"), 2);
    await home.writeLogin(3);
    await becomes(() => home.generationOf("main"), 3);
    await replace(home.at("c", ".credentials.json"), home.login(4));
    await switchLink(home.at(".claude"), "c");
    await becomes(() => home.generationOf("main"), 4);
    await rename(home.at("c"), home.at("old-c"));
    await replace(home.at("c", ".credentials.json"), home.login(5));
    await becomes(() => home.generationOf("main"), 5);
  });

  test("is noticed for a target, for OpenClaw, for its agents and for one of them", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work"] });
    const box = home.at("box");
    await home.writeConfig(JSON.stringify({ targets: [{ kind: "claude-code", dir: box, share: "full" }, { kind: "openclaw" }] }));
    for (const name of ["a", "b"]) await replace(home.at("boxes", name, ".credentials.json"), home.login(1));
    await symlink("boxes/a", box);
    await rename(home.at(".openclaw"), home.at("openclaw-a"));
    await symlink("openclaw-a", home.at(".openclaw"));
    await RunningDaemon.start(home);
    const old = { access: home.token("access", 0), refresh: home.token("refresh", 0) };
    await replace(home.at("boxes", "b", ".credentials.json"), home.login(0, { fields: { accessToken: old.access } }));
    await switchLink(box, "boxes/b");
    await becomes(async () => (await readFile(join(box, ".credentials.json"), "utf8")).includes(home.token("access", 1)), true);
    await replace(home.at("openclaw-b", "openclaw.json"), JSON.stringify({ agents: { list: [{ id: "main" }, { id: "work" }] } }));
    for (const agent of ["main", "work"])
      await replace(home.at("openclaw-b", "agents", agent, "agent", "auth-profiles.json"), home.store(0));
    await switchLink(home.at(".openclaw"), "openclaw-b");
    await becomes(() => home.generations(["main", "work"]), [1, 1]);
    await replace(home.at("next", "agent", "auth-profiles.json"), home.store(0));
    await rename(home.at(".openclaw", "agents", "work"), home.at("work-before"));
    await rename(home.at("next"), home.at(".openclaw", "agents", "work"));
    await becomes(() => home.generations(["main", "work"]), [1, 1]);
  });

  test("costs no watch an agent", async () => {
    const agents = Array.from({ length: 20 }, (_none, index) => `agent-${String(index)}`);
    const home = await TemporaryHome.create({ agents });
    await rename(home.at(".openclaw"), home.at("openclaw-a"));
    await symlink("openclaw-a", home.at(".openclaw"));
    const daemon = await RunningDaemon.start(home);
    const ready = daemon.lines.find(({ msg }) => msg === "ready") as { directories?: number } | undefined;
    // Beside each agent's own: the home, Claude Code's directory, OpenClaw's and that of its agents, and behind the link.
    expect((ready?.directories ?? 0) - agents.length).toBeLessThanOrEqual(6);
  });
});

/** As a dotfile manager does: the link is replaced in one step. */
async function switchLink(path: string, target: string): Promise<void> {
  await symlink(target, `${path}.new`);
  await rename(`${path}.new`, path);
}
