import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { HOUR_MS, PROFILE, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

interface Situation {
  /** Brings the situation about, after both agents follow a login that expires in five hours. */
  readonly make: (home: TemporaryHome) => Promise<unknown>;
  readonly source: string;
  /** The states of main and work. */
  readonly states: readonly (string | null)[];
  readonly code: number;
  /** The sentence about it in the table, apart from what the table always says. */
  readonly sentence: RegExp;
}

const soon = (hours: number): { readonly expiresAt: number } => ({ expiresAt: Date.now() + hours * HOUR_MS });
const account = (home: TemporaryHome, name: string): Promise<void> =>
  writeFile(
    home.at(".claude.json"),
    JSON.stringify({
      oauthAccount: {
        accountUuid: `00000000-0000-4000-8000-${name.padEnd(12, "0").slice(0, 12)}`,
        emailAddress: home.email(name),
      },
    }),
  );
const blank = { accessToken: "", refreshToken: "", expiresAt: 0 };
const both = ["in-sync", "in-sync"];

/** Both agents hold another issue of the login, which ends then; credsyncd has seen it. */
async function everyoneEnds(home: TemporaryHome, hours: number, signInHours = 1000): Promise<void> {
  await home.writeLogin(2, { ...soon(hours), signInEndsAt: Date.now() + signInHours * HOUR_MS });
  for (const agent of agents) await home.writeProfile(agent, 2, soon(hours));
  await rm(home.stateDirectory, { recursive: true });
  await credsyncd(home, ["sync"]);
}

const situations: Readonly<Record<string, Situation>> = {
  "all is well": { make: () => Promise.resolve(), source: "ok", states: both, code: 0, sentence: /2 of 2 stores in sync/ },
  "the login ends in half an hour": {
    make: (home) => everyoneEnds(home, 0.5),
    source: "expiring",
    states: both,
    code: 2,
    sentence: /alert {3}expiring .* expires in (?:30m|29m)/,
  },
  "the login ended, the sign-in holds": {
    make: (home) => everyoneEnds(home, -1),
    source: "expired",
    states: both,
    code: 1,
    sentence: /alert {3}expired .*The sign-in is still valid[^]*renew it: claude mcp list/,
  },
  "the login and the sign-in ended": {
    make: (home) => everyoneEnds(home, -1, -0.5),
    source: "expired",
    states: both,
    code: 1,
    sentence: /so did the sign-in\. Every agent fails[^]*claude auth login/,
  },
  "the sign-in ends tomorrow": {
    make: (home) => everyoneEnds(home, 5, 24),
    source: "ok",
    states: both,
    code: 2,
    sentence: /alert {3}sign-in-ends .*No refresh extends it/,
  },
  "nobody is signed in": {
    make: (home) => rm(home.loginFile),
    source: "missing",
    states: both,
    code: 1,
    sentence: /alert {3}source-missing .*nobody is signed in to Claude Code\. Agents can use their logins/,
  },
  "the file has no login in it": {
    make: (home) => writeFile(home.loginFile, `{"mcpOAuth":{}}`),
    source: "missing",
    states: both,
    code: 1,
    sentence: /source-missing/,
  },
  "the login was logged out": {
    make: (home) => home.writeLogin(1, { fields: blank }),
    source: "logged-out",
    states: both,
    code: 1,
    sentence: /alert {3}logged-out .*Claude Code is logged out/,
  },
  "the sign-in reached its limit": {
    make: (home) => home.writeLogin(1, { fields: { ...blank, loginEnded: "time_limit" } }),
    source: "logged-out",
    states: both,
    code: 1,
    sentence: /the sign-in to Claude Code has expired/,
  },
  "the login's file is no JSON": {
    make: async (home) => {
      await writeFile(home.loginFile, "{");
      await home.age(home.loginFile);
    },
    source: "unreadable",
    states: both,
    code: 1,
    sentence: /alert {3}source-unreadable .*is not whole JSON/,
  },
  "the login lacks what it needs": {
    make: (home) => home.writeLogin(1, { ...soon(5), fields: { scopes: null } }),
    source: "unreadable",
    states: both,
    code: 1,
    sentence: /source-unreadable/,
  },
  "the login's file is a directory": {
    make: async (home) => {
      await rm(home.loginFile);
      await mkdir(home.loginFile);
    },
    source: "unreadable",
    states: both,
    code: 1,
    sentence: /source-unreadable .*is not a regular file/,
  },
  "the source was rolled back": {
    make: (home) => home.writeLogin(0, soon(3)),
    source: "ok",
    states: both,
    code: 3,
    sentence: /source-rolled-back/,
  },
  "the source was put back to what it held before": {
    make: async (home) => {
      await home.writeConfig(`{ onAgentRotation: "hold" }`);
      await home.writeLogin(2, soon(9));
      await credsyncd(home, ["sync"]);
      await home.writeLogin(1, soon(5));
      // An order does not change that, so that none is advised.
      expect((await credsyncd(home, ["sync", "--force"])).stdout).not.toContain("sync --force");
    },
    source: "ok",
    states: both,
    code: 3,
    sentence: /source-rolled-back .*from a backup[^]*sign in: claude auth login - or .*credsyncd adopt STORE/,
  },
  "the source cannot be given what an agent refreshed": {
    make: async (home) => {
      await everyoneEnds(home, 0.1);
      await home.writeProfile("work", 3, soon(8));
      await home.makeDirectory(home.at(".claude", ".storage-write.lock"));
      await writeFile(home.at(".claude", ".storage-write.lock", "foreign"), "");
      await credsyncd(home, ["sync"]);
    },
    source: "expiring",
    states: both,
    code: 2,
    sentence: /credsyncd gives Claude Code the newer login of openclaw:\w+\n .*run: credsyncd sync/,
  },
  "the login rotated and nobody wrote it yet": {
    make: (home) => home.writeLogin(2, soon(9)),
    source: "ok",
    states: ["drift", "drift"],
    code: 3,
    sentence: /no daemon is running; run: credsyncd sync[^]*0 of 2 stores in sync, 2 behind/,
  },
  "the source is another account": {
    make: async (home) => {
      await account(home, "anna");
      await home.writeLogin(2, { ...soon(6), signInEndsAt: Date.now() + 900 * HOUR_MS });
      await credsyncd(home, ["sync", "--force"]);
      await account(home, "bert");
      await home.writeLogin(3, { ...soon(9), signInEndsAt: Date.now() + 2000 * HOUR_MS });
      await home.age(home.loginFile);
    },
    source: "ok",
    states: both,
    code: 3,
    sentence: /account-changed .*another account/,
  },
  "an agent is behind": {
    make: (home) => home.writeProfile("work", 0, soon(1)),
    source: "ok",
    states: ["in-sync", "drift"],
    code: 3,
    sentence: /1 of 2 stores in sync, 1 behind/,
  },
  "an agent is behind with an ended login": {
    make: (home) => home.writeProfile("work", 0, soon(-1)),
    source: "ok",
    states: ["in-sync", "drift"],
    code: 1,
    sentence: /drift .*expired 1h ago/,
  },
  "an agent was logged out of a good login": {
    make: (home) => home.writeProfile("work", 1, { fields: { access: "", refresh: "", expires: 0 } }),
    source: "ok",
    states: ["in-sync", "held"],
    code: 3,
    sentence: /openclaw:work/,
  },
  "a stranger's login is in an agent": {
    make: (home) => home.writeProfile("work", 8, { id: "anthropic:mine", ...soon(-1) }),
    source: "ok",
    states: ["in-sync", "held"],
    code: 3,
    sentence: /alert {3}unknown-origin[^]*add it to profiles in the config[^]*agents: \{ "work": "pinned" \}/,
  },
  "an agent holds a newer login of unknown origin": {
    make: async (home) => {
      await home.writeProfile("main", 1);
      await rm(home.stateDirectory, { recursive: true });
      await home.writeProfile("main", 9, soon(40));
    },
    source: "ok",
    states: ["held", "in-sync"],
    code: 3,
    sentence: /alert {3}target-newer[^]*credsyncd adopt openclaw:main/,
  },
  "an agent is pinned": {
    make: async (home) => {
      await home.writeConfig(`{ agents: { work: "pinned" } }`);
      await home.writeProfile("work", 8, soon(-1));
    },
    source: "ok",
    states: ["in-sync", "separate"],
    code: 0,
    sentence: /pinned/,
  },
  "an agent is left out": {
    make: (home) => home.writeConfig(`{ agents: { work: "ignore" } }`),
    source: "ok",
    states: ["in-sync", null],
    code: 0,
    sentence: /1 of 2/,
  },
  "an agent's store is no JSON": {
    make: async (home) => {
      await writeFile(home.storeFile("work"), "{");
      await home.age(home.storeFile("work"));
    },
    source: "ok",
    states: ["in-sync", null],
    code: 3,
    sentence: /alert {3}store-error .*It gets no new login until this works/,
  },
  "an agent's store is a directory": {
    make: async (home) => {
      await rm(home.storeFile("work"));
      await mkdir(home.storeFile("work"));
    },
    source: "ok",
    states: ["in-sync", null],
    code: 3,
    sentence: /store-error .*is not a regular file/,
  },
  "an agent's store is a link in a circle": {
    make: async (home) => {
      await rm(home.storeFile("work"));
      await symlink(home.storeFile("work"), home.storeFile("work"));
    },
    source: "ok",
    states: ["in-sync", null],
    code: 3,
    sentence: /store-error .*circle/,
  },
  "an agent has no store": {
    make: (home) => rm(home.agentDirectory("work"), { recursive: true }),
    source: "ok",
    states: ["in-sync", "absent"],
    code: 0,
    sentence: /openclaw:work +anthropic:claude-cli +absent/,
  },
  "an agent's profile was removed": {
    make: (home) => writeFile(home.storeFile("work"), `{"version":1,"profiles":{}}`),
    source: "ok",
    states: ["in-sync", "absent"],
    code: 0,
    sentence:
      /OpenClaw or a person removed this profile, .*\n .*sign in there, or set create[^]*^1 of 2 stores in sync, 1 without a profile that follows$/m,
  },
  "an agent is not configured any more": {
    make: (home) => home.configureAgents(["main"]),
    source: "ok",
    states: ["in-sync"],
    code: 0,
    sentence: /not configured in OpenClaw any more/,
  },
  "openclaw.json cannot be understood": {
    make: (home) => writeFile(home.openclawConfig, "{"),
    source: "ok",
    states: ["in-sync", "in-sync", null],
    code: 3,
    sentence: /store-error .*openclaw\.json is not JSON5/,
  },
  "others may read an agent's store": {
    make: (home) => chmod(home.storeFile("work"), 0o644),
    source: "ok",
    states: both,
    code: 0,
    sentence: /2 of 2/,
  },
  "an agent's profile lacks its tokens": {
    make: (home) => home.writeProfile("work", 1, { id: PROFILE, fields: { access: 7 } }),
    source: "ok",
    states: ["in-sync", "held"],
    code: 3,
    sentence: /openclaw:work/,
  },
};

describe("status tells the truth where", () => {
  test.each(Object.entries(situations))("%s", async (_name, { make, source, states, code, sentence }) => {
    const home = await TemporaryHome.create({ agents });
    await home.writeLogin(1, soon(5));
    for (const agent of agents) await home.writeProfile(agent, 1, soon(5));
    await credsyncd(home, ["sync"]);
    await make(home);
    const [json, text] = await Promise.all([credsyncd(home, ["status", "--check", "--json"]), credsyncd(home, ["status"])]);
    const report = JSON.parse(json.stdout) as { source: { state: string }; stores: { profiles: { state: string }[] }[] };
    expect({
      source: report.source.state,
      states: report.stores.map(({ profiles }) => profiles[0]?.state ?? null),
      code: json.code,
    }).toEqual({ source, states, code });
    expect(text.stdout).toMatch(sentence);
    expect(text.code).toBe(0);
  });
});
