import { rm, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Reporter } from "../../src/daemon/reporter.js";
import { Failure, StoreError } from "../../src/domain/errors.js";
import { composeIn, rememberingLog } from "../support/composed-daemon.js";
import type { LogLine } from "../support/running-daemon.js";
import { endOf, HOUR_MS, TemporaryHome } from "../support/temporary-home.js";
import { stuckHints } from "../../src/app/words.js";

interface Reporting {
  readonly home: TemporaryHome;
  readonly reporter: Reporter;
  /** Reconciles, reports, and returns what that said, debugging aside. */
  readonly look: () => Promise<LogLine[]>;
  readonly lines: LogLine[];
}

async function reporting(agents: readonly string[] = ["main", "work"]): Promise<Reporting> {
  const home = await TemporaryHome.create({ agents });
  const { reconcile } = await composeIn(home);
  const { log, lines } = rememberingLog(home);
  const reporter = new Reporter(log);
  const look = async (): Promise<LogLine[]> => {
    const before = lines.length;
    reporter.report(await reconcile());
    return lines.slice(before).filter(({ level }) => level !== "debug");
  };
  return { home, reporter, look, lines };
}

describe("the reporter", () => {
  test("says a rotation in one line, and a steady state in none", async () => {
    const { home, look } = await reporting();
    expect(await look()).toMatchObject([
      { level: "info", msg: "credential pushed", reason: "first-sight", stores: 0, failed: 0 },
    ]);
    expect(await look()).toEqual([]);
    await home.writeLogin(2);
    expect(await look()).toMatchObject([{ msg: "credential pushed", reason: "rotation", stores: 2, failed: 0 }]);
    expect(await look()).toEqual([]);
    expect(await look()).toEqual([]);
  });

  test("names the generation and its end, and numbers the reconciles", async () => {
    const { home, look, lines } = await reporting();
    await look();
    await home.writeLogin(2);
    const [line] = await look();
    expect(line).toMatchObject({
      reconcileId: 2,
      generation: expect.stringMatching(/^g2:[0-9a-f]{6}$/) as string,
      expiresAt: new Date(endOf(2)).toISOString(),
      durationMs: expect.any(Number) as number,
    });
    expect(lines.filter(({ msg }) => msg === "looked")).toHaveLength(2);
  });

  test("says once what cannot be removed, and that it is gone", async () => {
    const { reporter, lines } = await reporting();
    const error = new StoreError("io", "cannot write /a.tmp: EIO", "look");
    const stuck = { path: "/a.tmp", what: "temporary file", error } as const;
    for (const all of [[stuck], [stuck], []]) reporter.stuck(all);
    expect(lines).toMatchObject([
      { level: "warn", msg: "temporary file not removed", path: "/a.tmp", reason: error.message, hint: stuckHints[stuck.what] },
      { level: "info", msg: "resolved", about: "/a.tmp" },
    ]);
  });

  test("says that a drift was corrected", async () => {
    const { home, look } = await reporting();
    await look();
    await home.writeProfile("work", 0);
    expect(await look()).toMatchObject([{ msg: "drift corrected", stores: 1 }]);
  });

  test("says each trouble once, and once that it is over", async () => {
    const { home, look } = await reporting();
    await look();
    await home.writeProfile("work", 9);
    expect(await look()).toMatchObject([{ level: "warn", msg: "held", store: "openclaw:work", reason: "target-newer" }]);
    expect(await look()).toEqual([]);
    await home.writeProfile("work", 1);
    expect(await look()).toMatchObject([{ level: "info", msg: "resolved", about: "openclaw:work anthropic:claude-cli" }]);
    expect(await look()).toEqual([]);
  });

  test("reports a trouble again when it has become another one", async () => {
    const { home, look } = await reporting();
    await look();
    await rm(home.loginFile);
    expect(await look()).toMatchObject([{ level: "error", msg: "source missing" }]);
    await home.writeLogin(1, { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } });
    expect(await look()).toMatchObject([{ level: "error", msg: "source logged out" }]);
    expect(await look()).toEqual([]);
    await home.writeLogin(1);
    expect(await look()).toMatchObject([{ msg: "resolved", about: "claude-code" }]);
  });

  test("takes a half-written source neither for well nor for ill", async () => {
    const { home, look } = await reporting();
    await look();
    await writeFile(home.loginFile, "{");
    expect(await look()).toEqual([]);
    await home.age(home.loginFile);
    expect(await look()).toMatchObject([{ level: "error", msg: "source unreadable" }]);
    await writeFile(home.loginFile, "{{");
    expect(await look()).toEqual([]);
    await home.age(home.loginFile);
    expect(await look()).toEqual([]);
    await home.writeLogin(1);
    expect(await look()).toMatchObject([{ msg: "resolved" }]);
  });

  test("does not call a hold over because its store cannot be read at the moment", async () => {
    const { home, look } = await reporting();
    await home.writeProfile("work", 9);
    await look();
    await writeFile(home.storeFile("work"), "{");
    expect(await look()).toEqual([]);
    await home.age(home.storeFile("work"));
    expect(await look()).toMatchObject([{ level: "error", msg: "store error" }]);
    await home.writeProfile("work", 9);
    expect(await look()).toMatchObject([{ msg: "resolved", about: "openclaw:work" }]);
    await home.writeProfile("work", 1);
    expect(await look()).toMatchObject([{ msg: "resolved", about: "openclaw:work anthropic:claude-cli" }]);
  });

  test("says that an agent's rotation was adopted, and what proved it", async () => {
    const { home, look } = await reporting();
    const spent = { expiresAt: Date.now() - HOUR_MS };
    await home.writeLogin(1, spent);
    for (const agent of ["main", "work"]) await home.writeProfile(agent, 1, spent);
    await look();
    await home.writeProfile("work", 2);
    expect(await look()).toMatchObject([
      { msg: "agent rotation adopted", store: "openclaw:work", proof: expect.any(String) as string },
    ]);
  });

  test("is ready once", async () => {
    const { reporter, lines } = await reporting();
    reporter.ready({ stores: 2, directories: 3 });
    reporter.ready({ stores: 2, directories: 4 });
    expect(lines).toMatchObject([{ level: "info", msg: "ready", stores: 2, directories: 3 }]);
  });
});

describe("a reconcile that failed as a whole", () => {
  test("is said once for each reason, and once that it is over", async () => {
    const { reporter, look, lines } = await reporting();
    await look();
    const before = lines.length;
    const full = new Failure("general", "cannot write the ledger: ENOSPC", "free space");
    reporter.fail(full);
    reporter.fail(full);
    reporter.fail(new Failure("busy", "another credsyncd is writing", "try again"));
    await look();
    expect(lines.slice(before).filter(({ level }) => level !== "debug")).toMatchObject([
      { level: "error", msg: "reconcile failed", reason: "cannot write the ledger: ENOSPC", hint: "free space" },
      { level: "error", msg: "reconcile failed", reason: "another credsyncd is writing" },
      { level: "info", msg: "resolved", about: "reconcile" },
    ]);
  });

  test("that is a bug is thrown on", async () => {
    const { reporter } = await reporting();
    const bug = new TypeError("bug");
    expect(() => {
      reporter.fail(bug);
    }).toThrow(bug);
  });
});
