import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { maskEmail, readDaemonStatus, writeHeartbeat } from "../../src/app/status.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { composeIn } from "../support/composed-daemon.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { TemporaryHome } from "../support/temporary-home.js";

const silent = { lastReconcileAt: null, lastReconcileMs: null };

test.each([
  ["frieda@example.com", "f***@example.com"],
  ["a@b.c", "a***@b.c"],
  ["odd@name@example.com", "o***@example.com"],
  ["@example.com", "***"],
  ["no address", "***"],
  ["", "***"],
  [null, null],
])("the address %j is shown as %j", (email, shown) => {
  expect(maskEmail(email)).toBe(shown);
});

describe("the daemon's heartbeat", () => {
  test("says who looked, when and how long, and nothing else", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const { reconcile, stateDirectory } = await composeIn(home);
    await writeHeartbeat(stateDirectory, new Leftovers(), { pid: 4711, result: await reconcile(), lags: [] });
    const file = join(stateDirectory, "status.json");
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({
      schemaVersion: 1,
      pid: 4711,
      lastReconcileAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      lastReconcileMs: expect.any(Number) as number,
      lags: [],
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readDaemonStatus(stateDirectory, 4711)).toMatchObject({
      daemon: { running: true, pid: 4711, lastReconcileMs: expect.any(Number) as number },
      lags: [],
    });
  });

  test("of an earlier daemon says nothing of the one that runs now", async () => {
    const directory = await temporaryDirectory();
    const heartbeat = { pid: 1, lastReconcileAt: "2026-01-01T00:00:00.000Z", lastReconcileMs: 3 };
    await writeFile(join(directory, "status.json"), JSON.stringify(heartbeat));
    expect(await readDaemonStatus(directory, 2)).toEqual({ daemon: { running: true, pid: 2, ...silent }, lags: [] });
    expect(await readDaemonStatus(directory, null)).toEqual({ daemon: { running: false, pid: null, ...silent }, lags: [] });
  });

  test("of an earlier daemon still names the lagging gateways, which nobody reloads any more", async () => {
    const directory = await temporaryDirectory();
    const lag = { gateway: "the gateway", since: 5, until: null, listener: "7" };
    const lags = [
      { ...lag, reason: "pairing" },
      { ...lag, reason: "reloading" },
    ];
    const heartbeat = { pid: 1, lastReconcileAt: "2026-01-01T00:00:00.000Z", lastReconcileMs: 3, lags };
    await writeFile(join(directory, "status.json"), JSON.stringify(heartbeat));
    const left = [lags[0], { ...lag, reason: "interrupted" }];
    expect((await readDaemonStatus(directory, 1)).lags).toEqual(lags);
    expect((await readDaemonStatus(directory, 2)).lags).toEqual(left);
    expect((await readDaemonStatus(directory, null)).lags).toEqual(left);
  });

  test("of a version that told nothing of gateways is read", async () => {
    const directory = await temporaryDirectory();
    const heartbeat = { pid: 1, lastReconcileAt: "2026-01-01T00:00:00.000Z", lastReconcileMs: 3 };
    await writeFile(join(directory, "status.json"), JSON.stringify(heartbeat));
    expect(await readDaemonStatus(directory, 1)).toMatchObject({ daemon: { running: true, ...heartbeat }, lags: [] });
  });

  test.each(["", "{", "[]", `{"pid": "1"}`, `{"pid":1,"lastReconcileAt":"x","lastReconcileMs":1,"lags":[{"gateway":5}]}`])(
    "that is %j counts as none",
    async (text) => {
      const directory = await temporaryDirectory();
      await writeFile(join(directory, "status.json"), text);
      expect(await readDaemonStatus(directory, 1)).toEqual({ daemon: { running: true, pid: 1, ...silent }, lags: [] });
    },
  );

  test("that is missing counts as none", async () => {
    expect(await readDaemonStatus(await temporaryDirectory(), 1)).toEqual({
      daemon: { running: true, pid: 1, ...silent },
      lags: [],
    });
  });
});
