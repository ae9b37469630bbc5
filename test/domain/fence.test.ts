import { describe, expect, test } from "vitest";
import { asFingerprint } from "../../src/domain/generation.js";
import { emptyLedger, foldLedger, placementKey, type LedgerEvent } from "../../src/domain/ledger.js";
import type { KeptLogin, ObservedTarget } from "../../src/domain/observation.js";
import { Secret } from "../../src/domain/secret.js";
import type { Share } from "../../src/domain/store.js";
import {
  becameLive,
  bert,
  fence,
  HOUR_MS,
  knownChain,
  LISTED_PROFILE,
  login,
  MINUTE_MS,
  missingSource,
  NOW,
  planFor,
  SOURCE,
  SOURCE_PROFILE,
  sourceWasSeen,
  sourceWith,
  targetWith,
  verdictFor,
  wasSeen,
  type Situation,
} from "../support/planning.js";

const SECOND_MS = 1000;
const source = sourceWith(login("live"));
const UNLISTED = { profile: "anthropic:default", listed: false } as const;
const OPS = { store: "openclaw:ops" } as const;

function judged(target: ObservedTarget, situation: Partial<Situation> = {}) {
  return verdictFor({ source, ledger: knownChain(), targets: [target], ...situation });
}

/** The event by which a fence was first seen, in the listed profile of the main agent unless said otherwise. */
function wasFenced(
  spends: string | null,
  agoMs: number,
  options: { failed?: boolean; store?: string; claim?: string } = {},
): LedgerEvent {
  const { failed = false, store = "openclaw:main", claim = "claim" } = options;
  const at = NOW - agoMs;
  return {
    kind: "fence",
    at,
    store,
    profile: LISTED_PROFILE,
    claim,
    failed,
    spends: spends === null ? null : asFingerprint(spends),
    since: at,
  };
}

const suspected: LedgerEvent = {
  kind: "suspect",
  at: NOW - HOUR_MS,
  generation: asFingerprint("live"),
  store: "openclaw:ops",
  profile: "p",
};

describe("a profile whose program is refreshing it (R16a)", () => {
  const pending = targetWith(fence("live", "pending"));

  test("is left alone and scanned again, even after an order", () => {
    const until = NOW + 180 * SECOND_MS;
    expect(judged(pending)).toEqual({ kind: "drift", reason: "refreshing", until });
    expect(judged(pending, { force: ["openclaw:main"] })).toMatchObject({ kind: "drift" });
    expect(planFor({ source, ledger: knownChain(), targets: [pending] })).toMatchObject({
      writes: [],
      wakeAt: until,
      suspect: false,
    });
  });

  test("is remembered with its claim and what it spends, so that the wait survives a restart", () => {
    const { record } = planFor({ source, ledger: knownChain(), targets: [pending] });
    expect(record).toEqual([{ ...wasFenced("live", 0) }]);
    const later = { ledger: knownChain(wasFenced("live", 100 * SECOND_MS)) };
    expect(judged(pending, later)).toEqual({ kind: "drift", reason: "refreshing", until: NOW + 80 * SECOND_MS });
    expect(planFor({ source, targets: [pending], ...later }).record).toEqual([]);
  });

  test("counts as failed once its claim has not changed for 180 s, but not with another claim", () => {
    const ledger = knownChain(wasFenced("old", 180 * SECOND_MS));
    expect(judged(targetWith(fence("old", "pending")), { ledger })).toMatchObject({ kind: "write", share: "full" });
    expect(judged(targetWith(fence("old", "pending", "another")), { ledger })).toMatchObject({ kind: "drift" });
  });

  test.each([
    ["jumped forwards", { clockJumped: true }, 5 * HOUR_MS],
    ["was set back", {}, -HOUR_MS],
  ])("starts a new wait if the clock %s", (_what, options, agoMs) => {
    const ledger = knownChain(wasFenced("live", agoMs));
    const plan = planFor({ source, ledger, targets: [pending], ...options });
    expect(plan.reports[0]?.verdict).toMatchObject({ kind: "drift", until: NOW + 180 * SECOND_MS });
    expect(plan.record).toMatchObject([{ kind: "fence", since: NOW }]);
  });

  test("keeps other stores of the profile waiting, since it may bring what they lack", () => {
    const failed = targetWith(fence("old", "failed", "other claim"), OPS);
    const plan = planFor({ source, ledger: knownChain(), targets: [pending, failed] });
    expect(plan.writes).toEqual([]);
    expect(plan.reports.map(({ verdict }) => verdict)).toMatchObject([{ reason: "refreshing" }, { reason: "refreshing" }]);
    const elsewhere = targetWith(fence("old", "failed", "other claim"), { ...OPS, ...UNLISTED });
    const written = planFor({ source, ledger: knownChain(), targets: [pending, elsewhere] });
    expect(written.writes.map(({ target }) => target.store)).toEqual(["openclaw:ops"]);
  });

  test("is scanned again in time, though it follows nothing: it may have spent the live login", () => {
    const elsewhere = targetWith(fence("live", "pending"), { ...OPS, ...UNLISTED });
    const situation = { source, targets: [elsewhere], policy: { bind: "listed" } as const };
    expect(planFor({ ...situation, ledger: knownChain() })).toMatchObject({
      suspect: false,
      wakeAt: NOW + 180 * SECOND_MS,
      reports: [{ verdict: { kind: "unrelated" } }],
    });
  });

  test("is no business of this source where nothing ties it to the login, and binds where its digest does", () => {
    expect(judged(targetWith(fence(null, "pending"), { ...OPS, ...UNLISTED }))).toEqual({ kind: "unrelated" });
    expect(judged(targetWith(fence("live", "pending"), { ...OPS, ...UNLISTED }))).toMatchObject({ reason: "refreshing" });
    const ledger = knownChain({
      ...wasFenced(null, MINUTE_MS, { store: "openclaw:ops" }),
      profile: "anthropic:default",
    } as LedgerEvent);
    expect(judged(targetWith(login("theirs"), { ...OPS, ...UNLISTED }), { ledger })).toMatchObject({
      reason: "unknown-origin",
      cause: "never-seen",
    });
  });
});

describe("a profile whose refresh failed (R16a)", () => {
  test.each([
    ["an older generation", "old"],
    ["one that nobody holds", null],
  ])("spending %s is given the live login in full", (_what, spends) => {
    const plan = planFor({ source, ledger: knownChain(), targets: [targetWith(fence(spends, "failed"))] });
    expect(plan.writes).toMatchObject([{ share: "full", backup: false, credential: login("live").credential }]);
    expect(plan.suspect).toBe(false);
    expect(plan.record).toMatchObject([{ kind: "fence", failed: true, spends }]);
  });

  test("spending the live one makes it suspect: it is written without its refresh token, and that is recorded once", () => {
    const targets = [targetWith(fence("live", "failed")), targetWith(fence("live", "failed"), OPS)];
    const plan = planFor({ source, ledger: knownChain(), targets });
    expect(plan.writes.map(({ share, credential }) => [share, credential.type === "oauth" && credential.refresh])).toEqual([
      ["access-only", null],
      ["access-only", null],
    ]);
    expect(plan.suspect).toBe(true);
    expect(plan.record.filter(({ kind }) => kind === "suspect")).toEqual([
      { kind: "suspect", at: NOW, generation: asFingerprint("live"), store: "openclaw:main", profile: LISTED_PROFILE },
    ]);
    const again = planFor({ source, ledger: knownChain(...plan.record), targets });
    expect(again.suspect).toBe(true);
    expect(again.record).toEqual([]);
  });

  test("waits while the source gives nothing to push, and makes what is live suspect nevertheless", () => {
    const plan = planFor({ source: missingSource, ledger: knownChain(), targets: [targetWith(fence("live", "failed"))] });
    expect(plan.reports[0]?.verdict).toEqual({ kind: "drift", reason: "source-missing", until: null });
    expect(plan.suspect).toBe(true);
  });

  test("is known by the token that it named when it was first seen, though no store has it any more", () => {
    const ledger = knownChain(wasFenced("live", MINUTE_MS, { failed: true }));
    const plan = planFor({ source: missingSource, ledger, targets: [targetWith(fence(null, "failed"))] });
    expect(plan.suspect).toBe(true);
    expect(plan.record).toMatchObject([{ kind: "suspect" }]);
  });

  test("is not written where it names another account", () => {
    expect(judged(targetWith(fence("old", "failed"), { account: bert }))).toMatchObject({
      kind: "hold",
      reason: "another-account",
    });
  });

  test("receives the whole of a suspect login by the user's order", () => {
    const situation = { ledger: knownChain(suspected), force: ["openclaw:main"] };
    expect(judged(targetWith(fence("live", "failed")), situation)).toMatchObject({ kind: "write", share: "full" });
    expect(judged(targetWith(login(null, { issue: "live/1" })), situation)).toMatchObject({ kind: "write", share: "full" });
  });

  test("over and over, spending something else than what was written there, ends as reverting", () => {
    const ledger = knownChain(
      ...[1, 2, 3].map((): LedgerEvent => ({
        kind: "revert",
        at: NOW - HOUR_MS,
        store: "openclaw:main",
        profile: LISTED_PROFILE,
      })),
    );
    expect(judged(targetWith(fence("old", "failed")), { ledger })).toMatchObject({ kind: "hold", reason: "reverting" });
    expect(judged(targetWith(fence("live", "failed")), { ledger })).toMatchObject({ kind: "write", share: "access-only" });
  });
});

describe("a failed refresh of the live login, while a row that its program would have marked too has it unmarked (R16a)", () => {
  const ROW = { marksWith: "the OpenClaw" } as const;
  const marked = targetWith(fence("live", "failed"), ROW);
  const unmarked = targetWith(login("live"), { ...OPS, ...ROW });
  const plan = (targets: readonly ObservedTarget[], ...events: LedgerEvent[]) =>
    planFor({ source, ledger: knownChain(...events), targets: [...targets] });
  const wasWritten = (at: number): LedgerEvent => ({ ...wasSeen("live", { ...OPS, at }), kind: "written" }) as LedgerEvent;

  test("was never sent: nothing is suspect, and it is healed with the whole login", () => {
    const { suspect, record, writes } = plan([marked, unmarked]);
    expect(suspect).toBe(false);
    expect(record.map(({ kind }) => kind)).not.toContain("suspect");
    expect(writes).toMatchObject([{ target: { store: "openclaw:main" }, share: "full", backup: false }]);
  });

  test.each([
    ["a pinned agent's", { binding: "pinned" }],
    ["one that is given the access token alone, and still has all of it", { share: "access-only" }],
  ] as const)("is known from %s row as well", (_whose, options) => {
    expect(plan([marked, { ...unmarked, ...options }]).suspect).toBe(false);
  });

  test("is known from the source's row", () => {
    const row = { ...unmarked, store: SOURCE };
    const openclaw = { ...sourceWith(login("live")), observed: row } as typeof source;
    expect(planFor({ source: openclaw, ledger: knownChain(), targets: [marked] }).suspect).toBe(false);
  });

  test.each([
    ["another profile's", { profile: "anthropic:default" }],
    ["another provider's", { provider: "claude-cli" }],
    ["another OpenClaw's", { marksWith: "the box's" }],
    ["no OpenClaw's that marks", { marksWith: undefined }],
    ["an older login's", { held: login("old") }],
    ["an access token's alone", { held: login(null, { issue: "live/1" }) }],
    ["a marked", { held: fence("live", "failed") }],
  ])("is not told by %s row, which would not have been marked", (_whose, options) => {
    expect(plan([marked, { ...unmarked, ...options }]).suspect).toBe(true);
  });

  test("is not told by a row that credsyncd gave the login after the mark, or right before it was seen", () => {
    const since = wasFenced("live", MINUTE_MS, { failed: true });
    for (const agoMs of [MINUTE_MS / 2, MINUTE_MS, MINUTE_MS + SECOND_MS])
      expect(plan([marked, unmarked], since, wasWritten(NOW - agoMs), wasSeen("live", OPS)).suspect).toBe(true);
    expect(plan([marked, unmarked], since, wasWritten(NOW - HOUR_MS), wasSeen("live", { ...OPS, at: NOW })).suspect).toBe(false);
    expect(plan([marked, unmarked], since, wasSeen("live", { ...OPS, at: NOW })).suspect).toBe(false);
  });

  test("is not told by a row that credsyncd wrote after the last that it knew of the marked one, which could not be read since", () => {
    const known = wasWritten(NOW - HOUR_MS);
    const markedWas = (at: number) => wasSeen("live", { at });
    const seenNow = wasFenced("live", 0, { failed: true });
    expect(plan([marked, unmarked], markedWas(NOW - 2 * HOUR_MS), known, seenNow).suspect).toBe(true);
    expect(plan([marked, unmarked], markedWas(NOW - HOUR_MS), known, seenNow).suspect).toBe(false);
  });

  test("is known from a row whose mark its program took back, and not from one that was marked as failed", () => {
    const own = wasFenced("live", MINUTE_MS, { failed: true });
    const had = wasWritten(NOW - HOUR_MS);
    for (const failed of [false, true])
      expect(plan([marked, unmarked], had, own, wasFenced("live", MINUTE_MS, { failed, ...OPS })).suspect).toBe(failed);
  });

  test("does not clear a suspicion from an earlier one", () => {
    const { suspect, writes } = plan([marked, unmarked], suspected);
    expect(suspect).toBe(true);
    expect(writes).toMatchObject([{ share: "access-only" }]);
  });

  describe("in the source", () => {
    const lost = (kept: KeptLogin | null) => {
      const openclaw = sourceWith(fence("live", "failed"), { kept });
      const observed = { ...marked, store: SOURCE, profile: LISTED_PROFILE };
      return { ...openclaw, observed } as typeof openclaw;
    };
    const kept = { copies: [login("live")], expiryMarginMs: 5 * MINUTE_MS };

    test("is put back whole from the copy, and pushed whole", () => {
      const { restoration, suspect, writes } = planFor({
        source: lost(kept),
        ledger: knownChain(),
        targets: [unmarked, targetWith(login("old"), { store: "openclaw:dev" })],
      });
      expect(suspect).toBe(false);
      expect(restoration).toMatchObject({ share: "full", expiryMarginMs: 0, credential: { refresh: new Secret("live") } });
      expect(writes).toMatchObject([{ target: { store: "openclaw:dev" }, share: "full" }]);
    });

    test("is put back whole from the row that has it, where there is no copy, or no ledger", () => {
      for (const ledger of [knownChain(), foldLedger(emptyLedger, [])]) {
        const { adoption, restoration, suspect } = planFor({ source: lost(null), ledger, targets: [unmarked] });
        expect(suspect).toBe(false);
        expect(restoration).toBeNull();
        expect(adoption).toMatchObject({ generation: "live", candidate: { target: { store: OPS.store } } });
      }
    });

    test("is put back without its refresh token where an earlier refresh may have spent it", () => {
      const { restoration } = planFor({ source: lost(kept), ledger: knownChain(suspected), targets: [unmarked] });
      expect(restoration).toMatchObject({ share: "access-only", credential: { refresh: null } });
    });
  });
});

describe("while the live login is suspect", () => {
  const ledger = knownChain(suspected);

  test("nobody is given its refresh token who has it not, and nobody loses it", () => {
    expect(judged(targetWith(login("old")), { ledger })).toMatchObject({ kind: "write", share: "access-only" });
    expect(judged(targetWith(login(null, { issue: "live/1" })), { ledger })).toEqual({ kind: "in-sync" });
    expect(judged(targetWith(login("live")), { ledger })).toEqual({ kind: "in-sync" });
    const behind = targetWith(login("live", { endsInHours: 2 }));
    expect(judged(behind, { ledger })).toMatchObject({ kind: "write", share: "full" });
  });

  test("an access token alone is at rest there, however often the plan scans it", () => {
    const targets = [targetWith(login(null, { issue: "live/1" }))];
    const first = planFor({ source, ledger: knownChain(suspected, wasFenced("live", MINUTE_MS, { failed: true })), targets });
    const second = planFor({ source, ledger: foldLedger(knownChain(suspected), first.record), targets });
    expect(second).toMatchObject({ record: [], writes: [] });
  });

  test("a rotation ends it: the full share is given again", () => {
    const targets = [targetWith(login(null, { issue: "live/1" }))];
    const plan = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger, targets });
    expect(plan.suspect).toBe(false);
    expect(plan.writes).toMatchObject([{ share: "full", generation: "next" }]);
  });

  test("a new access token under the same refresh token proves it alive", () => {
    const reissued = sourceWith(login("live", { issue: "live/2", endsInHours: 8 }));
    const plan = planFor({ source: reissued, ledger, targets: [targetWith(login("old"))] });
    expect(plan.suspect).toBe(false);
    expect(plan.writes).toMatchObject([{ share: "full", issue: "live/2" }]);
  });

  test("another sign-in in between does not make it good again", () => {
    const back = knownChain(
      suspected,
      becameLive("elsewhere", { chain: "elsewhere" }),
      becameLive("live", { reason: "account-switch" }),
    );
    expect(judged(targetWith(login("old")), { ledger: back })).toMatchObject({ share: "access-only" });
  });
});

describe("what a refresh under way brought (R5a)", () => {
  const successor = (options: Partial<ObservedTarget> = {}) =>
    targetWith(login("next", { endsInHours: 8 }), { ...OPS, ...UNLISTED, ...options });
  const fenced = (agoMs: number, options: { failed?: boolean } = {}): LedgerEvent =>
    ({
      ...wasFenced("live", agoMs, { store: "openclaw:ops", ...options }),
      profile: "anthropic:default",
    }) as LedgerEvent;
  const adoptionOf = (events: readonly LedgerEvent[], target = successor()) =>
    planFor({ source, ledger: knownChain(...events), targets: [target] }).adoption;

  test("is proven to come from the generation that the fence names, though nothing else shows it", () => {
    expect(adoptionOf([wasSeen("live", { ...OPS, profile: "anthropic:default" })])).toBeNull();
    expect(adoptionOf([fenced(MINUTE_MS)])?.candidate).toMatchObject({
      proof: "refresh-fence",
      generation: "next",
      descends: true,
    });
  });

  test("is not proven where the refresh failed, since then only a person brings a new login", () => {
    expect(adoptionOf([fenced(MINUTE_MS, { failed: true })])).toBeNull();
  });

  test("is not proven long after, since someone may have signed in", () => {
    expect(adoptionOf([fenced(10 * MINUTE_MS)])).toBeNull();
  });

  test("is not proven where the profile names another account", () => {
    expect(adoptionOf([fenced(MINUTE_MS)], successor({ account: bert }))).toBeNull();
  });

  test("goes before its peers' failed fences: they are given the new login, and nothing is suspect", () => {
    const peer = targetWith(fence("live", "failed"));
    const plan = planFor({ source, ledger: knownChain(fenced(MINUTE_MS)), targets: [successor(), peer] });
    expect(plan.suspect).toBe(false);
    expect(plan.adoption).not.toBeNull();
    expect(plan.writes).toMatchObject([{ target: { store: "openclaw:main" }, share: "full", generation: "next" }]);
  });

  test("is forgotten once the profile holds something known again", () => {
    const ledger = knownChain(fenced(MINUTE_MS), wasSeen("live", { ...OPS, profile: "anthropic:default" }));
    expect(ledger.placements.get(placementKey("openclaw:ops", "anthropic:default"))?.fence).toBeNull();
    const plan = planFor({
      source,
      ledger: knownChain(fenced(MINUTE_MS)),
      targets: [targetWith(login("live"), { ...OPS, ...UNLISTED })],
    });
    expect(plan.record).toMatchObject([{ kind: "seen", generation: "live" }]);
  });
});

describe("a source that is fenced", () => {
  const pendingSource = sourceWith(fence("live", "pending"));
  const failedSource = sourceWith(fence("live", "failed"));

  test("while its program refreshes is busy: nothing is pushed, adopted or taken for missing", () => {
    const targets = [targetWith(login("old")), targetWith(login("next", { endsInHours: 8 }), { ...OPS, account: null })];
    const situation = { source: pendingSource, ledger: knownChain(), targets, adopt: "openclaw:ops" };
    const plan = planFor(situation);
    expect(plan.source).toMatchObject({ kind: "fenced", reason: "source-refreshing", until: NOW + 180 * SECOND_MS });
    expect(plan).toMatchObject({ adoption: null, writes: [], wakeAt: NOW + 180 * SECOND_MS });
    expect(plan.reports[0]?.verdict).toMatchObject({ kind: "drift", reason: "source-refreshing" });
    expect(plan.record).toContainEqual({
      kind: "fence",
      at: NOW,
      store: SOURCE,
      profile: SOURCE_PROFILE,
      claim: "claim",
      failed: false,
      spends: asFingerprint("live"),
      since: NOW,
    });
  });

  test("whose refresh failed pushes nothing, and what it was to spend is suspect", () => {
    const plan = planFor({ source: failedSource, ledger: knownChain(), targets: [targetWith(login("live"))] });
    expect(plan.source).toMatchObject({ kind: "fenced", reason: "source-refresh-failed", until: null });
    expect(plan).toMatchObject({ adoption: null, writes: [], suspect: true });
  });

  test("is healed with what an agent has brought since", () => {
    const targets = [targetWith(login("next", { endsInHours: 8 }), { account: { uuid: "uuid-anna", email: "anna" } })];
    expect(planFor({ source: failedSource, ledger: knownChain(), targets }).adoption).toMatchObject({
      generation: "next",
      backup: false,
    });
    const behind = planFor({
      source: sourceWith(fence("old", "failed")),
      ledger: knownChain(),
      targets: [targetWith(login("live"))],
    });
    expect(behind.adoption).toMatchObject({ generation: "live", backup: false });
  });

  test("is known by its last login if its fence names no token that was ever read", () => {
    const targets = [targetWith(login("next", { endsInHours: 8 }), { account: { uuid: "uuid-anna", email: "anna" } })];
    const plan = planFor({ source: sourceWith(fence(null, "failed")), ledger: knownChain(), targets });
    expect(plan.adoption).toMatchObject({ generation: "next" });
    expect(planFor({ source: sourceWith(fence(null, "failed")), targets }).adoption).toBeNull();
  });

  describe("of what is live, where a copy was kept", () => {
    const MARGIN_MS = 5 * MINUTE_MS;
    const kept = { copies: [login("older"), login("live", { issue: "live/0" }), login("live")], expiryMarginMs: MARGIN_MS };
    const lost = (options: Parameters<typeof sourceWith>[1] = {}) => sourceWith(fence("live", "failed"), { kept, ...options });
    const end = NOW + 4 * HOUR_MS;
    const putBack = (share: Share): LedgerEvent => {
      const terms = { share, expiryMarginMs: share === "full" ? 0 : MARGIN_MS };
      return sourceWasSeen("live", { terms, at: NOW });
    };
    const restorationOf = (situation: Omit<Situation, "ledger">, ...events: LedgerEvent[]) =>
      planFor({ ledger: knownChain(...events), ...situation }).restoration;

    test("is given the access token of it alone, and so are its agents", () => {
      const plan = planFor({ source: lost(), ledger: knownChain(), targets: [targetWith(fence("live", "failed"))] });
      expect(plan.restoration).toMatchObject({
        into: { store: SOURCE, profile: SOURCE_PROFILE },
        share: "access-only",
        credential: { refresh: null, expiresAt: end + MARGIN_MS },
        generation: "live",
        issue: "live/1",
      });
      expect(plan.writes).toMatchObject([{ share: "access-only", credential: { refresh: null, expiresAt: end } }]);
      expect(plan.record).toMatchObject([{ kind: "suspect", generation: "live" }, { kind: "fence" }, { kind: "fence" }]);
    });

    test.each([
      ["while it may still succeed", { source: sourceWith(fence("live", "pending"), { kept }) }],
      ["while another store's may", { source: lost(), targets: [targetWith(fence("live", "pending"))] }],
      ["where the mark names another login", { source: sourceWith(fence("unseen", "failed"), { kept }) }],
      ["where the mark names an older one", { source: sourceWith(fence("old", "failed"), { kept }) }],
      ["where it names another account", { source: lost({ account: bert }) }],
      ["where only an older access token was kept", { source: lost({ kept: { ...kept, copies: kept.copies.slice(0, 2) } }) }],
      ["where nothing was kept", { source: lost({ kept: null }) }],
    ])("is given nothing %s", (_when, situation) => {
      expect(restorationOf(situation)).toBeNull();
    });

    test("is given what an agent brought instead", () => {
      const targets = [targetWith(login("next", { endsInHours: 8 }), { account: { uuid: "uuid-anna", email: "anna" } })];
      const plan = planFor({ source: lost(), ledger: knownChain(), targets });
      expect(plan).toMatchObject({ restoration: null, adoption: { generation: "next" } });
    });

    test("is given it once; by an order all of it, and any number of times", () => {
      expect(restorationOf({ source: lost() }, putBack("access-only"))).toBeNull();
      expect(restorationOf({ source: lost(), force: [SOURCE] }, putBack("access-only"))).toMatchObject({
        share: "full",
        credential: { refresh: new Secret("live"), expiresAt: end },
      });
      expect(restorationOf({ source: lost() }, putBack("access-only"), putBack("full"))).toMatchObject({ share: "access-only" });
    });
  });

  describe("and was given the access token alone", () => {
    const bare = login(null, { issue: "live/1" });
    const wasFailed = {
      ...wasFenced("live", MINUTE_MS, { store: SOURCE, failed: true }),
      profile: SOURCE_PROFILE,
    } as LedgerEvent;
    const suspicion: LedgerEvent = {
      kind: "suspect",
      at: NOW,
      generation: asFingerprint("live"),
      store: SOURCE,
      profile: SOURCE_PROFILE,
    };
    const ledger = knownChain(wasFailed, suspicion);
    const recorded = knownChain(
      wasFailed,
      suspicion,
      sourceWasSeen("live", { terms: { share: "access-only", expiryMarginMs: 0 } }),
    );

    test.each([
      ["before", ledger, 1],
      ["after", recorded, 0],
    ])("is known for that, %s its record", (_when, known, records) => {
      const plan = planFor({ source: sourceWith(bare), ledger: known });
      expect(plan).toMatchObject({ source: { kind: "restored", lost: "live" }, suspect: true, restoration: null });
      expect(plan.record).toHaveLength(records);
      const again = planFor({ source: sourceWith(bare), ledger: foldLedger(known, plan.record) });
      expect(again).toMatchObject({ source: { kind: "restored" }, record: [] });
    });

    test("is not, where no refresh failed there", () => {
      expect(planFor({ source: sourceWith(bare), ledger: knownChain() }).source).toMatchObject({ reason: "account-changed" });
    });

    test("passes on no more than that, whatever the share and the order", () => {
      const targets = [targetWith(login("old")), targetWith(login("live"), { store: "openclaw:ops" })];
      const plan = planFor({ source: sourceWith(bare), ledger: recorded, targets, force: ["openclaw:main"] });
      expect(plan.writes).toMatchObject([
        { target: { store: "openclaw:main" }, share: "access-only", credential: { refresh: null } },
      ]);
      expect(plan.reports[1]?.verdict).toMatchObject({ kind: "in-sync" });
    });

    test("is given all of it by an order, where there is a copy", () => {
      const kept = { copies: [login("live")], expiryMarginMs: 0 };
      const order = { source: sourceWith(bare, { kept }), ledger: recorded, force: [SOURCE] };
      expect(planFor(order).restoration).toMatchObject({ share: "full", credential: { refresh: new Secret("live") } });
      expect(planFor({ ...order, force: [] }).restoration).toBeNull();
    });

    test("takes what an agent brings, and what is signed in there", () => {
      const targets = [targetWith(login("next", { endsInHours: 8 }), { account: { uuid: "uuid-anna", email: "anna" } })];
      expect(planFor({ source: sourceWith(bare), ledger: recorded, targets }).adoption).toMatchObject({
        generation: "next",
        backup: false,
      });
      const signedIn = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger: recorded });
      expect(signedIn).toMatchObject({ source: { kind: "becomes-live" }, suspect: false });
    });
  });

  test("is given the suspect login back by the user's own word only", () => {
    const targets = [targetWith(login("live"))];
    expect(planFor({ source: failedSource, ledger: knownChain(), targets, adopt: "openclaw:main" }).adoption).toMatchObject({
      generation: "live",
    });
  });

  test("that holds a login again goes on as before", () => {
    const ledger = knownChain({
      kind: "fence",
      at: NOW - MINUTE_MS,
      store: SOURCE,
      profile: SOURCE_PROFILE,
      claim: "claim",
      failed: false,
      spends: asFingerprint("live"),
      since: NOW - MINUTE_MS,
    });
    const plan = planFor({ source: sourceWith(login("next", { endsInHours: 8 })), ledger, targets: [targetWith(login("live"))] });
    expect(plan.source).toMatchObject({ kind: "becomes-live", reason: "rotation" });
    expect(plan.writes).toHaveLength(1);
  });
});
