import { describe, expect, test } from "vitest";
import { foldLedger, emptyLedger } from "../../src/domain/ledger.js";
import {
  anna,
  apiKey,
  bearerToken,
  becameLive,
  bert,
  HOUR_MS,
  knownChain,
  login,
  missingSource,
  NOW,
  planFor,
  SOURCE,
  SOURCE_PROFILE,
  sourceWasSeen,
  sourceWith,
  stub,
  targetWith,
} from "../support/planning.js";

const SIGN_IN_END = NOW + 20 * 24 * HOUR_MS;
const follower = targetWith(login("live"));

describe("what an unfamiliar source credential is (R4)", () => {
  test("the first login ever seen becomes live", () => {
    const { source, record } = planFor({ source: sourceWith(login("first")) });
    expect(source).toMatchObject({ kind: "becomes-live", reason: "first-sight", chain: "first" });
    expect(record[0]).toMatchObject({ kind: "live", generation: "first" });
  });

  test.each([
    ["of which all is kept", login("first", { issue: "given/1" }), /lost its refresh token.*restore --store claude-code --list/],
    ["of which no more is kept", login(null, { issue: "given/1" }), /no refresh token.*cannot be a source/],
    ["beside a copy of another one", login("first"), /no refresh token.*cannot be a source/],
  ])("the first login ever seen, without its refresh token and %s, is not followed", (_what, copy, words) => {
    const kept = { copies: [copy], expiryMarginMs: 0 };
    const { source } = planFor({ source: sourceWith(login(null, { issue: "given/1" }), { kept }) });
    expect(source).toMatchObject({ kind: "unreadable", torn: false });
    expect(source.kind === "unreadable" && `${source.reason}: ${source.hint}`).toMatch(words);
  });

  test("the live issue is nothing new", () => {
    expect(planFor({ source: sourceWith(login("live")), ledger: knownChain() }).source.kind).toBe("live");
  });

  test("an unknown issue of the live generation with a later expiry is a reissue", () => {
    const { source } = planFor({ source: sourceWith(login("live", { issue: "live/2", endsInHours: 9 })), ledger: knownChain() });
    expect(source).toMatchObject({ kind: "becomes-live", reason: "reissue", chain: "first" });
  });

  test("an issue of the live generation that ends earlier is a restored backup", () => {
    const { source } = planFor({ source: sourceWith(login("live", { issue: "live/0", endsInHours: 1 })), ledger: knownChain() });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("a known older generation of the chain is a restored backup, and nothing is pushed", () => {
    const plan = planFor({
      source: sourceWith(login("old", { endsInHours: -4 })),
      ledger: knownChain(),
      targets: [targetWith(login("old"))],
    });
    expect(plan.source).toMatchObject({ kind: "held", reason: "source-rolled-back", provenSignIn: false });
    expect(plan.writes).toEqual([]);
  });

  test("a known older generation is one even where its expiry, by a wrong clock, is the later (R8)", () => {
    const { source } = planFor({ source: sourceWith(login("old", { endsInHours: 99 })), ledger: knownChain() });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("a known older generation is not accepted by force either", () => {
    const { source } = planFor({ source: sourceWith(login("old")), ledger: knownChain(), force: [SOURCE] });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("the newest known generation of another chain is an account switch, held by default", () => {
    const ledger = knownChain(becameLive("other", { chain: "other", account: bert, reason: "accepted" }));
    const back = { source: sourceWith(login("live")), ledger };
    expect(planFor(back).source).toMatchObject({ kind: "held", reason: "account-changed", provenSignIn: true });
    expect(planFor({ ...back, policy: { onAccountChange: "push" } }).source).toMatchObject({
      kind: "becomes-live",
      reason: "account-switch",
    });
    expect(planFor({ ...back, force: [SOURCE] }).source).toMatchObject({ kind: "becomes-live", reason: "account-switch" });
  });

  test("an older generation of another chain is a restored backup even where switches are pushed", () => {
    const ledger = knownChain(becameLive("other", { chain: "other", account: bert, reason: "accepted" }));
    const { source } = planFor({ source: sourceWith(login("old")), ledger, policy: { onAccountChange: "push" } });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("what the source held when an agent's login was adopted is no switch: the adoption is finished", () => {
    const ledger = knownChain(becameLive("adopted", { chain: "adopted", account: null, reason: "adoption", at: NOW }));
    const plan = planFor({
      source: sourceWith(login("live")),
      ledger,
      targets: [targetWith(login("adopted"))],
      policy: { onAccountChange: "push" },
    });
    expect(plan.source).toMatchObject({ kind: "held", reason: "source-rolled-back", adoptionPending: true });
    expect(plan.adoption).toMatchObject({ generation: "adopted", backup: true });
  });

  test.each([
    ["a bearer token", bearerToken("long-lived")],
    ["an API key", apiKey("key")],
    ["an OAuth login without its refresh token", login(null)],
  ])("%s in the place of an OAuth login is a change of kind", (_what, held) => {
    expect(planFor({ source: sourceWith(held), ledger: knownChain() }).source).toMatchObject({
      kind: "held",
      reason: "account-changed",
    });
  });

  test("an unknown login of another account is a new sign-in, which waits for the user", () => {
    const situation = { source: sourceWith(login("new", { endsInHours: 8 }), { account: bert }), ledger: knownChain() };
    expect(planFor(situation).source).toMatchObject({ kind: "held", reason: "account-changed", provenSignIn: true });
    expect(planFor({ ...situation, policy: { onAccountChange: "push" } }).source).toMatchObject({
      reason: "sign-in",
      chain: "new",
    });
    expect(planFor({ ...situation, force: [SOURCE] }).source).toMatchObject({
      kind: "becomes-live",
      reason: "accepted",
      chain: "new",
    });
  });

  test.each([
    ["rose", SIGN_IN_END, SIGN_IN_END + HOUR_MS],
    ["appeared", null, SIGN_IN_END],
  ])("a sign-in whose end %s is a new one, of the same account, with a chain of its own", (_how, before, after) => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: before })]);
    const { source } = planFor({ source: sourceWith(login("new", { endsInHours: 8, signInEndsAt: after })), ledger });
    expect(source).toMatchObject({ kind: "becomes-live", reason: "sign-in", chain: "new" });
  });

  test("what ends before the live login is an older sign-in's, whatever its own end", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
    const source = sourceWith(login("older", { endsInHours: 3, signInEndsAt: SIGN_IN_END + HOUR_MS }));
    expect(planFor({ source, ledger }).source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("a new sign-in whose account is known on one side only waits for the user", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { account: null })]);
    const { source } = planFor({ source: sourceWith(login("new", { signInEndsAt: SIGN_IN_END })), ledger });
    expect(source).toMatchObject({ kind: "held", reason: "account-changed" });
  });

  test("an unknown login that ends later is a rotation", () => {
    const plan = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger: knownChain(), targets: [follower] });
    expect(plan.source).toMatchObject({ kind: "becomes-live", reason: "rotation", chain: "first" });
    expect(plan.writes).toMatchObject([{ generation: "next", backup: false }]);
  });

  test("a rotation is one under an order, too: what came before it stays known as older", () => {
    const { source } = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger: knownChain(), force: [SOURCE] });
    expect(source).toMatchObject({ kind: "becomes-live", reason: "rotation", chain: "first" });
  });

  test("an unknown login that ends no later is an old copy, which only force accepts", () => {
    const situation = { source: sourceWith(login("older", { endsInHours: 3 })), ledger: knownChain() };
    expect(planFor(situation).source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
    expect(planFor({ ...situation, force: [SOURCE] }).source).toMatchObject({
      kind: "becomes-live",
      reason: "accepted",
      chain: "older",
    });
  });

  test("an unknown login that ends before anything that was ever live is an old copy, though it ends after the live one", () => {
    const ledger = knownChain(becameLive("chosen", { chain: "chosen", reason: "accepted", endsInHours: 1 }));
    const { source } = planFor({ source: sourceWith(login("older", { endsInHours: 3 })), ledger });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("a static secret that is put back is the owner's own choice", () => {
    const ledger = foldLedger(
      emptyLedger,
      ["key-1", "key-2"].map((key) => ({ ...becameLive(key), issue: key, expiresAt: null })),
    );
    expect(planFor({ source: sourceWith(apiKey("key-1")), ledger }).source).toMatchObject({
      kind: "becomes-live",
      reason: "rotation",
    });
    expect(planFor({ source: sourceWith(apiKey("key-3")), ledger }).source).toMatchObject({
      kind: "becomes-live",
      reason: "rotation",
    });
  });
});

describe("a source whose account file may lag (R7a)", () => {
  const justNow = { changedAgoMs: 1000 };

  test("an unknown login waits until its account is written, and says when to look again", () => {
    const plan = planFor({
      source: sourceWith(login("next", { endsInHours: 8 }), justNow),
      ledger: knownChain(),
      targets: [follower],
    });
    expect(plan.source).toMatchObject({ kind: "held", reason: "account-unsettled", until: NOW + 4000 });
    expect(plan.wakeAt).toBe(NOW + 4000);
    expect(plan.writes).toEqual([]);
  });

  test("nothing is adopted meanwhile, not even by an order", () => {
    const situation = {
      source: sourceWith(login("next", { endsInHours: 8 }), justNow),
      ledger: knownChain(),
      targets: [follower],
    };
    expect(planFor({ ...situation, adopt: follower.store }).adoption).toBeNull();
  });

  test("the account in the credential itself is not waited for", () => {
    const source = sourceWith(login("next", { endsInHours: 8 }), { ...justNow, accountInCredential: true });
    expect(planFor({ source, ledger: knownChain() }).source).toMatchObject({ reason: "rotation" });
  });

  test("a sign-in that ends at the very same moment is the same one", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
    const source = sourceWith(login("next", { endsInHours: 8, signInEndsAt: SIGN_IN_END }), justNow);
    expect(planFor({ source, ledger }).source).toMatchObject({ reason: "rotation" });
  });

  test("where no account is known anywhere, none is waited for", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { account: null })]);
    const source = sourceWith(login("next", { endsInHours: 8 }), { ...justNow, account: null });
    expect(planFor({ source, ledger }).source).toMatchObject({ reason: "rotation" });
  });

  test("force does not wait", () => {
    const source = sourceWith(login("next", { endsInHours: 8 }), { ...justNow, account: bert });
    expect(planFor({ source, ledger: knownChain(), force: [SOURCE] }).source).toMatchObject({
      reason: "accepted",
      chain: "next",
    });
  });
});

describe("a source that gives nothing to push (R1, R2)", () => {
  test("a stub is never pushed; what it replaced is recorded", () => {
    const plan = planFor({ source: sourceWith(stub), ledger: knownChain(), targets: [targetWith(login("old"))] });
    expect(plan.source).toEqual({ kind: "logged-out", replaced: "live", timeLimit: false });
    expect(plan.writes).toEqual([]);
    expect(plan.reports[0]?.verdict).toMatchObject({ kind: "drift", reason: "logged-out" });
    expect(plan.record).toContainEqual(
      expect.objectContaining({ kind: "stub", store: SOURCE, profile: SOURCE_PROFILE, replaced: "live" }),
    );
  });

  test("a stub seen again still tells what it replaced, and is recorded once", () => {
    const seen = planFor({ source: sourceWith(stub), ledger: knownChain() });
    const again = planFor({ source: sourceWith(stub), ledger: foldLedger(knownChain(), seen.record) });
    expect(again.source).toMatchObject({ kind: "logged-out", replaced: "live" });
    expect(again.record).toEqual([]);
  });

  test("a stub at first sight replaced nothing that is known", () => {
    expect(planFor({ source: sourceWith(stub) }).source).toEqual({ kind: "logged-out", replaced: null, timeLimit: false });
  });

  test("a missing login is a deliberate logout: nothing is pushed, adopted or recreated", () => {
    const targets = [targetWith(login("next", { endsInHours: 8 }), { account: anna })];
    const plan = planFor({ source: missingSource, ledger: knownChain(), targets });
    expect(plan.source.kind).toBe("missing");
    expect(plan.adoption).toBeNull();
    expect(plan.writes).toEqual([]);
  });

  test("a login without its refresh token cannot be a source from the start", () => {
    expect(planFor({ source: sourceWith(login(null)) }).source).toMatchObject({ kind: "unreadable", torn: false });
  });

  test("an incomplete login is unreadable, in its own words", () => {
    const { source } = planFor({ source: sourceWith({ kind: "incomplete", reason: "no scopes" }), ledger: knownChain() });
    expect(source).toMatchObject({ kind: "unreadable", reason: "no scopes" });
  });

  test("a missed adoption is told from a later move of the source", () => {
    const ledger = knownChain(
      becameLive("adopted", { chain: "adopted", reason: "adoption", at: NOW - 2 }),
      sourceWasSeen("adopted", { at: NOW - 1 }),
      sourceWasSeen("live", { at: NOW }),
    );
    expect(planFor({ source: sourceWith(login("live")), ledger }).source).toMatchObject({ reason: "account-changed" });
  });
});

describe("a sign-in that ends at the very moment of the live one", () => {
  const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
  const held = (endsInHours: number) => sourceWith(login("other", { endsInHours, signInEndsAt: SIGN_IN_END }), { account: bert });

  test("is the same one though the account beside it is another: an older copy of it is no switch", () => {
    const { source } = planFor({ source: held(1), ledger, policy: { onAccountChange: "push" } });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("still asks the user before another account's name is pushed, and then begins a chain of its own", () => {
    expect(planFor({ source: held(8), ledger }).source).toMatchObject({ kind: "held", reason: "account-changed" });
    const pushed = planFor({ source: held(8), ledger, policy: { onAccountChange: "push" } });
    expect(pushed.source).toMatchObject({ kind: "becomes-live", reason: "sign-in", chain: "other" });
  });
});

test("a reissue does not change the account, a rotation brings one where none was known", () => {
  const reissued = planFor({
    source: sourceWith(login("live", { issue: "live/2", endsInHours: 9 }), { account: bert }),
    ledger: knownChain(),
  });
  expect(reissued.live?.account).toEqual(anna);
  const ledger = foldLedger(emptyLedger, [becameLive("live", { account: null })]);
  expect(planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger }).live?.account).toEqual(anna);
});
