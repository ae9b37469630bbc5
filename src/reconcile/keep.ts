import { Failure, StoreError } from "../domain/errors.js";
import type { SyncPlan } from "../domain/flows.js";
import type { Fingerprint } from "../domain/generation.js";
import type { BackupEntry, BackupMemory } from "../domain/memory.js";
import type { Secret } from "../domain/secret.js";
import type { Observation } from "./observe.js";

/** A copy of a login, named by its access token, too: an older one cannot be put back. */
export interface LoginCopy extends Omit<BackupEntry, "image"> {
  readonly issue: Fingerprint;
  /** @throws StoreError where it cannot be taken out of its store */
  readonly image: () => Secret;
}

/**
 * Returns copies of the live logins, for a source whose program erases a login when a refresh fails, even without a network. The
 * source may then have been the last place that had it.
 */
export function copiesToKeep({ flows }: SyncPlan, { inventory, sourceReads }: Observation): LoginCopy[] {
  if (inventory.source.copies === null) return [];
  return flows.flatMap(({ head, source }): LoginCopy[] => {
    if (source.kind !== "live" && source.kind !== "becomes-live") return [];
    const { generation, issue, credential } = source.held;
    const read = sourceReads.find(({ store }) => store.name === head.store);
    const stored = read?.snapshot.profiles.find(({ id }) => id === head.profile);
    if (credential.type !== "oauth" || generation === null || stored === undefined) return [];
    return [{ store: head.store, profile: head.profile, fingerprint: generation, issue, image: stored.image }];
  });
}

/** @throws Failure where a copy cannot be made durable: nothing is pushed then */
export async function keepCopies(copies: readonly LoginCopy[], backups: BackupMemory, at: number): Promise<void> {
  try {
    for (const { image, ...copy } of copies) await backups.save({ ...copy, image: image() }, at);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new Failure("general", `cannot keep a copy of the source's login: ${error.message}`, error.hint, error);
  }
}
