import { execFile, spawnSync } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { launchdPlist } from "../../src/cli/launchd-plist.js";
import { launchdManager } from "../../src/cli/service-launchd.js";
import { writeServiceFile } from "../../src/cli/service-manager.js";
import { fleetingOwner, serviceVariables } from "../../src/cli/service-program.js";
import { systemdUnit, type UnitOptions } from "../../src/cli/systemd-unit.js";
import { environmentOf } from "../support/composed-daemon.js";
import { credsyncd } from "../support/command-line.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { TemporaryHome } from "../support/temporary-home.js";

const packaged: UnitOptions = {
  command: ["/usr/bin/credsyncd", "run"],
  variables: {},
  systemdVersion: null,
  manual: true,
  scope: { kind: "user" },
};

const agent = {
  label: "dev.credsyncd",
  command: ["/usr/local/bin/node", "/usr/local/lib/node_modules/credsyncd/dist/cli/main.js", "run"],
  variables: { PATH: "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin" },
  logFile: "/Users/YOU/Library/Logs/credsyncd.log",
} as const;

describe("the files that are shipped are those that install would write", () => {
  test("the user unit", async () => {
    await expect(systemdUnit(packaged)).toMatchFileSnapshot("../../systemd/credsyncd.service");
  });

  test("the system unit, a template for any user in /home", async () => {
    const text = systemdUnit({ ...packaged, scope: { kind: "system", user: "USER", writable: ["/home/USER"] } });
    await expect(text.replaceAll(/\bUSER$/gm, "%i")).toMatchFileSnapshot("../../systemd/credsyncd@.service");
  });

  test("the LaunchAgent", async () => {
    await expect(launchdPlist(agent)).toMatchFileSnapshot("../../launchd/dev.credsyncd.plist");
  });
});

describe("a unit", () => {
  test("keeps odd paths and values whole", () => {
    const text = systemdUnit({
      ...packaged,
      command: ["/opt/a b/node", '/opt/100%/"$x"/main.js', "run"],
      variables: { CLAUDE_CONFIG_DIR: "/home/a b/50%\\$HOME", CLAUDE_SECURESTORAGE_CONFIG_DIR: "" },
    });
    expect(text).toContain('\nExecStart="/opt/a b/node" "/opt/100%%/\\"$$x\\"/main.js" run\n');
    expect(text).toContain('\nEnvironment="CLAUDE_CONFIG_DIR=/home/a b/50%%\\\\$HOME"\n');
    expect(text).toContain("\nEnvironment=CLAUDE_SECURESTORAGE_CONFIG_DIR=\n");
  });

  test("never holds a line break of a value, which would be a setting of its own", () => {
    expect(() => systemdUnit({ ...packaged, variables: { XDG_STATE_HOME: "/x\nExecStartPre=/bin/evil" } })).toThrow(RangeError);
  });

  test("lets the waits between restarts grow where systemd can", () => {
    expect(systemdUnit({ ...packaged, systemdVersion: 254 })).toContain("RestartMaxDelaySec=");
    expect(systemdUnit({ ...packaged, systemdVersion: 253 })).not.toContain("RestartMaxDelaySec=");
  });
});

test("a LaunchAgent is a property list, whatever stands in its paths", async ({ skip }) => {
  skip(spawnSync("python3", ["-c", "import plistlib"]).status !== 0, "there is no parser of property lists here");
  const command = ["/opt/<a>&b/node", 'x"y', "run"];
  const parse = "import plistlib, json, sys; print(json.dumps(plistlib.loads(sys.argv[1].encode())))";
  const { stdout } = await promisify(execFile)("python3", ["-c", parse, launchdPlist({ ...agent, command })]);
  expect(JSON.parse(stdout)).toEqual({
    Label: "dev.credsyncd",
    ProgramArguments: command,
    EnvironmentVariables: agent.variables,
    RunAtLoad: true,
    KeepAlive: true,
    ThrottleInterval: 5,
    ExitTimeOut: 75,
    Umask: 0o077,
    ProcessType: "Background",
    HardResourceLimits: { Core: 0 },
    StandardOutPath: agent.logFile,
    StandardErrorPath: agent.logFile,
  });
});

test.each([
  ["/home/a/.nvm/versions/node/v22.1.0/bin/node", "nvm"],
  ["/run/user/1000/fnm_multishells/123_456/bin/node", "fnm"],
  ["/home/a/.local/share/fnm/node-versions/v22/installation/bin/node", "fnm"],
  ["/home/a/.volta/tools/image/node/22.1.0/bin/node", "Volta"],
  ["/home/a/.asdf/installs/nodejs/22.1.0/bin/node", "asdf"],
  ["/home/a/.local/share/mise/installs/node/22/bin/node", "mise"],
  ["/opt/homebrew/Cellar/node/22.1.0/bin/node", "Homebrew"],
  ["/home/a/.npm/_npx/abc/node_modules/credsyncd/dist/cli/main.js", "npx, whose cache"],
  ["/tmp/x/node", "the temporary directory"],
  ["/usr/bin/node", null],
  ["/usr/local/bin/node", null],
  ["/opt/homebrew/bin/node", null],
  ["/home/a/.local/lib/node_modules/credsyncd/dist/cli/main.js", null],
])("%s belongs to %j", (path, owner) => {
  expect(fleetingOwner(path)).toBe(owner);
});

test("a service gets the places of the logins and a PATH that finds the programs, and nothing else of the shell", async () => {
  const home = await TemporaryHome.create({ generation: null });
  const tools = home.at("tools");
  await home.makeDirectory(tools);
  await writeFile(join(tools, "openclaw"), "");
  const variables = { PATH: `${tools}:/usr/bin`, CLAUDE_CONFIG_DIR: "/srv/claude", ANTHROPIC_API_KEY: "made-up", LANG: "C" };
  const chosen = await serviceVariables("/opt/node/bin/node", { ...environmentOf(home), variables });
  expect(Object.keys(chosen)).toEqual(["CLAUDE_CONFIG_DIR", "PATH"]);
  const openclaw = { OPENCLAW_CONFIG_PATH: "/etc/o.json", OPENCLAW_INCLUDE_ROOTS: "/etc/o", OPENCLAW_PROFILE: "team" };
  const withSecret = { ...openclaw, OPENCLAW_GATEWAY_TOKEN: "made-up", OPENCLAW_GATEWAY_PASSWORD: "made-up" };
  const places = await serviceVariables("/opt/node/bin/node", { ...environmentOf(home), variables: withSecret });
  expect(places).toMatchObject(openclaw);
  expect(Object.values(places)).not.toContain("made-up");
  expect(chosen["PATH"]?.split(":").slice(0, 2)).toEqual(["/opt/node/bin", tools]);
});

describe("launchd", () => {
  test("starts the agent, the command waits for it, and finds its state and log", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const tools = home.at("tools");
    const calls = join(tools, "calls");
    await mkdir(tools);
    const print = "state = running\\n\\tpid = 42\\n";
    await writeFile(
      join(tools, "launchctl"),
      `#!/bin/sh\necho "$*" >> "${calls}"\ncase $1 in print) printf '${print}' ;; bootout) exit 3 ;; esac\n`,
    );
    await chmod(join(tools, "launchctl"), 0o755);
    const environment = { ...environmentOf(home), variables: home.environment({ PATH: `${tools}:/usr/bin:/bin` }) };
    const manager = launchdManager({ command: ["/usr/bin/node", "/x/main.js", "run"], variables: {}, uid: 501, environment });
    await writeServiceFile(manager.file, manager.text);
    await RunningDaemon.start(home);
    await manager.start();
    const file = home.at("Library", "LaunchAgents", "dev.credsyncd.plist");
    expect((await readFile(calls, "utf8")).trim().split("\n")).toEqual([
      "bootout gui/501/dev.credsyncd",
      "enable gui/501/dev.credsyncd",
      `bootstrap gui/501 ${file}`,
    ]);
    expect(dirname(manager.file)).toBe(dirname(file));
    expect(await manager.state()).toMatchObject({ installed: true, running: true, pid: 42, state: "running" });
    expect(manager.starts(manager.text)).toEqual(["/usr/bin/node", "/x/main.js"]);
    expect(manager.logs({ follow: true, lines: "5" })).toEqual([
      "tail",
      "-F",
      "-n",
      "5",
      home.at("Library", "Logs", "credsyncd.log"),
    ]);
  });
});

describe.skipIf(process.platform === "darwin")("without systemd", () => {
  test("service says what to do", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const { code, stderr } = await credsyncd(home, ["service", "install"], { PATH: "/nowhere" });
    expect(code).toBe(1);
    expect(stderr).toBe("credsyncd: error: there is no systemd here\ncredsyncd: hint: let your supervisor run: credsyncd run\n");
  });

  test("a system service must know whose logins it keeps", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    for (const user of [[], ["--for", "../x"]]) {
      const { code, stderr } = await credsyncd(home, ["service", "print", "--system", ...user]);
      expect(code).toBe(64);
      expect(stderr).toContain("--system needs to know whose logins");
    }
  });
});
