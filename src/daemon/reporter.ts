import type { Logger } from "pino";
import { Failure, isTransient, type StoreError } from "../domain/errors.js";
import { MOST_HELD } from "../domain/conditions.js";
import { displayGeneration } from "../domain/ledger.js";
import type { Plan } from "../domain/plan.js";
import type { Stuck } from "../io/owner-lock.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { refusedAgents } from "../app/refused.js";
import { unmatchedHint } from "../app/unmatched-agents.js";
import {
  fencedHint,
  sourceHoldHint,
  suspectHint,
  holdHint,
  RESTORED,
  sourceProfile,
  stuckHints,
  restoredHint,
  findingText,
  SUSPECT,
} from "../app/words.js";

/**
 * Turns reconciles into log lines: one for each push, and one for each state that began or ended. It does not repeat a state that
 * lasts.
 */
export class Reporter {
  readonly #log: Logger;
  /** The states that were said, by what they are about. */
  #said = new Map<string, string>();
  #reconcileId = 0;
  #isReady = false;
  /** The paths that were said to be stuck. */
  #stuck: ReadonlySet<string> = new Set();

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

  /** Logs once that every store is in sync and watched. */
  ready(fields: { readonly stores: number; readonly directories: number }): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#log.info(fields, "ready");
  }

  /** Logs each file that cannot be removed, once. */
  stuck(all: readonly Stuck[]): void {
    for (const { path, what, error } of all) {
      if (this.#stuck.has(path)) continue;
      this.#log.warn({ path, reason: error.message, hint: stuckHints[what] }, `${what} not removed`);
    }
    for (const path of this.#stuck) if (!all.some((each) => each.path === path)) this.#log.info({ about: path }, "resolved");
    this.#stuck = new Set(all.map(({ path }) => path));
  }

  /** A reconcile that failed as a whole; a failure that is no `Failure` is a bug and is thrown on. */
  fail(error: unknown): void {
    if (!(error instanceof Failure)) throw error;
    if (this.#said.get("reconcile") === error.message) return;
    this.#said.set("reconcile", error.message);
    this.#log.error({ reason: error.message, hint: error.hint }, "reconcile failed");
  }

  #reportPush({ plan, writes, adoptions, ledger, durationMs }: ReconcileResult, log: Logger): void {
    const written = new Set(writes.filter(({ error }) => error === null).map(({ store }) => store));
    const adopted = new Set(adoptions.filter(({ error }) => error === null).map(({ store }) => store));
    for (const flow of plan.flows) {
      const became = flow.record.findLast((event) => event.kind === "live");
      const planned = new Set(flow.writes.map(({ target }) => target.store));
      const reached = [...planned].filter((store) => written.has(store) || adopted.has(store)).length;
      const adoption = flow.adoption !== null && adopted.has(flow.adoption.into.store) ? flow.adoption : null;
      const restoration = flow.restoration !== null && adopted.has(flow.restoration.into.store) ? flow.restoration : null;
      if (became === undefined && reached === 0 && adoption === null && restoration === null) continue;
      const fields = {
        ...named(flow),
        generation: displayGeneration(ledger, flow.live?.generation ?? null),
        expiresAt: flow.live?.expiresAt == null ? null : new Date(flow.live.expiresAt).toISOString(),
        stores: reached,
        failed: planned.size - reached,
        durationMs,
      };
      if (adoption !== null) {
        const { target, proof } = adoption.candidate;
        log.info({ ...fields, store: target.store, proof }, "agent rotation adopted");
      } else if (restoration !== null) {
        log.info({ ...fields, store: restoration.into.store, share: restoration.share }, "source put back");
      } else {
        log.info(
          { ...fields, reason: became?.reason ?? "drift" },
          became === undefined ? "drift corrected" : "credential pushed",
        );
      }
    }
  }
}

function named(flow: Plan): { readonly profile?: string } {
  const profile = sourceProfile(flow);
  return profile === "" ? {} : { profile };
}

interface State {
  /** Another name is another state. */
  readonly name: string;
  readonly say: (log: Logger) => void;
}

/** Everything that is not as it should be, by what it is about. */
function statesOf(result: ReconcileResult): Map<string, State> {
  const states = new Map<string, State>();
  const { inventory, reads } = result.observation;
  for (const flow of result.plan.flows) {
    const state = sourceStateOf(flow, result);
    if (state !== null) states.set(aboutSource(flow), state);
    const suspect = suspectStateOf(flow, result);
    if (suspect !== null) states.set(`${aboutSource(flow)} suspect`, suspect);
  }
  for (const { store, kind, path, error } of inventory.findings) {
    states.set(
      `${kind} ${store}`,
      error === null
        ? said(kind, (log) => {
            // It is normal for an agent to inherit.
            log[kind === "inherits" ? "debug" : "info"]({ store, path }, findingText(kind));
          })
        : storeErrorState(store, error),
    );
  }
  for (const { store, error } of refusedAgents(result)) states.set(`refused ${store}`, storeErrorState(store, error));
  for (const unmatched of inventory.unmatchedAgents) {
    states.set(
      `agents ${unmatched.pattern}`,
      said("unmatched", (log) => {
        log.warn({ agent: unmatched.pattern, hint: unmatchedHint(unmatched) }, "no agent has this name");
      }),
    );
  }
  const outcomes = [...result.writes, ...result.adoptions].filter(({ store }) => !result.brieflyBusy.has(store));
  const failures = [...reads.map(({ target, error }) => ({ store: target.store.name, error })), ...outcomes];
  for (const { store, error } of failures) {
    if (error !== null && error.code !== "conflict" && error.code !== "torn") states.set(store, storeErrorState(store, error));
  }
  const holds = holdsByStore(result);
  for (const [store, { count, reason }] of holds) {
    if (count <= MOST_HELD) continue;
    const many = said("many held", (log) => {
      const hint = "see them: credsyncd status; let the agent's program remove those that nobody uses";
      log.warn({ store, profiles: count, reason, hint }, "held");
    });
    states.set(`${store} held`, many);
  }
  for (const { target, verdict } of result.plan.reports) {
    if (verdict?.kind !== "hold") continue;
    const { store, profile } = target;
    if ((holds.get(store)?.count ?? 0) > MOST_HELD) continue;
    states.set(
      `${store} ${profile}`,
      said(verdict.reason, (log) => {
        log.warn(
          {
            store,
            profile,
            reason: verdict.reason,
            why: verdict.explanation,
            hint: holdHint(verdict.reason, store, verdict.adoptable),
          },
          "held",
        );
      }),
    );
  }
  return states;
}

function holdsByStore({ plan }: ReconcileResult): Map<string, { readonly count: number; readonly reason: string }> {
  const holds = new Map<string, { readonly count: number; readonly reason: string }>();
  for (const { target, verdict } of plan.reports) {
    if (verdict?.kind !== "hold") continue;
    holds.set(target.store, { count: (holds.get(target.store)?.count ?? 0) + 1, reason: verdict.reason });
  }
  return holds;
}

/** Returns the key of the source's states. */
function aboutSource(flow: Plan): string {
  return `${flow.head.store} ${sourceProfile(flow)}`.trimEnd();
}

/** Checks whether a scan could not judge the subject of a state, for example because its store is half written. */
function isUndecided(about: string, { observation, plan, brieflyBusy }: ReconcileResult): boolean {
  if (brieflyBusy.has(about)) return true;
  const { source, reads } = observation;
  if (plan.flows.some((flow) => about === aboutSource(flow))) return source.state === "unreadable" && source.code === "torn";
  return reads.some(({ target, error }) => {
    if (error === null) return false;
    return about === target.store.name ? error.code === "torn" : about.startsWith(`${target.store.name} `);
  });
}

function sayNothing(): void {
  // It was said when it began.
}

function sourceStateOf(flow: Plan, { observation }: ReconcileResult): State | null {
  const { head, source, adoption, restoration } = flow;
  const { stores, signIn } = observation.inventory.source;
  const about = { store: head.store, ...named(flow) };
  switch (source.kind) {
    case "missing":
      return said("missing", (log) => {
        log.warn({ ...about, path: stores[0].path, hint: `sign in: ${signIn}` }, "source missing");
      });
    case "unreadable":
      if (source.torn) return null;
      return said(source.reason, (log) => {
        log.error({ ...about, reason: source.reason, hint: source.hint }, "source unreadable");
      });
    case "logged-out":
      if (adoption !== null) return null;
      return said("logged-out", (log) => {
        log.error({ ...about, hint: `sign in: ${signIn}` }, "source logged out");
      });
    case "fenced":
      if (adoption !== null || source.until !== null || restoration?.share === "full") return null;
      if (restoration !== null) return restoredState(flow, signIn);
      return said(`${source.reason}, nothing put back`, (log) => {
        const hint = fencedHint(head.store, source, signIn);
        log.error({ ...about, reason: source.reason, why: source.explanation, hint }, "source refresh failed");
      });
    case "restored":
      return adoption === null && restoration === null ? restoredState(flow, signIn) : null;
    case "held":
      if (adoption !== null || source.until !== null) return null;
      return said(source.reason, (log) => {
        log.warn({ ...about, reason: source.reason, why: source.explanation, hint: sourceHoldHint(source, signIn) }, "held");
      });
    case "live":
    case "becomes-live":
      return null;
  }
}

function restoredState(flow: Plan, signIn: string): State {
  const { store } = flow.head;
  return said("source-refresh-failed", (log) => {
    const fields = { store, ...named(flow), reason: "source-refresh-failed", why: RESTORED, hint: restoredHint(store, signIn) };
    log.error(fields, "source refresh failed");
  });
}

function suspectStateOf(flow: Plan, { observation, ledger }: ReconcileResult): State | null {
  const { head, source, restoration, live, suspect } = flow;
  // The loss by the source's own program says more.
  const isLost = source.kind === "restored" ? restoration === null : restoration?.share === "access-only";
  if (live === null || !suspect || isLost) return null;
  const generation = displayGeneration(ledger, live.generation);
  const hint = suspectHint(observation.inventory.source.signIn);
  return said(live.generation, (log) => {
    log.warn({ store: head.store, ...named(flow), generation, reason: "suspect", why: SUSPECT, hint }, "live login suspect");
  });
}

function storeErrorState(store: string, error: StoreError): State {
  return said(error.code, (log) => {
    const fields = { store, reason: error.message, hint: error.hint };
    if (isTransient(error.code)) log.warn(fields, "store busy");
    else log.error(fields, "store error");
  });
}

function said(name: string, say: (log: Logger) => void): State {
  return { name, say };
}
