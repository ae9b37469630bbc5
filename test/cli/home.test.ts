import { existsSync, readdirSync } from "node:fs";
import { chown, mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { TemporaryHome } from "../support/temporary-home.js";

const ALICE = 12345;
const isRoot = process.getuid?.() === 0;

const writing: readonly (readonly string[])[] = [
  ["run"],
  ["sync"],
  ["adopt", "openclaw:main"],
  ["set-active", "--provider", "claude-cli", "--profile", "anthropic:claude-cli"],
  ["restore", "--store", "openclaw:main", "--at", "2026", "--yes"],
  ["config", "init", "--yes"],
];

function contentOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
}

describe.skipIf(!isRoot)("in the home of another user", () => {
  test.each(writing)("nothing is made by %s %s", async (...args) => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await chown(home.path, ALICE, ALICE);
    const before = contentOf(home.path);
    const { code, stderr } = await credsyncd(home, args);
    expect(code).toBe(77);
    expect(stderr).toMatch(
      /error: the home directory .* belongs to user 12345, not to user 0 .*\n.*hint: run it as that user: sudo/,
    );
    expect(contentOf(home.path)).toEqual(before);
  });

  test("status shows what is there", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await chown(home.path, ALICE, ALICE);
    const before = contentOf(home.path);
    expect((await credsyncd(home, ["status"])).stdout).toContain("openclaw:main");
    expect(contentOf(home.path)).toEqual(before);
  });

  test("the demo is not played either", async () => {
    const home = await TemporaryHome.create();
    await chown(home.path, ALICE, ALICE);
    const { code } = await credsyncd(home, ["demo"], { TMPDIR: home.path });
    expect({ code, content: contentOf(home.path).includes("credsyncd-demo") }).toEqual({ code: 77, content: false });
  });
});

describe("in a home that does not exist", () => {
  test.each(writing)("nothing is made by %s %s", async (...args) => {
    const home = await TemporaryHome.create({ generation: null });
    const { code, stderr } = await credsyncd(home, args, { HOME: home.at("gone") });
    expect(code).toBe(78);
    expect(stderr).toContain(`the home directory ${home.at("gone")} does not exist`);
    expect(contentOf(home.path)).toEqual([]);
  });
});

test("a relative XDG directory is ignored, as the specification says", async () => {
  const home = await TemporaryHome.create({ agents: ["main"] });
  const name = `credsyncd-relative-${String(process.pid)}`;
  const variables = { XDG_STATE_HOME: name, XDG_CONFIG_HOME: `./${name}` };
  await home.writeProfile("main", 0);
  expect((await credsyncd(home, ["sync"], variables)).code).toBe(0);
  expect((await credsyncd(home, ["config", "init", "--yes"], variables)).code).toBe(0);
  expect([existsSync(home.stateDirectory), existsSync(home.configFile), existsSync(resolve(name))]).toEqual([true, true, false]);
  await mkdir(home.at("elsewhere"));
  await credsyncd(home, ["sync"], { XDG_STATE_HOME: home.at("elsewhere") });
  expect(readdirSync(join(home.at("elsewhere"), "credsyncd"))).toContain("key");
});
