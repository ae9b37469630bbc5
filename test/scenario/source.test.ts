import { execFileSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];

interface Trouble {
  readonly name: string;
  /** Damages the login file. */
  readonly strike: (home: TemporaryHome) => Promise<void> | void;
  readonly msg: string;
}

const troubles: readonly Trouble[] = [
  { name: "is gone", strike: (home) => rm(home.loginFile), msg: "source missing" },
  {
    name: "holds no login any more",
    strike: (home) => writeFile(home.loginFile, `{"mcpOAuth": {}}`),
    msg: "source missing",
  },
  {
    name: "holds a logged-out stub",
    strike: (home) => home.writeLogin(1, { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } }),
    msg: "source logged out",
  },
  {
    name: "is garbage",
    strike: (home) => writeFile(home.loginFile, `${home.login(2)} ${home.token("access", 3)}`),
    msg: "source unreadable",
  },
  {
    name: "is garbage that is no text",
    strike: (home) => writeFile(home.loginFile, Buffer.from([0xff, 0xfe, 0x00, 0xc3])),
    msg: "source unreadable",
  },
  {
    name: "lacks a field",
    strike: (home) => home.writeLogin(2, { fields: { scopes: [] } }),
    msg: "source unreadable",
  },
  {
    name: "is a pipe",
    strike: async (home) => {
      await rm(home.loginFile);
      execFileSync("mkfifo", [home.loginFile]);
    },
    msg: "source unreadable",
  },
  {
    name: "is a directory",
    strike: async (home) => {
      await rm(home.loginFile);
      await mkdir(home.loginFile);
    },
    msg: "source unreadable",
  },
  {
    name: "is far too large",
    strike: (home) => writeFile(home.loginFile, Buffer.alloc(5 * 1024 * 1024, " ")),
    msg: "source unreadable",
  },
];

describe("a source that gives nothing to push", () => {
  test.each(troubles)("because it $name is one line, and touches no target", async ({ strike, msg }) => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await strike(home);
    const line = await daemon.said(msg);
    expect(line).toMatchObject({ level: "error", store: "claude-code" });
    expect(line["hint"]).toBeTruthy();
    // An older login in an agent wakes the daemon: even then nothing is pushed, and nothing is said again.
    const last = await home.lookedAt();
    await home.writeProfile("work", 0);
    await becomes(async () => (await home.lookedAt()) !== last, true);
    expect(await home.generations(agents)).toEqual([1, 0]);
    await home.clear(home.loginFile);
    await home.writeLogin(2);
    await daemon.said("resolved", { about: "claude-code" });
    await becomes(() => home.generations(agents), [2, 2]);
    expect(daemon.lines.filter((said) => said.msg === msg)).toHaveLength(1);
    expect(daemon.news.filter((said) => said.msg === "drift corrected")).toEqual([]);
  });

  test.each(troubles)("because it $name from the start is one line, and touches no target", async ({ strike, msg }) => {
    const home = await TemporaryHome.create({ agents });
    await home.writeProfile("work", 0);
    await strike(home);
    await home.age(home.loginFile);
    const daemon = await RunningDaemon.start(home);
    expect(daemon.news).toMatchObject([{ level: "error", msg }, { msg: "ready" }]);
    expect(await home.generations(agents)).toEqual([1, 0]);
  });
});
