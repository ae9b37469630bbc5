import { describe, expect, test } from "vitest";
import { foldLedger } from "../../src/domain/ledger.js";
import type { ObservedTarget } from "../../src/domain/observation.js";
import {
  absent,
  anna,
  apiKey,
  bearerToken,
  becameLive,
  bert,
  knownChain,
  LISTED_PROFILE,
  login,
  MINUTE_MS,
  missingSource,
  NOW,
  planFor,
  sourceWith,
  stub,
  targetWith,
  verdictFor,
  wasSeen,
  type Situation,
} from "../support/planning.js";

const source = sourceWith(login("live"));
const UNLISTED = { profile: "anthropic:default", listed: false } as const;

function judged(target: ObservedTarget, situation: Partial<Situation> = {}) {
  return verdictFor({ source, ledger: knownChain(), targets: [target], ...situation });
}

describe("a following profile that is behind (R3)", () => {
  test("is given the live login in place of an older generation, which is spent and not backed up", () => {
    expect(judged(targetWith(login("old")))).toMatchObject({ kind: "write", backup: false });
  });

  test("is given it in place of an older access token of the live generation", () => {
    const ledger = knownChain(becameLive("live", { issue: "live/2", endsInHours: 6 }));
    const reissued = sourceWith(login("live", { issue: "live/2", endsInHours: 6 }));
    expect(judged(targetWith(login("live")), { source: reissued, ledger })).toMatchObject({ kind: "write" });
  });

  test("is left alone where it holds exactly the live login", () => {
    expect(judged(targetWith(login("live")))).toEqual({ kind: "in-sync" });
  });

  test("is written again where the expiry written there is not the true one", () => {
    expect(judged(targetWith(login("live", { endsInHours: 2 })))).toMatchObject({ kind: "write" });
  });

  test("waits, with the reason, while the source gives nothing to push", () => {
    expect(judged(targetWith(login("old")), { source: missingSource })).toMatchObject({
      kind: "drift",
      reason: "source-missing",
    });
    expect(judged(targetWith(login("old")), { source: sourceWith(login("old")) })).toMatchObject({
      reason: "source-rolled-back",
    });
  });
});

describe("an expiry that no login can have", () => {
  const spoilt = (endsInHours: number | null, options: Partial<ObservedTarget> = {}) => {
    const held = login("refreshed", { endsInHours: endsInHours ?? 4 });
    return targetWith(endsInHours === null ? { ...held, expiresAt: null } : held, options);
  };

  test.each([null, 24 * 365])("is not the later one, so that a copy at first sight is overwritten: %s", (endsInHours) => {
    expect(judged(spoilt(endsInHours, { store: "openclaw:new" }))).toMatchObject({ kind: "write", backup: true });
  });

  test("of what an agent surely made of the live login keeps it on hold until the source rotates, and nobody may adopt it", () => {
    const target = spoilt(null, { account: anna });
    const plan = planFor({ source, ledger: knownChain(), targets: [target] });
    expect(plan.adoption).toBeNull();
    expect(plan.reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer", cause: "expiry-unusable" });
    const held = foldLedger(knownChain(), plan.record);
    expect(judged(target, { ledger: held })).toMatchObject({ kind: "hold", reason: "target-newer" });
    const ordered = planFor({ source, ledger: held, targets: [target], adopt: target.store });
    expect(ordered.adoption).toBeNull();
    expect(ordered.unadoptable).toEqual([target]);
    const rotated = foldLedger(held, [becameLive("next", { endsInHours: 9 })]);
    expect(judged(target, { source: sourceWith(login("next", { endsInHours: 9 })), ledger: rotated })).toMatchObject({
      kind: "write",
      backup: true,
    });
  });

  test("is no reason to overwrite what surely came from the live login, and neither is one that a server shortened", () => {
    const shortened = targetWith(login("refreshed", { endsInHours: 1 }), { account: anna });
    expect(judged(shortened)).toMatchObject({ kind: "hold", reason: "target-newer", cause: "expires-earlier" });
    const over = targetWith(login("ancient", { endsInHours: -1 }), { account: anna });
    expect(judged(over)).toMatchObject({ kind: "write", backup: true });
  });

  test("is mended where the login itself is the live one", () => {
    expect(judged(targetWith({ ...login("live"), expiresAt: null }))).toMatchObject({ kind: "write" });
  });

  test("of the source lets an agent's known one be the newer, if it is not over", () => {
    const ahead = { endsInHours: 24 * 40 };
    const ledger = foldLedger(knownChain(), [becameLive("ahead", { ...ahead, chain: "ahead", reason: "accepted" })]);
    const situation = { source: sourceWith(login("ahead", ahead)), ledger };
    const unseen = (endsInHours: number) => targetWith(login("unknown", { endsInHours }), { store: "openclaw:new" });
    expect(judged(unseen(2), situation)).toMatchObject({ kind: "hold", reason: "target-newer" });
    expect(judged(unseen(-1), situation)).toMatchObject({ kind: "write", backup: true });
  });
});

describe("a new sign-in of the same account", () => {
  const ledger = knownChain(becameLive("new", { chain: "new", endsInHours: 2, reason: "sign-in" }));
  const signedIn = { source: sourceWith(login("new", { endsInHours: 2 })), ledger };
  const rotated = login("refreshed", { endsInHours: 6 });

  test("beats what an agent surely made of the login before, which goes to the backups", () => {
    const plan = planFor({ ...signedIn, targets: [targetWith(rotated, { account: anna })] });
    expect(plan.adoption).toBeNull();
    expect(plan.writes).toMatchObject([{ generation: "new", backup: true }]);
  });

  test("does not beat what nothing proves", () => {
    expect(judged(targetWith(rotated), signedIn)).toMatchObject({ kind: "hold", reason: "target-newer" });
  });
});

describe("an account that changed its e-mail (R7)", () => {
  const renamed = { uuid: anna.uuid, email: "anna-new" };
  const old = { uuid: null, email: anna.email };
  const renamedSource = (generation: string, endsInHours = 4) =>
    sourceWith(login(generation, { endsInHours }), { account: renamed });

  test("is the same one in a profile that holds its login, where the e-mail is brought up to date at once", () => {
    const target = targetWith(login("live"), { account: old });
    const plan = planFor({ source: renamedSource("live"), ledger: knownChain(), targets: [target] });
    expect(plan.writes).toMatchObject([{ replaceAccount: true, generation: "live" }]);
    const after = foldLedger(knownChain(), plan.record);
    const updated = { ...target, account: { uuid: null, email: renamed.email } };
    expect(planFor({ source: renamedSource("live"), ledger: after, targets: [updated] })).toMatchObject({
      writes: [],
      record: [],
    });
  });

  test("is the same one in a profile that holds an earlier generation", () => {
    const target = targetWith(login("old"), { account: old });
    expect(judged(target, { source: renamedSource("live") })).toMatchObject({ kind: "write", replaceAccount: true });
  });

  test("is another one where the id is another, and where the login is not known", () => {
    const another = targetWith(login("old"), { account: { uuid: "uuid-bert", email: anna.email } });
    expect(judged(another)).toMatchObject({ kind: "hold", reason: "another-account" });
    const unknown = targetWith(login("unknown", { endsInHours: 1 }), { account: { uuid: null, email: "bert" } });
    expect(judged(unknown)).toMatchObject({ kind: "hold", reason: "another-account" });
  });
});

describe("a profile at first sight (R6)", () => {
  const unseen = { store: "openclaw:new" };

  test("listed and not newer than the source: a stale copy, overwritten and backed up", () => {
    expect(judged(targetWith(login("unknown", { endsInHours: 4 }), unseen))).toMatchObject({ kind: "write", backup: true });
  });

  test("listed and newer: held, for the user to choose", () => {
    const newer = targetWith(login("unknown", { endsInHours: 5 }), unseen);
    expect(judged(newer)).toMatchObject({ kind: "hold", reason: "target-newer" });
    expect(judged(newer, { force: ["openclaw:new"] })).toMatchObject({ kind: "write", backup: true });
    expect(judged(newer, { force: ["openclaw:other"] })).toMatchObject({ kind: "hold" });
  });

  test("not listed: held as of unknown origin, whatever its age", () => {
    const stranger = targetWith(login("unknown", { endsInHours: 1 }), { ...unseen, ...UNLISTED });
    expect(judged(stranger)).toMatchObject({ kind: "hold", reason: "unknown-origin" });
    expect(judged(stranger, { force: ["openclaw:new"] })).toMatchObject({ kind: "write", backup: true });
  });

  test("not listed, and seen with a known generation: it becomes bound", () => {
    const copy = targetWith(login("old"), { ...unseen, ...UNLISTED });
    expect(judged(copy)).toMatchObject({ kind: "write", backup: false });
    expect(judged(copy, { policy: { bind: "listed" } })).toMatchObject({ kind: "hold", reason: "unknown-origin" });
  });

  test.each([
    ["an API key", targetWith(apiKey("key"), UNLISTED)],
    ["a login of another provider", targetWith(login("unknown"), { ...UNLISTED, related: false })],
    ["another account's login", targetWith(login("unknown"), { ...UNLISTED, account: bert, store: "openclaw:new" })],
    ["an incomplete profile", targetWith({ kind: "incomplete", reason: "no token" }, UNLISTED)],
  ])("%s that is not listed is nobody's business", (_what, target) => {
    expect(judged({ ...target, store: "openclaw:new" })).toEqual({ kind: "unrelated" });
  });

  test("a pinned agent is not judged at all", () => {
    expect(judged(targetWith(login("old"), { binding: "pinned" }))).toBeNull();
  });
});

describe("an unknown login in a profile with a history (R6a)", () => {
  test("listed: overwritten and backed up", () => {
    expect(judged(targetWith(login("unknown", { endsInHours: 1 })))).toMatchObject({ kind: "write", backup: true });
  });

  test("bound: on hold as of unknown origin", () => {
    const ledger = knownChain(wasSeen("live", { profile: UNLISTED.profile }));
    expect(judged(targetWith(login("unknown", { endsInHours: 1 }), UNLISTED), { ledger })).toMatchObject({
      kind: "hold",
      reason: "unknown-origin",
    });
  });

  test("an API key or a token in a listed profile is of another type, and stays", () => {
    expect(judged(targetWith(apiKey("key")))).toMatchObject({ kind: "hold", reason: "type-mismatch" });
    expect(judged(targetWith(bearerToken("token")))).toMatchObject({ kind: "hold", reason: "type-mismatch" });
  });

  test("an incomplete listed profile is on hold for its own reason", () => {
    expect(judged(targetWith({ kind: "incomplete", reason: "no access token" }))).toMatchObject({
      reason: "incomplete",
      detail: "no access token",
    });
  });
});

describe("a profile of another account (R7, R7a)", () => {
  test.each([
    ["an older generation", login("old")],
    ["an unknown login", login("unknown", { endsInHours: -5 })],
    ["a stub", stub],
  ])("is never written, though it holds %s", (_what, held) => {
    const target = targetWith(held, { account: bert });
    expect(judged(target)).toMatchObject({ kind: "hold", reason: "another-account" });
    expect(judged(target, { force: [target.store] })).toMatchObject({ kind: "hold", reason: "another-account" });
  });

  test("is written once the account change is accepted, where it followed the previous chain; its name is replaced", () => {
    const ledger = knownChain(becameLive("of-bert", { chain: "of-bert", account: bert, reason: "accepted" }));
    const follower = targetWith(login("live"), { account: anna });
    const accepted = { source: sourceWith(login("of-bert"), { account: bert }), ledger };
    expect(judged(follower, accepted)).toMatchObject({ kind: "write", replaceAccount: true, backup: true });
    expect(judged({ ...follower, store: "openclaw:new" }, accepted)).toMatchObject({ kind: "hold", reason: "another-account" });
  });
});

describe("a profile that is gone or logged out", () => {
  test("an absent profile is not recreated, unless the user named the store and it never was there", () => {
    expect(judged(targetWith(absent))).toEqual({ kind: "absent" });
    const created = targetWith(absent, { store: "claude-code:box", creates: true });
    expect(judged(created)).toMatchObject({ kind: "write", backup: false });
    const ledger = knownChain(wasSeen("live", { store: "claude-code:box" }));
    expect(judged(created, { ledger })).toEqual({ kind: "absent" });
    expect(judged(created, { ledger, force: ["claude-code:box"] })).toMatchObject({ kind: "write" });
  });

  test("a stub is filled, unless it replaced the live login", () => {
    const ledger = knownChain(wasSeen("old"));
    expect(judged(targetWith(stub), { ledger })).toMatchObject({ kind: "write" });
    expect(judged(targetWith(stub))).toMatchObject({ kind: "hold", reason: "logged-out" });
    expect(judged(targetWith(stub), { force: ["openclaw:main"] })).toMatchObject({ kind: "write" });
  });

  test("nothing is made from a source that is logged out", () => {
    expect(judged(targetWith(stub), { source: sourceWith(stub) })).toMatchObject({ kind: "drift", reason: "logged-out" });
    expect(judged(targetWith(absent, { store: "claude-code:box", creates: true }), { source: sourceWith(stub) })).toMatchObject({
      kind: "drift",
    });
  });
});

describe("a consumer that puts an older login back (R12)", () => {
  const reverted = targetWith(login("old"));
  const revert = (at: number) => ({ kind: "revert", at, store: reverted.store, profile: reverted.profile }) as const;

  test("is answered at once, and the answer counts as a revert", () => {
    expect(judged(reverted)).toMatchObject({ kind: "write", revert: true });
  });

  test("is answered later each time, and the plan says when", () => {
    const ledger = knownChain(revert(NOW));
    expect(judged(reverted, { ledger })).toEqual({ kind: "drift", reason: "re-asserting", until: NOW + 5000 });
    expect(planFor({ source, ledger, targets: [reverted] }).wakeAt).toBe(NOW + 5000);
    expect(judged(reverted, { ledger, now: NOW + 5000 })).toMatchObject({ kind: "write", revert: true });
    expect(judged(reverted, { ledger: knownChain(revert(NOW), revert(NOW)) })).toMatchObject({ until: NOW + 30_000 });
  });

  test("is answered at once where the clock was set back since, so that nothing tells how long ago it was", () => {
    const ledger = knownChain(revert(NOW));
    expect(judged(reverted, { ledger, now: NOW - 99 * MINUTE_MS })).toMatchObject({ kind: "write", revert: true });
  });

  test("is left alone after three times, until the source rotates or the user orders it", () => {
    const ledger = knownChain(revert(NOW), revert(NOW), revert(NOW));
    expect(judged(reverted, { ledger, now: NOW + 99 * MINUTE_MS })).toMatchObject({ kind: "hold", reason: "reverting" });
    expect(judged(reverted, { ledger, force: [reverted.store] })).toMatchObject({ kind: "write" });
    const rotated = { source: sourceWith(login("next", { endsInHours: 8 })), ledger };
    expect(judged(reverted, rotated)).toMatchObject({ kind: "write", revert: false });
  });

  test("gets one more write when its program has restarted", () => {
    const ledger = knownChain(revert(NOW), revert(NOW), revert(NOW));
    const chance = { ledger, restarted: [reverted.store] };
    expect(judged(reverted, chance)).toMatchObject({ kind: "write", revert: true });
    expect(judged(targetWith(login("unknown", { endsInHours: 9 })), chance)).toMatchObject({
      kind: "hold",
      reason: "target-newer",
    });
    expect(judged(reverted, { ledger, restarted: ["openclaw:other"] })).toMatchObject({ kind: "hold", reason: "reverting" });
  });

  test("keeps its memory through further scans", () => {
    const plan = planFor({ source, ledger: knownChain(revert(NOW)), targets: [reverted] });
    expect(plan.record).toEqual([]);
  });
});

describe("an access-only target (R16)", () => {
  const accessOnly = { share: "access-only", expiryMarginMs: 5 * MINUTE_MS } as const;

  test("is given the access token with its margin, and no refresh token", () => {
    const [write] = planFor({ source, ledger: knownChain(), targets: [targetWith(login("old"), accessOnly)] }).writes;
    expect(write?.credential).toMatchObject({
      type: "oauth",
      refresh: null,
      expiresAt: (login("live").expiresAt ?? 0) + 5 * MINUTE_MS,
    });
  });

  test("is in sync with that, and not without its margin", () => {
    const bare = { issue: "live/1", endsInHours: 4 + 5 / 60 };
    expect(judged(targetWith(login(null, bare), accessOnly))).toEqual({ kind: "in-sync" });
    expect(judged(targetWith(login(null, { issue: "live/1" }), accessOnly))).toMatchObject({ kind: "write" });
  });

  test("has a refresh token of the chain taken away, which is backed up where it is the live one", () => {
    expect(judged(targetWith(login("live"), accessOnly))).toMatchObject({ kind: "write", backup: true });
    expect(judged(targetWith(login("old"), accessOnly))).toMatchObject({ kind: "write", backup: false });
  });

  test("that was given all of it before has no other program to blame for that, nor the other way round", () => {
    const before = knownChain({ kind: "revert", at: NOW, store: "openclaw:main", profile: LISTED_PROFILE });
    expect(judged(targetWith(login("live"), accessOnly), { ledger: before })).toMatchObject({ kind: "write", revert: false });
    const bare = login(null, { issue: "live/1", endsInHours: 4 + 5 / 60 });
    const ledger = foldLedger(before, [wasSeen("live", { terms: accessOnly })]);
    expect(judged(targetWith(bare), { ledger })).toMatchObject({ kind: "write", revert: false });
  });

  test("into which a program put the whole login back is answered as a revert", () => {
    const ledger = knownChain(wasSeen("live", { terms: accessOnly }));
    expect(judged(targetWith(login("live"), accessOnly), { ledger })).toMatchObject({ kind: "write", revert: true });
  });

  test("is recorded as one once it is in sync, and never twice", () => {
    const bare = targetWith(login(null, { issue: "live/1", endsInHours: 4 + 5 / 60 }), accessOnly);
    const plan = planFor({ source, ledger: knownChain(), targets: [bare] });
    expect(plan.record).toMatchObject([{ kind: "seen", generation: "live", terms: accessOnly }]);
    const ledger = foldLedger(knownChain(), plan.record);
    expect(planFor({ source, ledger, targets: [bare] }).record).toEqual([]);
  });

  test("never proves anything: a newer access token there is overwritten, not adopted", () => {
    const newer = targetWith(login("live", { issue: "live/2", endsInHours: 9 }), { share: "access-only", account: anna });
    const plan = planFor({ source, ledger: knownChain(), targets: [newer] });
    expect(plan.adoption).toBeNull();
    expect(plan.writes).toHaveLength(1);
  });
});

describe("the old login is kept (R17)", () => {
  test("the newest of another chain is not known to be spent", () => {
    const ledger = knownChain(becameLive("new", { chain: "new", reason: "sign-in", endsInHours: 9 }));
    const signedIn = { source: sourceWith(login("new", { endsInHours: 9 })), ledger };
    expect(judged(targetWith(login("live")), signedIn)).toMatchObject({ kind: "write", backup: true });
    expect(judged(targetWith(login("old")), signedIn)).toMatchObject({ kind: "write", backup: false });
  });

  test("so is one that an adoption, not the source's own program, put aside", () => {
    const ledger = knownChain(becameLive("adopted", { reason: "adoption", endsInHours: 9 }));
    expect(judged(targetWith(login("live")), { source: sourceWith(login("adopted", { endsInHours: 9 })), ledger })).toMatchObject(
      { backup: true },
    );
  });
});

test("a second look at what was just planned and written finds nothing to do", () => {
  const behind = targetWith(login("old"));
  const plan = planFor({ source, ledger: knownChain(), targets: [behind] });
  const ledger = foldLedger(knownChain(), [...plan.record, wasSeen("live", { at: NOW })]);
  const again = planFor({ source, ledger, targets: [targetWith(login("live"))] });
  expect([again.writes, again.record, again.wakeAt]).toEqual([[], [], null]);
});
