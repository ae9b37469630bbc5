import { randomUUID } from "node:crypto";
import { Failure, type StoreError } from "../domain/errors.js";
import { isSpent } from "../domain/ledger.js";
import { noOrders } from "../domain/observation.js";
import type { Secret } from "../domain/secret.js";
import { resolveActive, type Resolution } from "../domain/choice.js";
import type { StoreName } from "../domain/store.js";
import {
  agentId,
  planSwitch,
  sightOf,
  type PlannedStore,
  type SwitchAgent,
  type SwitchHost,
  type SwitchPlan,
  type SwitchRequest,
} from "../domain/switch.js";
import type { Observation } from "../reconcile/observe.js";
import {
  recordOf,
  recoverSwitch,
  runSwitch,
  type PartOutcome,
  type Recovery,
  type SwitchOutcome,
  type SwitchPart,
  type TransactionPorts,
} from "../reconcile/transaction.js";
import { choiceReopener } from "../programs/openclaw/installation.js";
import { refreshTokenIn, withLogin } from "../programs/openclaw/choice.js";
import type { Composition } from "./compose.js";
import { readHosts, type HostRead, type TakesPart } from "./hosts.js";
import { asFailure, toFailure } from "./store-failure.js";

/** The number of plans for a switch that other programs disturb without any change of the stores. */
const ATTEMPTS = 5;

/** The result for one store. */
export interface SwitchRow extends Omit<PlannedStore, "result" | "changes" | "relied"> {
  readonly result: "updated" | "would-update" | "unchanged" | "absent" | "rolled-back" | "failed";
  readonly error: StoreError | null;
}

export interface SwitchResult {
  readonly committed: boolean;
  readonly rows: readonly SwitchRow[];
  readonly warnings: SwitchPlan["warnings"];
  /** True if the next command has nothing left to undo. */
  readonly settled: boolean;
}

/**
 * Plans a switch and, unless it is only to be shown, carries it out.
 *
 * @throws Failure where nothing may be changed; it says why
 */
export async function carryOut(
  composition: Composition,
  request: SwitchRequest,
  { takesPart, dryRun }: { readonly takesPart: TakesPart; readonly dryRun: boolean },
  signal: AbortSignal,
): Promise<SwitchResult> {
  const prepare = (): Promise<Prepared> => asFailure(prepareFor(composition, request, takesPart, signal));
  if (dryRun) return resultOf((await prepare()).planned, null);
  return composition.lock.withLock(signal, async () => {
    refuseUnsettled(await recoverAll(composition, signal));
    for (let attempt = 1; ; attempt++) {
      const { planned, parts } = await prepare();
      if (parts.length === 0) return resultOf(planned, { committed: true, settled: true, parts: [] });
      await backUp(planned, composition);
      const outcome = await runSwitch(recordFor(request, planned, parts, composition), parts, portsOf(composition), signal);
      const error = outcome.parts.find((part) => part.error !== null)?.error ?? null;
      const isOvertaken = error?.code === "overtaken" || error?.code === "conflict";
      const mayPass = !outcome.committed && outcome.settled && isOvertaken && attempt < ATTEMPTS;
      const isUndone = outcome.parts.every((part) => part.error === null || part.error === error);
      if (!mayPass || !isUndone || signal.aborted) return resultOf(planned, outcome);
    }
  });
}

interface Planned {
  readonly read: HostRead;
  readonly plan: SwitchPlan;
}

interface Prepared {
  readonly planned: readonly Planned[];
  readonly parts: readonly SwitchPart[];
}

/** @throws StoreError if a store turns out to be none only once its values are read */
async function prepareFor(...of: Parameters<typeof planFor>): Promise<Prepared> {
  const planned = await planFor(...of);
  return { planned, parts: planned.flatMap(partsOf) };
}

async function planFor(
  composition: Composition,
  request: SwitchRequest,
  takesPart: TakesPart,
  signal: AbortSignal,
): Promise<Planned[]> {
  const { reconciler, config, environment } = composition;
  const { observation } = await reconciler.preview(config.policy, noOrders, signal);
  const reads = await readHosts(composition, takesPart, followedBy(observation), observation.inventory);
  const agents = reads.flatMap(({ host }) => host.agents);
  if (agents.length === 0)
    throw new Failure(
      "usage",
      "there is no OpenClaw here",
      "name its directory in the config: targets, stateDir; or set OPENCLAW_STATE_DIR",
    );
  if (!agents.some(({ left }) => left === null || left === "same-file"))
    throw new Failure(
      "usage",
      "no agent takes part in this",
      `agents here: ${[...new Set(agents.map(({ store }) => agentId(store)))].join(", ")}`,
    );
  return reads.map((read) => {
    for (const { store, left } of read.host.agents) {
      const error = read.errors.get(store);
      if (error !== undefined && left === null) throw toFailure(error, "nothing was changed");
    }
    const plan = planSwitch(read.host, request, environment.clock.now());
    if (plan instanceof Failure) throw plan;
    return { read, plan };
  });
}

/** The profiles that credsyncd itself reads from. */
function followedBy({ inventory, sourceReads }: Observation): SwitchHost["sources"] {
  const { selection } = inventory.source;
  if (selection.kind === "one") return [];
  return sourceReads.flatMap(({ store, snapshot }) =>
    snapshot.profiles.flatMap(({ id }) =>
      selection.named.includes(id) || selection.matches(id) ? [{ store: store.name, profile: id }] : [],
    ),
  );
}

function partsOf({ read, plan }: Planned): SwitchPart[] {
  return plan.stores.flatMap(({ store: name, changes, relied }) => {
    const store = read.stores.get(name);
    const choice = read.host.agents.find((agent) => agent.store === name)?.choice ?? null;
    if (changes.length === 0 || store === undefined || choice === null) return [];
    const { revision } = choice;
    return [{ store, revision, changes, relied: relied === null ? null : { profile: relied.id, image: relied.image() } }];
  });
}

function recordFor(
  { provider, profile, copyFrom }: SwitchRequest,
  planned: readonly Planned[],
  parts: readonly SwitchPart[],
  { environment }: Composition,
): ReturnType<typeof recordOf> {
  const donor = planned.flatMap(({ read }) => (copyFrom === null ? [] : (read.stores.get(copyFrom) ?? [])))[0] ?? null;
  const place =
    donor === null ? null : { name: donor.name, format: donor.format, path: donor.path, stateDirectory: donor.stateDirectory };
  return recordOf({ id: randomUUID(), at: environment.clock.now(), provider, profile, donor: place }, parts);
}

/** Everything that is removed goes to the backups first. */
async function backUp(planned: readonly Planned[], { backups, fingerprintOf, environment }: Composition): Promise<void> {
  for (const { read, plan } of planned) {
    for (const { store, removed } of plan.stores) {
      const profiles = read.host.agents.find((agent) => agent.store === store)?.choice?.profiles ?? [];
      const entries = profiles
        .filter(({ id }) => removed.includes(id))
        .map(({ id, naming, image }) => ({ store, profile: id, fingerprint: fingerprintOf(naming()), image: image() }));
      for (const entry of entries) await asFailure(backups.save(entry, environment.clock.now(), entries));
    }
  }
}

/** @param outcome null: it was only to be shown */
function resultOf(planned: readonly Planned[], outcome: SwitchOutcome | null): SwitchResult {
  const parts = new Map(outcome?.parts.map((part) => [part.store, part]) ?? []);
  const rows = planned.flatMap(({ read, plan }) =>
    plan.stores.filter(({ store }) => isShown(read.host, store)).map((row) => rowOf(row, parts.get(row.store) ?? null, outcome)),
  );
  return {
    committed: outcome?.committed ?? false,
    settled: outcome?.settled ?? true,
    rows,
    warnings: planned.flatMap(({ plan }) => plan.warnings),
  };
}

function rowOf(planned: PlannedStore, part: PartOutcome | null, outcome: SwitchOutcome | null): SwitchRow {
  const { store, from, to, removed, copied, note, moves } = planned;
  const row = { store, from, to, removed, copied, note, moves, error: part?.error ?? null };
  const asBefore = { ...row, to: from, removed: [], copied: false };
  if (outcome === null) return { ...row, result: planned.result === "update" ? "would-update" : planned.result };
  if (part !== null) return { ...(outcome.committed ? row : asBefore), result: part.result };
  const result = planned.result === "update" ? "unchanged" : planned.result;
  return { ...(outcome.committed ? row : asBefore), result };
}

function isShown({ agents }: SwitchHost, store: StoreName): boolean {
  const left = agents.find((agent) => agent.store === store)?.left ?? null;
  return left === null || left === "pinned" || left === "same-file";
}

/** Which profile every agent would use now. */
export interface AgentResolution extends Resolution {
  readonly agent: SwitchAgent;
}

/** Resolves the profile that every agent of a host would use for a provider (epoch ms). */
export function resolutionsIn({ agents, preferences }: SwitchHost, provider: string, now: number): AgentResolution[] {
  return agents.map((agent) => ({ agent, ...resolveActive(sightOf(agent, agents), provider, preferences, now) }));
}

/**
 * Completes or undoes what crashes left in the journal; with an empty journal it does nothing, not even wait for the lock.
 *
 * @returns what became of it
 * @throws Failure where a journal cannot be understood, or another process keeps the state locked
 */
export async function recoverSwitches(composition: Composition, signal: AbortSignal): Promise<Recovery[]> {
  if (await composition.journal.isEmpty()) return [];
  return composition.lock.withLock(signal, () => recoverAll(composition, signal));
}

/** To be called under the state's lock: a journal that is there then is nobody's. */
async function recoverAll(composition: Composition, signal: AbortSignal): Promise<Recovery[]> {
  composition.journal.sweep();
  const recoveries: Recovery[] = [];
  for (const record of await composition.journal.list()) {
    const places = [...record.parts.map(({ place }) => place), ...(record.donor === null ? [] : [record.donor])];
    const directories = places.map(({ stateDirectory }) => stateDirectory);
    const open = await choiceReopener(directories, composition.config.file.agentDirs, composition.environment);
    recoveries.push(await recoverSwitch(record, open, portsOf(composition), signal));
  }
  return recoveries;
}

/** Describes the recovery of a switch that a crash had interrupted. */
export function recoveryText({ record, committed, settled, parts }: Recovery): string {
  const what = `the switch of ${record.provider} to ${record.profile}, interrupted at ${new Date(record.at).toISOString()},`;
  const failed = parts.filter(({ error }) => error !== null).map(({ store, error }) => `${store}: ${error?.message ?? ""}`);
  const except = failed.length === 0 ? "" : `, except ${failed.join("; ")}`;
  if (!settled) return `${what} could not be settled yet (${failed.join("; ")}); it is tried again`;
  if (committed) return `${what} was completed in every store`;
  const isUntouched = parts.every(({ result }) => result === "unchanged");
  return isUntouched ? `${what} had changed nothing` : `${what} was undone in every store${except}`;
}

function refuseUnsettled(recoveries: readonly Recovery[]): void {
  const unsettled = recoveries.find(({ settled }) => !settled);
  if (unsettled !== undefined) throw new Failure("busy", recoveryText(unsettled), "try again in a moment; see: credsyncd status");
}

function portsOf(composition: Composition): TransactionPorts {
  const { journal, environment } = composition;
  return { journal, clock: environment.clock, random: Math.random, renewed: (image) => renewed(image, composition) };
}

/** Returns the image to put back for a removed profile: the live login of its chain replaces one that was spent since. */
async function renewed(image: Secret, { ledger, fingerprintOf, reconciler, config }: Composition): Promise<Secret | null> {
  const token = refreshTokenIn(image);
  const state = await ledger.load();
  const generation = token === null ? null : fingerprintOf(token);
  if (generation === null || !isSpent(state, generation)) return image;
  const chain = state.generations.get(generation)?.chain;
  const { observation } = await reconciler.preview(config.policy, noOrders, new AbortController().signal);
  for (const { content } of observation.sourceReads.flatMap(({ snapshot }) => snapshot.profiles)) {
    if (content.kind !== "credential" || content.credential.type !== "oauth" || content.credential.refresh === null) continue;
    const present = fingerprintOf(content.credential.refresh);
    if (state.generations.get(present)?.chain === chain && !isSpent(state, present)) return withLogin(image, content.credential);
  }
  return null;
}
