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
  /** The fingerprint of the generation, or of the issue if there is no refresh token. */
  readonly fingerprint: Fingerprint;
  /** The fingerprint of the issue, if an older issue will not do. */
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
  /** Returns the known earlier contents of a profile, newest first. @throws StoreError if they cannot be read */
  imagesOf(store: StoreName, profile: ProfileId): Promise<readonly Secret[]>;
}

/** One writer at a time over the state directory, whichever process it is. */
export interface StateLock {
  withLock<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result>;
}
