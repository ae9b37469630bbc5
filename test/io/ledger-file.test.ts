import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdir, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { asFingerprint } from "../../src/domain/generation.js";
import { emptyLedger, placementKey, type LedgerEvent, type LedgerState } from "../../src/domain/ledger.js";
import { LedgerFile } from "../../src/io/ledger-file.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { runMounted } from "../support/mount-namespace.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const KEY = "0123456789abcdef";
const [g0, g1, i1] = [asFingerprint("g0"), asFingerprint("g1"), asFingerprint("i1")];

const live: LedgerEvent = {
  kind: "live",
  at: 1,
  sourceProfile: "claudeAiOauth",
  chain: "c",
  generation: g1,
  issue: i1,
  expiresAt: 2,
  signInEndsAt: null,
  account: { uuid: "u", email: null },
  reason: "first-sight",
  from: "claude-code",
};

const fence = { claim: "c1", failed: true, spends: g0, since: 4 };

/** One event of every kind. */
const everyKind: readonly LedgerEvent[] = [
  live,
  {
    kind: "member",
    at: 2,
    sourceProfile: "claudeAiOauth",
    chain: "c",
    generation: g0,
    issue: asFingerprint("i0"),
    expiresAt: null,
  },
  seen(3),
  { ...seen(4), kind: "written", durationMs: 1.5 },
  { ...seen(5), carried: { reverts: 2, revertedAt: 1, writtenAt: 3, stub: { replaced: g0, timeLimit: true }, fence: null } },
  { ...seen(10), carried: { reverts: 0, revertedAt: null, stub: null, fence: { ...fence, spends: null } } },
  { kind: "fence", at: 7, store: "openclaw:6", profile: "p", ...fence },
  { kind: "suspect", at: 8, generation: g1, store: "openclaw:6", profile: "p" },
  { kind: "stub", at: 6, store: "claude-code", profile: "claudeAiOauth", replaced: null, timeLimit: false },
  { kind: "revert", at: 7, store: "openclaw:3", profile: "p" },
  { kind: "hold", at: 8, store: "openclaw:3", profile: "p", reason: "unknown-origin" },
  { kind: "hold", at: 9, store: "openclaw:4", profile: "p", reason: null },
];

function seen(index: number): LedgerEvent & { kind: "seen" | "written" } {
  const place = { store: `openclaw:${String(index)}`, profile: "p" };
  return { kind: "seen", at: index, ...place, generation: g1, issue: i1, surroundings: asFingerprint("s") };
}

async function ledgerPath(): Promise<string> {
  return join(await temporaryDirectory(), "ledger.jsonl");
}

function open(path: string, keyId = KEY): LedgerFile {
  return new LedgerFile(path, keyId, new Leftovers());
}

/** Which stores the state knows a placement in. */
function placesIn(state: LedgerState): string[] {
  return [...state.placements.keys()].map((key) => (JSON.parse(key) as [string])[0]).sort();
}

describe("the ledger's file", () => {
  test("that is absent has no content, and reading does not create it", async () => {
    const path = await ledgerPath();
    const ledger = open(path);
    expect(await ledger.load()).toBe(emptyLedger);
    expect(await ledger.events()).toEqual([]);
    expect(existsSync(path)).toBe(false);
    expect(await ledger.append([])).toBe(emptyLedger);
    expect(existsSync(path)).toBe(false);
  });

  test("gives back every kind of event as it was, after the key that named it", async () => {
    const path = await ledgerPath();
    const state = await open(path).append(everyKind);
    const again = open(path);
    expect(await again.load()).toEqual(state);
    expect(await again.events()).toEqual([{ kind: "key", at: 1, keyId: KEY }, ...everyKind]);
    expect(again.unreadableLines).toBe(0);
  });

  test("is private and holds one event a line", async () => {
    const path = await ledgerPath();
    await open(path).append(everyKind);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(1 + everyKind.length + 1);
  });

  test("shows each of two who write it what the other wrote", async () => {
    const path = await ledgerPath();
    const [first, second] = [open(path), open(path)];
    await first.append([seen(1)]);
    expect(placesIn(await second.append([seen(2)]))).toEqual(["openclaw:1", "openclaw:2"]);
    expect(placesIn(await first.load())).toEqual(["openclaw:1", "openclaw:2"]);
    expect(placesIn(await first.append([seen(3)]))).toEqual(["openclaw:1", "openclaw:2", "openclaw:3"]);
  });

  test("that another makes at the same moment loses no event", async () => {
    const path = await ledgerPath();
    const ledgers = Array.from({ length: 5 }, () => open(path));
    await Promise.all(ledgers.map((ledger, index) => ledger.append([seen(index)])));
    const expected = ledgers.map((_, index) => `openclaw:${String(index)}`);
    for (const ledger of ledgers) expect(placesIn(await ledger.load())).toEqual(expected);
  });

  test("that is removed is forgotten", async () => {
    const path = await ledgerPath();
    const ledger = open(path);
    await ledger.append([live]);
    await rm(path);
    expect(await ledger.load()).toEqual(emptyLedger);
    await ledger.append([seen(1)]);
    expect(await open(path).events()).toEqual([{ kind: "key", at: 1, keyId: KEY }, seen(1)]);
  });

  test("of another key is first sight again, for good", async () => {
    const path = await ledgerPath();
    await open(path, "another key").append([live, seen(1)]);
    const ledger = open(path);
    expect(await ledger.load()).toEqual(emptyLedger);
    expect(placesIn(await ledger.append([seen(2)]))).toEqual(["openclaw:2"]);
    expect(placesIn(await open(path).load())).toEqual(["openclaw:2"]);
  });
});

describe("a ledger that a crash or a hand has damaged", () => {
  test("loses no more than the line that was cut, wherever it was cut", async () => {
    const path = await ledgerPath();
    await open(path).append([seen(1)]);
    const whole = statSync(path).size;
    await open(path).append([seen(2)]);
    const bytes = readFileSync(path);
    for (let size = whole + 1; size < bytes.length - 1; size += 7) {
      writeFileSync(path, bytes);
      await truncate(path, size);
      const ledger = open(path);
      expect(placesIn(await ledger.load())).toEqual(["openclaw:1"]);
      expect(ledger.unreadableLines).toBe(1);
      expect(placesIn(await ledger.append([seen(3)]))).toEqual(["openclaw:1", "openclaw:3"]);
      expect(placesIn(await open(path).load())).toEqual(["openclaw:1", "openclaw:3"]);
    }
  });

  test("that lacks only its last line break loses nothing", async () => {
    const path = await ledgerPath();
    await open(path).append([seen(1)]);
    await truncate(path, statSync(path).size - 1);
    expect(placesIn(await open(path).append([seen(2)]))).toEqual(["openclaw:1", "openclaw:2"]);
    expect(placesIn(await open(path).load())).toEqual(["openclaw:1", "openclaw:2"]);
  });

  test.each([
    ["no JSON", "{"],
    ["of a kind that a later version may know", '{"kind":"later","at":1}'],
    ["wrong in a field", '{"kind":"seen","at":"now"}'],
    ["no object", "null"],
    ["no text", Buffer.from([0xff, 0xfe, 0x00])],
  ])("passes over a line that is %s, and counts it", async (_what, line) => {
    const path = await ledgerPath();
    await open(path).append([seen(1)]);
    appendFileSync(path, line);
    appendFileSync(path, "\n\n");
    const ledger = open(path);
    expect(placesIn(await ledger.append([seen(2)]))).toEqual(["openclaw:1", "openclaw:2"]);
    expect(ledger.unreadableLines).toBe(1);
  });

  test.each(["at", "store", "profile", "generation", "issue", "surroundings", "durationMs", "kind", "terms", "carried"])(
    "passes over a placement whose %s is something else",
    async (field) => {
      const path = await ledgerPath();
      await open(path).append([seen(1)]);
      appendFileSync(path, `${JSON.stringify({ ...seen(2), [field]: ["else"] })}\n`);
      const ledger = open(path);
      expect(placesIn(await ledger.load())).toEqual(["openclaw:1"]);
      expect(ledger.unreadableLines).toBe(1);
    },
  );

  test("that is a directory is a failure that names it and says what to do", async () => {
    const path = await ledgerPath();
    await mkdir(path);
    const expected = { name: "Failure", message: expect.stringContaining(path) as string, hint: expect.any(String) as string };
    await expect(open(path).load()).rejects.toMatchObject(expected);
    await expect(open(path).append([live])).rejects.toMatchObject(expected);
  });

  test("whose directory is gone cannot be written, and nothing is taken for written", async () => {
    const path = join(await temporaryDirectory(), "gone", "ledger.jsonl");
    const ledger = open(path);
    await expect(ledger.append([live])).rejects.toMatchObject({ name: "Failure", message: `cannot write ${path}: ENOENT` });
    expect(await ledger.load()).toEqual(emptyLedger);
  });

  test("by a full disk goes on once there is room, and every reader sees the same", async (context) => {
    const script = new URL("mounted.mjs", import.meta.url);
    const { outcome, held, readAgain } = (await runMounted(
      context,
      script,
      "ledger-on-full-disk",
      await temporaryDirectory(),
    )) as Record<string, string[]>;
    expect(outcome).toBe("general");
    expect(held).toEqual(readAgain);
    expect(held).toEqual(expect.arrayContaining(["g1", "g100"]));
  });
});

test("a ledger that cannot be read for a moment is not to be moved away", async () => {
  // Nothing has a name as long, and the system says so with an error of its own.
  const ledger = open(join(await temporaryDirectory(), "x".repeat(300)));
  await expect(ledger.load()).rejects.toMatchObject({ hint: expect.stringMatching(/^it is tried again/) as string });
});

describe("a long ledger", () => {
  test("is rewritten shorter, with the same state for everyone, and is appended to as before", async () => {
    const path = await ledgerPath();
    const [ledger, other] = [open(path), open(path)];
    await ledger.append([live]);
    await other.load();
    const many = Array.from({ length: 13_000 }, (_, index) => seen(index % 10));
    const state = await ledger.append(many);
    const lines = readFileSync(path, "utf8").split("\n").length;
    expect(lines).toBeLessThan(3000);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(state.live.get("claudeAiOauth")?.generation).toBe("g1");
    expect(state.placements.get(placementKey("openclaw:9", "p"))?.generation).toBe("g1");
    expect(await other.load()).toEqual(state);
    expect(await open(path).load()).toEqual(state);
    expect(placesIn(await other.append([seen(11)]))).toContain("openclaw:11");
    expect(placesIn(await ledger.load())).toContain("openclaw:11");
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(lines + 1);
  });
});
