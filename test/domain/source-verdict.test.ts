import { describe, expect, test } from "vitest";
import { asFingerprint } from "../../src/domain/generation.js";
import { emptyLedger, foldLedger, isSpent } from "../../src/domain/ledger.js";
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

  test.each([1, -1 / 60 + 4, 24 * 40])(
    "an unknown issue of the live generation is the owner's own, whatever its end: in %d hours",
    (endsInHours) => {
      const held = login("live", { issue: "live/2", endsInHours });
      const plan = planFor({ source: sourceWith(held), ledger: knownChain(), targets: [follower] });
      expect(plan.source).toMatchObject({ kind: "becomes-live", reason: "reissue", chain: "first" });
      expect(plan.adoption).toBeNull();
      expect(plan.writes).toMatchObject([{ issue: "live/2" }]);
    },
  );

  test("an unknown issue of the live generation that is over is not pushed, nor is the source healed over it; force accepts", () => {
    const held = login("live", { issue: "live/0", endsInHours: -1 });
    const situation = { source: sourceWith(held), ledger: knownChain(), targets: [targetWith(login("live"), { account: anna })] };
    const plan = planFor(situation);
    expect(plan.source).toMatchObject({ kind: "held", reason: "source-rolled-back", acceptable: true });
    expect(plan.adoption).toBeNull();
    expect(plan.writes).toEqual([]);
    expect(planFor({ ...situation, force: [SOURCE] }).source).toMatchObject({ kind: "becomes-live", reason: "reissue" });
  });

  test("a known older issue of the live generation is a restored backup, and the source is healed", () => {
    const ledger = knownChain(becameLive("live", { issue: "live/2", endsInHours: 6, reason: "reissue" }));
    const current = targetWith(login("live", { issue: "live/2", endsInHours: 6 }));
    const plan = planFor({ source: sourceWith(login("live")), ledger, targets: [current] });
    expect(plan.source).toMatchObject({ kind: "held", reason: "source-rolled-back", acceptable: false });
    expect(plan.adoption).toMatchObject({ generation: "live", issue: "live/2" });
  });

  test("a login without an expiry that can be read is not followed", () => {
    const held = { ...login("next"), expiresAt: null };
    const plan = planFor({ source: sourceWith(held), ledger: knownChain(), targets: [follower] });
    expect(plan.source).toMatchObject({ kind: "unreadable", torn: false });
    expect(plan.writes).toEqual([]);
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
  ])("%s instead of an OAuth login is a change of kind", (_what, held) => {
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

  test("a new sign-in counts whatever its access token's end, unless that is over", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
    const judged = (endsInHours: number, signInEndsAt: number) =>
      planFor({ source: sourceWith(login("new", { endsInHours, signInEndsAt })), ledger }).source;
    expect(judged(3, SIGN_IN_END + HOUR_MS)).toMatchObject({ kind: "becomes-live", reason: "sign-in", chain: "new" });
    expect(judged(-1, SIGN_IN_END + HOUR_MS)).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("an old copy of the same sign-in, whose end a refresh lowered by a moment since, is no new sign-in", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
    const held = login("older", { endsInHours: 3, signInEndsAt: SIGN_IN_END + 30_000 });
    expect(planFor({ source: sourceWith(held), ledger }).source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("a refresh after a sign-in is compared with that sign-in only", () => {
    const ledger = knownChain(becameLive("new", { chain: "new", endsInHours: 2, reason: "sign-in" }));
    expect(planFor({ source: sourceWith(login("next", { endsInHours: 3 })), ledger }).source).toMatchObject({
      kind: "becomes-live",
      reason: "rotation",
      chain: "new",
    });
  });

  test("a wrong end, which no login can have, holds up no later rotation; what it replaces does not count as spent", () => {
    const ledger = knownChain(becameLive("ahead", { chain: "ahead", endsInHours: 30 * 24, reason: "sign-in" }));
    const next = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger });
    expect(next.source).toMatchObject({ kind: "becomes-live", reason: "rotation", chain: "ahead", unproven: true });
    expect(isSpent(foldLedger(ledger, next.record), asFingerprint("ahead"))).toBe(false);
    expect(planFor({ source: sourceWith(login("gone", { endsInHours: -1 })), ledger }).source).toMatchObject({
      kind: "held",
      reason: "source-rolled-back",
    });
  });

  test("what replaces a login whose sign-in ended much later is not surely its next generation", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
    const unproven = (signInEndsAt: number) => {
      const held = login("next", { endsInHours: 8, signInEndsAt });
      const { source } = planFor({ source: sourceWith(held, { accountInCredential: true }), ledger });
      return source.kind === "becomes-live" && source.unproven;
    };
    expect(unproven(SIGN_IN_END - 900)).toBe(false);
    expect(unproven(SIGN_IN_END - 14 * 24 * HOUR_MS)).toBe(true);
    const unnamed = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END, account: null })]);
    const named = login("next", { endsInHours: 8, signInEndsAt: SIGN_IN_END - 900 });
    expect(planFor({ source: sourceWith(named, { accountInCredential: true }), ledger: unnamed }).source).toMatchObject({
      unproven: true,
    });
  });

  test("an end is judged by when it was first seen: what is no end does not become one by mere waiting", () => {
    const held = login("ahead", { endsInHours: 60 });
    const seen = foldLedger(knownChain(), [sourceWasSeen("ahead", { at: NOW - 6000 })]);
    const situation = { source: sourceWith(held), ledger: seen };
    expect(planFor(situation).source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
    expect(planFor({ ...situation, now: NOW + 20 * HOUR_MS }).source).toMatchObject({ kind: "held" });
  });

  test("an end that no login can have is later than nothing", () => {
    const held = login("next", { endsInHours: 30 * 24 });
    const situation = { source: sourceWith(held), ledger: knownChain() };
    expect(planFor(situation).source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
    const accepted = planFor({ ...situation, force: [SOURCE] });
    expect(accepted.source).toMatchObject({ kind: "becomes-live", reason: "accepted" });
    const later = sourceWith(login("later", { endsInHours: 1 }));
    expect(planFor({ source: later, ledger: foldLedger(situation.ledger, accepted.record) }).source).toMatchObject({
      kind: "becomes-live",
      reason: "rotation",
    });
  });

  test("a new sign-in whose account is known on one side only waits for the user", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { account: null })]);
    const { source } = planFor({ source: sourceWith(login("new", { signInEndsAt: SIGN_IN_END })), ledger });
    expect(source).toMatchObject({ kind: "held", reason: "account-changed" });
  });

  test("an unknown login that ends later is a rotation", () => {
    const plan = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger: knownChain(), targets: [follower] });
    expect(plan.source).toMatchObject({ kind: "becomes-live", reason: "rotation", chain: "first" });
    expect(plan.writes).toMatchObject([{ generation: "next" }]);
  });

  test("one copy of what a rotation replaces is kept where nothing but a file beside it names the account", () => {
    const targets = [follower, { ...follower, store: "openclaw:work" }];
    const backups = (accountInCredential: boolean) =>
      planFor({
        source: sourceWith(login("next", { endsInHours: 8 }), { accountInCredential }),
        ledger: knownChain(),
        targets,
      }).writes.map(({ backup, oneBackup }) => [backup, oneBackup]);
    expect(backups(false)).toEqual([
      [true, true],
      [true, true],
    ]);
    expect(backups(true)).toEqual([
      [false, false],
      [false, false],
    ]);
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

  test("an unknown login that ends before anything that was live in its chain is an old copy, though it ends after the live one", () => {
    const ledger = knownChain(becameLive("adopted", { reason: "adoption", endsInHours: 1 }));
    const { source } = planFor({ source: sourceWith(login("older", { endsInHours: 3 })), ledger });
    expect(source).toMatchObject({ kind: "held", reason: "source-rolled-back" });
  });

  test("a static secret that is put back is the owner's own choice", () => {
    const ledger = foldLedger(
      emptyLedger,
      ["key-1", "key-2"].map((key) => ({ ...becameLive(key), issue: asFingerprint(key), expiresAt: null })),
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

  test("a sign-in that ends at the same moment is the same one", () => {
    const ledger = foldLedger(emptyLedger, [becameLive("live", { signInEndsAt: SIGN_IN_END })]);
    const source = sourceWith(login("next", { endsInHours: 8, signInEndsAt: SIGN_IN_END }), justNow);
    expect(planFor({ source, ledger }).source).toMatchObject({ reason: "rotation" });
  });

  test("siblings that change in the same file do not make it wait longer", () => {
    const next = sourceWith(login("next", { endsInHours: 8 }), justNow);
    const seen = foldLedger(knownChain(), [sourceWasSeen("next", { at: NOW - 6000 })]);
    expect(planFor({ source: next, ledger: seen }).source).toMatchObject({ kind: "becomes-live", reason: "rotation" });
    const other = foldLedger(knownChain(), [sourceWasSeen("another", { at: NOW - 6000 })]);
    expect(planFor({ source: next, ledger: other }).source).toMatchObject({ reason: "account-unsettled" });
  });

  test.each([
    ["in the last ten minutes of the old access token", 5, null, "rotation"],
    ["earlier than that", 30, null, "account-unsettled"],
    ["after its end", -5, null, "account-unsettled"],
    ["where a sign-in's end tells more", 5, SIGN_IN_END, "account-unsettled"],
  ])("a new login %s is a refresh, which needs no waiting, or not", (_when, minutesLeft, signInEndsAt, reason) => {
    const live = becameLive("live", { endsInHours: minutesLeft / 60, signInEndsAt });
    const source = sourceWith(login("next", { endsInHours: 8, signInEndsAt }), { changedAgoMs: 10 });
    const held = signInEndsAt === null ? source : sourceWith(login("next", { endsInHours: 8 }), { changedAgoMs: 10 });
    expect(planFor({ source: held, ledger: foldLedger(emptyLedger, [live]) }).source).toMatchObject({ reason });
  });

  test("another account that the file names later stops the pushes, and the user's word begins a chain of its own", () => {
    const source = sourceWith(login("live"), { account: bert });
    const situation = { source, ledger: knownChain(), targets: [targetWith(login("old"))] };
    const plan = planFor(situation);
    expect(plan.source).toMatchObject({ kind: "held", reason: "account-changed", acceptable: true, provenSignIn: true });
    expect(plan.writes).toEqual([]);
    for (const accepted of [
      planFor({ ...situation, force: [SOURCE] }),
      planFor({ ...situation, policy: { onAccountChange: "push" } }),
    ]) {
      expect(accepted.source).toMatchObject({ kind: "becomes-live", reason: "account-switch", chain: "live" });
      expect(accepted.live).toMatchObject({ generation: "live", account: bert });
      const after = foldLedger(situation.ledger, accepted.record);
      expect(isSpent(after, asFingerprint("old"))).toBe(false);
      expect(planFor({ ...situation, ledger: after }).source.kind).toBe("live");
    }
  });

  test("an account that becomes known later, or changes its e-mail, is recorded once", () => {
    const renamed = { uuid: anna.uuid, email: "anna-new" };
    const plan = planFor({ source: sourceWith(login("live"), { account: renamed }), ledger: knownChain() });
    expect(plan.source.kind).toBe("live");
    expect(plan.record).toContainEqual(expect.objectContaining({ kind: "account", account: renamed }));
    const after = foldLedger(knownChain(), plan.record);
    expect(planFor({ source: sourceWith(login("live"), { account: renamed }), ledger: after }).record).toEqual([]);
    const nameless = foldLedger(emptyLedger, [becameLive("live", { account: null }), sourceWasSeen("live")]);
    expect(planFor({ source: sourceWith(login("live")), ledger: nameless }).live?.account).toEqual(anna);
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

  test("a missed adoption differs from a later move of the source", () => {
    const ledger = knownChain(
      becameLive("adopted", { chain: "adopted", reason: "adoption", at: NOW - 2 }),
      sourceWasSeen("adopted", { at: NOW - 1 }),
      sourceWasSeen("live", { at: NOW }),
    );
    expect(planFor({ source: sourceWith(login("live")), ledger }).source).toMatchObject({ reason: "account-changed" });
  });
});

describe("a sign-in that ends at the same moment as the live one", () => {
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
    source: sourceWith(login("live", { issue: "live/2", endsInHours: 9 }), { account: null }),
    ledger: knownChain(),
  });
  expect(reissued.live?.account).toEqual(anna);
  const ledger = foldLedger(emptyLedger, [becameLive("live", { account: null })]);
  expect(planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger }).live?.account).toEqual(anna);
});
