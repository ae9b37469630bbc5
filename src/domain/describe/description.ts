import type { Severity } from "../alerts.js";
import type { StoreName } from "../store.js";

/** A state in words: the same ones in the log, in alerts and in every command. */
export interface Description<State extends string = string> {
  /** The word of a column. */
  readonly state: State;
  /** One word for scripts; null where the state says it all. */
  readonly reason: string | null;
  /** What is wrong, in a sentence; null where nothing is. */
  readonly explanation: string | null;
  /** What a person does about it; null where there is nothing to do. */
  readonly hint: string | null;
  /** Null where nothing is wrong, or it passes without a person. */
  readonly severity: Severity | null;
}

/** What a user calls a store and its program. */
export interface StoreNames {
  /** The store, such as `Claude Code` or `openclaw:main`. */
  readonly store: string;
  /** Its program, such as `OpenClaw`. */
  readonly program: string;
  /** Who uses the login that is there, such as `this agent`. */
  readonly user: string;
  /** How its user keeps a login of their own. */
  readonly keepOwn: string;
}

/** The words that differ by host and program. */
export interface Names {
  /** The source, such as `Claude Code`. */
  readonly source: string;
  /** The command that signs in to the source. */
  readonly signIn: string;
  /** Whether a daemon does what is left to do. */
  readonly isDaemonRunning: boolean;
  readonly of: (store: StoreName) => StoreNames;
}

/** Returns the hint for what the next sync does. */
export function pendingHint({ isDaemonRunning }: Names): string {
  return isDaemonRunning ? "the daemon does this soon; or run: credsyncd sync" : "no daemon is running; run: credsyncd sync";
}
