import type { Clock } from "../domain/clock.js";
import { Failure, isTransient, StoreError } from "../domain/errors.js";
import type { Secret } from "../domain/secret.js";
import type {
  FieldChange,
  Choice,
  ChoicePlace,
  ChoiceStore,
  Side,
  StagedChoice,
  SwitchJournal,
  SwitchPhase,
  SwitchRecord,
} from "../domain/choice.js";
import type { ProfileId, Revision, StoreName } from "../domain/store.js";
import { backoffMs } from "./backoff.js";
import { mapConcurrently } from "./concurrency.js";
import { shellWord } from "../domain/shell-word.js";

/** The number of stores that can be written within a second, and so are locked together; more are written one by one. */
const HELD_AT_ONCE = 32;
/** The longest time for taking all locks, and for holding one (ms): versions of OpenClaw wait little longer. */
const HOLD_MS = 1000;
/** The longest wait for a busy store (ms), while no lock is held. */
const PATIENCE_MS = 10_000;
/** The same while locks are held. */
const HELD_PATIENCE_MS = 300;
/** The same after a crash: whoever recovers has work of its own, and tries again later. */
const RECOVERY_PATIENCE_MS = 1000;
/** The number of stores in progress at once without locks: enough to overlap the waits for the disk. */
const AT_ONCE = 16;

/** One store's part in a switch. */
export interface SwitchPart {
  readonly store: ChoiceStore;
  /** The revision of the choice that the changes were planned from. */
  readonly revision: Revision;
  readonly changes: readonly FieldChange[];
  /** The text of the profile that will be used, as planned; null if it will be copied there. */
  readonly relied: { readonly profile: ProfileId; readonly image: Secret } | null;
}

export interface TransactionPorts {
  readonly journal: SwitchJournal;
  readonly clock: Clock;
  readonly random: () => number;
  /**
   * The text to put back for a profile that was removed: its tokens come from what is live now, since others may have been
   * spent meanwhile. Null: it is not put back.
   */
  readonly renewed: (image: Secret) => Promise<Secret | null>;
}

export interface PartOutcome {
  readonly store: StoreName;
  readonly result: "updated" | "unchanged" | "rolled-back" | "failed";
  readonly error: StoreError | null;
}

export interface SwitchOutcome {
  /** True if every store is on the new side. */
  readonly committed: boolean;
  readonly parts: readonly PartOutcome[];
  /** True if the journal is finished; otherwise the next run of credsyncd tries again. */
  readonly settled: boolean;
}

interface Failed {
  readonly store: StoreName;
  readonly error: StoreError;
}

/** A new switch as the journal keeps it. */
export function recordOf(
  { id, at, provider, profile, donor }: Omit<SwitchRecord, "phase" | "parts">,
  parts: readonly SwitchPart[],
): SwitchRecord {
  const places = parts.map(({ store, changes }) => ({ place: placeOf(store), changes }));
  return { id, at, phase: "prepared", provider, profile, donor, parts: places };
}

function placeOf({ name, format, path, stateDirectory }: ChoicePlace): ChoicePlace {
  return { name, format, path, stateDirectory };
}

/**
 * Changes every store or none (rule R14).
 *
 * Without locks: journal, stage. Under locks where they fit: look again, commit, verify. Any failure before the first
 * commit leaves all as it was; a later one is undone in reverse. A store that someone else changes meanwhile is left, and
 * named in the outcome.
 *
 * @throws Failure when the journal cannot be written; nothing was changed then
 */
export async function runSwitch(
  record: SwitchRecord,
  parts: readonly SwitchPart[],
  ports: TransactionPorts,
  signal: AbortSignal,
): Promise<SwitchOutcome> {
  const transaction = new Transaction(record, inOrder(parts), ports);
  await ports.journal.write(record);
  return transaction.run(signal);
}

/** The outcome of a switch that a crash had interrupted. */
export interface Recovery extends SwitchOutcome {
  readonly record: SwitchRecord;
}

/**
 * Brings a switch that a crash interrupted to the side that the journal says: to none of it where nothing was changed, to
 * all of it where that had begun, and back where it was being undone, or cannot be completed.
 *
 * @param open opens a store again by its place
 */
export async function recoverSwitch(
  record: SwitchRecord,
  open: (place: ChoicePlace) => ChoiceStore,
  ports: TransactionPorts,
  signal: AbortSignal,
): Promise<Recovery> {
  const parts = record.parts.map(({ place, changes }) => ({ store: open(place), revision: "", changes, relied: null }));
  const donor = record.donor === null ? null : open(record.donor);
  const outcome = await new Transaction(record, inOrder(parts), ports).recover(donor, signal);
  return { ...outcome, record };
}

/** Everyone takes locks in the same order, so that two never wait for each other. */
function inOrder(parts: readonly SwitchPart[]): SwitchPart[] {
  return [...parts].sort((left, right) => (left.store.path < right.store.path ? -1 : 1));
}

class Transaction {
  readonly #record: SwitchRecord;
  readonly #parts: readonly SwitchPart[];
  readonly #ports: TransactionPorts;
  readonly #staged = new Map<SwitchPart, StagedChoice>();
  readonly #committed: SwitchPart[] = [];
  #patienceMs = PATIENCE_MS;

  constructor(record: SwitchRecord, parts: readonly SwitchPart[], ports: TransactionPorts) {
    this.#record = record;
    this.#parts = parts;
    this.#ports = ports;
  }

  async run(signal: AbortSignal): Promise<SwitchOutcome> {
    const unready = await this.#stageAll(signal);
    if (unready !== null) return this.#giveUp(unready);
    const isHeldAtOnce = this.#parts.length <= HELD_AT_ONCE;
    const holds = isHeldAtOnce ? await this.#holdAll(signal) : [];
    if (!Array.isArray(holds)) return this.#giveUp(holds);
    let failed: Failed | null;
    try {
      failed = await this.#refreshStaged();
      if (failed !== null || signal.aborted) return await this.#giveUp(failed);
      await this.#enter("committing");
      // From here on a request to stop comes too late: it ends on one side.
      failed = (await this.#commitAll(isHeldAtOnce)) ?? (await this.#verify());
    } catch (error) {
      if (error instanceof Failure) await this.#giveUp(null);
      throw error;
    } finally {
      await releaseAll(holds);
    }
    if (failed !== null) return this.#undo(failed);
    await this.#ports.journal.drop(this.#record.id);
    return { committed: true, settled: true, parts: this.#parts.map(({ store }) => outcomeOf(store, "updated")) };
  }

  async recover(donor: ChoiceStore | null, signal: AbortSignal): Promise<SwitchOutcome> {
    this.#patienceMs = RECOVERY_PATIENCE_MS;
    const unswept = await this.#sweep();
    if (unswept !== null) return this.#unsettled(unswept);
    if (this.#record.phase === "prepared") return this.#giveUp(null);
    if (this.#record.phase === "undoing") return this.#undo(null);
    const updated: PartOutcome[] = [];
    for (const part of this.#parts) {
      try {
        const changes = await copiesRenewed(part, donor);
        const changed = await this.#bring({ ...part, changes }, "after", signal);
        updated.push(outcomeOf(part.store, changed ? "updated" : "unchanged"));
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        const failed = { store: part.store.name, error };
        return isTransient(error.code) ? this.#unsettled(failed) : this.#undo(failed);
      }
    }
    await this.#ports.journal.drop(this.#record.id);
    return { committed: true, settled: true, parts: updated };
  }

  async #enter(phase: SwitchPhase): Promise<void> {
    await this.#ports.journal.write({ ...this.#record, phase });
  }

  async #stageAll(signal: AbortSignal): Promise<Failed | null> {
    const failures = await mapConcurrently(this.#parts, AT_ONCE, async (part) => {
      let isFirst = true;
      return this.#failureOf(part, PATIENCE_MS, signal, async () => {
        const attempt = isFirst ? this.#stage(part, part.revision) : this.#stageAgain(part);
        isFirst = false;
        await attempt;
      });
    });
    return failures.find((failure) => failure !== null) ?? null;
  }

  async #stage(part: SwitchPart, revision: Revision): Promise<void> {
    const staged = await part.store.stage(guarded(part), "after", revision, this.#tag);
    if (staged !== null) this.#staged.set(part, staged);
  }

  /** All or none, at once; where one is busy all are let go, and after a while it is tried again. */
  async #holdAll(signal: AbortSignal): Promise<Release[] | Failed> {
    const { clock, random } = this.#ports;
    const deadline = clock.monotonic() + PATIENCE_MS;
    for (let attempt = 1; ; attempt++) {
      const holds = await this.#tryHoldAll();
      if (Array.isArray(holds)) return holds;
      if (signal.aborted || clock.monotonic() >= deadline) return holds;
      await clock.sleep(backoffMs(attempt, random()), signal);
    }
  }

  async #tryHoldAll(): Promise<Release[] | Failed> {
    const { clock } = this.#ports;
    const deadline = clock.monotonic() + HOLD_MS;
    const holds: Release[] = [];
    for (const { store, changes } of this.#parts) {
      try {
        if (clock.monotonic() > deadline)
          throw new StoreError("locked", "the locks could not be taken within a second", "try again when the host is less busy");
        const release = await store.hold(changes);
        if (release !== null) holds.push(release);
      } catch (error) {
        await releaseAll(holds);
        if (!(error instanceof StoreError)) throw error;
        return { store: store.name, error };
      }
    }
    return holds;
  }

  /** Someone may have written between staging and the locks. */
  async #refreshStaged(): Promise<Failed | null> {
    for (const part of this.#parts) {
      const failed = await this.#failureOf(part, HELD_PATIENCE_MS, neverAborted, async () => {
        if (!this.#staged.has(part) || (await this.#staged.get(part)?.isCurrent()) === false) await this.#stageAgain(part);
      });
      if (failed !== null) return failed;
    }
    return null;
  }

  /** The changes still fit as long as their own values are what they were, and the profile to be used is the same. */
  async #stageAgain(part: SwitchPart): Promise<void> {
    await this.#staged.get(part)?.discard();
    this.#staged.delete(part);
    await this.#stage(part, (await part.store.readChoice()).revision);
  }

  async #commitAll(isHeld: boolean): Promise<Failed | null> {
    const failures: Failed[] = [];
    await mapConcurrently(this.#parts, isHeld ? 1 : AT_ONCE, async (part) => {
      if (failures.length > 0) return;
      let isFirst = true;
      const failure = await this.#failureOf(part, isHeld ? HELD_PATIENCE_MS : PATIENCE_MS, neverAborted, async () => {
        if (!isFirst) await this.#stageAgain(part);
        isFirst = false;
        await this.#staged.get(part)?.commit(neverAborted);
      });
      if (failure === null) this.#committed.push(part);
      else failures.push(failure);
    });
    return failures[0] ?? null;
  }

  /** Checks that every store really is on the new side. */
  async #verify(): Promise<Failed | null> {
    const failures = await mapConcurrently(this.#parts, AT_ONCE, (part) =>
      this.#failureOf(part, HOLD_MS, neverAborted, async () => {
        const { revision } = await part.store.readChoice();
        const missing = await part.store.stage(part.changes, "after", revision, this.#tag);
        if (missing === null) return;
        await missing.discard();
        throw new StoreError(
          "overtaken",
          `${part.store.path} was changed back by its program`,
          "stop that program, and try again",
        );
      }),
    );
    return failures.find((failure) => failure !== null) ?? null;
  }

  /** Before the first commit: nothing was changed. */
  async #giveUp(failed: Failed | null): Promise<SwitchOutcome> {
    for (const staged of this.#staged.values()) await staged.discard();
    await this.#ports.journal.drop(this.#record.id);
    return {
      committed: false,
      settled: true,
      parts: this.#parts.map(({ store }) => {
        return store.name === failed?.store ? outcomeOf(store, "failed", failed.error) : outcomeOf(store, "unchanged");
      }),
    };
  }

  /** Brings every store back, the last one first; a part that never got so far is found to be there already. */
  async #undo(cause: Failed | null): Promise<SwitchOutcome> {
    for (const staged of this.#staged.values()) await staged.discard();
    await this.#enterUndoing();
    const outcomes = new Map<SwitchPart, PartOutcome>();
    for (const part of [...this.#parts].reverse()) outcomes.set(part, await this.#undoPart(part, cause));
    const parts = this.#parts.flatMap((part) => outcomes.get(part) ?? []);
    // Another program's change stays; credsyncd can only name it.
    const settled = parts.every(
      ({ result, error }) => result !== "failed" || error?.code === "overtaken" || error === cause?.error,
    );
    if (settled) await this.#ports.journal.drop(this.#record.id);
    return { committed: false, settled, parts };
  }

  async #undoPart(part: SwitchPart, cause: Failed | null): Promise<PartOutcome> {
    const { store } = part;
    try {
      const changed = await this.#bring(part, "before", neverAborted);
      if (store.name === cause?.store) return outcomeOf(store, "failed", cause.error);
      return outcomeOf(store, changed || this.#committed.includes(part) ? "rolled-back" : "unchanged");
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return outcomeOf(store, "failed", error);
    }
  }

  /** A full disk may refuse it; undoing goes on all the same. */
  async #enterUndoing(): Promise<void> {
    try {
      await this.#enter("undoing");
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  /**
   * Brings one store to a side, from wherever it is.
   *
   * @returns whether that took a write
   * @throws StoreError
   */
  async #bring(part: SwitchPart, side: Side, signal: AbortSignal): Promise<boolean> {
    let wrote = false;
    const failed = await this.#failureOf(part, this.#patienceMs, signal, async () => {
      const choice = await part.store.readChoice();
      // Its agent was removed, or an upgrade moved it: waiting would keep all others half switched.
      if (choice.identity === null)
        throw new StoreError("overtaken", `${part.store.path} is not there any more`, "look at it: credsyncd status");
      const changes = side === "before" ? await this.#removalsRenewed(part, choice) : part.changes;
      const staged = await part.store.stage(changes, side, choice.revision, this.#tag);
      if (staged === null) return;
      await staged.commit(signal);
      wrote = true;
    });
    if (failed !== null) throw failed.error;
    return wrote;
  }

  /** A removed login is put back with what is live by now: its own tokens may have been spent since. */
  async #removalsRenewed({ store, changes }: SwitchPart, choice: Choice): Promise<FieldChange[]> {
    const renewed: FieldChange[] = [];
    for (const change of changes) {
      const isRemoval = change.path[0] === "profiles" && change.after === null;
      if (!isRemoval || change.before === null || choice.valueAt(change.path) !== null) {
        renewed.push(change);
        continue;
      }
      const before = await this.#ports.renewed(change.before);
      if (before === null)
        throw new StoreError(
          "overtaken",
          `${change.path[1] ?? ""} was removed from ${store.name}, and its login was spent meanwhile`,
          `sign in there again, or see: credsyncd restore --store ${shellWord(store.name)} --list`,
        );
      renewed.push({ ...change, before });
    }
    return renewed;
  }

  async #sweep(): Promise<Failed | null> {
    for (const part of this.#parts) {
      const failed = await this.#failureOf(part, 0, neverAborted, () => part.store.sweep(this.#tag));
      if (failed !== null) return failed;
    }
    return null;
  }

  #unsettled(failed: Failed): SwitchOutcome {
    const parts = this.#parts.map(({ store }) =>
      store.name === failed.store ? outcomeOf(store, "failed", failed.error) : outcomeOf(store, "unchanged"),
    );
    return { committed: false, settled: false, parts };
  }

  /** Tries for as long as what is in the way may pass. */
  async #failureOf(
    { store }: SwitchPart,
    patienceMs: number,
    signal: AbortSignal,
    action: () => Promise<void>,
  ): Promise<Failed | null> {
    const { clock, random } = this.#ports;
    const deadline = clock.monotonic() + patienceMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await action();
        return null;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        // Waiting never makes a staged text fit changed content.
        const mayPass = isTransient(error.code) && error.code !== "no-space";
        if (!mayPass || signal.aborted || clock.monotonic() >= deadline) return { store: store.name, error };
      }
      await clock.sleep(backoffMs(attempt, random()) / 4, signal);
    }
  }

  get #tag(): string {
    return `credsyncd-${this.#record.id}`;
  }
}

type Release = () => Promise<void>;

const neverAborted = new AbortController().signal;

async function releaseAll(holds: readonly Release[]): Promise<void> {
  for (const release of [...holds].reverse()) await release();
}

/** A copy that was not made yet is made of what the donor holds now. */
async function copiesRenewed({ store, changes }: SwitchPart, donor: ChoiceStore | null): Promise<FieldChange[]> {
  const copied = changes.filter(({ copiedFrom }) => copiedFrom !== null);
  if (copied.length === 0 || donor === null) return [...changes];
  const [present, given] = [await store.readChoice(), await donor.readChoice()];
  return changes.map((change) => {
    if (change.copiedFrom === null || present.valueAt(change.path) !== null) return change;
    const after = given.valueAt(change.path);
    if (after !== null) return { ...change, after };
    throw new StoreError(
      "overtaken",
      `${donor.name} does not hold ${change.path[1] ?? ""} any more`,
      "look at it: credsyncd status",
    );
  });
}

/** The profile that will be used must not change meanwhile, which its own value says; the journal does not need it. */
function guarded({ changes, relied }: SwitchPart): FieldChange[] {
  if (relied === null) return [...changes];
  const { profile, image } = relied;
  return [...changes, { path: ["profiles", profile], before: image, after: image, copiedFrom: null, next: null }];
}

function outcomeOf({ name }: ChoiceStore, result: PartOutcome["result"], error: StoreError | null = null): PartOutcome {
  return { store: name, result, error };
}
