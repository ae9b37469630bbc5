import { formatDuration } from "../domain/duration.js";
import type { AlertKind, Condition } from "../domain/alerts.js";
import { UNADOPTABLE } from "../domain/conditions.js";
import { usualWords } from "../programs/program.js";
import { programOf } from "../programs/registry.js";
import { fencedHint, sourceHoldHint, suspectHint, holdHint, RESTORED, restoredHint, SUSPECT } from "./words.js";

/** The text of an alert for people: the problem, its start, its consequences, and the remedy. */
export interface AlertWords {
  readonly message: string;
  readonly hint: string;
}

/** The remedy if the scan does not know the program's own command. */
const SIGN_IN = "sign in again with the program that owns it";
/** Why a login ends that could be renewed otherwise: its own program lost the refresh token. */
const LOST = "source-refresh-failed";
/** Below this age (ms) a message does not mention how long the problem lasts. */
const FRESH_MS = 60_000;

/** Puts a condition that began at `since` (epoch ms) into words. */
export function wordsFor(condition: Condition, since: number, now: number): AlertWords {
  const { message, hint } = describe(condition, now);
  const age = now - since;
  const tellsItsTime = condition.kind === "expired" || condition.kind === "expiring" || condition.kind === "sign-in-ends";
  return { message: age < FRESH_MS || tellsItsTime ? message : `${message} (for ${formatDuration(age)})`, hint };
}

/** Describes the end of an alert. */
export function overWords(kind: AlertKind): string {
  switch (kind) {
    case "expiring":
    case "expired":
      return "the login was renewed";
    case "sign-in-ends":
      return "there is a new sign-in";
    case "logged-out":
    case "source-missing":
      return "there is a login again";
    case "source-unreadable":
      return "the login can be read again";
    case "source-rolled-back":
    case "account-changed":
      return "the source's login is followed again";
    case "target-newer":
    case "unknown-origin":
    case "suspect":
    case "reverting":
      return "it is not held any more";
    case "store-error":
    case "unsupported-store":
      return "the store is served again";
    case "drift":
      return "it follows again, or needs not any more";
    case "keep-warm-failed":
      return "the login was renewed in time";
  }
}

function describe(condition: Condition, now: number): AlertWords {
  const { kind, store, explanation, hint } = condition;
  switch (kind) {
    case "expiring":
      return expiring(condition, now);
    case "expired":
      return expired(condition, now);
    case "sign-in-ends":
      return signInEnds(condition, now);
    case "logged-out":
      return condition.profile !== null && condition.reason === "logged-out"
        ? { message: `${explanation ?? "it is logged out"}; agents that use it fail`, hint: holdHint("logged-out", store) }
        : loggedOut(condition, now);
    case "source-missing":
      return { message: `nobody is signed in; ${untilEnd(condition, now)}`, hint: hint ?? SIGN_IN };
    case "source-unreadable":
      return {
        message: `the login cannot be read: ${explanation ?? "it is broken"}; ${untilEnd(condition, now)}`,
        hint: condition.reason === LOST ? fencedHint(store, { until: null }, hint ?? SIGN_IN) : (hint ?? SIGN_IN),
      };
    case "source-rolled-back":
    case "account-changed":
      return {
        message: `${explanation ?? "the source holds another login"}; nothing is pushed, and ${untilEnd(condition, now)}`,
        hint: sourceHoldHint({ acceptable: condition.reason === null }, hint ?? SIGN_IN),
      };
    case "suspect":
      if (condition.reason === LOST)
        return { message: `${RESTORED}; ${untilEnd(condition, now)}`, hint: restoredHint(store, hint ?? SIGN_IN) };
      return { message: SUSPECT, hint: suspectHint(hint ?? SIGN_IN) };
    case "target-newer":
    case "unknown-origin":
    case "reverting":
      return {
        message: `${explanation ?? kind}; it is held and does not follow the source`,
        hint: hint ?? holdHint(kind, store, condition.reason !== UNADOPTABLE),
      };
    case "store-error":
    case "unsupported-store":
      return {
        message:
          store === "credsyncd"
            ? `${explanation ?? "its own state cannot be used"}; nothing is pushed until it can`
            : `${explanation ?? "it cannot be served"}; ${failedWriteText(condition)}`,
        hint: hint ?? "credsyncd doctor",
      };
    case "drift":
      return drift(condition, now);
    case "keep-warm-failed":
      return {
        message: `keepWarm did not renew the login: ${explanation ?? "its command had no effect"}`,
        hint: hint ?? `run it by hand and see; a use of the login in its last 5 minutes, or later, renews it, too: ${use(store)}`,
      };
  }
}

/** Describes the consequences of a store's failure. */
function failedWriteText({ reason }: Condition): string {
  switch (reason) {
    case "push":
      return "it was not given the source's login, and its agent fails when its old one ends";
    case "mend":
      return "it was not given the login that it should hold, and its own program may fail";
    default:
      return "it is left behind at the next rotation";
  }
}

function expiring({ store, reason, hint, endsAt }: Condition, now: number): AlertWords {
  const left = `the access token ends in ${formatDuration((endsAt ?? now) - now)}`;
  if (reason === LOST)
    return { message: `${left}, and its refresh token was lost; then every agent fails`, hint: hint ?? SIGN_IN };
  if (reason === "static") return { message: `${left}, and cannot be renewed; then every agent fails`, hint: newToken(store) };
  if (reason === "sign-in-over")
    return {
      message: `${left}, and the sign-in no later, so that no use renews it; then every agent fails`,
      hint: hint ?? SIGN_IN,
    };
  return {
    message: `${left} and was not renewed yet; agents that hold no refresh token fail then, unless it is used before`,
    hint: `use it once in its last 5 minutes: ${use(store)}`,
  };
}

function expired({ store, reason, hint, endsAt }: Condition, now: number): AlertWords {
  const ago = `the access token ended ${formatDuration(now - (endsAt ?? now))} ago`;
  switch (reason) {
    case "static":
      return { message: `${ago} and cannot be renewed; every agent fails`, hint: newToken(store) };
    case LOST:
      return { message: `${ago}, and its refresh token was lost; every agent fails`, hint: hint ?? SIGN_IN };
    case "sign-in-over":
      return { message: `${ago}, and so did the sign-in; every agent fails`, hint: hint ?? SIGN_IN };
    default:
      return {
        message: `${ago} for want of use; the sign-in still holds, so that one use renews it, and agents that hold no refresh token fail until then`,
        hint: `no new sign-in is needed, use it once: ${use(store)}`,
      };
  }
}

function signInEnds({ hint, endsAt }: Condition, now: number): AlertWords {
  const end = endsAt ?? now;
  const message =
    end > now
      ? `the sign-in itself ends in ${formatDuration(end - now)}; no refresh extends it, and then every agent fails`
      : `the sign-in itself ended ${formatDuration(now - end)} ago; nothing can renew the login any more`;
  return { message, hint: hint ?? SIGN_IN };
}

function loggedOut(condition: Condition, now: number): AlertWords {
  const why = condition.reason === "time-limit" ? "the sign-in reached its end" : "the login was logged out";
  return { message: `${why}; ${untilEnd(condition, now)}`, hint: condition.hint ?? SIGN_IN };
}

function drift({ store, reason, explanation, hint, endsAt }: Condition, now: number): AlertWords {
  if (explanation !== null)
    return { message: `${explanation}; it does not follow the source`, hint: hint ?? holdHint(reason ?? "", store) };
  const breaks = endsAt !== null && endsAt <= now ? "its agent may fail now" : "its agent fails when its old login ends";
  return {
    message: `it does not hold the source's login${reason === null || reason === "behind" ? "" : ` (${reason})`}; ${breaks}`,
    hint: hint ?? "see why: credsyncd sync",
  };
}

function untilEnd({ endsAt }: Condition, now: number): string {
  if (endsAt === null) return "the agents keep what they hold";
  return endsAt > now
    ? `the agents can use what they hold for ${formatDuration(endsAt - now)} more`
    : `what the agents hold ended ${formatDuration(now - endsAt)} ago`;
}

function use(store: string): string {
  return (programOf(store)?.words ?? usualWords).renew;
}

function newToken(store: string): string {
  return (programOf(store)?.words ?? usualWords).newToken;
}
