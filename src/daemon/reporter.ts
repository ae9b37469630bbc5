import type { Logger } from "pino";
import { Failure, isTransient, type StoreError } from "../domain/errors.js";
import type { Finding } from "../domain/inventory.js";
import { displayGeneration } from "../domain/ledger.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";

/**
 * Turns reconciles into log lines: one for what was pushed, and one for each state that began or ended. What stays as it
 * is, is not said again.
 */
export class Reporter {
  readonly #log: Logger;
  /** The states that were said, by what they are about. */
  #said = new Map<string, string>();
  #reconcileId = 0;
  #isReady = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  report(result: ReconcileResult): void {
    this.#reconcileId += 1;
    const log = this.#log.child({ reconcileId: this.#reconcileId });
    this.#reportPush(result, log);
    const states = statesOf(result);
    for (const [about, name] of this.#said)
      if (!states.has(about) && isUndecided(about, result)) states.set(about, said(name, sayNothing));
    for (const [about, state] of states) if (this.#said.get(about) !== state.name) state.say(log);
    for (const about of this.#said.keys()) if (!states.has(about)) log.info({ about }, "resolved");
    this.#said = new Map([...states].map(([about, { name }]) => [about, name]));
    log.debug({ durationMs: result.durationMs, stores: result.observation.reads.length }, "looked");
  }

  /** Everything that is there is in step and watched; said once. */
  ready(fields: { readonly stores: number; readonly directories: number }): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#log.info(fields, "ready");
  }

  /** A reconcile that failed as a whole; a failure that is no `Failure` is a bug and is thrown on. */
  fail(error: unknown): void {
    if (!(error instanceof Failure)) throw error;
    if (this.#said.get("reconcile") === error.message) return;
    this.#said.set("reconcile", error.message);
    this.#log.error({ reason: error.message, hint: error.hint }, "reconcile failed");
  }

  #reportPush({ plan, writes, adoption, ledger, durationMs }: ReconcileResult, log: Logger): void {
    const became = plan.record.findLast((event) => event.kind === "live");
    const written = writes.filter(({ error }) => error === null).length;
    if (became === undefined && written === 0 && adoption?.error !== null) return;
    const fields = {
      generation: displayGeneration(ledger, plan.live?.generation ?? null),
      expiresAt: plan.live?.expiresAt == null ? null : new Date(plan.live.expiresAt).toISOString(),
      stores: written,
      failed: writes.length - written,
      durationMs,
    };
    if (adoption?.error === null && plan.adoption !== null) {
      log.info(
        { ...fields, store: plan.adoption.candidate.target.store, proof: plan.adoption.candidate.proof },
        "agent rotation adopted",
      );
    } else {
      log.info({ ...fields, reason: became?.reason ?? "drift" }, became === undefined ? "drift corrected" : "credential pushed");
    }
  }
}

interface State {
  /** Another name is another state. */
  readonly name: string;
  readonly say: (log: Logger) => void;
}

/** Everything that is not as it should be, by what it is about. */
function statesOf(result: ReconcileResult): Map<string, State> {
  const states = new Map<string, State>();
  const { source, inventory, reads } = result.observation;
  const sourceState = sourceStateOf(result);
  if (sourceState !== null) states.set(source.store, sourceState);
  for (const { store, kind, path, error } of inventory.findings) {
    states.set(
      `${kind} ${store}`,
      error === null
        ? said(kind, (log) => {
            // That an agent inherits is as it should be.
            log[kind === "inherits" ? "debug" : "info"]({ store, path }, findingText(kind));
          })
        : storeErrorState(store, error),
    );
  }
  const outcomes = [...result.writes, ...(result.adoption === null ? [] : [result.adoption])];
  const failures = [...reads.map(({ target, error }) => ({ store: target.store.name, error })), ...outcomes];
  for (const { store, error } of failures) {
    if (error !== null && error.code !== "conflict" && error.code !== "torn") states.set(store, storeErrorState(store, error));
  }
  for (const { target, verdict } of result.plan.reports) {
    if (verdict?.kind !== "hold") continue;
    const { store, profile } = target;
    states.set(
      `${store} ${profile}`,
      said(verdict.reason, (log) => {
        log.warn(
          { store, profile, reason: verdict.reason, why: verdict.explanation, hint: holdHint(verdict.reason, store) },
          "held",
        );
      }),
    );
  }
  return states;
}

/** Whether a look could not tell how it is now with something: a half-written store is neither well nor ill. */
function isUndecided(about: string, { observation }: ReconcileResult): boolean {
  const { source, reads } = observation;
  if (about === source.store) return source.state === "unreadable" && source.torn;
  return reads.some(({ target, error }) => {
    if (error === null) return false;
    return about === target.store.name ? error.code === "torn" : about.startsWith(`${target.store.name} `);
  });
}

function sayNothing(): void {
  // It was said when it began.
}

function sourceStateOf({ plan, observation }: ReconcileResult): State | null {
  const { store } = observation.source;
  const { source } = plan;
  switch (source.kind) {
    case "missing":
      return said("missing", (log) => {
        log.warn({ store, path: observation.inventory.source.store.path, hint: "sign in: claude auth login" }, "source missing");
      });
    case "unreadable":
      if (source.torn) return null;
      return said(source.reason, (log) => {
        log.error({ store, reason: source.reason, hint: source.hint }, "source unreadable");
      });
    case "logged-out":
      if (plan.adoption !== null) return null;
      return said("logged-out", (log) => {
        log.error({ store, hint: "sign in: claude auth login" }, "source logged out");
      });
    case "held":
      if (plan.adoption !== null || source.until !== null) return null;
      return said(source.reason, (log) => {
        log.warn(
          { store, reason: source.reason, why: source.explanation, hint: "accept it with: credsyncd sync --force" },
          "held",
        );
      });
    case "live":
    case "becomes-live":
      return null;
  }
}

function storeErrorState(store: string, error: StoreError): State {
  return said(error.code, (log) => {
    const fields = { store, reason: error.message, hint: error.hint };
    if (isTransient(error.code)) log.warn(fields, "store busy");
    else log.error(fields, "store error");
  });
}

/** What is left alone, and why, in words. */
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

/** What a person does about a hold. */
export function holdHint(reason: string, store: string): string {
  switch (reason) {
    case "target-newer":
      return `accept its login with: credsyncd adopt ${store} - or overwrite it with: credsyncd sync --force ${store}`;
    case "unknown-origin":
      return `list the profile in the config if it is a copy, set the agent to pinned if it is not, or overwrite it with: credsyncd sync --force ${store}`;
    case "reverting":
      return `see which program writes it; try again with: credsyncd sync --force ${store}`;
    case "another-account":
      return "set the agent to pinned, or sign in there with the source's account";
    default:
      return "sign in there again, or set the agent to pinned";
  }
}

function said(name: string, say: (log: Logger) => void): State {
  return { name, say };
}
