import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { credsyncd, credsyncdInto } from "../support/command-line.js";
import { TemporaryHome } from "../support/temporary-home.js";

describe("the command line", () => {
  test("--help lists every command, and the help of each shows an example", async () => {
    const home = await TemporaryHome.create({ generation: null });
    const { code, stdout, stderr } = await credsyncd(home, ["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const commands = [...stdout.matchAll(/^ {2}([a-z-]+) .*$/gm)].map(([, name]) => name ?? "");
    expect(commands).toEqual(expect.arrayContaining(["run", "sync", "status", "config", "demo"]));
    const leaves = commands.filter((name) => !["help", "config", "service"].includes(name));
    const helps = await Promise.all(leaves.map(async (name) => credsyncd(home, [name, "--help"])));
    for (const help of helps) {
      expect(help.code).toBe(0);
      expect(help.stdout).toMatch(/Example:\n {2}\$ credsyncd /);
      for (const option of ["--config <file>", "--json", "--no-color", "-v, --verbose", "-q, --quiet"])
        expect(help.stdout).toContain(option);
    }
  });

  test("--version is the package's", async () => {
    const home = await TemporaryHome.create({ generation: null });
    const manifest = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
    expect(await credsyncd(home, ["--version"])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: "" });
  });

  test.each([
    [["snyc"], /unknown command 'snyc'/],
    [["sync", "--dryrun"], /unknown option '--dryrun'/],
    [["sync", "openclaw:main"], /too many arguments/],
    [["status", "--expiring-within"], /argument missing/],
    [["status", "--expiring-within", "soon"], /--expiring-within takes a duration, not "soon"/],
    [["config", "chekc"], /unknown command 'chekc'/],
    [["run", "--config"], /argument missing/],
  ])("a mistake in %j exits 64 and is named", async (args, message) => {
    const home = await TemporaryHome.create({ generation: null });
    const { code, stdout, stderr } = await credsyncd(home, args);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(stderr).toMatch(/^credsyncd: error: /);
    expect(stderr).toMatch(message);
  });

  test.each([[[]], [["config"]]])("without a command (%j) prints the help and exits 64", async (args) => {
    const home = await TemporaryHome.create({ generation: null });
    const { code, stderr } = await credsyncd(home, args);
    expect(code).toBe(64);
    expect(stderr).toContain("Usage: credsyncd");
  });

  test.each([["--help"], ["status"], ["status", "--json"], ["history", "--json"], ["doctor"], ["config", "schema"]])(
    "a reader that has seen enough is no failure (%s %s)",
    async (...args) => {
      const home = await TemporaryHome.create({ agents: ["main"] });
      await credsyncd(home, ["sync"]);
      expect(await credsyncdInto(home, args, "closed pipe")).toEqual({ code: 0, stderr: "" });
    },
  );

  test.skipIf(!existsSync("/dev/full")).each([[["status"]], [["status", "--json"]]])(
    "a result of %j that cannot be written is a failure, reported once",
    async (args) => {
      const home = await TemporaryHome.create({ agents: ["main"] });
      const { code, stderr } = await credsyncdInto(home, args, "full disk");
      expect(code).toBe(1);
      expect(stderr).toMatch(/^credsyncd: error: cannot write the result: .*ENOSPC.*\ncredsyncd: hint: .*\n$/);
    },
  );

  test.each(["", "somewhere"])("a home directory that is none (%j) is not looked for below the current one", async (HOME) => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const { code, stdout, stderr } = await credsyncd(home, ["status"], { HOME });
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr).toBe(`credsyncd: error: the home directory "${HOME}" is no absolute path\ncredsyncd: hint: set HOME\n`);
  });

  test("an unwritable state directory exits 77 and says what to do", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const { code, stderr } = await credsyncd(home, ["sync"], { XDG_STATE_HOME: "/dev/null" });
    expect(code).toBe(77);
    expect(stderr).toMatch(/^credsyncd: error: cannot make the state directory .*\ncredsyncd: hint: .*XDG_STATE_HOME\n$/);
  });

  test("an unreadable file of its own is one error line, not a crash", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    await home.makeDirectory(`${home.stateDirectory}/key`);
    for (const command of ["status", "sync"]) {
      const { code, stderr } = await credsyncd(home, [command]);
      expect(code).toBe(65);
      expect(stderr).toMatch(/^credsyncd: error: .*\/key is not a regular file\ncredsyncd: hint: .*\n$/);
    }
  });

  test.each([
    ["colours a terminal", [], {}, true],
    ["obeys --no-color", ["--no-color"], {}, false],
    ["obeys NO_COLOR", [], { NO_COLOR: "1" }, false],
    ["takes an empty NO_COLOR for none", [], { NO_COLOR: "" }, true],
    ["does not colour JSON", ["--json"], {}, false],
  ])("%s", async (_what, args, variables, isColoured) => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const { stdout } = await credsyncd(home, ["status", ...args], variables, "terminal");
    expect(stdout).toContain("in-sync");
    expect(stdout.includes("\u001b[")).toBe(isColoured);
  });

  test("does not colour a pipe", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    expect((await credsyncd(home, ["status"])).stdout).not.toContain("\u001b[");
  });

  test("-q leaves the talk out and keeps the result", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    expect(await credsyncd(home, ["sync", "-q"])).toMatchObject({ code: 0, stderr: "" });
    const demo = await credsyncd(home, ["demo", "-q", "--json"]);
    expect(demo).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(demo.stdout)).toMatchObject({ agents: 3, generation: 2 });
  });
});

describe("demo", () => {
  test("shows the main job in words, touches nothing of the user's, and tidies up", async () => {
    const home = await TemporaryHome.create({ generation: null });
    const { code, stdout, stderr } = await credsyncd(home, ["demo"], { TMPDIR: home.path });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toMatch(/1\. a throw-away home/);
    expect(stderr).toMatch(/research +generation 1\n[^]*research +generation 2\n/);
    expect(stderr).toMatch(/"msg":"credential pushed"/);
    expect(readdirSync(home.path)).toEqual([]);
  });

  test("--keep leaves the home and says where", async () => {
    const home = await TemporaryHome.create({ generation: null });
    const { code, stderr } = await credsyncd(home, ["demo", "--keep"], { TMPDIR: home.path });
    expect(code).toBe(0);
    const kept = /the home is still there: (.*)\n/.exec(stderr)?.[1] ?? "";
    expect(existsSync(`${kept}/.claude/.credentials.json`)).toBe(true);
  });
});
