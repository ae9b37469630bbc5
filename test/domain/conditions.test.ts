import { describe, expect, test } from "vitest";
import { wordsFor } from "../../src/app/alert-words.js";
import { foldLedger } from "../../src/domain/ledger.js";
import { conditionsOf, type Facts } from "../../src/domain/conditions.js";
import { asFingerprint } from "../../src/domain/generation.js";
import { StoreError } from "../../src/domain/errors.js";
import { factsFor, trouble, wellFacts } from "../support/alerting.js";
import {
  anna,
  bearerToken,
  bert,
  fence,
  HOUR_MS,
  knownChain,
  login,
  NOW,
  planFor,
  SOURCE,
  SOURCE_PROFILE,
  sourceWith,
  stub,
  targetWith,
  wasSeen,
} from "../support/planning.js";

const windows = { expiringWithinMs: 24 * HOUR_MS, signInWithinMs: 72 * HOUR_MS };

function kindsOf(facts: Facts, now = NOW): string[] {
  return conditionsOf(facts, windows, now)
    .conditions.filter(({ onlyKeeps }) => !onlyKeeps)
    .map(({ kind }) => kind);
}

test("there is no alert if all is well", () => {
  expect(conditionsOf(wellFacts(), windows, NOW).conditions).toEqual([]);
});

test.each(Object.entries(trouble))("%s comes alone", (kind, facts) => {
  expect(kindsOf(facts())).toEqual([kind]);
});

describe("the source", () => {
  test("that is about to be healed from an agent is no trouble", () => {
    const newer = login("newer", { endsInHours: 9 });
    const ledger = knownChain();
    const facts = factsFor({ source: sourceWith(stub), targets: [targetWith(newer, { account: anna })], ledger }, [
      "openclaw:main",
    ]);
    expect(facts.flows[0]?.isHealing).toBe(true);
    expect(kindsOf(facts)).toEqual([]);
  });

  test("that is half written is no trouble yet", () => {
    const place = { store: "claude-code", profile: "claudeAiOauth", flow: "claudeAiOauth", state: "unreadable" } as const;
    expect(kindsOf(factsFor({ source: { ...place, reason: "half", hint: "", torn: true }, ledger: knownChain() }))).toEqual([]);
  });

  test("whose account file is awaited is no trouble yet", () => {
    const source = sourceWith(login("hers", { endsInHours: 30 }), { account: bert, changedAgoMs: 0 });
    expect(kindsOf(factsFor({ source, ledger: knownChain() }))).toEqual([]);
  });

  test("that reached its time limit says so", () => {
    const { conditions } = conditionsOf(
      factsFor({ source: sourceWith({ kind: "stub", timeLimit: true }), ledger: knownChain() }),
      windows,
      NOW,
    );
    expect(conditions).toMatchObject([{ kind: "logged-out", reason: "time-limit", severity: "error" }]);
  });

  test("without an end never ends", () => {
    expect(conditionsOf(factsFor({ source: sourceWith(bearerToken("static")) }), windows, NOW)).toEqual({
      conditions: [],
      changesAt: [],
    });
  });
});

test("a source that lost the live login is one trouble, before and after its access token is put back", () => {
  const kept = { copies: [login("live")], expiryMarginMs: 300_000 };
  const place = { store: SOURCE, profile: SOURCE_PROFILE };
  const lost = { source: sourceWith(fence("live", "failed"), { kept }), ledger: knownChain() };
  const putBack = { ...place, terms: { share: "access-only", expiryMarginMs: 300_000 } } as const;
  const ledger = foldLedger(lost.ledger, [...planFor(lost).record, wasSeen("live", putBack)]);
  const source = sourceWith(login(null, { issue: "live/1", endsInHours: 4 + 300 / 3600 }), { kept });
  const narrow = { ...windows, expiringWithinMs: HOUR_MS };
  const loss = { kind: "suspect", severity: "error", reason: "source-refresh-failed", store: SOURCE };
  expect(conditionsOf(factsFor(lost), narrow, NOW).conditions).toMatchObject([loss]);
  const after = conditionsOf(factsFor({ source, ledger }), narrow, NOW);
  expect(after.conditions).toMatchObject([loss]);
  expect(after.changesAt).toEqual([NOW + 3 * HOUR_MS, NOW + 4 * HOUR_MS]);
  const [{ message, hint } = { message: "", hint: "" }] = after.conditions.map((condition) => wordsFor(condition, NOW, NOW));
  expect(message).toContain("credsyncd restores the access token only");
  expect(message).toContain("for 4h more");
  expect(hint).toMatch(/sign in: claude auth login .* credsyncd sync --force claude-code$/);
  const later = NOW + 4 * HOUR_MS;
  const over = conditionsOf(factsFor({ source, ledger, now: later }), narrow, later).conditions;
  expect(over).toMatchObject([loss, { kind: "expired", severity: "error", reason: "source-refresh-failed" }]);
  expect(over.map((condition) => wordsFor(condition, later, later).hint).at(-1)).toContain("sign in");
});

test("a source that its program marked, and that does not come back automatically, names every way back", () => {
  const { conditions } = conditionsOf(
    factsFor({ source: sourceWith(fence("unknown", "failed")), ledger: knownChain() }),
    windows,
    NOW,
  );
  expect(conditions).toMatchObject([{ kind: "source-unreadable", severity: "error", reason: "source-refresh-failed" }]);
  const [hint] = conditions.map((condition) => wordsFor(condition, NOW, NOW).hint);
  expect(hint).toMatch(/credsyncd adopt STORE .* credsyncd restore --store claude-code --list .* sign in: claude auth login$/);
});

describe("an end", () => {
  const facts = (endsInHours: number, signInInHours: number): Facts =>
    factsFor({ source: sourceWith(login("live", { endsInHours, signInEndsAt: NOW + signInInHours * HOUR_MS })) });

  test.each([
    ["far away", 30, 100, []],
    ["just outside the window", 24.1, 100, []],
    ["at the window's edge", 24, 100, ["expiring"]],
    ["now", 0, 100, ["expired"]],
    ["of the sign-in, within its window", 30, 72, ["sign-in-ends"]],
    ["of both", 1, 60, ["expiring", "sign-in-ends"]],
    ["of both, past", -2, -1, ["expired", "sign-in-ends"]],
  ])("%s", (_name, endsInHours, signInInHours, kinds) => {
    expect(kindsOf(facts(endsInHours, signInInHours))).toEqual(kinds);
  });

  test("tells when time alone changes what there is to tell", () => {
    const { changesAt } = conditionsOf(facts(30, 100), windows, NOW);
    expect(changesAt.map((at) => (at - NOW) / HOUR_MS).sort((left, right) => left - right)).toEqual([6, 28, 30, 100]);
  });

  test("that a use renews is milder than one that only a person can mend", () => {
    const of = (signInInHours: number): unknown => conditionsOf(facts(-1, signInInHours), windows, NOW).conditions[0];
    expect(of(100)).toMatchObject({ reason: "idle", severity: "warning" });
    expect(of(-0.5)).toMatchObject({ reason: "sign-in-over", severity: "error" });
  });
});

describe("a store", () => {
  test.each([
    ["permission", "store-error", "error", "none"],
    ["malformed", "store-error", "error", "none"],
    ["symlink", "store-error", "error", "none"],
    ["unsupported", "unsupported-store", "error", "none"],
    ["locked", "store-error", "warning", "a-minute"],
    ["no-space", "store-error", "warning", "a-minute"],
    ["io", "store-error", "warning", "a-minute"],
    // Scanned again at once, and reported if that does not help.
    ["conflict", "store-error", "warning", "a-minute"],
    ["torn", "store-error", "warning", "a-minute"],
  ] as const)("that fails with %s is %s", (code, kind, severity, patience) => {
    const failures = [{ store: "openclaw:work", error: new StoreError(code, "what", "hint") }];
    expect(conditionsOf({ ...wellFacts(), failures }, windows, NOW).conditions).toMatchObject([
      { kind, severity, patience, store: "openclaw:work", explanation: "what", hint: "hint" },
    ]);
  });

  test("that was just written does not drift, and one that could not be is in trouble once", () => {
    const situation = {
      source: sourceWith(login("live", { endsInHours: 48 })),
      targets: [targetWith(login("old", { endsInHours: -4 }))],
    };
    const facts = factsFor({ ...situation, ledger: knownChain() }, ["openclaw:main"]);
    expect(kindsOf(facts)).toEqual([]);
    const failures = [{ store: "openclaw:main", error: new StoreError("permission", "what", "hint") }];
    expect(kindsOf({ ...facts, written: new Set(), failures })).toEqual(["store-error"]);
  });

  test("that the user pinned is nobody's business", () => {
    const targets = [targetWith(login("other"), { binding: "pinned" })];
    expect(kindsOf(factsFor({ source: sourceWith(login("live", { endsInHours: 48 })), targets }))).toEqual([]);
  });

  test("whose program logged itself out is reported as logged out", () => {
    const held = login("live", { endsInHours: 48 });
    const gone = {
      kind: "stub",
      at: NOW - 1,
      store: "openclaw:main",
      profile: "anthropic:claude-cli",
      replaced: asFingerprint("live"),
      timeLimit: false,
    } as const;
    const facts = factsFor({ source: sourceWith(held), targets: [targetWith(stub)], ledger: knownChain(wasSeen("live"), gone) });
    expect(conditionsOf(facts, windows, NOW).conditions).toMatchObject([
      { kind: "logged-out", store: "openclaw:main", severity: "error" },
    ]);
  });

  test("with another account's name drifts, with patience", () => {
    const targets = [targetWith(login("hers"), { account: bert })];
    const facts = factsFor({ source: sourceWith(login("live", { endsInHours: 48 })), targets });
    expect(conditionsOf(facts, windows, NOW).conditions).toMatchObject([
      { kind: "drift", reason: "another-account", patience: "two-resyncs" },
    ]);
  });
});
