import { createHash } from "node:crypto";
import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";
import type { ProfileId, ProfilePatch } from "../../domain/store.js";
import { makePrivateDirectory } from "../../io/private-directory.js";
import { toStoreError } from "../../io/system-error.js";
import type { Environment } from "../environment.js";

/** Versions break a refresh lock of a dead process after 180 s. */
const STALE_MS = 180_000;
/** A refresh is a request over the network; it is waited for by trying again later, not here. */
const WAIT_MS = 1000;

const LOCKS_IN_A_ROW = 16;

/** A profile that must not be refreshed meanwhile. */
export interface RefreshedProfile {
  readonly profile: ProfileId;
  readonly provider: string | null;
}

/** The profiles among the patches that a program may be refreshing. */
export function refreshedBy(patches: readonly ProfilePatch[]): RefreshedProfile[] {
  return patches.filter(({ credential }) => credential.type === "oauth");
}

/**
 * Runs an action while holding OpenClaw's locks on the refresh of some profiles, so that a login is not swapped while a
 * refresh of it is under way. Both names that versions use are taken, always in the same order.
 *
 * @throws StoreError `locked` while a refresh is under way
 */
export async function withRefreshLocks<Result>(
  stateDirectory: string,
  profiles: readonly RefreshedProfile[],
  environment: Environment,
  signal: AbortSignal,
  action: () => Promise<Result>,
): Promise<Result> {
  const directory = refreshLockDirectory(stateDirectory);
  const names = profiles
    .flatMap(({ profile, provider }) => (provider === null ? [] : refreshLockNames(provider, profile)))
    .sort();
  if (names.length > 0) await makeLockDirectory(directory);
  const options = { staleMs: STALE_MS, waitMs: WAIT_MS, clock: environment.clock, predecessors: environment.predecessors };
  const under = async (index: number): Promise<Result> => {
    const name = names[index];
    if (name === undefined) return action();
    // Taking one waits for nothing, so that hundreds in a row would keep all other stores waiting.
    if (index % LOCKS_IN_A_ROW === LOCKS_IN_A_ROW - 1) await new Promise((resolve) => setImmediate(resolve));
    // The directory is gone through once, not for each of hundreds of locks in it.
    const each = { ...options, isTidy: index > 0 };
    return environment.refreshLocks.withLock(join(directory, name), each, signal, () => under(index + 1));
  };
  return under(0);
}

/** Reports a directory that takes no locks as such: the store is not the problem. */
async function makeLockDirectory(path: string): Promise<void> {
  try {
    if (existsSync(`${path}/.`)) accessSync(path, constants.W_OK);
    else await makePrivateDirectory(path);
  } catch (error) {
    throw toStoreError(error, path, "write");
  }
}

/** Returns the directory of an OpenClaw's refresh locks. */
export function refreshLockDirectory(stateDirectory: string): string {
  return join(stateDirectory, "locks", "oauth-refresh");
}

/** By provider and profile: hundreds of agents hold the same few. Begun again where there are more than that. */
const MOST_NAMES = 1000;
const namesInUse = new Map<string, readonly [string, string]>();

/** The lock's file names: up to 2026.6.5 by SHA-256, from 2026.6.6 by a two-lane FNV-1a. */
export function refreshLockNames(provider: string, profile: ProfileId): readonly [string, string] {
  const key = `${provider}\0${profile}`;
  const names = namesInUse.get(key) ?? lockNamesOf(provider, profile);
  if (namesInUse.size >= MOST_NAMES) namesInUse.clear();
  namesInUse.set(key, names);
  return names;
}

function lockNamesOf(provider: string, profile: ProfileId): [string, string] {
  const digest = createHash("sha256").update(`${provider}\0${profile}`).digest("hex");
  return [`sha256-${digest}.lock`, `lock-${twoLaneFnv(JSON.stringify([provider, profile]))}.lock`];
}

const FNV_PRIME = 1099511628211n;
const FNV_OFFSET_LEFT = 14695981039346656037n;
const FNV_OFFSET_RIGHT = 11160318154034397263n;
const RIGHT_LANE_SALT = 11400714819323198485n;

function twoLaneFnv(text: string): string {
  let left = FNV_OFFSET_LEFT;
  let right = FNV_OFFSET_RIGHT;
  for (const byte of Buffer.from(text)) {
    const octet = BigInt(byte);
    left = BigInt.asUintN(64, (left ^ octet) * FNV_PRIME);
    right = BigInt.asUintN(64, (right ^ (octet + RIGHT_LANE_SALT)) * FNV_PRIME);
  }
  return [left, right].map((lane) => lane.toString(16).padStart(16, "0")).join("");
}
