import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { becomes } from "../support/condition.js";
import { openclawHome, type OpenclawHome } from "../support/openclaw-home.js";
import { openRaw } from "../support/raw-database.js";
import { RunningDaemon } from "../support/running-daemon.js";

/** A gateway that writes a row into every database, and goes on until the test ends. */
async function writeSessions({ stores }: OpenclawHome): Promise<void> {
  const databases = await Promise.all(stores.map(({ path }) => openRaw(path)));
  const writing = new AbortController();
  for (const database of databases) database.exec("PRAGMA busy_timeout = 5000; CREATE TABLE test_sessions (text TEXT)");
  const ended = (async () => {
    while (!writing.signal.aborted) {
      for (const database of databases) database.exec("INSERT INTO test_sessions VALUES ('a turn')");
      await pause(10);
    }
  })();
  onTestFinished(async () => {
    writing.abort();
    await ended;
    for (const database of databases) database.close();
  });
}

describe.each(["2026.6.11", "2026.9.6"] as const)(
  "while a gateway of %s writes its sessions into the same databases",
  (version) => {
    test("nothing is scanned, a rotation goes out at once, and an agent's refresh is seen", async () => {
      const openclaw = await openclawHome(version);
      const { home } = openclaw;
      const daemon = await RunningDaemon.start(home, { args: ["-v"] });
      await writeSessions(openclaw);
      // The tables of the test are made in the files' own names, which may wake the daemon once.
      await pause(500);
      const before = daemon.lines.length;
      await pause(1500);
      expect(daemon.lines.slice(before).map(({ msg }) => msg)).toEqual([]);

      await home.writeLogin(2);
      await daemon.said("credential pushed", { reason: "rotation" });
      const ops = openclaw.store("openclaw:ops");
      expect(await ops.generation()).toBe(2);
      await ops.writeProfile(home.profile(1));
      await daemon.said("drift corrected", { stores: 1 });
      expect(await ops.generation()).toBe(2);
      await ops.writeProfile(home.profile(9));
      await daemon.said("held", { reason: "target-newer", store: "openclaw:ops" });
      await becomes(() => ops.generation(), 9);
    });
  },
);
