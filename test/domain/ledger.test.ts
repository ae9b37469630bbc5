import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Ends, longestLifeMs } from "../../src/domain/end.js";
import { asFingerprint } from "../../src/domain/generation.js";
import {
  compactLedger,
  emptyLedger,
  foldLedger,
  isDoubtfullySuperseded,
  isSpent,
  latestEnd,
  liveOf,
  placementKey,
  type ChainEnds,
  type LedgerEvent,
  type LedgerState,
} from "../../src/domain/ledger.js";
import {
  anna,
  becameLive,
  bert,
  HOUR_MS,
  knownChain,
  LISTED_PROFILE,
  NOW,
  SOURCE_PROFILE,
  wasSeen,
} from "../support/planning.js";

const fold = (events: Iterable<LedgerEvent>): LedgerState => foldLedger(emptyLedger, events);

const name = fc.constantFrom(...["a", "b", "c", "d", "e"].map(asFingerprint));
const place = { at: fc.nat(1000), store: fc.constantFrom("main", "ops"), profile: fc.constantFrom("cli", "default") };
const time = fc.option(fc.nat(1000));
const member = {
  at: fc.nat(1000),
  sourceProfile: fc.constantFrom("x", "y"),
  chain: name,
  generation: name,
  issue: name,
  expiresAt: time,
};

const anyEvent: fc.Arbitrary<LedgerEvent> = fc.oneof(
  fc.record({
    kind: fc.constant("live" as const),
    ...member,
    signInEndsAt: time,
    account: fc.constantFrom(null, anna),
    reason: fc.constantFrom(
      "rotation" as const,
      "reissue" as const,
      "adoption" as const,
      "sign-in" as const,
      "accepted" as const,
    ),
    from: fc.constant("claude-code"),
  }),
  fc.record({
    kind: fc.constant("account" as const),
    at: fc.nat(1000),
    sourceProfile: fc.constantFrom("x", "y"),
    account: fc.constantFrom(anna, bert),
  }),
  fc.record({ kind: fc.constant("member" as const), ...member }),
  fc.record({
    kind: fc.constantFrom("seen" as const, "written" as const),
    ...place,
    generation: name,
    issue: name,
    surroundings: name,
  }),
  fc.record({
    kind: fc.constantFrom("seen" as const, "written" as const),
    ...place,
    generation: name,
    issue: name,
    surroundings: name,
    terms: fc.constantFrom({ share: "access-only" as const, expiryMarginMs: 0 }, { share: "full" as const, expiryMarginMs: 5 }),
  }),
  fc.record({ kind: fc.constant("stub" as const), ...place, replaced: fc.option(name), timeLimit: fc.boolean() }),
  fc.record({
    kind: fc.constant("fence" as const),
    ...place,
    claim: fc.constantFrom("c1", "c2"),
    failed: fc.boolean(),
    spends: fc.option(name),
    since: fc.nat(1000),
  }),
  fc.record({ kind: fc.constant("suspect" as const), ...place, generation: name }),
  fc.record({ kind: fc.constant("revert" as const), ...place }),
  fc.record({ kind: fc.constant("hold" as const), ...place, reason: fc.option(fc.constantFrom("reverting", "target-newer")) }),
);
const anyKey: fc.Arbitrary<LedgerEvent> = fc.record({
  kind: fc.constant("key" as const),
  at: fc.nat(1000),
  keyId: fc.constantFrom("k1", "k2"),
});
const anyHistory = fc.array(fc.oneof({ weight: 20, arbitrary: anyEvent }, { weight: 1, arbitrary: anyKey }), { maxLength: 60 });

describe("the ledger", () => {
  test("folds to the same state after a compaction, whatever happened and however much is kept", () => {
    fc.assert(
      fc.property(anyHistory, fc.nat(20), (events, kept) => {
        expect(fold(compactLedger(events, kept))).toEqual(fold(events));
      }),
      { numRuns: 2000 },
    );
  });

  test("goes on after a compaction as it would have without", () => {
    fc.assert(
      fc.property(anyHistory, anyHistory, fc.nat(20), (events, later, kept) => {
        expect(fold([...compactLedger(events, kept), ...later])).toEqual(fold([...events, ...later]));
      }),
      { numRuns: 1000 },
    );
  });

  test("folds in pieces as it folds at once, and leaves the given state as it was", () => {
    fc.assert(
      fc.property(anyHistory, anyHistory, (events, later) => {
        const before = fold(events);
        expect(foldLedger(before, later)).toEqual(fold([...events, ...later]));
        expect(before).toEqual(fold(events));
      }),
    );
  });

  test("never forgets a generation, and never reorders two of one chain", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), anyEvent, (events, next) => {
        const [before, after] = [fold(events), fold([...events, next])];
        const moved = "chain" in next ? next.generation : null;
        for (const [fingerprint, { chain, sequence }] of before.generations) {
          if (fingerprint === moved && "chain" in next && next.chain !== chain) continue;
          expect(after.generations.get(fingerprint)).toMatchObject({ chain, sequence });
        }
      }),
    );
  });

  test("takes a generation out of a chain that it never was of: the one before it is the newest again", () => {
    const ledger = knownChain(becameLive("live", { chain: "live", account: bert, reason: "account-switch" }));
    const [old, live] = ["old", "live"].map((name) => ledger.generations.get(asFingerprint(name)));
    expect([old, live]).toMatchObject([
      { chain: "first", sequence: 1 },
      { chain: "live", sequence: 1 },
    ]);
    expect(isSpent(ledger, asFingerprint("old"))).toBe(false);
  });

  test("compares a new end with what came since the owner's last reissue, or since the user accepted one", () => {
    const latestIn = (which: keyof ChainEnds, events: readonly LedgerEvent[]) => {
      const ledger = knownChain(...events);
      const live = liveOf(ledger, SOURCE_PROFILE);
      return live === null ? null : latestEnd(ledger, live, new Ends(NOW, longestLifeMs("anthropic")), which);
    };
    const latest = (...events: readonly LedgerEvent[]) => latestIn("sinceReissue", events);
    expect(latest()).toBe(NOW + 4 * HOUR_MS);
    expect(latest(becameLive("live", { issue: "live/2", endsInHours: 2, reason: "reissue" }))).toBe(NOW + 2 * HOUR_MS);
    expect(latest(becameLive("chosen", { chain: "chosen", endsInHours: 1, reason: "accepted" }))).toBe(NOW + HOUR_MS);
    expect(latest(becameLive("next", { endsInHours: 3 }))).toBe(NOW + 4 * HOUR_MS);
    expect(latest(becameLive("ahead", { endsInHours: 24 * 30 }))).toBe(NOW + 4 * HOUR_MS);
    const reissued = becameLive("live", { issue: "live/2", endsInHours: 2, reason: "reissue" });
    expect(latestIn("all", [reissued])).toBe(NOW + 4 * HOUR_MS);
  });

  test("knows nothing any more once the fingerprints are made with another key", () => {
    const state = fold([{ kind: "key", at: 1, keyId: "k1" }, becameLive("a"), wasSeen("a"), { kind: "key", at: 2, keyId: "k2" }]);
    expect(state).toEqual({ ...emptyLedger, keyId: "k2" });
  });

  test("keeps what it knows when the same key is named again", () => {
    const state = fold([{ kind: "key", at: 1, keyId: "k1" }, becameLive("a"), { kind: "key", at: 2, keyId: "k1" }]);
    expect(state.live.get(SOURCE_PROFILE)?.generation).toBe("a");
  });

  test("drops old placements in a compaction, not old generations", () => {
    const events = Array.from({ length: 100 }, (_, index) => [
      becameLive(`g${String(index)}`),
      wasSeen(`g${String(index)}`),
    ]).flat();
    const compacted = compactLedger(events, 0);
    expect(compacted).toHaveLength(101);
    expect(fold(compacted).generations.size).toBe(100);
  });
});

describe("what is remembered of a profile", () => {
  const key = placementKey("openclaw:main", LISTED_PROFILE);
  const at = { at: NOW, store: "openclaw:main", profile: LISTED_PROFILE };

  test("reverts are counted until another issue is placed", () => {
    const reverted = fold([wasSeen("a"), { kind: "revert", ...at }, { kind: "revert", ...at }, wasSeen("a")]);
    expect(reverted.placements.get(key)).toMatchObject({ reverts: 2, revertedAt: NOW });
    expect(foldLedger(reverted, [wasSeen("b")]).placements.get(key)).toMatchObject({ reverts: 0, revertedAt: null });
  });

  test("reverts are forgotten when the user changes how much of the login it is given", () => {
    const terms = { share: "access-only", expiryMarginMs: 5 } as const;
    const reverted = fold([wasSeen("a", { terms }), { kind: "revert", ...at }, wasSeen("a", { terms })]);
    expect(reverted.placements.get(key)).toMatchObject({ reverts: 1, terms });
    expect(foldLedger(reverted, [wasSeen("a")]).placements.get(key)).toMatchObject({
      reverts: 0,
      terms: { share: "full", expiryMarginMs: 0 },
    });
  });

  test("a stub remembers what it replaced until something is placed again", () => {
    const stubbed = fold([wasSeen("a"), { kind: "stub", ...at, replaced: asFingerprint("a"), timeLimit: false }]);
    expect(stubbed.placements.get(key)).toMatchObject({ generation: "a", stub: { replaced: "a", timeLimit: false } });
    expect(foldLedger(stubbed, [wasSeen("a")]).placements.get(key)?.stub).toBeNull();
  });

  test("a hold lasts until its end is noted", () => {
    const held = fold([{ kind: "hold", ...at, reason: "target-newer" }]);
    expect(held.holds.get(key)).toBe("target-newer");
    expect(foldLedger(held, [{ kind: "hold", ...at, reason: null }]).holds.size).toBe(0);
  });
});

describe("what is spent", () => {
  test("an older generation of a chain is, the newest and the unknown are not", () => {
    const ledger = knownChain();
    expect(["old", "live", "unknown"].map((generation) => isSpent(ledger, asFingerprint(generation)))).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("what an adoption put aside is not, for certain, until the chain has long gone on", () => {
    const adopted = becameLive("adopted", { reason: "adoption" });
    const ledger = knownChain(adopted);
    expect([...ledger.generations.values()].filter((each) => isDoubtfullySuperseded(ledger, each))).toMatchObject([
      { fingerprint: "live" },
    ]);
    expect(isSpent(ledger, asFingerprint("live"))).toBe(false);
    const later = Array.from({ length: 40 }, (_, index) => becameLive(`later-${String(index)}`));
    expect(isSpent(knownChain(adopted, ...later), asFingerprint("live"))).toBe(true);
  });
});

describe("a store that gets new ids repeatedly", () => {
  const rounds = Array.from({ length: 5 }, (_, round) => round);
  const ids = (round: number): string[] => Array.from({ length: 300 }, (_, index) => `p:${String(round)}-${String(index)}`);
  const seen = (round: number): LedgerEvent[] =>
    ids(round).map((profile) => ({
      kind: "seen",
      at: round,
      store: "busy",
      profile,
      generation: asFingerprint("g"),
      issue: asFingerprint("i"),
      surroundings: asFingerprint("s"),
    }));
  const held = (round: number): LedgerEvent[] =>
    ids(round).map((profile) => ({ kind: "hold", at: round, store: "busy", profile, reason: "unknown-origin" }));

  test("is remembered by those that last changed, and takes nothing from other stores", () => {
    const other: LedgerEvent = {
      kind: "seen",
      at: 0,
      store: "other",
      profile: "p",
      generation: asFingerprint("g"),
      issue: asFingerprint("i"),
      surroundings: asFingerprint("s"),
    };
    let state = fold([other]);
    for (const round of rounds) state = foldLedger(state, [...seen(round), ...held(round)]);
    expect(state.placements.size).toBe(1001);
    expect(state.holds.size).toBe(500);
    expect(state.placements.has(placementKey("other", "p"))).toBe(true);
    for (const profile of ids(4)) {
      expect(state.placements.has(placementKey("busy", profile))).toBe(true);
      expect(state.holds.has(placementKey("busy", profile))).toBe(true);
    }
  });
});
