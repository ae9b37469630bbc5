import type { Account } from "../domain/credential.js";
import type { Clock } from "../domain/clock.js";
import { StoreError } from "../domain/errors.js";
import type { LedgerEvent } from "../domain/ledger.js";
import type { BackupMemory } from "../domain/memory.js";
import type { Plan, PlannedWrite } from "../domain/plan.js";
import type { ProfileId, ProfilePatch, StoreName, StoreSnapshot } from "../domain/store.js";
import { mapConcurrently } from "./concurrency.js";
import type { Observation } from "./observe.js";

/** Stores written at once: enough to overlap the waits for the disk. */
const WRITES_AT_ONCE = 16;

/** What became of one store. */
export interface WriteOutcome {
  readonly store: StoreName;
  readonly profiles: readonly ProfileId[];
  /** Null when it was written and read back. */
  readonly error: StoreError | null;
  readonly durationMs: number;
}

export interface ApplyResult {
  /** Of the source's own write, where an agent's rotation was adopted. */
  readonly adoption: WriteOutcome | null;
  readonly writes: readonly WriteOutcome[];
  /** To be recorded: what is now where. */
  readonly events: readonly LedgerEvent[];
}

export interface ApplyPorts {
  readonly backups: BackupMemory;
  readonly clock: Clock;
}

/** Carries a plan out, store by store; it decides nothing, and one store's failure stops no other. */
export async function applyPlan(
  plan: Plan,
  observation: Observation,
  ports: ApplyPorts,
  signal: AbortSignal,
): Promise<ApplyResult> {
  const source = plan.adoption === null ? null : await applyAdoption(plan, observation, ports, signal);
  // The source changed under the adoption: what was planned for the others may be old, so all is looked at again.
  if (source?.outcome.error?.code === "conflict") return { adoption: source.outcome, writes: [], events: [] };
  const reads = new Map(observation.reads.map((read) => [read.target.store.name, read]));
  // Where the source was not reached, its own backup may be missing, on which the others rely.
  const planned = source?.outcome.error == null ? plan.writes : plan.writes.map((write) => ({ ...write, backup: true }));
  const written = await mapConcurrently(groupByStore(planned), WRITES_AT_ONCE, (writes) => {
    const read = reads.get(writes[0]?.target.store ?? "");
    if (read?.snapshot == null) throw new Error("a write needs a store that was read");
    return applyWrites(writes, { store: read.target.store, snapshot: read.snapshot }, observation, ports, signal);
  });
  return {
    adoption: source?.outcome ?? null,
    writes: written.map(({ outcome }) => outcome),
    events: [...(source?.events ?? []), ...written.flatMap(({ events }) => events)],
  };
}

interface Applied {
  readonly outcome: WriteOutcome;
  readonly events: readonly LedgerEvent[];
}

async function applyAdoption(plan: Plan, observation: Observation, ports: ApplyPorts, signal: AbortSignal): Promise<Applied> {
  const { adoption } = plan;
  const { store, profile } = observation.inventory.source;
  const snapshot = observation.sourceSnapshot;
  if (adoption === null || snapshot === null) throw new Error("an adoption needs a source that was read");
  const { credential, generation, issue } = adoption;
  const provider = observation.source.state === "present" ? observation.source.observed.provider : null;
  const patch: ProfilePatch = { profile, provider, credential, create: false, account: null };
  const backups = adoption.backup ? [{ profile, fingerprint: heldBySource(observation) }] : [];
  const surroundings = observation.source.state === "present" ? observation.source.observed.surroundings() : "";
  return applyToStore({ store, snapshot, patches: [patch], backups }, ports, signal, (durationMs) => [
    { kind: "written", at: ports.clock.now(), store: store.name, profile, generation, issue, surroundings, durationMs },
  ]);
}

function heldBySource({ source }: Observation): string {
  if (source.state !== "present" || source.observed.held.kind !== "credential") return "unknown";
  return source.observed.held.generation ?? source.observed.held.issue;
}

async function applyWrites(
  writes: readonly PlannedWrite[],
  { store, snapshot }: Pick<StoreWrite, "store" | "snapshot">,
  observation: Observation,
  ports: ApplyPorts,
  signal: AbortSignal,
): Promise<Applied> {
  const account = writes.some((write) => write.replaceAccount) ? sourceAccount(observation) : null;
  const patches = writes.map(({ target, credential, create, replaceAccount }): ProfilePatch => {
    return { profile: target.profile, provider: target.provider, credential, create, account: replaceAccount ? account : null };
  });
  const backups = writes.flatMap(({ target, backup }) => {
    if (!backup || target.held.kind !== "credential") return [];
    return [{ profile: target.profile, fingerprint: target.held.generation ?? target.held.issue }];
  });
  return applyToStore({ store, snapshot, patches, backups }, ports, signal, (durationMs) =>
    writes.flatMap((write): LedgerEvent[] => {
      const { target, generation, issue } = write;
      const place = { at: ports.clock.now(), store: target.store, profile: target.profile };
      const written: LedgerEvent = {
        kind: "written",
        ...place,
        generation,
        issue,
        surroundings: target.surroundings(),
        durationMs,
      };
      return write.revert ? [written, { kind: "revert", ...place }] : [written];
    }),
  );
}

/** The source's account in the clear, for identity fields that name the previous one. */
function sourceAccount({ sourceSnapshot, inventory }: Observation): Account | null {
  return sourceSnapshot?.profiles.find(({ id }) => id === inventory.source.profile)?.account ?? null;
}

interface StoreWrite {
  readonly store: Observation["inventory"]["source"]["store"];
  readonly snapshot: StoreSnapshot;
  readonly patches: readonly ProfilePatch[];
  readonly backups: readonly { readonly profile: ProfileId; readonly fingerprint: string }[];
}

async function applyToStore(
  { store, snapshot, patches, backups }: StoreWrite,
  ports: ApplyPorts,
  signal: AbortSignal,
  eventsOf: (durationMs: number) => readonly LedgerEvent[],
): Promise<Applied> {
  const startedAt = ports.clock.monotonic();
  const outcome = (error: StoreError | null): WriteOutcome => {
    const durationMs = Math.round((ports.clock.monotonic() - startedAt) * 10) / 10;
    return { store: store.name, profiles: patches.map(({ profile }) => profile), error, durationMs };
  };
  try {
    for (const { profile, fingerprint } of backups) {
      const stored = snapshot.profiles.find(({ id }) => id === profile);
      if (stored !== undefined)
        await ports.backups.save({ store: store.name, profile, fingerprint, image: stored.image() }, ports.clock.now());
    }
    await store.write(patches, snapshot.revision, signal);
    const done = outcome(null);
    return { outcome: done, events: eventsOf(done.durationMs) };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { outcome: outcome(error), events: [] };
  }
}

function groupByStore(writes: readonly PlannedWrite[]): PlannedWrite[][] {
  const groups = new Map<StoreName, PlannedWrite[]>();
  for (const write of writes) {
    const group = groups.get(write.target.store);
    if (group === undefined) groups.set(write.target.store, [write]);
    else group.push(write);
  }
  return [...groups.values()];
}
