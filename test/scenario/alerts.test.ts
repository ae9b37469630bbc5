import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { factsOf } from "../../src/app/alert-facts.js";
import { conditionsOf } from "../../src/domain/conditions.js";
import { StoreError } from "../../src/domain/errors.js";
import { noOrders } from "../../src/domain/observation.js";
import { credsyncd } from "../support/command-line.js";
import { composeIn } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { HOUR_MS, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];
/** Runs a program's clocks and timers faster: https://github.com/wolfcw/libfaketime */
const FAKETIME = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
  .map((directory) => `${directory}/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path));

/** Everyone holds generation 1, which ends after this long. */
async function homeEndingIn(durationMs: number): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents });
  const expiresAt = Date.now() + durationMs;
  await home.writeLogin(1, { expiresAt });
  for (const agent of agents) await home.writeProfile(agent, 1, { expiresAt });
  return home;
}

/** Returns the daemon's lines for people, without its log. */
function told(daemon: RunningDaemon): string[] {
  return daemon.stderr
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => /^credsyncd: ([^:]+: [^:]+):/.exec(line)?.[1] ?? line);
}

describe("the daemon", () => {
  test("reports at the right moment that a login is about to expire, and then that it was renewed", async () => {
    const home = await homeEndingIn(HOUR_MS + 2500);
    await home.writeConfig(`{ alerts: { command: ["tee", "-a", ${JSON.stringify(home.at("told"))}] }, resync: "0 0 1 1 *" }`);
    const daemon = await RunningDaemon.start(home);
    expect(told(daemon)).toEqual([]);
    await becomes(() => told(daemon), ["alert: expiring"]);
    const { since } = await daemon.said("alert", { kind: "expiring", event: "raised" });
    expect(Math.abs(Date.now() - Date.parse(String(since)))).toBeLessThan(5000);
    const status = await credsyncd(home, ["status", "--check", "--json"]);
    expect(status.code).toBe(2);
    expect(JSON.parse(status.stdout)).toMatchObject({ alerts: [{ kind: "expiring", store: "claude-code", since }] });

    await home.writeLogin(2);
    await becomes(() => told(daemon), ["alert: expiring", "resolved: expiring"]);
    await becomes(async () => (await readFile(home.at("told"), "utf8")).split("\n").length, 3);
    const { stdout } = await credsyncd(home, ["history"]);
    expect(stdout).toMatch(/alert +claude-code +expiring$/m);
    expect(stdout).toMatch(/resolved +claude-code +expiring$/m);
    expect((await credsyncd(home, ["status", "--check"])).code).toBe(0);
  });

  test("that starts again does not repeat itself, and says when what it told is over", async () => {
    const home = await TemporaryHome.create({ agents });
    const first = await RunningDaemon.start(home);
    await rm(home.loginFile);
    await becomes(() => told(first), ["alert: source-missing"]);
    await first.stop();
    const second = await RunningDaemon.start(home);
    second.signal("SIGHUP");
    await second.said("configuration reloaded");
    expect(told(second)).toEqual([]);
    await home.writeLogin(1);
    await becomes(() => told(second), ["resolved: source-missing"]);
  });

  test("reports a store that cannot be read, and its own state that cannot be written", async () => {
    const home = await TemporaryHome.create({ agents });
    await writeFile(home.storeFile("work"), "{");
    await home.age(home.storeFile("work"));
    const daemon = await RunningDaemon.start(home);
    await becomes(() => told(daemon), ["alert: store-error"]);
    expect(daemon.stderr).toMatch(/openclaw:work: .*auth-profiles\.json.*\. It gets no new login until this works - /);
  });

  test("and status and doctor tell alike of a store that cannot be written", async () => {
    const home = await TemporaryHome.create({ agents });
    const daemon = await RunningDaemon.start(home);
    await home.makeDirectory(`${home.storeFile("work")}.lock`);
    await home.writeLogin(2);
    await becomes(() => told(daemon), ["alert: store-error"]);
    const lacks = "It did not get the login of the source, and its agent fails when its old one expires";
    expect(daemon.stderr).toContain(lacks);
    const { alerts } = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as { alerts: unknown[] };
    expect(alerts).toEqual([
      expect.objectContaining({
        kind: "store-error",
        store: "openclaw:work",
        severity: "error",
        message: expect.stringContaining(lacks) as string,
      }),
    ]);
    expect((await credsyncd(home, ["doctor"])).stdout).toContain(lacks);

    await home.remove(`${home.storeFile("work")}.lock`);
    await home.writeLogin(3);
    await becomes(() => told(daemon), ["alert: store-error", "resolved: store-error"]);
    expect(JSON.parse((await credsyncd(home, ["status", "--json"])).stdout)).toMatchObject({ alerts: [] });
  });

  test.skipIf(FAKETIME === undefined)(
    "under a clock that runs 1200 times as fast lives through a login's last hours",
    async () => {
      const home = await homeEndingIn(3 * HOUR_MS);
      await home.writeConfig(`{ alerts: { repeatEvery: "50m" }, resync: "0 0 1 1 *" }`);
      const daemon = await RunningDaemon.start(home, { variables: { LD_PRELOAD: FAKETIME ?? "", FAKETIME: "+0 x1200" } });
      const line = await daemon.said("alert", { kind: "expired", event: "raised" });
      const lines = daemon.lines
        .filter(({ msg }) => msg === "alert")
        .map(({ kind, event }) => `${String(kind)} ${String(event)}`);
      expect(lines).toEqual(["expiring raised", "expiring repeated", "expired raised"]);
      // It wakes at the exact moment: a second here is 20 minutes there.
      expect(Date.parse(String(line["time"])) - Date.parse(String(line["since"]))).toBeLessThan(10 * 60_000);
      expect(daemon.lines.filter(({ msg }) => msg === "reconcile failed")).toEqual([]);
    },
  );
});

test("an agent's login that the source cannot be given is the source's trouble, and no rollback", async () => {
  const home = await homeEndingIn(HOUR_MS / 10);
  const { reconcile, reconciler, config } = await composeIn(home);
  await reconcile();
  await home.writeProfile("work", 2, { expiresAt: Date.now() + 8 * HOUR_MS });
  const [adoption] = (await reconcile()).adoptions;
  if (adoption === undefined) throw new Error("nothing was adopted");
  await home.writeLogin(1, { expiresAt: Date.now() + HOUR_MS / 10 });
  const look = await reconciler.preview(config.policy, noOrders, new AbortController().signal);
  expect(look.plan.flows).toMatchObject([{ source: { kind: "held", reason: "source-rolled-back" } }]);
  const error = new StoreError("permission", "cannot write it", "let this user write it");
  const facts = factsOf({ ...look, adoptions: [{ ...adoption, error }] });
  const { conditions } = conditionsOf(facts, config.alerts, Date.now());
  expect(conditions).toMatchObject([{ kind: "store-error", store: "claude-code", hint: "let this user write it" }]);
});
