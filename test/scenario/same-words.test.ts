import { rm, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import type { StatusReport } from "../../src/app/status-report.js";
import { Reporter } from "../../src/daemon/reporter.js";
import { credsyncd } from "../support/command-line.js";
import { composeIn, rememberingLog } from "../support/composed-daemon.js";
import { HOUR_MS, TemporaryHome } from "../support/temporary-home.js";

interface Words {
  readonly explanation: string | null;
  readonly hint: string | null;
}

interface Said extends Words {
  readonly store: string;
}

interface SyncJson {
  readonly source: Words;
  readonly holds: readonly Said[];
}

const blank = { accessToken: "", refreshToken: "", expiresAt: 0 };

const troubles: Readonly<Record<string, (home: TemporaryHome) => Promise<unknown>>> = {
  "a source that is missing": (home) => rm(home.loginFile),
  "a source that is logged out": (home) => home.writeLogin(1, { fields: blank }),
  "a source that is unreadable": async (home) => {
    await writeFile(home.loginFile, "{");
    await home.age(home.loginFile);
  },
  "a source that is an old copy": (home) => home.writeLogin(9, { expiresAt: Date.now() + HOUR_MS / 2 }),
  "an agent with a newer login": (home) => home.writeProfile("work", 9),
  "an agent with an unknown login": (home) =>
    home.writeProfile("work", 8, { id: "anthropic:mine", expiresAt: Date.now() - HOUR_MS }),
};

test.each(Object.entries(troubles))("status, sync, alerts and the log have one sentence for %s", async (_what, make) => {
  const home = await TemporaryHome.create({ agents: ["main", "work"] });
  for (const agent of ["main", "work"]) await home.writeProfile(agent, 1);
  await credsyncd(home, ["sync"]);
  await make(home);
  const synced = JSON.parse((await credsyncd(home, ["sync", "--json"])).stdout) as SyncJson;
  const status = JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as StatusReport;
  const { reconcile } = await composeIn(home);
  const { log, lines } = rememberingLog(home);
  new Reporter(log).report(await reconcile());

  const bySync = [synced.source, ...synced.holds].flatMap(wordsOf);
  const byStatus = [
    status.source,
    ...status.stores.flatMap(({ profiles }) => profiles.filter(({ state }) => state !== "absent")),
  ].flatMap(wordsOf);
  const byLog = lines.flatMap(({ level, reason, why, hint }) =>
    level === "warn" || level === "error" ? [[why ?? reason, hint]] : [],
  );
  expect(bySync).toHaveLength(1);
  expect(byStatus).toEqual(bySync);
  expect(byLog).toEqual(bySync);
  const [[explanation, hint] = []] = bySync;
  expect(status.alerts).toMatchObject([{ message: expect.stringContaining(explanation ?? "?") as string, hint }]);
  const { stdout } = await credsyncd(home, ["status"]);
  expect(stdout).toContain(explanation);
});

function wordsOf({ explanation, hint }: Words): (string | null)[][] {
  return explanation === null ? [] : [[explanation, hint]];
}
