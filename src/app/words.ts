import type { Names, StoreNames } from "../domain/describe/description.js";
import type { Finding, Inventory } from "../domain/inventory.js";
import { flowId } from "../domain/ledger.js";
import type { Plan } from "../domain/plan.js";
import type { CredentialStore, StoreName } from "../domain/store.js";
import type { Stuck } from "../io/owner-lock.js";
import type { CommandOutcome } from "../io/run-command.js";
import { usualWords, type ProgramWords } from "../programs/program.js";
import { hasNamelessLogin, programOf } from "../programs/registry.js";

/** The user's remedy for files that credsyncd no longer needs and cannot remove. */
export const stuckHints = {
  lock: "remove it: other programs wait for it, and nobody holds it; it is tried again by itself",
  "temporary file": "remove it: nobody needs it, and a login may stand in it; it is tried again by itself",
} as const satisfies Record<Stuck["what"], string>;

/** The source's profile for a person; nothing where the source has just one, under a name of no meaning to a user. */
export function sourceProfile({ head }: Plan): string {
  return head.flow === flowId(null, head.profile) ? "" : head.profile;
}

/** Describes a place that credsyncd leaves alone, and the reason. */
export function findingText(kind: Finding["kind"]): string {
  switch (kind) {
    case "unconfigured":
      return "left alone: its agent is not configured in OpenClaw any more";
    case "retired":
      return "left alone: a file that OpenClaw does not read any more";
    case "inherits":
      return "inherits from the shared store";
    case "error":
      return "cannot be served";
  }
}

/** No store follows, and what a person does about it. */
export const NO_STORE = "no agents found that could use this login";
export const NO_STORE_HINT = "name OpenClaw's directory in the config: targets, stateDir; or set OPENCLAW_STATE_DIR";

/** Returns the words for the program of a store. */
export function wordsOf(store: StoreName): ProgramWords {
  return programOf(store)?.words ?? usualWords;
}

type Named = Pick<CredentialStore, "name">;

interface NamedSource extends Pick<Inventory["source"], "signIn"> {
  readonly stores: readonly [Named, ...Named[]];
}

/** Returns the users' names for a source and the stores around it. */
export function namesAround({ stores, signIn }: NamedSource, isDaemonRunning: boolean): Names {
  const of = (store: StoreName): StoreNames => {
    const { name, user, keepOwn } = wordsOf(store);
    return { store: hasNamelessLogin(store) ? name : store, program: name, user, keepOwn: keepOwn(store) };
  };
  return { source: of(stores[0].name).store, signIn, isDaemonRunning, of };
}

/** Why a command failed, in words. */
export function failureText(outcome: Exclude<CommandOutcome, { kind: "done" }>): string {
  switch (outcome.kind) {
    case "not-found":
      return "there is no such command";
    case "timed-out":
      return "it did not end in time";
    case "failed":
      return outcome.exitCode === null
        ? "it was ended by a signal, or could not be started"
        : `exit code ${String(outcome.exitCode)}`;
  }
}
