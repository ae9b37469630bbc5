import { namesAround } from "../../src/app/words.js";
import type { AlertKind, Condition } from "../../src/domain/alerts.js";
import type { Facts } from "../../src/domain/conditions.js";
import { StoreError } from "../../src/domain/errors.js";
import { asFingerprint } from "../../src/domain/generation.js";
import type { StoreName } from "../../src/domain/store.js";
import {
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
  sourceWith,
  stub,
  targetWith,
  wasSeen,
  type Situation,
} from "./planning.js";

/** The users' names for Claude Code's login and everything that follows it. */
export const claudeNames = namesAround({ stores: [{ name: SOURCE }], signIn: "claude auth login" }, true);

/** The facts of a scan of a situation; `written`: the planned writes were done. */
export function factsFor(situation: Situation, written: readonly StoreName[] = []): Facts {
  const plan = planFor(situation);
  const flow = {
    store: SOURCE,
    profile: SOURCE_PROFILE,
    shownProfile: null,
    verdict: plan.source,
    isHealing: plan.adoption !== null || plan.restoration !== null,
    isSuspect: plan.suspect,
    live: plan.live,
    names: claudeNames,
    reports: plan.reports,
  };
  return { flows: [flow], failures: [], written: new Set(written) };
}

/** All is well, for a day: the source and the main agent hold the live login. */
export function wellFacts(): Facts {
  const held = login("live", { endsInHours: 48 });
  const ledger = knownChain(becameLive("live", { endsInHours: 48 }));
  return factsFor({ source: sourceWith(held), targets: [targetWith(held)], ledger });
}

function failing(store: StoreName, error: StoreError): Facts {
  return { ...wellFacts(), failures: [{ store, error }] };
}

const live = login("live");
const newer = login("newer", { endsInHours: 9 });
const reverts = [0, 1, 2].map((count) => {
  return { kind: "revert", at: NOW - HOUR_MS + count, store: "openclaw:main", profile: "anthropic:claude-cli" } as const;
});

/** A scan that finds just this kind of trouble. */
export const trouble: Readonly<Record<Exclude<AlertKind, "keep-warm-failed">, () => Facts>> = {
  expiring: () => factsFor({ source: sourceWith(login("live", { endsInHours: 23 })) }),
  expired: () => factsFor({ source: sourceWith(login("live", { endsInHours: -1 })) }),
  "sign-in-ends": () => factsFor({ source: sourceWith(login("live", { endsInHours: 48, signInEndsAt: NOW + 60 * HOUR_MS })) }),
  "logged-out": () => factsFor({ source: sourceWith(stub), ledger: knownChain() }),
  "source-missing": () => factsFor({ source: missingSource, ledger: knownChain() }),
  "source-unreadable": () => {
    const place = { store: SOURCE, profile: SOURCE_PROFILE, flow: SOURCE_PROFILE, state: "unreadable" } as const;
    return factsFor({ source: { ...place, reason: "it is no JSON", hint: "sign in again", torn: false }, ledger: knownChain() });
  },
  "source-rolled-back": () => factsFor({ source: sourceWith(login("old", { endsInHours: 30 })), ledger: knownChain() }),
  "account-changed": () =>
    factsFor({ source: sourceWith(login("hers", { endsInHours: 30 }), { account: bert }), ledger: knownChain() }),
  "target-newer": () => {
    const targets = [targetWith(login("newer", { endsInHours: 44 }), { store: "openclaw:work" })];
    return factsFor({ source: sourceWith(login("live", { endsInHours: 36 })), targets });
  },
  "unknown-origin": () => {
    const targets = [targetWith(newer, { profile: "anthropic:mine", listed: false })];
    return factsFor({ source: sourceWith(login("live", { endsInHours: 48 })), targets });
  },
  suspect: () => {
    const held = login("live", { endsInHours: 48 });
    const failed = {
      kind: "suspect",
      at: NOW - 1,
      generation: asFingerprint("live"),
      store: "openclaw:main",
      profile: "anthropic:claude-cli",
    } as const;
    const ledger = knownChain(becameLive("live", { endsInHours: 48 }), failed);
    return factsFor({ source: sourceWith(held), ledger });
  },
  reverting: () => {
    const held = login("live", { endsInHours: 48 });
    const ledger = knownChain(becameLive("live", { endsInHours: 48 }), wasSeen("live"), ...reverts);
    return factsFor({ source: sourceWith(held), targets: [targetWith(login("old", { endsInHours: -4 }))], ledger });
  },
  "store-error": () => failing("openclaw:work", new StoreError("permission", "cannot read work: denied", "chown it")),
  "unsupported-store": () => failing("openclaw:work", new StoreError("unsupported", "work is of a new format", "update")),
  drift: () => {
    const held = login("live", { endsInHours: 48 });
    return factsFor({ source: sourceWith(held), targets: [targetWith(login("old", { endsInHours: -4 }))], ledger: knownChain() });
  },
};

/** The condition that keepWarm reports about its own failure. */
export const notKeptWarm: Condition = {
  kind: "keep-warm-failed",
  store: SOURCE,
  profile: SOURCE_PROFILE,
  severity: "warning",
  reason: null,
  explanation: "it ended well, but the login is the same as before",
  hint: null,
  startedAt: NOW,
  endsAt: live.expiresAt,
  patience: "none",
  onlyKeeps: false,
};
