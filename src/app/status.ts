import { join } from "node:path";
import * as z from "zod/mini";
import type { Config } from "../config/config.js";
import { isTime } from "../domain/clock.js";
import type { Names } from "../domain/describe/description.js";
import { describeSource } from "../domain/describe/source.js";
import { describeRemoved, describeTarget } from "../domain/describe/target.js";
import { StoreError } from "../domain/errors.js";
import type { Finding } from "../domain/inventory.js";
import { displayGeneration, placementKey, splitKey, type LedgerState } from "../domain/ledger.js";
import { knownGeneration, type TargetReport } from "../domain/target-verdict.js";
import type { Plan } from "../domain/plan.js";
import { looksLikeToken } from "../domain/presentable.js";
import type { CredentialStore, ProfileId, StoreName } from "../domain/store.js";
import { readOwnFile, replaceOwnFile } from "../io/own-file.js";
import type { Leftovers } from "../io/temporary-file.js";
import { mapConcurrently } from "../reconcile/concurrency.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import type {
  AbsentGateway,
  DaemonStatus,
  FoundPath,
  ProfileStatus,
  SourceState,
  SourceStatus,
  StatusAlert,
  StatusReport,
  StoreStatus,
} from "./status-report.js";
import { inheritedProfiles, servedProfiles, withInheritance } from "./inheritance.js";
import { refusedAgents } from "./refused.js";
import { turnsIn } from "./turns.js";
import { unusedProfiles, type UnusedProfile } from "./unused.js";
import { gatewayStatus, lagReasons, leftBehind, type Lag } from "./lag.js";
import { namesAround } from "./words.js";

const moment = z.number().check(z.refine(isTime));
const lagShape = z.object({
  gateway: z.string(),
  since: moment,
  until: z.nullable(moment),
  reason: z.enum(lagReasons),
  listener: z.nullable(z.string()),
});
/** Reads under way at once. */
const READS_AT_ONCE = 32;

const heartbeatShape = z.object({
  pid: z.number(),
  lastReconcileAt: z.string(),
  lastReconcileMs: z.number(),
  lags: z._default(z.array(lagShape), []),
});

/** Writes the daemon's record for `status`: its life sign, its last scan, and the lagging gateways. */
export async function writeHeartbeat(
  stateDirectory: string,
  leftovers: Leftovers,
  { pid, result, lags }: { readonly pid: number; readonly result: ReconcileResult; readonly lags: readonly Lag[] },
): Promise<void> {
  const { startedAt, durationMs } = result;
  const heartbeat = { schemaVersion: 1, pid, lastReconcileAt: iso(startedAt), lastReconcileMs: durationMs, lags };
  await replaceOwnFile(join(stateDirectory, "status.json"), `${JSON.stringify(heartbeat)}\n`, leftovers);
}

/** The daemon's last word, if it is that of the one that runs now; and of gateways what the last one said, whichever it was. */
export async function readDaemonStatus(
  stateDirectory: string,
  runningPid: number | null,
): Promise<{ readonly daemon: DaemonStatus; readonly lags: readonly Lag[] }> {
  const heartbeat = await readHeartbeat(join(stateDirectory, "status.json"));
  if (heartbeat === null || heartbeat.pid !== runningPid) {
    const daemon = { running: runningPid !== null, pid: runningPid, lastReconcileAt: null, lastReconcileMs: null };
    return { daemon, lags: (heartbeat?.lags ?? []).map(leftBehind) };
  }
  const { pid, lastReconcileAt, lastReconcileMs, lags } = heartbeat;
  return { daemon: { running: true, pid, lastReconcileAt, lastReconcileMs }, lags };
}

/** The gateways that lagged when a daemon last said so, whichever it was. */
export async function readLags(stateDirectory: string): Promise<readonly Lag[]> {
  return (await readHeartbeat(join(stateDirectory, "status.json")))?.lags ?? [];
}

async function readHeartbeat(path: string): Promise<z.infer<typeof heartbeatShape> | null> {
  try {
    const parsed = heartbeatShape.safeParse(JSON.parse((await readOwnFile(path)) ?? "null"));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Facts besides a scan. */
interface Surroundings {
  readonly splitBrain: StatusReport["splitBrain"];
  readonly daemon: DaemonStatus;
  readonly lags: readonly Lag[];
  readonly absentGateways?: readonly AbsentGateway[];
  readonly alerts: readonly StatusAlert[];
}

/** Describes the result of a scan, store by store. */
export async function statusOf(
  result: ReconcileResult,
  config: Config,
  { daemon, lags, absentGateways = [], alerts, splitBrain }: Surroundings,
  now: number,
): Promise<StatusReport> {
  const stores: StoreStatus[] = [];
  const byStore = groupByStore(result.plan.reports);
  const unused = unusedProfiles(result);
  const names = namesAround(result.observation.inventory.source, daemon.running);
  const sendsFrom = turnsIn(result, now);
  const refused = new Map(refusedAgents(result).map((agent) => [agent.store, agent]));
  const [first, ...others] = result.plan.flows;
  const source = sourceStatus(first, result, { config, names }, now);
  const sources = [source, ...others.map((flow) => sourceStatus(flow, result, { config, names }, now))];
  const own = new Set(result.observation.inventory.source.stores.map(({ name }) => name));
  const { signal } = new AbortController();
  const actives = await mapConcurrently(result.observation.reads, READS_AT_ONCE, ({ target, error }) =>
    error === null ? readActive(target.store, signal) : Promise.resolve(nothingActive),
  );
  for (const [index, { target, error, sameAs }] of result.observation.reads.entries()) {
    const { store, origin } = target;
    // The source itself shows its problems.
    if (own.has(store.name) && error !== null) continue;
    const [active, activeError] = actives[index] ?? nothingActive;
    const failure = error ?? refused.get(store.name)?.error ?? activeError;
    stores.push({
      store: store.name,
      path: store.path,
      format: store.format,
      era: origin.era,
      versionHint: origin.versionHint,
      inherits: null,
      profiles: [
        ...sources.flatMap((source) => (source.store === store.name ? canonicalProfile(source) : [])),
        ...(byStore.get(store.name) ?? []).flatMap((report) =>
          profileStatus(report, result, names).map((status) => withUse({ ...status, sends: sendsFrom(report) }, report, unused)),
        ),
      ],
      active,
      error: failure?.message ?? null,
      hint: failure?.hint ?? null,
      sameAs,
    });
  }
  const { findings, unmatchedAgents } = result.observation.inventory;
  const unread = [...refused.values()].filter((agent) => stores.every(({ store }) => store !== agent.store));
  for (const { store, path, error } of [...findings, ...unread]) {
    if (error === null) continue;
    stores.push({
      store,
      path,
      format: "unsupported",
      era: null,
      versionHint: null,
      inherits: null,
      profiles: [],
      active: {},
      error: error.message,
      hint: error.hint,
      sameAs: null,
    });
  }
  const shown = withRemoved(withInheritance(stores, result.observation.reads), result, names);
  return {
    schemaVersion: 1,
    at: iso(now),
    daemon,
    source,
    sources,
    stores: shown,
    unconfigured: foundPaths(findings, "unconfigured"),
    retired: foundPaths(findings, "retired"),
    unmatchedAgents: unmatchedAgents.map(({ pattern }) => pattern),
    inherits: findings.flatMap(({ kind, store, path, inheritsFrom = null }) =>
      kind === "inherits" && !refused.has(store)
        ? [{ store, path, from: inheritsFrom, profiles: servedProfiles(shown, inheritsFrom) }]
        : [],
    ),
    gateways: lags.map(gatewayStatus),
    absentGateways,
    splitBrain,
    alerts,
    ...summarize(shown),
  };
}

function foundPaths(findings: readonly Finding[], wanted: Finding["kind"]): FoundPath[] {
  return findings.flatMap(({ kind, store, path }) => (kind === wanted ? [{ store, path }] : []));
}

function groupByStore(reports: readonly TargetReport[]): Map<string, TargetReport[]> {
  const groups = new Map<string, TargetReport[]>();
  for (const report of reports) {
    const group = groups.get(report.target.store);
    if (group === undefined) groups.set(report.target.store, [report]);
    else group.push(report);
  }
  return groups;
}

type Active = readonly [Readonly<Record<string, string>>, StoreError | null];

const nothingActive: Active = [{}, null];

async function readActive(store: CredentialStore, signal: AbortSignal): Promise<Active> {
  try {
    return [await store.readActive(signal), null];
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [{}, error];
  }
}

function sourceStatus(
  flow: Plan,
  { observation, ledger }: ReconcileResult,
  { config, names }: { readonly config: Config; readonly names: Names },
  now: number,
): SourceStatus {
  const { head } = flow;
  const held = head.state === "present" && head.observed.held.kind === "credential" ? head.observed.held : null;
  const read = observation.sourceReads.find(({ store }) => store.name === head.store);
  const stored = read?.snapshot.profiles.find(({ id }) => id === head.profile);
  // A restored login may state a later expiry than the true one.
  const isRestored = flow.source.kind === "restored";
  const expiresAt = isRestored ? (flow.live?.expiresAt ?? null) : (held?.expiresAt ?? null);
  const { state, reason, explanation, hint } = describeSource(flow, names);
  const signInEndsAt = held?.credential.type === "oauth" ? held.credential.signInEndsAt : null;
  return {
    store: head.store,
    path: (read?.store ?? observation.inventory.source.stores[0]).path,
    profile: head.profile,
    type: held?.credential.type ?? null,
    state: state === "ok" ? stateAt(expiresAt, config, now) : state,
    reason,
    explanation,
    hint,
    generation: displayGeneration(ledger, flow.source.kind === "restored" ? flow.source.lost : (held?.generation ?? null)),
    expiresAt: expiresAt === null ? null : iso(expiresAt),
    signInEndsAt: signInEndsAt === null ? null : iso(signInEndsAt),
    account: maskEmail(stored?.account?.email ?? null),
  };
}

/** How a profile of the source stands among the others of its store. */
function canonicalProfile({ profile, type, state, generation, expiresAt }: SourceStatus): ProfileStatus[] {
  if (state === "missing") return [];
  const nothing = { reason: null, explanation: null, hint: null, hides: null, used: true, sends: null };
  return [{ profile, type, binding: "follow", state: "source", generation, expiresAt, ...nothing }];
}

function stateAt(expiresAt: number | null, config: Config, now: number): SourceState {
  if (expiresAt === null) return "ok";
  if (expiresAt <= now) return "expired";
  return expiresAt - now <= config.alerts.expiringWithinMs ? "expiring" : "ok";
}

/** The true end of what a target holds (epoch ms), where it was written with a margin. */
function trueEnd({ target, verdict }: TargetReport, ledger: LedgerState): number | null {
  const { held } = target;
  if (held.kind !== "credential" || held.expiresAt === null) return null;
  const placement = ledger.placements.get(placementKey(target.store, target.profile));
  const written = placement?.issue === held.issue ? placement.terms.expiryMarginMs : 0;
  return held.expiresAt - (verdict?.kind === "in-sync" ? target.expiryMarginMs : written);
}

/** Says of a profile that its program never sends it: being in sync is not enough. */
function withUse(status: ProfileStatus, { target }: TargetReport, unused: ReadonlyMap<string, UnusedProfile>): ProfileStatus {
  const found = unused.get(placementKey(target.store, target.profile));
  if (found === undefined) return status;
  const { explanation, hint } = found;
  // A problem of the login itself comes first.
  if (status.state !== "in-sync" || status.reason !== null) return { ...status, used: false, sends: null };
  return { ...status, used: false, sends: null, reason: "unused", explanation, hint };
}

function profileStatus(report: TargetReport, { ledger }: ReconcileResult, names: Names): ProfileStatus[] {
  const { target } = report;
  const { state, reason, explanation, hint } = describeTarget(report, names);
  if (state === "unrelated") return [];
  const held = target.held.kind === "credential" ? target.held : null;
  const endsAt = trueEnd(report, ledger);
  const known = knownGeneration(target.held, ledger);
  return [
    {
      profile: target.profile,
      type: held?.credential.type ?? (target.held.kind === "fence" ? "oauth" : null),
      binding: target.binding,
      state,
      reason,
      explanation,
      hint,
      generation: displayGeneration(ledger, known?.fingerprint ?? held?.generation ?? null),
      expiresAt: endsAt === null ? null : iso(endsAt),
      hides: null,
      used: true,
      sends: null,
    },
  ];
}

/** Says of a profile that followed and is not there any more that it is not; its agent may have no login at all. */
function withRemoved(
  stores: readonly StoreStatus[],
  { ledger, observation, plan }: ReconcileResult,
  names: Names,
): StoreStatus[] {
  const readOf = new Map(observation.reads.map((read) => [read.target.store.name, read]));
  const heads = new Set(plan.flows.map(({ head }) => placementKey(head.store, head.profile)));
  const removed = new Map<StoreName, ProfileStatus[]>();
  for (const [key, { generation }] of ledger.placements) {
    const { store, profile } = splitKey(key);
    const read = readOf.get(store);
    if (generation === "" || heads.has(key) || read?.snapshot == null || read.target.binding !== "follow") continue;
    if (!read.snapshot.profiles.some(({ id }) => id === profile))
      removed.set(store, [...(removed.get(store) ?? []), removedProfile(store, profile, read.target.origin.era, names)]);
  }
  if (removed.size === 0) return [...stores];
  return stores.map((status) => {
    const { store, profiles, inherits, sameAs } = status;
    const known = new Set([...profiles.map(({ profile }) => profile), ...(inherits?.profiles ?? [])]);
    const more = (removed.get(store) ?? []).filter(({ profile }) => !known.has(profile));
    return more.length === 0 || sameAs !== null ? status : { ...status, profiles: [...profiles, ...more] };
  });
}

function removedProfile(store: StoreName, profile: ProfileId, era: string | null, names: Names): ProfileStatus {
  const { state, reason, explanation, hint } = describeRemoved(store, era === "json", names);
  const nothing = { type: null, generation: null, expiresAt: null, hides: null, used: true, sends: null };
  return { profile, binding: "follow", state, reason, explanation, hint, ...nothing };
}

function summarize(stores: readonly StoreStatus[]): Pick<StatusReport, "summary" | "unused"> {
  const isTarget = ({ profiles }: StoreStatus): boolean =>
    profiles.length === 0 || profiles.some(({ state }) => state !== "source");
  const targets = stores.filter(isTarget);
  const summary = { stores: targets.length, inSync: 0, drift: 0, held: 0, errors: 0 };
  const unused: StoreName[] = [];
  for (const { store, error, profiles, inherits } of targets) {
    const own = profiles.length > 0 || inherits === null ? profiles : inheritedProfiles(stores, inherits);
    const states = new Set(own.map(({ state }) => state));
    if (error !== null) summary.errors += 1;
    else if (states.has("held")) summary.held += 1;
    else if (states.has("drift")) summary.drift += 1;
    else if (states.has("in-sync") || states.has("source")) {
      summary.inSync += 1;
      if (own.every(({ state, used }) => !used || (state !== "in-sync" && state !== "source"))) unused.push(store);
    }
  }
  return { summary, unused };
}

/** Masks an address so that it can be recognised but not used: `f***@example.com`. */
export function maskEmail(email: string | null): string | null {
  if (email === null) return null;
  const at = email.lastIndexOf("@");
  const domain = email.slice(at + 1);
  return at <= 0 || !/^[\w.-]{1,253}$/.test(domain) || looksLikeToken(domain) ? "***" : `${email.slice(0, 1)}***@${domain}`;
}

function iso(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "invalid" : date.toISOString();
}
