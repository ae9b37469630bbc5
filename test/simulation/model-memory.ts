import { Failure, StoreError } from "../../src/domain/errors.js";
import { compactLedger, emptyLedger, foldLedger, isSpent, type LedgerEvent, type LedgerState } from "../../src/domain/ledger.js";
import type { BackupEntry, BackupMemory, LedgerMemory, StateLock } from "../../src/domain/memory.js";
import { Secret } from "../../src/domain/secret.js";
import type { ProfileId, StoreName } from "../../src/domain/store.js";
import type { Judge } from "./judge.js";
import type { ModelProcess } from "./model-process.js";

/** The content of the ledger's file, whichever process reads it. */
export class DurableLedger {
  events: LedgerEvent[] = [];
  state: LedgerState = emptyLedger;
  /** How many appends are going to fail. */
  failures = 0;

  add(events: readonly LedgerEvent[]): void {
    this.events.push(...events);
    this.state = foldLedger(this.state, events);
  }

  lose(): void {
    this.events = [];
    this.state = emptyLedger;
  }

  compact(kept: number): void {
    this.events = compactLedger(this.events, kept);
    this.state = foldLedger(emptyLedger, this.events);
  }
}

export class ModelLedger implements LedgerMemory {
  readonly #durable: DurableLedger;
  readonly #process: ModelProcess;
  readonly #judge: Judge;

  constructor(durable: DurableLedger, process: ModelProcess, judge: Judge) {
    this.#durable = durable;
    this.#process = process;
    this.#judge = judge;
  }

  async load(): Promise<LedgerState> {
    await this.#process.pass("reading the ledger");
    return this.#durable.state;
  }

  async append(events: readonly LedgerEvent[]): Promise<LedgerState> {
    if (events.length === 0) return this.#durable.state;
    await this.#process.pass("writing the ledger");
    if (this.#durable.failures > 0) {
      this.#durable.failures -= 1;
      throw new Failure("general", "cannot write the ledger: ENOSPC", "free space");
    }
    const before = this.#durable.state;
    // A crash in the middle of the write leaves its first lines.
    const half = Math.ceil(events.length / 2);
    this.#durable.add(events.slice(0, half));
    try {
      await this.#process.pass("in the middle of writing the ledger");
    } finally {
      if (this.#process.alive) this.#durable.add(events.slice(half));
      this.#judge.noteRecorded(this.#process.alive ? events : events.slice(0, half), before, this.#process.orders);
    }
    await this.#process.pass("having written the ledger");
    return this.#durable.state;
  }
}

/** As many backups of a store as the real ones keep. */
const KEPT_PER_STORE = 5;

interface StoredBackup {
  readonly entry: BackupEntry;
  readonly text: string;
}

/** The content of the backup directory. */
export class DurableBackups {
  stored: StoredBackup[] = [];
  failures = 0;
}

export class ModelBackups implements BackupMemory {
  readonly #durable: DurableBackups;
  readonly #ledger: DurableLedger;
  readonly #process: ModelProcess;
  readonly #judge: Judge;

  constructor(
    durable: DurableBackups,
    process: ModelProcess,
    { ledger, judge }: { readonly ledger: DurableLedger; readonly judge: Judge },
  ) {
    this.#durable = durable;
    this.#ledger = ledger;
    this.#process = process;
    this.#judge = judge;
  }

  async save(entry: BackupEntry): Promise<void> {
    await this.#process.pass(`backing up ${entry.store}`);
    if (this.#durable.failures > 0) {
      this.#durable.failures -= 1;
      throw new StoreError("no-space", "cannot write a backup: ENOSPC", "free space");
    }
    const own = this.#durable.stored.filter((backup) => backup.entry.store === entry.store);
    const present = own.some(
      (backup) =>
        backup.entry.profile === entry.profile &&
        backup.entry.fingerprint === entry.fingerprint &&
        (entry.issue === undefined || backup.entry.issue === entry.issue),
    );
    if (!present) {
      this.#durable.stored.push({ entry, text: entry.image.reveal() });
      this.#prune(own.reverse(), entry);
    }
    await this.#process.pass(`having backed up ${entry.store}`);
  }

  async imagesOf(store: StoreName, profile: ProfileId): Promise<Secret[]> {
    await this.#process.pass(`reading the backups of ${store}`);
    const own = this.#durable.stored.filter(({ entry }) => entry.store === store && entry.profile === profile);
    return own.map(({ text }) => new Secret(text)).reverse();
  }

  /** By the rule of the real backups: what is elsewhere or spent goes, newest kept. */
  #prune(present: readonly StoredBackup[], newest: BackupEntry): void {
    for (const backup of present.slice(KEPT_PER_STORE - 1)) {
      const { fingerprint, profile, issue } = backup.entry;
      const isElsewhere = this.#durable.stored.some(
        ({ entry }) => entry !== backup.entry && entry.profile === backup.entry.profile && entry.fingerprint === fingerprint,
      );
      const isOfIssue = issue !== undefined;
      const isReplaced =
        fingerprint === newest.fingerprint && (!isOfIssue || (newest.issue !== undefined && newest.profile === profile));
      if (!isReplaced && !isSpent(this.#ledger.state, fingerprint) && (isOfIssue || !isElsewhere)) continue;
      this.#durable.stored = this.#durable.stored.filter((other) => other !== backup);
      this.#judge.notePruned(backup.text);
    }
  }
}

/** A lock of a killed holder goes stale after this long. */
const STALE_MS = 30_000;

/** The state directory's lock, of which a killed process leaves a stale one. */
export class DurableStateLock {
  holder: ModelProcess | null = null;
}

export class ModelStateLock implements StateLock {
  readonly #durable: DurableStateLock;
  readonly #process: ModelProcess;

  constructor(durable: DurableStateLock, process: ModelProcess) {
    this.#durable = durable;
    this.#process = process;
  }

  async withLock<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    await this.#process.pass("taking the state lock");
    const { holder } = this.#durable;
    if (holder?.alive === true) throw new Failure("busy", "another credsyncd is writing at this moment", "try again in a moment");
    if (holder !== null) await this.#process.clock.sleep(STALE_MS, signal);
    this.#process.ensureAlive();
    this.#durable.holder = this.#process;
    try {
      return await action();
    } finally {
      if (this.#process.alive) this.#durable.holder = null;
    }
  }
}
