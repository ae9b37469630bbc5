import { relateAccounts, type Account } from "./credential.js";
import type { Held } from "./observation.js";

/** A profile of an agent's own, or the one of that id in the store that the agent inherits from. */
export interface TurnRow {
  readonly held: Held;
  readonly account: Account | null;
}

/** Which of the two an agent's next turn sends. */
export type Sent = "own" | "inherited" | "nothing";

/**
 * OpenClaw's rule for an agent that has a profile of its own beside one of that id which it would inherit: of two OAuth
 * logins it sends the one that expires later, unless the own one names another account than the other. An own access token
 * that has expired hides the other one all the same.
 *
 * @param now epoch ms
 * @param comparesAccounts false for early versions, which look at the expiries alone
 */
export function sentOf(own: TurnRow, inherited: TurnRow | null, now: number, comparesAccounts = true): Sent {
  const [mine, theirs] = [own.held, inherited?.held ?? null];
  if (!isOauth(mine)) return mine.kind === "absent" ? "inherited" : "own";
  const isOver = mine.expiresAt !== null && mine.expiresAt <= now;
  if (isOver && mine.credential.refresh === null) return "nothing";
  if (inherited === null || !isOauth(theirs)) return "own";
  if (comparesAccounts && isOfAnother(own.account, inherited.account)) return "own";
  if (mine.expiresAt === null || theirs.expiresAt === null) return "own";
  return theirs.expiresAt > mine.expiresAt ? "inherited" : "own";
}

type OauthHeld = Extract<Held, { kind: "credential" }> & {
  readonly credential: Extract<Extract<Held, { kind: "credential" }>["credential"], { type: "oauth" }>;
};

function isOauth(held: Held | null): held is OauthHeld {
  return held?.kind === "credential" && held.credential.type === "oauth";
}

/** An own e-mail that the other one lacks counts as another account. */
function isOfAnother(own: Account | null, other: Account | null): boolean {
  if (own?.email != null && own.email !== (other?.email ?? null)) return true;
  return relateAccounts(own, other) === "different";
}
