import { asFingerprint } from "../../src/domain/generation.js";
import { describe, expect, test } from "vitest";
import { describeSource } from "../../src/domain/describe/source.js";
import { describeTarget } from "../../src/domain/describe/target.js";
import type { SourceHoldCause, SourceVerdict } from "../../src/domain/source-verdict.js";
import type { TargetHold, TargetHoldCause, TargetVerdict } from "../../src/domain/target-verdict.js";
import { namesAround } from "../../src/app/words.js";
import { claudeNames } from "../support/alerting.js";
import { fence, login, SOURCE, targetWith } from "../support/planning.js";

const held = login("live");
const fenced = { kind: "fenced", lost: null, copy: null, neverSent: false, wasRestored: false } as const;
const hold = { kind: "held", held, acceptable: true, provenSignIn: false, adoptionPending: false, until: null } as const;

const sourceVerdicts = {
  missing: [{ kind: "missing" }],
  unreadable: [{ kind: "unreadable", reason: "it is no JSON", hint: null, torn: false }],
  "logged-out": [
    { kind: "logged-out", replaced: null, timeLimit: false },
    { kind: "logged-out", replaced: null, timeLimit: true },
  ],
  fenced: [
    { ...fenced, reason: "source-refreshing", until: 1 },
    { ...fenced, reason: "source-refresh-failed", until: null },
  ],
  restored: [{ kind: "restored", held, lost: asFingerprint("live"), copy: null }],
  live: [{ kind: "live", held }],
  "becomes-live": [{ kind: "becomes-live", held, reason: "rotation", chain: "chain", unproven: false }],
  held: [
    { ...hold, reason: "account-changed", cause: "other-account" },
    { ...hold, reason: "source-rolled-back", cause: "older-login", acceptable: false },
    { ...hold, reason: "account-unsettled", cause: "account-unsettled", until: 1 },
  ],
} satisfies { [Kind in SourceVerdict["kind"]]: readonly Extract<SourceVerdict, { kind: Kind }>[] };

const targetVerdicts = {
  unrelated: { kind: "unrelated" },
  "in-sync": { kind: "in-sync" },
  absent: { kind: "absent" },
  write: { kind: "write", backup: false, revert: false, replaceAccount: false, share: "full" },
  drift: { kind: "drift", reason: "re-asserting", until: 1 },
  hold: { kind: "hold", reason: "reverting", cause: "reverting", detail: null },
} satisfies { [Kind in TargetVerdict["kind"]]: Extract<TargetVerdict, { kind: Kind }> };

const sourceCauses = {
  "no-refresh-token": "has lost its refresh token",
  "other-kind": "another kind of login",
  "other-account": "signed in to another account",
  "account-renamed": "names another account",
  "earlier-sign-in": "an earlier sign-in",
  "account-unsettled": "waits a moment",
  "older-login": "perhaps from a backup",
  "older-login-of-earlier-sign-in": "of an earlier sign-in",
  "older-than-known": "seen elsewhere",
  "older-access-token": "an older access token",
  "adoption-unfinished": "the adopted login",
  "unseen-expired": "an expired access token",
  "unseen-expires-earlier": "expires earlier",
} satisfies Record<SourceHoldCause, string>;

const targetCauses = {
  incomplete: ["incomplete", "what is missing"],
  "other-provider": ["provider-mismatch", "for what is missing"],
  "other-type": ["type-mismatch", "of type what is missing"],
  "other-account": ["another-account", "another account than Claude Code"],
  "never-seen": ["unknown-origin", "does not overwrite it"],
  "secret-changed": ["unknown-origin", "somebody changed it"],
  "login-changed": ["unknown-origin", "has not seen before"],
  "newer-login": ["target-newer", "this agent has a newer login than Claude Code"],
  "newer-access-token": ["target-newer", "a newer access token"],
  "other-source": ["target-newer", "of another source"],
  "expires-earlier": ["target-newer", "expires earlier"],
  "expiry-unusable": ["target-newer", "cannot be used"],
  "logged-out": ["logged-out", "OpenClaw has logged out"],
  reverting: ["reverting", "keeps undoing"],
  "moves-pinned": ["moves-pinned", "instead of its own"],
} satisfies Record<TargetHoldCause, readonly [TargetHold, string]>;

function described(source: SourceVerdict, more: Partial<Parameters<typeof describeSource>[0]> = {}) {
  return describeSource(
    { head: { store: SOURCE }, source, adoption: null, restoration: null, suspect: false, ...more },
    claudeNames,
  );
}

describe("the words for a source", () => {
  test.each(Object.values(sourceVerdicts).flat())("that is $kind ($reason) say what to do where it is wrong", (verdict) => {
    const { explanation, hint, severity } = described(verdict);
    const isWell = verdict.kind === "live" || verdict.kind === "becomes-live";
    expect(explanation === null).toBe(isWell);
    expect(hint === null).toBe(isWell);
    if (isWell) expect(severity).toBeNull();
    if (severity === "error") expect(hint).toContain("sign in: claude auth login");
  });

  test.each(Object.entries(sourceCauses))("that is on hold for %s name the program", (cause, words) => {
    const { explanation } = described({ ...hold, reason: "account-changed", cause: cause as SourceHoldCause });
    expect(explanation).toContain("Claude Code");
    expect(explanation).toContain(words);
  });

  test("whose login may be spent are the same for every state that has one", () => {
    for (const verdict of [...sourceVerdicts.live, ...sourceVerdicts["becomes-live"]])
      expect(described(verdict, { suspect: true })).toMatchObject({ reason: "suspect", severity: "warning" });
  });

  test("that is being healed name no trouble, and who heals it", () => {
    const verdict = { kind: "logged-out", replaced: null, timeLimit: false } as const;
    const adoption = { candidate: { target: { store: "openclaw:work" } } };
    expect(described(verdict, { adoption })).toMatchObject({ severity: null, hint: expect.stringContaining("daemon") as string });
    const names = { ...claudeNames, isDaemonRunning: false };
    const facts = { head: { store: SOURCE }, source: verdict, adoption, restoration: null, suspect: false };
    expect(describeSource(facts, names).hint).toContain("run: credsyncd sync");
  });
});

describe("the words for a target", () => {
  test.each(Object.values(targetVerdicts))("that is $kind name a state", (verdict) => {
    const { explanation, state } = describeTarget({ target: targetWith(held), verdict }, claudeNames);
    expect(state).not.toBe("");
    expect(explanation === null).toBe(verdict.kind === "in-sync");
  });

  test("that is pinned say nothing", () => {
    const description = describeTarget({ target: targetWith(held), verdict: null }, claudeNames);
    expect(description).toEqual({ state: "separate", reason: null, explanation: null, hint: null, severity: null });
  });

  test("whose refresh failed name its program", () => {
    const target = targetWith(fence("live", "failed"));
    const { reason, explanation } = describeTarget({ target, verdict: targetVerdicts.write }, claudeNames);
    expect(reason).toBe("refresh-failed");
    expect(explanation).toContain("OpenClaw failed to refresh");
  });

  test.each(Object.entries(targetCauses))("that is on hold for %s say what to do", (cause, [reason, words]) => {
    const verdict = { kind: "hold", reason, cause: cause as TargetHoldCause, detail: "what is missing" } as const;
    const { state, explanation, hint } = describeTarget({ target: targetWith(held), verdict }, claudeNames);
    expect(state).toBe("held");
    expect(explanation).toContain(words);
    expect(hint).not.toBeNull();
    expect(hint?.includes("credsyncd adopt")).toBe(reason === "target-newer" && cause !== "expiry-unusable");
  });

  test.each([
    ["openclaw:work", '(agents: { "work": "pinned" })'],
    ["openclaw:work/provisioned", '(agents: { "work": "pinned" })'],
    ["openclaw:agents/shared", '(agents: { "shared": "pinned" })'],
    ["openclaw:work@/srv/team", '(agents: { "work": "pinned" })'],
    ["claude-code:~/box", "remove it from the targets in the config"],
  ])("that is on hold say how %s keeps a login of its own", (store, words) => {
    const verdict = { kind: "hold", reason: "another-account", cause: "other-account", detail: null } as const;
    expect(describeTarget({ target: targetWith(held, { store }), verdict }, claudeNames).hint).toContain(words);
  });
});

test("a source with agents is called by its store", () => {
  const source = { stores: [{ name: "openclaw:main" }], signIn: "openclaw configure" } as const;
  expect(namesAround(source, true).source).toBe("openclaw:main");
});
