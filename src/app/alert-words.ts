import { formatDuration } from "../domain/duration.js";
import type { AlertKind, Condition } from "../domain/alerts.js";
import { wordsOf } from "./words.js";

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
      return "it is not on hold any more";
    case "store-error":
    case "unsupported-store":
      return "the store is served again";
    case "drift":
      return "it follows the source again, or no longer has to";
    case "keep-warm-failed":
      return "the login was renewed in time";
  }
}

function describe(condition: Condition, now: number): AlertWords {
  const { kind, store, profile, reason, severity, explanation } = condition;
  const hint = condition.hint ?? SIGN_IN;
  switch (kind) {
    case "expiring":
      return expiring(condition, now);
    case "expired":
      return expired(condition, now);
    case "sign-in-ends":
      return signInEnds(condition, now);
    case "logged-out":
      if (profile !== null && reason === kind) return { message: sentences(explanation, "agents that use it fail"), hint };
      return { message: sentences(explanation, untilEnd(condition, now)), hint };
    case "source-missing":
    case "source-unreadable":
      return { message: sentences(explanation, untilEnd(condition, now)), hint };
    case "source-rolled-back":
    case "account-changed":
      return { message: sentences(explanation, "credsyncd pushes nothing", untilEnd(condition, now)), hint };
    case "suspect":
      return { message: sentences(explanation, severity === "error" ? untilEnd(condition, now) : null), hint };
    case "target-newer":
    case "unknown-origin":
    case "reverting":
      return { message: sentences(explanation, "it is on hold and does not follow the source"), hint };
    case "store-error":
    case "unsupported-store": {
      const effect = store === "credsyncd" ? "credsyncd pushes nothing until this works" : failedWriteText(condition);
      return { message: sentences(explanation, effect), hint: condition.hint ?? "credsyncd doctor" };
    }
    case "drift":
      return drift(condition, now);
    case "keep-warm-failed":
      return {
        message: `keepWarm did not renew the login: ${explanation ?? "its command had no effect"}`,
        hint: condition.hint ?? `run its command by hand. Any use in the last 5 minutes or later renews it, too: ${use(store)}`,
      };
  }
}

/** Joins what is wrong and what follows from it. */
function sentences(...parts: readonly (string | null)[]): string {
  const texts = parts.flatMap((part) => part ?? []);
  return texts
    .map((text, index) => (index === 0 ? text : text.replace(/^(?!credsyncd)./, (first) => first.toUpperCase())))
    .join(". ");
}

/** Describes the consequences of a store's failure. */
function failedWriteText({ reason }: Condition): string {
  switch (reason) {
    case "push":
      return "it did not get the login of the source, and its agent fails when its old one expires";
    case "mend":
      return "it did not get the login that it should have, and its own program may fail";
    default:
      return "it gets no new login until this works";
  }
}

function expiring({ store, reason, hint, endsAt }: Condition, now: number): AlertWords {
  const left = `the access token expires in ${formatDuration((endsAt ?? now) - now)}`;
  const effect = "then every agent fails";
  switch (reason) {
    case LOST:
      return { message: sentences(`${left}, and its refresh token is lost`, effect), hint: hint ?? SIGN_IN };
    case "static":
      return { message: sentences(`${left} and cannot be renewed`, effect), hint: wordsOf(store).newToken };
    case "sign-in-over":
      return { message: sentences(`${left}, and so does the sign-in`, `no use renews it, and ${effect}`), hint: hint ?? SIGN_IN };
    default:
      return {
        message: `${left}, and nobody has renewed it yet. Agents without a refresh token fail then`,
        hint: `use it once in its last 5 minutes: ${use(store)}`,
      };
  }
}

function expired({ store, reason, hint, endsAt }: Condition, now: number): AlertWords {
  const ago = `the access token expired ${formatDuration(now - (endsAt ?? now))} ago`;
  const effect = "every agent fails";
  switch (reason) {
    case "static":
      return { message: sentences(`${ago} and cannot be renewed`, effect), hint: wordsOf(store).newToken };
    case LOST:
      return { message: sentences(`${ago}, and its refresh token is lost`, effect), hint: hint ?? SIGN_IN };
    case "sign-in-over":
      return { message: sentences(`${ago}, and so did the sign-in`, effect), hint: hint ?? SIGN_IN };
    default:
      return {
        message: `${ago}. The sign-in is still valid, but agents without a refresh token fail until you renew it`,
        hint: `renew it: ${use(store)}`,
      };
  }
}

function signInEnds({ hint, endsAt }: Condition, now: number): AlertWords {
  const end = endsAt ?? now;
  const message =
    end > now
      ? `the sign-in expires in ${formatDuration(end - now)}. No refresh extends it, and then every agent fails`
      : `the sign-in expired ${formatDuration(now - end)} ago. Nothing can renew the login`;
  return { message, hint: hint ?? SIGN_IN };
}

function drift({ reason, explanation, hint, endsAt }: Condition, now: number): AlertWords {
  const next = hint ?? "see why: credsyncd sync";
  if (explanation !== null) return { message: sentences(explanation, "it does not follow the source"), hint: next };
  const why = reason === null || reason === "behind" ? "" : ` (${reason})`;
  const effect = endsAt !== null && endsAt <= now ? "its agent may fail now" : "its agent fails when its old login expires";
  return { message: sentences(`it does not have the login of the source${why}`, effect), hint: next };
}

function untilEnd({ endsAt }: Condition, now: number): string {
  if (endsAt === null) return "agents keep the logins that they have";
  return endsAt > now
    ? `agents can use their logins for ${formatDuration(endsAt - now)} more`
    : `the logins of the agents expired ${formatDuration(now - endsAt)} ago`;
}

function use(store: string): string {
  return wordsOf(store).renew;
}
