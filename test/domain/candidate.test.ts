import { describe, expect, test } from "vitest";
import { asFingerprint } from "../../src/domain/generation.js";
import { foldLedger } from "../../src/domain/ledger.js";
import type { ObservedTarget } from "../../src/domain/observation.js";
import {
  anna,
  becameLive,
  bert,
  HOUR_MS,
  knownChain,
  login,
  MINUTE_MS,
  missingSource,
  NOW,
  planFor,
  sourceWasSeen,
  sourceWith,
  stub,
  targetWith,
  verdictFor,
  wasSeen,
  type Situation,
} from "../support/planning.js";

/** The login that the agent's own program made of the live one, which was the last that credsyncd saw there. */
const refreshed = login("refreshed", { endsInHours: 8 });
const inLiveSource = { source: sourceWith(login("live")), ledger: knownChain() };
const AT_EXPIRY = NOW + 4 * HOUR_MS - 9 * MINUTE_MS;

function adoptionOf(target: ObservedTarget, situation: Partial<Situation> = {}) {
  return planFor({ ...inLiveSource, targets: [target], ...situation });
}

describe("an agent that rotated (R5)", () => {
  test("is adopted into the source, which is backed up first, and pushed to the rest", () => {
    const behind = targetWith(login("live"), { store: "openclaw:ops" });
    const plan = adoptionOf(targetWith(refreshed, { account: anna }), {
      targets: [targetWith(refreshed, { account: anna }), behind],
      ledger: knownChain(wasSeen("live", { store: "openclaw:ops" })),
    });
    expect(plan.adoption).toMatchObject({ generation: "refreshed", backup: true, candidate: { proof: "same-account" } });
    expect(plan.record[0]).toMatchObject({
      kind: "live",
      reason: "adoption",
      chain: "first",
      generation: "refreshed",
      from: "openclaw:main",
    });
    expect(plan.writes).toMatchObject([{ target: { store: "openclaw:ops" }, generation: "refreshed", backup: false }]);
  });

  test("is on hold if the user wants to be asked, and adopted by an order", () => {
    const target = targetWith(refreshed, { account: anna });
    const asked = { policy: { onAgentRotation: "hold" } } as const;
    expect(adoptionOf(target, asked).adoption).toBeNull();
    expect(adoptionOf(target, asked).reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer" });
    expect(adoptionOf(target, { ...asked, adopt: target.store }).adoption).toMatchObject({ generation: "refreshed" });
  });

  test("the latest expiry wins among the proven, whatever the unproven hold", () => {
    const early = targetWith(login("early", { endsInHours: 6 }), { account: anna });
    const late = targetWith(login("late", { endsInHours: 7 }), { account: anna, store: "openclaw:ops" });
    const unproven = targetWith(login("unproven", { endsInHours: 9 }), { store: "openclaw:work" });
    const ledger = knownChain(wasSeen("live", { store: "openclaw:ops" }), wasSeen("live", { store: "openclaw:work" }));
    const plan = planFor({ ...inLiveSource, ledger, targets: [early, late, unproven] });
    expect(plan.adoption?.generation).toBe("late");
    expect(plan.reports[2]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer" });
  });

  test.each([
    ["the source holds the generation it descends from", sourceWith(login("live"))],
    ["the source holds an ancestor, restored", sourceWith(login("old", { endsInHours: -4 }))],
    ["the source is a stub that replaced it", sourceWith(stub)],
  ])("is adopted while %s", (_what, source) => {
    expect(adoptionOf(targetWith(refreshed, { account: anna }), { source }).adoption).toMatchObject({ generation: "refreshed" });
  });

  test("is not adopted over what the source holds and the ledger does not know: it is the owner's own write", () => {
    const unseen = [login("ancient", { endsInHours: -9 }), login("live", { issue: "live/0", endsInHours: -1 })];
    for (const held of [...unseen, login("live", { issue: "live/2", endsInHours: 5 })])
      expect(adoptionOf(targetWith(refreshed, { account: anna }), { source: sourceWith(held) }).adoption).toBeNull();
  });

  test("is not taken for newer than what its chain had before a reissue that ends earlier: it may be an old copy", () => {
    const ledger = knownChain(becameLive("live", { issue: "live/2", endsInHours: 1, reason: "reissue" }));
    const source = sourceWith(login("live", { issue: "live/2", endsInHours: 1 }));
    const old = targetWith(login("before-the-ledger", { endsInHours: 3 }), { account: anna });
    const plan = adoptionOf(old, { source, ledger });
    expect(plan.adoption).toBeNull();
    expect(plan.reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer" });
  });

  test("is not taken for newer than a source whose end is unknown where its own is over", () => {
    const ahead = { endsInHours: 24 * 40 };
    const ledger = knownChain(becameLive("ahead", { ...ahead, chain: "ahead", reason: "accepted" }), wasSeen("ahead"));
    const situation = { source: sourceWith(login("ahead", ahead)), ledger };
    const renewed = (endsInHours: number) => targetWith(login("renewed", { endsInHours }), { account: anna });
    expect(adoptionOf(renewed(8), situation).adoption).toMatchObject({ generation: "renewed" });
    const plan = adoptionOf(renewed(-1), situation);
    expect(plan.adoption).toBeNull();
    expect(plan.reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer" });
  });

  test("with a new access token under the live refresh token is not adopted without an end that can be used, by an order neither", () => {
    const target = targetWith({ ...login("live", { issue: "live/9" }), expiresAt: null });
    const plan = adoptionOf(target, { adopt: target.store });
    expect(plan.adoption).toBeNull();
    expect(plan.unadoptable).toEqual([target]);
  });

  test("is not adopted while the login is missing, nor after the sign-in itself ended", () => {
    const target = targetWith(refreshed, { account: anna });
    expect(adoptionOf(target, { source: missingSource }).adoption).toBeNull();
    expect(adoptionOf(target, { source: sourceWith({ kind: "stub", timeLimit: true }) }).adoption).toBeNull();
  });

  test("is not adopted over a proven new sign-in in the source", () => {
    const source = sourceWith(login("new", { endsInHours: 6 }), { account: bert });
    expect(adoptionOf(targetWith(refreshed, { account: anna }), { source }).adoption).toBeNull();
  });

  test("is not adopted over a rotation of the source that ends later", () => {
    const source = sourceWith(login("next", { endsInHours: 9 }));
    expect(adoptionOf(targetWith(refreshed, { account: anna }), { source }).adoption).toBeNull();
  });

  test("is not taken for one where it ends before what was live, even while the source is logged out (R8)", () => {
    const oldCopy = targetWith(login("before-the-ledger", { endsInHours: -8 }), { account: anna });
    expect(adoptionOf(oldCopy, { source: sourceWith(stub) }).adoption).toBeNull();
    expect(adoptionOf(oldCopy, { source: sourceWith(login("old")) }).adoption).toBeNull();
  });

  test("has the margin taken off before it is weighed", () => {
    const target = targetWith(login("refreshed", { endsInHours: 4.01 }), { account: anna, expiryMarginMs: 5 * MINUTE_MS });
    expect(adoptionOf(target).adoption).toBeNull();
  });

  test.each([
    ["access-only", targetWith(refreshed, { account: anna, share: "access-only" })],
    ["pinned", targetWith(refreshed, { account: anna, binding: "pinned" })],
    ["ignored", targetWith(refreshed, { account: anna, binding: "ignore" })],
    ["of another account", targetWith(refreshed, { account: bert })],
    ["never seen with the chain", targetWith(refreshed, { account: anna, store: "openclaw:new" })],
  ])("is no candidate where it is %s", (_what, target) => {
    expect(adoptionOf(target).adoption).toBeNull();
  });

  test("is no candidate where its program was given no refresh token that it could have spent", () => {
    const terms = { share: "access-only", expiryMarginMs: 0 } as const;
    const ledger = knownChain(wasSeen("live", { terms }));
    expect(adoptionOf(targetWith(refreshed, { account: anna }), { ledger }).adoption).toBeNull();
  });

  test("is taken from an access-only agent by the user's own word", () => {
    const target = targetWith(refreshed, { account: anna, share: "access-only" });
    expect(adoptionOf(target, { adopt: target.store }).adoption).toMatchObject({ generation: "refreshed" });
  });

  test("what credsyncd itself wrote to the source does not count as the source moving on", () => {
    const ledger = knownChain(
      becameLive("from-ops", { reason: "adoption", endsInHours: 6 }),
      sourceWasSeen("from-ops", { at: NOW }),
      wasSeen("live"),
    );
    const source = sourceWith(login("from-ops", { endsInHours: 6 }));
    expect(adoptionOf(targetWith(refreshed, { account: anna }), { source, ledger }).adoption).toMatchObject({
      generation: "refreshed",
    });
  });

  test("a copy of the live login heals a source that was rolled back, and is not recorded again", () => {
    const plan = adoptionOf(targetWith(login("live")), { source: sourceWith(login("old", { endsInHours: -4 })) });
    expect(plan.adoption).toMatchObject({ generation: "live", candidate: { proof: "live-generation" } });
    expect(plan.record.filter(({ kind }) => kind === "live")).toEqual([]);
  });

  test("a copy of the live login does not heal a stub that replaced that very login", () => {
    expect(adoptionOf(targetWith(login("live")), { source: sourceWith(stub) }).adoption).toBeNull();
  });

  test("a copy of the live login heals a stub that replaced an ancestor", () => {
    const ledger = knownChain(becameLive("adopted", { reason: "adoption", endsInHours: 8 }), wasSeen("adopted"));
    const target = targetWith(login("adopted", { endsInHours: 8 }));
    expect(adoptionOf(target, { source: sourceWith(stub), ledger }).adoption).toMatchObject({
      generation: "adopted",
      backup: false,
    });
  });

  test("a newer access token of the live generation is a reissue that the agent brought", () => {
    const target = targetWith(login("live", { issue: "live/2", endsInHours: 8 }));
    expect(adoptionOf(target).adoption).toMatchObject({
      generation: "live",
      issue: "live/2",
      candidate: { proof: "live-generation" },
    });
  });
});

describe("what proves an agent's rotation (R5a)", () => {
  const unnamed = targetWith(refreshed);

  test("nothing: it is on hold, and stays so while the parent's expiry comes closer", () => {
    const first = adoptionOf(unnamed);
    expect(first.adoption).toBeNull();
    expect(first.record).toContainEqual(expect.objectContaining({ kind: "hold", reason: "target-newer" }));
    const ledger = foldLedger(knownChain(), first.record);
    expect(adoptionOf(unnamed, { ledger, now: AT_EXPIRY }).adoption).toBeNull();
  });

  test("it is on hold while nothing can be pushed, too", () => {
    const source = sourceWith(login("old", { endsInHours: -4 }));
    expect(adoptionOf(unnamed, { source }).reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer" });
  });

  test("the same account on both sides", () => {
    expect(adoptionOf(targetWith(refreshed, { account: anna })).adoption?.candidate.proof).toBe("same-account");
  });

  test("a source that became a stub while it held the parent", () => {
    expect(adoptionOf(unnamed, { source: sourceWith(stub) }).adoption?.candidate.proof).toBe("source-lost-parent");
  });

  test("a change of the credential alone within ten minutes of the parent's end, in a listed profile", () => {
    expect(adoptionOf(unnamed, { now: AT_EXPIRY }).adoption?.candidate.proof).toBe("refreshed-at-expiry");
    expect(adoptionOf(unnamed, { now: AT_EXPIRY - 2 * MINUTE_MS }).adoption).toBeNull();
    const edited = { ...unnamed, surroundings: () => asFingerprint("edited") };
    expect(adoptionOf(edited, { now: AT_EXPIRY }).adoption).toBeNull();
    expect(adoptionOf({ ...unnamed, listed: false }, { now: AT_EXPIRY }).adoption).toBeNull();
  });

  test("that the time was right is likely, not certain: a holder the source does not speak for is backed up later, too", () => {
    const plan = adoptionOf(unnamed, { now: AT_EXPIRY });
    const ledger = foldLedger(knownChain(wasSeen("live", { store: "openclaw:ops" })), plan.record);
    const straggler = targetWith(login("live"), { store: "openclaw:ops" });
    const later = planFor({ source: sourceWith(refreshed), ledger, targets: [straggler], now: AT_EXPIRY });
    expect(later.writes).toMatchObject([{ generation: "refreshed", backup: true }]);
  });
});

describe("an order to adopt", () => {
  const stranger = targetWith(login("stranger", { endsInHours: 1 }), { store: "openclaw:new", account: null });

  test("takes what nothing ties to the source, into a chain of its own", () => {
    const plan = adoptionOf(stranger, { adopt: stranger.store });
    expect(plan.adoption).toMatchObject({ generation: "stranger", backup: true, candidate: { proof: "ordered" } });
    expect(plan.record[0]).toMatchObject({ kind: "live", reason: "adoption", chain: "stranger", account: null });
  });

  test("leaves what was live as another chain's newest, which is backed up wherever it is overwritten", () => {
    const follower = targetWith(login("live"));
    const plan = adoptionOf(stranger, { adopt: stranger.store, targets: [stranger, { ...follower, store: "openclaw:main" }] });
    expect(plan.writes).toMatchObject([{ target: { store: "openclaw:main" }, backup: true }]);
  });

  test("never puts tokens where another account's name stands", () => {
    const source = sourceWith(login("of-bert", { endsInHours: 8 }), { account: bert });
    expect(adoptionOf(targetWith(login("live")), { source, adopt: "openclaw:main" }).adoption).toBeNull();
  });

  test("never brings an older generation back, not even one that was live until the source moved on just now", () => {
    const source = sourceWith(login("next", { endsInHours: 8 }));
    const plan = adoptionOf(targetWith(login("live")), { source, adopt: "openclaw:main" });
    expect(plan.adoption).toBeNull();
    expect(plan.live?.generation).toBe("next");
    expect(plan.writes).toMatchObject([{ generation: "next" }]);
  });

  test.each([
    ["that nobody asked to follow", false],
    ["whose id the source's login has, too", true],
  ])("never takes the login of another provider %s", (_what, listed) => {
    const foreign = { ...stranger, related: false, listed };
    expect(adoptionOf(foreign, { adopt: stranger.store }).adoption).toBeNull();
    expect(adoptionOf(foreign, { adopt: stranger.store }).ordered).toEqual([]);
  });

  test("takes a later login of the chain under another provider's name", () => {
    const copy = targetWith(refreshed, { listed: false, related: false });
    expect(adoptionOf(copy, { adopt: copy.store }).adoption).toMatchObject({ generation: "refreshed" });
  });

  test("does nothing where the source holds that very login", () => {
    expect(adoptionOf(targetWith(login("live")), { adopt: "openclaw:main" }).adoption).toBeNull();
  });

  test("keeps the end of the sign-in that stands in the source, with which the next refresh is compared", () => {
    const signInEndsAt = NOW + 99 * HOUR_MS;
    const source = sourceWith(login("live", { signInEndsAt }));
    expect(adoptionOf(stranger, { source, adopt: stranger.store }).adoption?.credential.signInEndsAt).toBe(signInEndsAt);
  });
});

test("what follows by its name is adopted no more once its owner made it another provider's", () => {
  expect(adoptionOf(targetWith(refreshed, { account: anna, related: false })).adoption).toBeNull();
});

test("a candidate that nothing adopts is reported as newer than the source", () => {
  expect(verdictFor({ ...inLiveSource, targets: [targetWith(refreshed)] })).toMatchObject({
    kind: "hold",
    reason: "target-newer",
  });
});
