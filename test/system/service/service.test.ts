import { existsSync } from "node:fs";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../../support/command-line.js";
import { becomes } from "../../support/condition.js";
import { RunningDaemon } from "../../support/running-daemon.js";
import {
  becomesActive,
  hurry,
  journal,
  managedHome,
  property,
  service,
  system,
  systemctl,
  UNIT,
  UNIT_DIRECTORY,
} from "./manager.js";

const agents = ["main", "work", "research"] as const;

describe("service install", () => {
  test("ends once the service is ready, and then every agent holds the live login", async () => {
    const home = await managedHome({ agents });
    await home.writeLogin(2);
    const { code, stdout } = await service("install");
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^installed and ready: .*credsyncd\.service\n3 stores in sync, next expiry in [^]*loginctl enable-linger[^]*credsyncd service logs/,
    );
    expect(await property("ActiveState")).toBe("active");
    expect(await property("StatusText")).toMatch(/^3 stores in sync, next expiry in /);
    expect(await property("UnitFileState")).toBe("enabled");
  });

  test("writes a unit that systemd has nothing to say about", async () => {
    await managedHome({ agents });
    await service("install");
    expect(await system("systemd-analyze", "verify", "--user", join(UNIT_DIRECTORY, UNIT))).toBe("");
  });

  test("again upgrades in place, and twice is as good as once", async () => {
    const home = await managedHome({ agents });
    await service("install");
    const unit = join(UNIT_DIRECTORY, UNIT);
    const text = await readFile(unit, "utf8");
    await writeFile(unit, text.replace("WatchdogSec=60s", "WatchdogSec=61s"));
    expect((await service("status")).stdout).toContain("its unit is not what this version would write");
    const pid = await property("MainPID");
    expect((await service("install")).stdout).toMatch(/^upgraded and ready/);
    expect(await readFile(unit, "utf8")).toBe(text);
    expect(await property("MainPID")).not.toBe(pid);
    expect((await service("install")).stdout).toMatch(/^restarted and ready/);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2, 2]);
  });

  test("refuses a bad configuration before it touches anything", async () => {
    const home = await managedHome({ agents });
    await home.writeConfig("{ agent: {} }");
    expect(await service("install")).toMatchObject({ code: 78, stdout: "" });
    expect(existsSync(join(UNIT_DIRECTORY, UNIT))).toBe(false);
  });

  test("refuses while a daemon runs in the foreground, and names it", async () => {
    const home = await managedHome({ agents });
    const daemon = await RunningDaemon.start(home);
    const { code, stderr } = await service("install");
    expect(code).toBe(75);
    expect(stderr).toContain(`pid ${String(daemon.pid)}`);
    expect(existsSync(join(UNIT_DIRECTORY, UNIT))).toBe(false);
  });

  test("fails where the service does, and says where to look", async () => {
    await managedHome({ agents });
    await hurry(["ExecStart=", "ExecStart=/bin/false", "Restart=no"]);
    const { code, stderr } = await service("install");
    expect(code).toBe(1);
    expect(stderr).toMatch(/the service did not become ready: exit-code, exit code 1\n.*credsyncd service logs/);
    expect(await service("status")).toMatchObject({ code: 1 });
  });

  test("--dry-run and print write nothing", async () => {
    await managedHome({ agents });
    expect((await service("install", "--dry-run")).stdout).toMatch(
      /would write[^]*Type=notify[^]*systemctl --user restart credsyncd.service\n$/,
    );
    expect((await service("print")).stdout).toMatch(/^\[Unit\]\n[^]*WantedBy=default.target\n$/);
    expect(existsSync(UNIT_DIRECTORY)).toBe(false);
  });
});

describe("the service", () => {
  test("is not active before its first reconcile", async () => {
    const home = await managedHome({ agents });
    await home.writeLogin(2);
    const ledger = join(home.stateDirectory, "ledger.jsonl");
    await home.makeDirectory(ledger);
    const since = new Date();
    const installing = service("install");
    await becomes(async () => (await journal(since)).some((line) => line.includes("reconcile failed")), true);
    expect(await property("ActiveState")).toBe("activating");
    await becomes(async () => (await property("StatusText")) !== "", true);
    expect(await home.generations(agents)).toEqual([1, 1, 1]);
    await home.remove(ledger);
    expect(await installing).toMatchObject({ code: 0 });
    expect(await home.generations(agents)).toEqual([2, 2, 2]);
  });

  test("logs a rotation in words, and warnings as warnings", async () => {
    const home = await managedHome({ agents });
    await home.writeProfile("research", 900, { id: "anthropic:other" });
    const since = new Date();
    await service("install");
    await home.writeLogin(2);
    await becomes(() => home.generations(["main", "work"]), [2, 2]);
    await becomes(
      async () => (await journal(since, "--output=cat")).some((line) => /^credential pushed .*reason=rotation$/.test(line)),
      true,
    );
    const warnings = await journal(since, "--priority=warning", "--output=cat");
    // The log's own line, and the alert's for a person.
    expect(warnings).toContainEqual(expect.stringMatching(/^held .*store=openclaw:research /));
    expect(warnings.filter((line) => !line.includes("openclaw:research"))).toEqual([]);
    for (const line of await journal(since, "--output=cat")) expect(line).toMatch(/^[a-z][^<{]/);
    expect((await service("logs", "--lines", "1000")).stdout).toContain("credential pushed");
  });

  test("that stands still is started again by the watchdog, and converges", async () => {
    const home = await managedHome({ agents });
    await hurry(["WatchdogSec=1500ms", "RestartSec=100ms"]);
    await service("install");
    const pid = await property("MainPID");
    await systemctl("kill", "--signal=SIGSTOP", "--kill-whom=main", UNIT);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 2, 2]);
    await becomesActive();
    expect(await property("MainPID")).not.toBe(pid);
    expect(await property("NRestarts")).toBe("1");
    expect(await system("journalctl", "--quiet", "--output=cat", "--grep=core", "--user-unit", UNIT).catch(() => "")).not.toMatch(
      /dumped core/,
    );
  });

  test("that is killed in the middle of its writes is started again, tears nothing, and converges", async () => {
    const many = Array.from({ length: 150 }, (_, index) => `agent-${String(index)}`);
    const home = await managedHome({ agents: many });
    await hurry(["RestartSec=100ms"]);
    await service("install");
    for (let generation = 2; generation < 5; generation++) {
      await home.writeLogin(generation);
      await becomes(async () => new Set(await home.generations(many)).size > 1, true);
      await systemctl("kill", "--signal=SIGKILL", "--kill-whom=main", UNIT);
      expect(await home.generations(many)).not.toContain(null);
      await becomes(
        () => home.generations(many),
        many.map(() => generation),
      );
      await becomesActive();
    }
    expect(Number(await property("NRestarts"))).toBe(3);
  });

  test("takes a good configuration over and refuses a bad one, without a restart", async () => {
    const home = await managedHome({ agents });
    await service("install");
    const pid = await property("MainPID");
    for (const [config, answer, status] of [
      [`{ agents: { work: "pinned" } }`, "configuration reloaded", /^2 stores in sync/],
      [`{ agent: {} }`, "configuration not reloaded", /^2 stores in sync/],
    ] as const) {
      const since = new Date();
      await home.writeConfig(config);
      await systemctl("reload", UNIT);
      await becomes(async () => (await journal(since)).some((line) => line.includes(answer)), true);
      await becomesActive();
      await expect.poll(() => property("StatusText")).toMatch(status);
    }
    expect(await property("MainPID")).toBe(pid);
    await home.writeLogin(2);
    await becomes(() => home.generations(agents), [2, 1, 2]);
  });

  test("stops within two seconds, with success", async () => {
    const home = await managedHome({ agents });
    await service("install");
    await home.writeLogin(2);
    const begun = performance.now();
    await systemctl("stop", UNIT);
    expect(performance.now() - begun).toBeLessThan(2000);
    expect(await property("Result")).toBe("success");
  });

  test("lets a second daemon refuse, with its pid", async () => {
    const home = await managedHome({ agents });
    await service("install");
    const { code, stderr } = await credsyncd(home, ["run"]);
    expect(code).toBe(75);
    expect(stderr).toContain(`pid ${await property("MainPID")}`);
  });
});

describe("service status", () => {
  test("tells a running service from one that is not there", async () => {
    await managedHome({ agents });
    expect(await service("status")).toMatchObject({
      code: 1,
      stdout: "not installed; to install it: credsyncd service install\n",
    });
    await service("install");
    const { code, stdout } = await service("status", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      schemaVersion: 1,
      manager: "systemd",
      installed: true,
      running: true,
      enabled: true,
      pid: Number(await property("MainPID")),
      status: expect.stringMatching(/^3 stores in sync/) as string,
    });
  });

  test("says when the program that the unit starts is gone", async () => {
    const home = await managedHome({ agents });
    await service("install");
    const unit = join(UNIT_DIRECTORY, UNIT);
    await writeFile(unit, (await readFile(unit, "utf8")).replace(/^ExecStart=\S+/m, "ExecStart=/gone/node"));
    expect((await service("status")).stdout).toContain("/gone/node is gone; to repair it: credsyncd service install");
    const hidden = join(home.path, "hidden");
    await symlink("hidden", hidden);
    await writeFile(unit, (await readFile(unit, "utf8")).replace("/gone/node", `${hidden}/node`));
    expect((await service("status")).stdout).not.toContain("is gone");
  });
});

describe("service uninstall", () => {
  test("leaves nothing of the service, and the state where it is", async () => {
    const home = await managedHome({ agents });
    await service("install");
    const { code, stdout } = await service("uninstall");
    expect(code).toBe(0);
    expect(stdout).toBe(`removed ${join(UNIT_DIRECTORY, UNIT)}\nleft ${home.stateDirectory}\n`);
    expect(await readdir(UNIT_DIRECTORY, { recursive: true })).toEqual([]);
    expect(await property("LoadState")).toBe("not-found");
    expect(existsSync(home.stateDirectory)).toBe(true);
    expect(await service("uninstall")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^it was not installed\n/) as string,
    });
  });

  test("--purge removes the configuration and the state, once that was confirmed", async () => {
    const home = await managedHome({ agents });
    await home.writeConfig("{}");
    await service("install");
    expect(await service("uninstall", "--purge")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nothing was removed") as string,
    });
    expect(await property("ActiveState")).toBe("active");
    expect(await service("uninstall", "--purge", "--yes")).toMatchObject({ code: 0 });
    expect([existsSync(home.stateDirectory), existsSync(home.configFile), existsSync(join(UNIT_DIRECTORY, UNIT))]).toEqual([
      false,
      false,
      false,
    ]);
    expect(await home.generations(agents)).toEqual([1, 1, 1]);
  });
});
