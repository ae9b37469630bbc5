import { createHash } from "node:crypto";
import { readdirSync, unlinkSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { isTime } from "../domain/clock.js";
import type { Fingerprint } from "../domain/generation.js";
import type { BackupEntry, BackupMemory } from "../domain/memory.js";
import { Secret } from "../domain/secret.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import { fingerprintShape } from "./fingerprint.js";
import { readOwnFileNow, replaceOwnFile } from "./own-file.js";
import { makePrivateDirectory } from "./private-directory.js";
import { isAbsent, toStoreError } from "./system-error.js";
import type { Leftovers } from "./temporary-file.js";

/** How many backups of one store are kept; the only copy of a credential that is not known to be spent always is. */
const KEPT_PER_STORE = 5;

const fileShape = z.object({
  at: z.number().check(z.refine(isTime)),
  store: z.string(),
  profile: z.string(),
  fingerprint: fingerprintShape,
  issue: z.optional(fingerprintShape),
  image: z.string(),
});

export interface Backup extends BackupEntry {
  readonly at: number;
  readonly path: string;
}

/** Overwritten and removed credentials, a private file each (rule R17). */
export class Backups implements BackupMemory {
  readonly #directory: string;
  readonly #leftovers: Leftovers;
  readonly #isSpent: (fingerprint: Fingerprint) => Promise<boolean>;

  /** @param isSpent whether a credential is known to be of no use any more */
  constructor(directory: string, leftovers: Leftovers, isSpent: (fingerprint: Fingerprint) => Promise<boolean>) {
    this.#directory = directory;
    this.#leftovers = leftovers;
    this.#isSpent = isSpent;
  }

  /** @param together what is removed at the same moment: none of it makes room for another */
  async save(entry: BackupEntry, at: number, together: readonly BackupEntry[] = []): Promise<void> {
    try {
      await this.#save(entry, at, together);
    } catch (error) {
      throw toStoreError(error, this.#directory, "write");
    }
  }

  async imagesOf(store: StoreName, profile: ProfileId): Promise<Secret[]> {
    try {
      return (await this.list(store)).flatMap((backup) => (backup.profile === profile ? [backup.image] : []));
    } catch (error) {
      throw toStoreError(error, this.#directory, "read");
    }
  }

  /** The backups of a store, or of all, newest first. */
  async list(store: StoreName | null): Promise<Backup[]> {
    const backups: Backup[] = [];
    for (const name of await this.#names()) {
      if (store !== null && name.split("-")[1] !== hash(store)) continue;
      const backup = readBackup(join(this.#directory, name));
      if (backup !== null && (store === null || backup.store === store)) backups.push(backup);
    }
    return backups.sort((left, right) => right.at - left.at);
  }

  async #save(entry: BackupEntry, at: number, together: readonly BackupEntry[]): Promise<void> {
    await makePrivateDirectory(this.#directory);
    const present = await this.list(entry.store);
    if (present.some((backup) => isOfSameLogin(backup, entry))) return;
    const name = `${String(at)}-${hash(entry.store)}-${contentSuffix(entry)}`;
    const content = {
      at,
      store: entry.store,
      profile: entry.profile,
      fingerprint: entry.fingerprint,
      issue: entry.issue,
      image: entry.image.reveal(),
    };
    await replaceOwnFile(join(this.#directory, name), `${JSON.stringify(content)}\n`, this.#leftovers);
    const others = present.filter((backup) => !together.some((other) => isOfSameLogin(backup, other)));
    await this.#prune(others, entry);
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#directory)).filter((name) => name.endsWith(".json"));
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  /** Removes what is beyond the number kept, oldest first; `present` is what was there before the newest. */
  async #prune(present: readonly Backup[], newest: BackupEntry): Promise<void> {
    for (const backup of present.slice(KEPT_PER_STORE - 1)) {
      const isNeedless = isReplaced(backup, newest) || (await this.#isSpent(backup.fingerprint));
      // Nothing waits between this check and the removal: other stores' backups run at the same time, and two copies may rely on
      // each other.
      if (isNeedless || (backup.issue === undefined && this.#isElsewhere(backup))) unlinkSync(backup.path);
    }
  }

  /** Checks whether another file has the same credential of the same profile, as with hundreds of agents after a sign-in. */
  #isElsewhere(backup: Backup): boolean {
    const suffix = contentSuffix(backup);
    const others = readdirSync(this.#directory).filter((name) => name.endsWith(`-${suffix}`));
    return others.some((name) => {
      const path = join(this.#directory, name);
      return path !== backup.path && readBackup(path)?.fingerprint === backup.fingerprint;
    });
  }
}

/** @returns null for what is none of these files */
function readBackup(path: string): Backup | null {
  try {
    const parsed = fileShape.safeParse(JSON.parse(readOwnFileNow(path) ?? "null"));
    if (!parsed.success) return null;
    const { issue, image, ...names } = parsed.data;
    return { ...names, ...(issue === undefined ? {} : { issue }), image: new Secret(image), path };
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** How the name of a backup ends, whatever store it is of. */
function contentSuffix({ profile, fingerprint }: Pick<BackupEntry, "profile" | "fingerprint">): string {
  return `${hash(`${profile}\n${fingerprint}`)}.json`;
}

/** Checks whether a backup already has this login. */
function isOfSameLogin(backup: Backup, { profile, fingerprint, issue }: BackupEntry): boolean {
  return backup.profile === profile && backup.fingerprint === fingerprint && (issue === undefined || backup.issue === issue);
}

/**
 * Checks whether a newer backup makes this one needless. One that is kept with its issue must stay under its own store and
 * profile.
 */
function isReplaced(backup: Backup, newest: BackupEntry): boolean {
  if (backup.fingerprint !== newest.fingerprint) return false;
  return backup.issue === undefined || (newest.issue !== undefined && newest.profile === backup.profile);
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
