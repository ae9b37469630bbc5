import { Secret } from "../../src/domain/secret.js";
import type { ModelFence } from "./model-fence.js";

/** Every token of the model starts with it, so that no part of one can hide in a text. */
export const TOKEN_MARK = "§";

/** The OAuth credentials that come from one sign-in, as the server alone knows them. */
export interface Chain {
  readonly id: number;
  readonly account: string;
  /** No refresh extends it (epoch ms of the server). */
  readonly signInEndsAt: number;
  /** The newest generation, from 1: the only one whose refresh token is not spent. */
  newest: number;
  /** Access tokens issued under the newest generation. */
  issues: number;
  revoked: boolean;
  /** The newest generation that credsyncd has read anywhere; 0 for none. */
  newestRead: number;
  /** The generation whose rejection a program wrote down as a stub; 0 for none. */
  rejected: number;
  /** Another sign-in took its place in a way that nothing tells from a refresh, so that it no longer counts as the newest. */
  continued: boolean;
}

/** The truth about a token. */
export interface TokenTruth {
  readonly chain: Chain;
  readonly generation: number;
  /** From 1 for an access token, 0 for a refresh token. */
  readonly issue: number;
  /** By the clock of the program that got it; null for a refresh token. */
  readonly expiresAt: number | null;
  /** Until when the server takes it (epoch ms of the server); null for a refresh token. */
  readonly takenUntil: number | null;
  /** The latest end that a program wrote down beside it, if that is not the right one. */
  wrong: number | null;
}

export interface Grant {
  readonly access: string;
  readonly refresh: string;
  readonly expiresAt: number;
  readonly signInEndsAt: number;
}

export type RefreshAnswer = Grant | "invalid_grant" | "sign_in_ended";

interface Ends {
  /** By the client's clock. */
  readonly expiresAt: number;
  /** By the server's. */
  readonly takenUntil: number;
}

interface ServerRules {
  /** Replaying a spent refresh token revokes its whole chain. */
  readonly replayRevokes: boolean;
}

/** A model of an OAuth server with single-use refresh tokens. */
export class ModelServer {
  readonly #rules: ServerRules;
  readonly #truths = new Map<string, TokenTruth>();
  #chains = 0;

  constructor(rules: ServerRules) {
    this.#rules = rules;
  }

  truthOf(token: string | null | undefined): TokenTruth | null {
    return token == null ? null : (this.#truths.get(token) ?? null);
  }

  /** The refresh token that a fence names; null where it names none. */
  spentBy({ spends }: ModelFence): string | null {
    for (const [token, { issue }] of this.#truths) if (issue === 0 && spends(new Secret(token))) return token;
    return null;
  }

  /** Checks whether a server refuses an access token (401). */
  refuses(access: string, now: number): boolean {
    const truth = this.truthOf(access);
    return truth !== null && now >= (truth.takenUntil ?? Infinity);
  }

  /** A program wrote an end beside an access token that may be wrong. */
  noteWritten(access: string, endsAt: number | undefined): void {
    const truth = this.truthOf(access);
    if (truth !== null && endsAt !== truth.expiresAt) truth.wrong = Math.max(truth.wrong ?? 0, endsAt ?? 0);
  }

  /** @param clientNow the client's own clock, by which it writes the expiry down */
  signIn(account: string, endsAt: number, clientNow: number, lifetimeMs: number, now = clientNow): Grant {
    this.#chains += 1;
    const chain: Chain = {
      id: this.#chains,
      account,
      signInEndsAt: endsAt,
      newest: 0,
      issues: 0,
      revoked: false,
      newestRead: 0,
      rejected: 0,
      continued: false,
    };
    return this.#rotate(chain, { expiresAt: clientNow + lifetimeMs, takenUntil: now + lifetimeMs });
  }

  /** @param options.reissue the server keeps the refresh token and issues a new access token under it */
  refresh(
    token: string,
    now: number,
    options: { readonly clientNow: number; readonly lifetimeMs: number; readonly reissue: boolean },
  ): RefreshAnswer {
    const truth = this.#truths.get(token);
    if (truth === undefined || truth.issue !== 0) return "invalid_grant";
    const { chain } = truth;
    if (chain.revoked) return "invalid_grant";
    if (truth.generation < chain.newest) {
      if (this.#rules.replayRevokes) chain.revoked = true;
      return "invalid_grant";
    }
    if (now >= chain.signInEndsAt) return "sign_in_ended";
    const ends = { expiresAt: options.clientNow + options.lifetimeMs, takenUntil: now + options.lifetimeMs };
    return options.reissue ? this.#issue(chain, ends) : this.#rotate(chain, ends);
  }

  revoke(token: string | undefined): void {
    const truth = this.truthOf(token);
    if (truth !== null) truth.chain.revoked = true;
  }

  #rotate(chain: Chain, ends: Ends): Grant {
    chain.newest += 1;
    chain.issues = 0;
    return this.#issue(chain, ends);
  }

  #issue(chain: Chain, ends: Ends): Grant {
    chain.issues += 1;
    const generation = chain.newest;
    const refresh = `${TOKEN_MARK}R${String(chain.id)}.${String(generation)}`;
    const access = `${TOKEN_MARK}A${String(chain.id)}.${String(generation)}.${String(chain.issues)}`;
    this.#truths.set(refresh, { chain, generation, issue: 0, expiresAt: null, takenUntil: null, wrong: null });
    this.#truths.set(access, { chain, generation, issue: chain.issues, ...ends, wrong: null });
    return { access, refresh, expiresAt: ends.expiresAt, signInEndsAt: chain.signInEndsAt };
  }
}
