import { rm, utimes, writeFile } from "node:fs/promises";
import { expect, test, vi } from "vitest";
import { Reporter } from "../../src/daemon/reporter.js";
import { systemClock } from "../../src/app/system.js";
import { Failure } from "../../src/domain/errors.js";
import { placementKey, type LedgerState } from "../../src/domain/ledger.js";
import { LedgerFile } from "../../src/io/ledger-file.js";
import { isUnfinished } from "../../src/reconcile/reconciler.js";
import { composeIn, environmentOf, rememberingLog } from "../support/composed-daemon.js";
import { endOf, HOUR_MS, PROFILE, TemporaryHome } from "../support/temporary-home.js";

const WORK = "openclaw:work";
const postponed = new Set([WORK]);

/** Two agents, of which one is behind: another program had its lock at the time of the write. */
async function withLockedAgent() {
  const home = await TemporaryHome.create({ agents: ["main", "work"] });
  const { reconcile } = await composeIn(home);
  await reconcile();
  await home.writeLogin(2);
  const lock = `${home.storeFile("work")}.lock`;
  await writeFile(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  const first = await reconcile();
  await rm(lock);
  return { home, reconcile, first };
}

test("a store whose retry is due later is left out and told as before, and no other waits for it", async () => {
  const { home, reconcile, first } = await withLockedAgent();
  const { log, lines } = rememberingLog(home);
  const reporter = new Reporter(log);
  reporter.report(first);
  expect(await home.generations(["main", "work"])).toEqual([2, 1]);
  expect(first.failed).toEqual(new Map([[WORK, "locked"]]));

  await home.writeLogin(3);
  const second = await reconcile({}, { postponed });
  reporter.report(second);
  expect(await home.generations(["main", "work"])).toEqual([3, 1]);
  const [failure] = first.writes.filter(({ store }) => store === WORK);
  expect(second.writes).toEqual([
    expect.objectContaining({ store: "openclaw:main", error: null, postponed: false }),
    expect.objectContaining({ store: WORK, error: failure?.error, postponed: true }),
  ]);
  expect(second.failed).toEqual(first.failed);
  expect(isUnfinished(second)).toBe(true);

  const third = await reconcile();
  reporter.report(third);
  expect(await home.generations(["main", "work"])).toEqual([3, 3]);
  expect(third.failed).toEqual(new Map());
  expect(isUnfinished(third)).toBe(false);
  expect(
    lines.flatMap(({ msg, about, store }) => (msg === "store busy" || msg === "resolved" ? [[msg, about ?? store]] : [])),
  ).toEqual([
    ["store busy", WORK],
    ["resolved", WORK],
  ]);
});

test("what was written while the ledger could not be is recorded at the next reconcile, before anything is planned", async () => {
  const home = await TemporaryHome.create({ agents: ["main"] });
  const { reconcile, ledger } = await composeIn(home);
  await reconcile();
  await home.writeLogin(2);
  const append = vi.spyOn(ledger, "append");
  const full = new Failure("general", "cannot write the ledger: ENOSPC", "free space");
  append.mockImplementationOnce((events) => LedgerFile.prototype.append.call(ledger, events)).mockRejectedValueOnce(full);
  await expect(reconcile()).rejects.toThrow("ENOSPC");
  expect(await home.generationOf("main")).toBe(2);
  const placedOf = ({ placements }: LedgerState) => placements.get(placementKey("openclaw:main", PROFILE));
  expect(placedOf(await ledger.load())).not.toHaveProperty("writtenAt");

  const next = await reconcile();
  expect(next.plan.writes).toEqual([]);
  expect(placedOf(next.ledger)).toHaveProperty("writtenAt");
});

test("a store that was mended by other hands is not waited for any more", async () => {
  const { home, reconcile } = await withLockedAgent();
  await home.writeProfile("work", 2);
  expect(await reconcile({}, { postponed })).toMatchObject({ writes: [], failed: new Map() });
  await home.writeLogin(3);
  expect((await reconcile({}, { postponed })).failed).toEqual(new Map());
  expect(await home.generations(["main", "work"])).toEqual([3, 3]);
});

test("what could not be read for a reason that may pass is tried again, the source and what tells which stores there are, too", async () => {
  const home = await TemporaryHome.create({ agents: ["main"] });
  // Nothing has a name as long, and the system says so with an error of its own.
  const tooLong = home.at("x".repeat(300));
  const variables = { CLAUDE_CONFIG_DIR: tooLong, OPENCLAW_STATE_DIR: tooLong };
  const { reconcile } = await composeIn(home, environmentOf(home, systemClock, variables));
  const result = await reconcile();
  expect(result.failed).toEqual(
    new Map([
      ["claude-code", "io"],
      ["openclaw", "io"],
    ]),
  );
  expect(isUnfinished(result)).toBe(true);
});

test("a new login is not waited for until a clock that was set back is there again", async () => {
  let fastMs = HOUR_MS;
  const clock = { ...systemClock, now: () => systemClock.now() + fastMs };
  const home = await TemporaryHome.create();
  const { reconcile } = await composeIn(home, environmentOf(home, clock));
  await reconcile();
  await home.writeLogin(2, { signInEndsAt: endOf(2000) });
  const inAnHour = new Date(clock.now());
  await utimes(home.loginFile, inAnHour, inAnHour);
  const waitsUntil = async (): Promise<number> => {
    const [{ source }] = (await reconcile()).plan.flows;
    if (source.kind !== "held" || source.until === null) throw new Error(`it is ${source.kind}`);
    return source.until;
  };
  expect(await waitsUntil()).toBeGreaterThan(systemClock.now() + fastMs);
  fastMs = 0;
  expect(await waitsUntil()).toBeLessThan(systemClock.now() + HOUR_MS / 2);
});
