import { shellWord } from "../shell-word.js";
import type { SourceHoldCause, SourceVerdict } from "../source-verdict.js";
import type { Share, StoreName } from "../store.js";
import { pendingHint, type Description, type Names } from "./description.js";

/** The plan's result for one profile of the source. */
export interface SourceFacts {
  readonly head: { readonly store: StoreName };
  readonly source: SourceVerdict;
  readonly adoption: { readonly candidate: { readonly target: { readonly store: StoreName } } } | null;
  readonly restoration: { readonly share: Share } | null;
  readonly suspect: boolean;
}

export type DescribedSource = "ok" | "refreshing" | "logged-out" | "missing" | "unreadable";

const REFRESH_FAILED = "source-refresh-failed";

/** Describes one profile of the source. */
export function describeSource(facts: SourceFacts, names: Names): Description<DescribedSource> {
  const { head, source, adoption, restoration, suspect } = facts;
  const state = stateOf(source);
  const { store: name, program } = names.of(head.store);
  const signIn = `sign in: ${names.signIn}`;
  const failed = `${program} failed to refresh its login and lost the tokens`;
  if (adoption !== null) {
    const explanation = `credsyncd gives ${name} the newer login of ${adoption.candidate.target.store}`;
    return { state, reason: null, explanation, hint: pendingHint(names), severity: null };
  }
  if (restoration?.share === "full") {
    const explanation = `${failed}. credsyncd restores them from its copy`;
    return { state, reason: REFRESH_FAILED, explanation, hint: pendingHint(names), severity: null };
  }
  if (restoration !== null || source.kind === "restored") {
    const explanation = `${failed}. credsyncd restores the access token only: the refresh token may be spent`;
    const full = `if the refresh never reached the server, restore all of it: credsyncd sync --force ${shellWord(head.store)}`;
    const hint = `before the access token expires, ${signIn} - or, ${full}`;
    const isPending = restoration !== null && !names.isDaemonRunning;
    return { state, reason: REFRESH_FAILED, explanation, hint: isPending ? pendingHint(names) : hint, severity: "error" };
  }
  switch (source.kind) {
    case "live":
    case "becomes-live":
      return suspect ? describeSuspect(names) : { state, reason: null, explanation: null, hint: null, severity: null };
    case "missing":
      return { state, reason: null, explanation: `nobody is signed in to ${name}`, hint: signIn, severity: "error" };
    case "logged-out": {
      const explanation = source.timeLimit ? `the sign-in to ${name} has expired` : `${name} is logged out`;
      return { state, reason: null, explanation, hint: signIn, severity: "error" };
    }
    case "unreadable":
      return {
        state,
        reason: null,
        explanation: source.reason,
        hint: source.hint ?? signIn,
        severity: source.torn ? null : "error",
      };
    case "fenced": {
      const { reason, until } = source;
      if (until !== null) return { state, reason, explanation: `${program} is refreshing its login`, hint: WAIT, severity: null };
      const restore = `restore a backup: credsyncd restore --store ${shellWord(head.store)} --list`;
      const hint = `use the login of an agent: credsyncd adopt STORE - or ${restore} - or ${signIn}`;
      return { state, reason, explanation: failed, hint, severity: "error" };
    }
    case "held": {
      const { reason, cause, acceptable, until } = source;
      const explanation = holdTexts[cause](name);
      const hint = acceptable
        ? `accept it: credsyncd sync --force - or sign in with the account that agents should use: ${names.signIn}`
        : `${signIn} - or use the login of an agent that has a newer one: credsyncd adopt STORE`;
      return { state, reason, explanation, hint, severity: until === null ? "warning" : null };
    }
  }
}

const WAIT = "wait: credsyncd reads it again automatically";

/** Describes a login that may be spent, which may come on top of what the source is. */
export function describeSuspect({ source, signIn }: Names): Description<DescribedSource> {
  return {
    state: "ok",
    reason: "suspect",
    explanation: `an agent failed to refresh the login of ${source}: it may be spent. Agents get only its access token until ${source} refreshes it`,
    hint: `use ${source} once, so that it refreshes its login. If that fails, sign in: ${signIn}`,
    severity: "warning",
  };
}

function stateOf(source: SourceVerdict): DescribedSource {
  switch (source.kind) {
    case "missing":
    case "logged-out":
    case "unreadable":
      return source.kind;
    case "fenced":
      return source.until === null ? "logged-out" : "refreshing";
    case "live":
    case "becomes-live":
    case "restored":
    case "held":
      return "ok";
  }
}

const holdTexts: Readonly<Record<SourceHoldCause, (name: string) => string>> = {
  "no-refresh-token": (name) => `the login of ${name} has lost its refresh token`,
  "other-kind": (name) => `${name} has another kind of login than before`,
  "other-account": (name) => `${name} is signed in to another account`,
  "account-renamed": (name) => `the account file of ${name} names another account than before`,
  "earlier-sign-in": (name) => `${name} has switched back to an earlier sign-in`,
  "account-unsettled": (name) => `${name} has a new login. credsyncd waits a moment for its account`,
  "older-login": (name) => `${name} has an older login again, perhaps from a backup`,
  "older-login-of-earlier-sign-in": (name) => `${name} has an older login of an earlier sign-in`,
  "older-than-known": (name) => `${name} has an older login than credsyncd has seen elsewhere`,
  "older-access-token": (name) => `${name} has an older access token again, perhaps from a backup`,
  "adoption-unfinished": (name) => `${name} does not have the adopted login yet`,
  "unseen-expired": (name) => `${name} has an expired access token that credsyncd has not seen before`,
  "unseen-expires-earlier": (name) => `${name} has an unknown login that expires earlier than the one before`,
};
