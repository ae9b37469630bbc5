import type { Finding } from "../domain/inventory.js";
import { flowId } from "../domain/ledger.js";
import type { Plan } from "../domain/plan.js";
import { shellWord } from "../domain/shell-word.js";
import type { SourceVerdict } from "../domain/source-verdict.js";
import { agentId } from "../domain/switch.js";
import type { Stuck } from "../io/owner-lock.js";
import type { CommandOutcome } from "../io/run-command.js";
import { programOf } from "../programs/registry.js";

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

/** The user's remedy for a login of the source that credsyncd does not push; `signIn` is the command. */
export function sourceHoldHint({ acceptable }: { readonly acceptable: boolean }, signIn: string): string {
  return acceptable
    ? "accept it with: credsyncd sync --force - or sign in again with the login that the agents should have"
    : `sign in: ${signIn} - or take the login of an agent that has the newer one: credsyncd adopt STORE`;
}

/** Why the live login is suspect. */
export const SUSPECT =
  "an agent failed to refresh this very login, so that it may be spent: until it is refreshed, agents are given its access token alone";

/** The user's remedy for a suspect login; `signIn` is the command. */
export function suspectHint(signIn: string): string {
  return `use the source's program once, so that it refreshes; where that fails, sign in: ${signIn}`;
}

/** Describes a source whose program failed to refresh it. */
export const RESTORED =
  "its program failed to refresh it and lost its tokens; its access token alone was put back, since the refresh token may be spent";

/** The user's remedy for it; `signIn` is the command. */
export function restoredHint(store: string, signIn: string): string {
  return `before the access token ends, sign in: ${signIn} - or, if the refresh cannot have reached the server, put all of it back: credsyncd sync --force ${shellWord(store)}`;
}

/** The user's remedy for a fenced source; `signIn` is the command. */
export function fencedHint(
  store: string,
  { until }: Pick<Extract<SourceVerdict, { kind: "fenced" }>, "until">,
  signIn: string,
): string {
  if (until !== null) return "it is looked at again by itself";
  return `take the login of an agent that has one: credsyncd adopt STORE - or put its copy back: credsyncd restore --store ${shellWord(store)} --list - or sign in: ${signIn}`;
}

/** Why a profile is not written yet, in words. */
export function waitText(reason: string): string {
  switch (reason) {
    case "refreshing":
      return "its program, or another agent's, is refreshing this login";
    case "re-asserting":
      return "another program undid what was written there; it is written again in a moment";
    default:
      return "nothing can be pushed from the source";
  }
}

/** The user's remedy if there is no store but the source. */
export const NO_STORE_HINT = "name OpenClaw's directory in the config: targets, stateDir; or set OPENCLAW_STATE_DIR";

/** The user's remedy for a hold. */
export function holdHint(reason: string, store: string, adoptable = true): string {
  switch (reason) {
    case "target-newer":
      if (!adoptable)
        return `sign in again with the source's program, which every agent then follows - or overwrite it with: credsyncd sync --force ${shellWord(store)}`;
      return `accept its login with: credsyncd adopt ${shellWord(store)} - or overwrite it with: credsyncd sync --force ${shellWord(store)}`;
    case "unknown-origin":
      return `list the profile in the config (profiles) if it is a copy, ${pinHint(store)} if it is not, or overwrite it with: credsyncd sync --force ${shellWord(store)}`;
    case "reverting":
      return `see which program writes it; try again with: credsyncd sync --force ${shellWord(store)}`;
    case "moves-pinned":
      return `give the pinned agent's login another profile id, which only it has; or let it be moved: credsyncd sync --force ${shellWord(store)}`;
    case "another-account":
      return `${pinHint(store)}, or sign in there with the source's account`;
    default:
      return `sign in there again, or ${pinHint(store)}`;
  }
}

/** How a store is left its own login; only OpenClaw's belong to agents. */
function pinHint(store: string): string {
  return programOf(store)?.hasAgents === true
    ? `set the agent to pinned (agents: { "${agentId(store)}": "pinned" })`
    : "take it out of the config (targets)";
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
