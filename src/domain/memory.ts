import type { LedgerEvent, LedgerState } from "./ledger.js";
import type { Fingerprint } from "./generation.js";
import type { Secret } from "./secret.js";
import type { ProfileId, StoreName } from "./store.js";

/** The port to the durable record of what was seen and written. */
export interface LedgerMemory {
  /** The state as it is on disk now, other processes' events included. */
  load(): Promise<LedgerState>;
  /**
   * Makes events durable, in order.
   *
   * @returns the state after them
   * @throws Failure when they cannot be made durable; then nothing may be pushed
   */
  append(events: readonly LedgerEvent[]): Promise<LedgerState>;
}

/** A profile's exact text before it was overwritten or removed. */
export interface BackupEntry {
  readonly store: StoreName;
  readonly profile: ProfileId;
  /** Of the generation, or of the issue where there is no refresh token. */
  readonly fingerprint: Fingerprint;
  /** Of the issue, where that must not be an older one either. */
  readonly issue?: Fingerprint;
  readonly image: Secret;
}

/** The port to the backups. */
export interface BackupMemory {
  /**
   * Makes a backup durable; the same credential of the same profile is kept once.
   *
   * @throws StoreError when it cannot be made durable; then its profile may not be overwritten
   */
  save(entry: BackupEntry, at: number): Promise<void>;
  /** What a profile is known to have held, newest first. @throws StoreError when it cannot be read */
  imagesOf(store: StoreName, profile: ProfileId): Promise<readonly Secret[]>;
}

/** One writer at a time over the state directory, whichever process it is. */
export interface StateLock {
  withLock<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result>;
}
