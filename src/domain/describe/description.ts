import type { Severity } from "../alerts.js";
import type { StoreName } from "../store.js";

/** A state in words: the same ones in the log, in alerts and in every command. */
export interface Description<State extends string = string> {
  /** The word of a column. */
  readonly state: State;
  /** One word for scripts; null if the state is enough. */
  readonly reason: string | null;
  /** The problem in a sentence; null for none. */
  readonly explanation: string | null;
  /** The next step of a person; null for none. */
  readonly hint: string | null;
  /** Null if there is no problem, or it passes without a person. */
  readonly severity: Severity | null;
}

/** The names that users know of a store and its program. */
export interface StoreNames {
  /** The store, such as `Claude Code` or `openclaw:main`. */
  readonly store: string;
  /** Its program, such as `OpenClaw`. */
  readonly program: string;
  /** The user of the login that is there, such as `this agent`. */
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
  /** True if a daemon does the rest. */
  readonly isDaemonRunning: boolean;
  readonly of: (store: StoreName) => StoreNames;
}

/** Returns the hint for what the next sync does. */
export function pendingHint({ isDaemonRunning }: Names): string {
  return isDaemonRunning ? "the daemon does this soon; or run: credsyncd sync" : "no daemon is running; run: credsyncd sync";
}
