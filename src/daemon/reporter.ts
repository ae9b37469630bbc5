import type { Logger } from "pino";
import { Failure, isTransient, type StoreError } from "../domain/errors.js";
import { MOST_HELD } from "../domain/conditions.js";
import type { Description, Names } from "../domain/describe/description.js";
import { describeSource, describeSuspect } from "../domain/describe/source.js";
import { describeTarget } from "../domain/describe/target.js";
import { displayGeneration } from "../domain/ledger.js";
import type { Plan } from "../domain/plan.js";
import type { SourceVerdict } from "../domain/source-verdict.js";
import type { Stuck } from "../io/owner-lock.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { refusedAgents } from "../app/refused.js";
import { unmatchedHint } from "../app/unmatched-agents.js";
import { namesAround, sourceProfile, stuckHints, findingText } from "../app/words.js";

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
  const names = namesAround(result.observation.inventory.source, true);
  for (const flow of result.plan.flows) {
    const state = sourceStateOf(flow, names, inventory.source.stores[0].path);
    if (state !== null) states.set(aboutSource(flow), state);
    const suspect = suspectStateOf(flow, names, result);
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
  for (const report of result.plan.reports) {
    if (report.verdict?.kind !== "hold") continue;
    const { store, profile } = report.target;
    if ((holds.get(store)?.count ?? 0) > MOST_HELD) continue;
    states.set(`${store} ${profile}`, described("held", { store, profile }, describeTarget(report, names)));
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

const sourceMessages: Readonly<Record<SourceVerdict["kind"], string>> = {
  missing: "source missing",
  unreadable: "source unreadable",
  "logged-out": "source logged out",
  fenced: "source refresh failed",
  restored: "source refresh failed",
  held: "held",
  live: "live login suspect",
  "becomes-live": "live login suspect",
};

function sourceStateOf(flow: Plan, names: Names, path: string): State | null {
  const { head, source } = flow;
  const description = describeSource({ ...flow, suspect: false }, names);
  if (description.severity === null) return null;
  const about = { store: head.store, ...named(flow), ...(source.kind === "missing" ? { path } : {}) };
  return described(sourceMessages[source.kind], about, description);
}

function suspectStateOf(flow: Plan, names: Names, { ledger }: ReconcileResult): State | null {
  const { head, source, restoration, live, suspect } = flow;
  // The loss by the source's own program says more.
  const isLost = source.kind === "restored" ? restoration === null : restoration?.share === "access-only";
  if (live === null || !suspect || isLost) return null;
  const about = { store: head.store, ...named(flow), generation: displayGeneration(ledger, live.generation) };
  return described("live login suspect", about, describeSuspect(names));
}

/** A state that is logged in the words that the commands have for it. */
function described(message: string, about: object, { reason, explanation, hint, severity }: Description): State {
  return said(JSON.stringify([message, reason, explanation]), (log) => {
    const why = reason === null ? { reason: explanation } : { reason, why: explanation };
    log[severity === "error" ? "error" : "warn"]({ ...about, ...why, hint }, message);
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
