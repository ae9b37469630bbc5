import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import type { Config } from "../config/load.js";

import { StoreError } from "../domain/errors.js";
import type { Finding } from "../domain/inventory.js";
import { displayGeneration } from "../domain/ledger.js";
import { knownGeneration } from "../domain/target-verdict.js";
import type { TargetReport } from "../domain/plan.js";
import type { SourceVerdict } from "../domain/source-verdict.js";
import { replaceOwnFile } from "../io/own-file.js";
import { isAbsent } from "../io/system-error.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { holdHint } from "./reporter.js";

export type SourceState = "ok" | "expiring" | "expired" | "logged-out" | "missing" | "unreadable";
export type ProfileState = "in-sync" | "drift" | "held" | "absent" | "error" | "separate";

export interface ProfileStatus {
  readonly profile: string;
  readonly type: string | null;
  readonly binding: "follow" | "pinned" | "ignore";
  readonly state: ProfileState;
  /** One word, for scripts. */
  readonly reason: string | null;
  /** The reason in words, for a person. */
  readonly explanation: string | null;
  readonly hint: string | null;
  readonly generation: string | null;
  readonly expiresAt: string | null;
}

export interface StoreStatus {
  readonly store: string;
  readonly path: string;
  readonly format: string;
  readonly profiles: readonly ProfileStatus[];
  readonly active: Readonly<Record<string, string>>;
  readonly error: string | null;
  readonly hint: string | null;
  /** Another store that is the same file, or null. */
  readonly sameAs: string | null;
}

interface FoundPath {
  readonly store: string;
  readonly path: string;
}

/** What `credsyncd status --json` prints; fields are only ever added. */
export interface StatusReport {
  readonly schemaVersion: 1;
  readonly at: string;
  readonly daemon: DaemonStatus;
  readonly source: {
    readonly store: string;
    readonly path: string;
    readonly state: SourceState;
    readonly reason: string | null;
    readonly explanation: string | null;
    readonly hint: string | null;
    readonly generation: string | null;
    readonly expiresAt: string | null;
    readonly signInEndsAt: string | null;
    readonly account: string | null;
  };
  readonly stores: readonly StoreStatus[];
  /** Stores found whose agent is not configured any more. */
  readonly unconfigured: readonly FoundPath[];
  /** Files that OpenClaw does not read any more. */
  readonly retired: readonly FoundPath[];
  /** Agents without a store of their own. */
  readonly inherits: readonly FoundPath[];
  readonly alerts: readonly { readonly kind: string; readonly store: string; readonly since: string; readonly message: string }[];
  readonly summary: {
    readonly stores: number;
    readonly inSync: number;
    readonly drift: number;
    readonly held: number;
    readonly errors: number;
  };
}

export interface DaemonStatus {
  readonly running: boolean;
  readonly pid: number | null;
  readonly lastReconcileAt: string | null;
  readonly lastReconcileMs: number | null;
}

const heartbeatShape = z.object({ pid: z.number(), lastReconcileAt: z.string(), lastReconcileMs: z.number() });

/** What the daemon leaves behind for `status`: that it lives, and when it last looked. */
export async function writeHeartbeat(stateDirectory: string, pid: number, result: ReconcileResult): Promise<void> {
  const heartbeat = { schemaVersion: 1, pid, lastReconcileAt: iso(result.startedAt), lastReconcileMs: result.durationMs };
  await replaceOwnFile(join(stateDirectory, "status.json"), `${JSON.stringify(heartbeat)}\n`);
}

/** The daemon's last word, if it is that of the one that runs now. */
export async function readDaemonStatus(stateDirectory: string, runningPid: number | null): Promise<DaemonStatus> {
  if (runningPid === null) return { running: false, pid: null, lastReconcileAt: null, lastReconcileMs: null };
  const heartbeat = await readHeartbeat(join(stateDirectory, "status.json"));
  const own = heartbeat?.pid === runningPid ? heartbeat : null;
  return {
    running: true,
    pid: runningPid,
    lastReconcileAt: own?.lastReconcileAt ?? null,
    lastReconcileMs: own?.lastReconcileMs ?? null,
  };
}

async function readHeartbeat(path: string): Promise<z.infer<typeof heartbeatShape> | null> {
  try {
    const parsed = heartbeatShape.safeParse(JSON.parse(await readFile(path, "utf8")));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Describes what a look found, store by store. */
export async function statusOf(
  result: ReconcileResult,
  config: Config,
  daemon: DaemonStatus,
  now: number,
): Promise<StatusReport> {
  const stores: StoreStatus[] = [];
  const byStore = groupByStore(result.plan.reports);
  for (const { target, error, sameAs } of result.observation.reads) {
    const { store } = target;
    const [active, activeError] = error === null ? await readActive(store) : [{}, null];
    const failure = error ?? activeError;
    stores.push({
      store: store.name,
      path: store.path,
      format: store.format,
      profiles: (byStore.get(store.name) ?? []).flatMap((report) => profileStatus(report, result)),
      active,
      error: failure?.message ?? null,
      hint: failure?.hint ?? null,
      sameAs,
    });
  }
  const { findings } = result.observation.inventory;
  for (const { store, path, error } of findings) {
    if (error === null) continue;
    stores.push({
      store,
      path,
      format: "unsupported",
      profiles: [],
      active: {},
      error: error.message,
      hint: error.hint,
      sameAs: null,
    });
  }
  return {
    schemaVersion: 1,
    at: iso(now),
    daemon,
    source: sourceStatus(result, config, now),
    stores,
    unconfigured: foundPaths(findings, "unconfigured"),
    retired: foundPaths(findings, "retired"),
    inherits: foundPaths(findings, "inherits"),
    alerts: [],
    summary: summarize(stores),
  };
}

function foundPaths(findings: readonly Finding[], wanted: Finding["kind"]): FoundPath[] {
  return findings.flatMap(({ kind, store, path }) => (kind === wanted ? [{ store, path }] : []));
}

function groupByStore(reports: readonly TargetReport[]): Map<string, TargetReport[]> {
  const groups = new Map<string, TargetReport[]>();
  for (const report of reports) groups.set(report.target.store, [...(groups.get(report.target.store) ?? []), report]);
  return groups;
}

async function readActive(
  store: ReconcileResult["observation"]["reads"][number]["target"]["store"],
): Promise<[Readonly<Record<string, string>>, StoreError | null]> {
  try {
    return [await store.readActive(new AbortController().signal), null];
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [{}, error];
  }
}

function sourceStatus(result: ReconcileResult, config: Config, now: number): StatusReport["source"] {
  const { plan, observation, ledger } = result;
  const { store, profile } = observation.inventory.source;
  const held =
    observation.source.state === "present" && observation.source.observed.held.kind === "credential"
      ? observation.source.observed.held
      : null;
  const stored = observation.sourceSnapshot?.profiles.find(({ id }) => id === profile);
  const signInEndsAt = held?.credential.type === "oauth" ? held.credential.signInEndsAt : null;
  const isHeld = plan.source.kind === "held" && plan.adoption === null;
  return {
    store: store.name,
    path: store.path,
    state: sourceState(result, config, now),
    reason: isHeld ? plan.source.reason : null,
    explanation: explanationOf(plan.source),
    hint: isHeld ? "accept it with: credsyncd sync --force" : plan.source.kind === "unreadable" ? plan.source.hint : null,
    generation: displayGeneration(ledger, held?.generation ?? null),
    expiresAt: held?.expiresAt == null ? null : iso(held.expiresAt),
    signInEndsAt: signInEndsAt === null ? null : iso(signInEndsAt),
    account: maskEmail(stored?.account?.email ?? null),
  };
}

function explanationOf(source: SourceVerdict): string | null {
  if (source.kind === "held") return source.explanation;
  return source.kind === "unreadable" ? source.reason : null;
}

function sourceState({ plan, observation }: ReconcileResult, config: Config, now: number): SourceState {
  const { source } = plan;
  switch (source.kind) {
    case "missing":
    case "logged-out":
    case "unreadable":
      return source.kind;
    case "live":
    case "becomes-live":
    case "held": {
      if (observation.source.state !== "present") return "missing";
      const { expiresAt } = source.held;
      if (expiresAt === null) return "ok";
      if (expiresAt <= now) return "expired";
      return expiresAt - now <= config.alerts.expiringWithinMs ? "expiring" : "ok";
    }
  }
}

function profileStatus({ target, verdict }: TargetReport, { ledger }: ReconcileResult): ProfileStatus[] {
  if (verdict?.kind === "unrelated") return [];
  const held = target.held.kind === "credential" ? target.held : null;
  const known = held === null ? null : knownGeneration(held, ledger);
  const common = {
    profile: target.profile,
    type: held?.credential.type ?? null,
    binding: target.binding,
    generation: displayGeneration(ledger, known?.fingerprint ?? held?.generation ?? null),
    expiresAt: held?.expiresAt == null ? null : iso(held.expiresAt - target.expiryMarginMs),
  };
  if (verdict === null) return [{ ...common, state: "separate", reason: null, explanation: null, hint: null }];
  switch (verdict.kind) {
    case "in-sync":
      return [{ ...common, state: "in-sync", reason: null, explanation: null, hint: null }];
    case "absent": {
      const explanation = "it was logged out there, and is not made again by itself";
      return [
        {
          ...common,
          state: "absent",
          reason: "removed",
          explanation,
          hint: `make it again with: credsyncd sync --force ${target.store}`,
        },
      ];
    }
    case "write":
      return [
        {
          ...common,
          state: "drift",
          reason: "behind",
          explanation: "it is to be written",
          hint: "the daemon writes it; or run: credsyncd sync",
        },
      ];
    case "drift":
      return [{ ...common, state: "drift", reason: verdict.reason, explanation: null, hint: null }];
    case "hold":
      return [
        {
          ...common,
          state: "held",
          reason: verdict.reason,
          explanation: verdict.explanation,
          hint: holdHint(verdict.reason, target.store),
        },
      ];
  }
}

function summarize(stores: readonly StoreStatus[]): StatusReport["summary"] {
  const summary = { stores: stores.length, inSync: 0, drift: 0, held: 0, errors: 0 };
  for (const { error, profiles } of stores) {
    const states = new Set(profiles.map(({ state }) => state));
    if (error !== null) summary.errors += 1;
    else if (states.has("held")) summary.held += 1;
    else if (states.has("drift")) summary.drift += 1;
    else if (states.has("in-sync")) summary.inSync += 1;
  }
  return summary;
}

/** Enough of an address to know it again, too little to hand it on: `f***@example.com`. */
export function maskEmail(email: string | null): string | null {
  if (email === null) return null;
  const at = email.lastIndexOf("@");
  return at <= 0 ? "***" : `${email.slice(0, 1)}***${email.slice(at)}`;
}

function iso(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "invalid" : date.toISOString();
}
