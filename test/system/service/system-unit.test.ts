import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, chown, lchown, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { becomes } from "../../support/condition.js";
import { TemporaryHome } from "../../support/temporary-home.js";
import { becomesActive, property, system, systemctl, UNIT_DIRECTORY } from "./manager.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** The path of the program for a unit that has a /tmp of its own. */
const PROGRAM = "/run/program";
const UNIT = "credsyncd@alice.service";
const ALICE = { uid: 4242, home: "/run/alice" } as const;
/** The highest exposure that `systemd-analyze security` may find. */
const MOST_EXPOSURE = 1.5;
const agents = ["main", "work"] as const;

async function handOver(path: string): Promise<void> {
  await chown(path, ALICE.uid, ALICE.uid);
  for (const entry of await readdir(path, { recursive: true })) await lchown(join(path, entry), ALICE.uid, ALICE.uid);
}

test("the system unit is little exposed", async () => {
  const { stdout } = await promisify(execFile)("systemd-analyze", [
    "security",
    "--offline=true",
    "--no-pager",
    join(ROOT, "systemd", "credsyncd@.service"),
  ]);
  const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]);
  console.log(`exposure of the system unit: ${String(exposure)}`);
  expect(exposure).toBeLessThanOrEqual(MOST_EXPOSURE);
});

test("the system unit runs as its user, in its sandbox, with Claude Code's lock beside the directory in the home", async () => {
  const home = await TemporaryHome.create({ agents, path: ALICE.home });
  await home.writeConfig(`{ targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "/srv/box/.claude" }] }`);
  await mkdir("/run/srv/box", { recursive: true });
  await mkdir(PROGRAM, { recursive: true });
  await mkdir("/srv", { recursive: true });
  for (const mount of [
    [ROOT, PROGRAM],
    ["/run/srv", "/srv"],
  ])
    await system("mount", "--bind", ...mount);
  // The system's manager listens where everybody can speak to it.
  await chmod("/run/user/0", 0o711);
  await chmod("/run/user/0/systemd/notify", 0o777);
  await handOver(ALICE.home);
  await handOver("/run/srv/box");
  onTestFinished(async () => {
    spawnSync("systemctl", ["--user", "stop", UNIT]);
    for (const mount of [PROGRAM, "/srv"]) spawnSync("umount", [mount]);
    await rm(UNIT_DIRECTORY, { recursive: true, force: true });
  });

  const main = join(PROGRAM, "dist", "cli", "main.js");
  const unit = await system(process.execPath, main, "service", "print", "--system", "--for", "alice");
  expect(unit).toContain(`\nReadWritePaths=${ALICE.home}\nReadWritePaths=/srv/box\n`);
  await mkdir(UNIT_DIRECTORY, { recursive: true });
  // The manager here is a user's, which has its own directories; it is root's, so that the sandbox is whole.
  await writeFile(join(UNIT_DIRECTORY, UNIT), unit);
  expect(await system("systemd-analyze", "verify", "--man=no", join(UNIT_DIRECTORY, UNIT))).toBe("");
  await systemctl("daemon-reload");
  await systemctl("start", UNIT);
  expect(await property("StatusText", UNIT)).toMatch(/^3 stores in sync/);
  expect((await stat("/srv/box/.claude/.credentials.json")).uid).toBe(ALICE.uid);

  // An agent's rotation is written to the source, under Claude Code's own locks.
  await home.writeProfile("work", 2, { expiresAt: Date.UTC(2100, 0, 1) });
  await handOver(home.agentDirectory("work"));
  await becomes(async () => (await property("StatusText", UNIT)).includes("held"), true);
  const adopt = ["-u", "alice", "--", "env", `HOME=${ALICE.home}`, process.execPath, main, "adopt", "openclaw:work"];
  await system("runuser", ...adopt);
  await home.writeLogin(3, { expiresAt: Date.UTC(2100, 0, 2) });
  await handOver(home.at(".claude"));
  await becomes(() => home.generations(agents), [3, 3]);
  await becomesActive(UNIT);
  const status = await system("ps", "-o", "user=", "-p", await property("MainPID", UNIT));
  expect(status.trim()).toBe("alice");
  expect(existsSync(join(ALICE.home, ".claude.lock"))).toBe(false);
});
