import type { Logger } from "pino";
import type { Condition } from "../domain/alerts.js";
import type { Clock } from "../domain/clock.js";
import { expiryOf } from "../domain/credential.js";
import { StoreError } from "../domain/errors.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import { runCommand, type CommandOutcome } from "../io/run-command.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { COMMAND_TIMEOUT_MS, FIRST_RETRY_MS } from "../app/keep-warm-advice.js";
import { sourceProfile, failureText } from "../app/words.js";

/** After a run without effect: a busy owner skips a refresh now and then. */
const RETRY_AFTER_MS = [FIRST_RETRY_MS, 60_000, 120_000, 240_000, 480_000] as const;
/** As long as a timer can be. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1;

/**
 * The owner's command under way. Nothing interrupts it but its own time limit, no reload and no end of the daemon: between the
 * server's answer and its own write it is the only one to know the next login.
 */
export class OwnerAtWork {
  readonly #timeoutMs: number;
  #outcome: Promise<CommandOutcome> | null = null;

  constructor(timeoutMs = COMMAND_TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
  }

  get isBusy(): boolean {
    return this.#outcome !== null;
  }

  start(command: KeepWarmPorts["command"], variables: KeepWarmPorts["variables"]): Promise<CommandOutcome> {
    const { signal } = new AbortController();
    const outcome = runCommand(command, { timeoutMs: this.#timeoutMs, variables }, signal).finally(() => {
      this.#outcome = null;
    });
    this.#outcome = outcome;
    return outcome;
  }

  /** Resolves when no command is under way. */
  async idle(): Promise<void> {
    await this.#outcome;
  }
}

export interface KeepWarmPorts {
  readonly command: readonly [string, ...string[]];
  readonly owner: OwnerAtWork;
  /** How long before the end (ms) the command runs first. */
  readonly beforeMs: number;
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Why a run may have no effect, and what to do about it; null where nothing is known to stand in the way. */
  readonly obstacle: { readonly what: string; readonly fix: string } | null;
  /** A hint for a run that had no effect, if no obstacle is known. */
  readonly noEffectHint: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Wakes the loop for a change that the next scan should see. */
  readonly wake: () => void;
}

/** A login that its owner can renew. */
interface WarmLogin {
  readonly store: StoreName;
  readonly profile: ProfileId;
  /** For a person; null where it says nothing. */
  readonly shownProfile: ProfileId | null;
  /** Epoch ms. */
  readonly expiresAt: number;
}

interface Attempts {
  readonly login: WarmLogin;
  readonly failed: number;
  /** Epoch ms. */
  readonly retryAt: number;
  /** Why no more is tried for this login; null while it is. */
  readonly stopped: { readonly at: number; readonly explanation: string; readonly hint: string | null } | null;
}

/**
 * Has the owner of the login renew it shortly before it ends, by the owner's own command, and measures whether it did.
 *
 * credsyncd never calls a server itself: the owner refreshes once, and every agent gets the new token before the old ends.
 */
export class KeepWarm {
  readonly #ports: KeepWarmPorts;
  #logins = new Map<string, Attempts>();
  #source: ReconcileResult["observation"]["inventory"]["source"] | null = null;
  #interrupt: () => void = () => undefined;
  /** Runs that renewed the login, and runs that did not. */
  readonly runs = { renewed: 0, unchanged: 0 };

  constructor(ports: KeepWarmPorts) {
    this.#ports = ports;
  }

  /** Applies the result of a scan: another login gets another chance. */
  observe(result: ReconcileResult): void {
    this.#source = result.observation.inventory.source;
    const logins = warmLogins(result);
    const next = new Map<string, Attempts>();
    for (const login of logins) {
      const key = keyOf(login);
      const known = this.#logins.get(key);
      const isSame = known?.login.expiresAt === login.expiresAt;
      next.set(key, isSame ? known : { login, failed: 0, retryAt: 0, stopped: null });
    }
    this.#logins = next;
    this.#interrupt();
  }

  /** Set while the command does not do what it is for. */
  get conditions(): Condition[] {
    return [...this.#logins.values()].flatMap(({ login, stopped }): Condition[] => {
      if (stopped === null) return [];
      const { explanation, hint, at } = stopped;
      const told = { severity: "warning", reason: null, explanation, hint, startedAt: at, endsAt: login.expiresAt } as const;
      const { store, shownProfile: profile } = login;
      return [{ kind: "keep-warm-failed", store, profile, ...told, patience: "none", onlyKeeps: false }];
    });
  }

  /** Runs the command whenever a login is due, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    signal.addEventListener(
      "abort",
      () => {
        this.#interrupt();
      },
      { once: true },
    );
    while (!signal.aborted) {
      const next = this.#next();
      const waitMs = next === null ? LONGEST_SLEEP_MS : dueAt(next, this.#ports.beforeMs) - clock.now();
      if (next !== null && waitMs <= 0) {
        await this.#warm(next, signal);
        continue;
      }
      const interrupted = new AbortController();
      this.#interrupt = () => {
        interrupted.abort();
      };
      await clock.sleep(Math.min(waitMs, LONGEST_SLEEP_MS), interrupted.signal);
    }
  }

  #next(): Attempts | null {
    const open = [...this.#logins.values()].filter(({ stopped }) => stopped === null);
    const { beforeMs } = this.#ports;
    return open.reduce<Attempts | null>(
      (first, each) => (first !== null && dueAt(first, beforeMs) <= dueAt(each, beforeMs) ? first : each),
      null,
    );
  }

  async #warm(attempts: Attempts, signal: AbortSignal): Promise<void> {
    const { command, owner, variables, clock, log, wake } = this.#ports;
    // One that was started before a reload.
    await unlessAborted(owner.idle(), signal);
    if (signal.aborted) return;
    const { login } = attempts;
    const key = keyOf(login);
    if (isLater(await this.#readEnd(login, signal), login.expiresAt)) {
      // Its owner was used meanwhile; the next scan brings the new login.
      this.#logins.delete(key);
      wake();
      return;
    }
    const startedAt = clock.monotonic();
    const outcome = await unlessAborted(owner.start(command, variables), signal);
    if (outcome === null) return;
    const end = await this.#readEnd(login, signal);
    if (end !== null && isLater(end, login.expiresAt)) {
      this.runs.renewed += 1;
      const durationMs = Math.round(clock.monotonic() - startedAt);
      log.info({ store: login.store, expiresAt: new Date(end).toISOString(), durationMs }, "login kept warm");
      const renewed = { ...attempts, login: { ...login, expiresAt: end } };
      // With a wrong clock, or a `before` longer than a login lasts, each login would need renewal as soon as it is there.
      if (dueAt(renewed, this.#ports.beforeMs) > clock.now()) this.#logins.delete(key);
      else this.#logins.set(key, this.#afterFailure(renewed, soonOver));
    } else {
      this.runs.unchanged += 1;
      this.#logins.set(key, this.#afterFailure(attempts, failureOf(outcome, this.#ports)));
    }
    wake();
  }

  #afterFailure({ login, failed }: Attempts, { reason, hint, isFinal }: FailedRun): Attempts {
    const { clock, log } = this.#ports;
    const waitMs = isFinal ? undefined : RETRY_AFTER_MS[failed];
    const { store } = login;
    if (waitMs !== undefined) {
      log.debug({ store, reason, againInMs: waitMs }, "login not kept warm yet");
      return { login, failed: failed + 1, retryAt: clock.now() + waitMs, stopped: null };
    }
    const runs = failed + 1;
    const explanation = `after ${String(runs)} ${runs === 1 ? "run" : "runs"} of ${this.#ports.command[0]}: ${reason}; it is left alone until the login changes`;
    log.error({ store, reason: explanation, hint }, "keepWarm stopped");
    return { login, failed: runs, retryAt: 0, stopped: { at: clock.now(), explanation, hint } };
  }

  /** @returns the expiry of the present login (epoch ms), or null if it is unknown */
  async #readEnd({ store: name, profile }: WarmLogin, signal: AbortSignal): Promise<number | null> {
    const store = this.#source?.stores.find((each) => each.name === name);
    if (store === undefined) return null;
    try {
      const { profiles } = await store.read(signal);
      const content = profiles.find(({ id }) => id === profile)?.content;
      return content?.kind === "credential" ? expiryOf(content.credential) : null;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return null;
    }
  }
}

/** @returns null where the signal was aborted first; what was waited for goes on */
async function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | null> {
  let stop = (): void => undefined;
  const aborted = new Promise<null>((resolve) => {
    stop = () => {
      resolve(null);
    };
  });
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Why a run is no success. */
interface FailedRun {
  readonly reason: string;
  readonly hint: string;
  /** Another one would be no better. */
  readonly isFinal: boolean;
}

const soonOver: FailedRun = {
  reason: "the login that it brought is over already, or so soon that it would be renewed again at once",
  hint: "see that the clock of this host is right, and keepWarm.before shorter than a login lasts",
  isFinal: false,
};

/** The login is the same as before, whatever the exit code says. */
function failureOf(outcome: CommandOutcome, { obstacle, noEffectHint }: KeepWarmPorts): FailedRun {
  if (outcome.kind === "not-found") {
    const hint = "put it on the daemon's PATH, or name it with its whole path: keepWarm.command in the config";
    return { reason: failureText(outcome), hint, isFinal: true };
  }
  const reason = outcome.kind === "done" ? "it ended well, but the login is the same as before" : failureText(outcome);
  if (obstacle !== null) return { reason: `${reason}: ${obstacle.what}`, hint: obstacle.fix, isFinal: false };
  return { reason, hint: noEffectHint, isFinal: false };
}

function warmLogins({ plan }: ReconcileResult): WarmLogin[] {
  return plan.flows.flatMap((flow) => {
    const { head, source } = flow;
    if (source.kind !== "live" && source.kind !== "becomes-live") return [];
    const { credential, expiresAt } = source.held;
    if (credential.type !== "oauth" || credential.refresh === null || expiresAt === null) return [];
    const shownProfile = sourceProfile(flow) === "" ? null : head.profile;
    return [{ store: head.store, profile: head.profile, shownProfile, expiresAt }];
  });
}

function dueAt({ login, retryAt }: Attempts, beforeMs: number): number {
  return Math.max(login.expiresAt - beforeMs, retryAt);
}

function isLater(end: number | null, than: number): boolean {
  return end !== null && end > than;
}

function keyOf({ store, profile }: WarmLogin): string {
  return JSON.stringify([store, profile]);
}
