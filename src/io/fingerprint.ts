import { createHash, createHmac, randomBytes } from "node:crypto";
import { link, rm, writeFile } from "node:fs/promises";
import * as z from "zod/mini";
import { Failure } from "../domain/errors.js";
import { asFingerprint, type FingerprintOf } from "../domain/generation.js";
import { toOwnFailure } from "./own-file.js";
import { readRegularFile, type RegularFile } from "./regular-file.js";
import { isUnlinkable } from "./system-error.js";
import { temporaryName } from "./temporary-file.js";

/** A fingerprint that was recorded. */
export const fingerprintShape = z.pipe(z.string(), z.transform(asFingerprint));

/** The key that names secrets; who has it can test guesses, so it never leaves the state directory. */
export interface FingerprintKey {
  readonly id: string;
  readonly fingerprintOf: FingerprintOf;
}

/** Returns a key for one scan, for use before there is a state directory. */
export function ephemeralKey(): FingerprintKey {
  return keyFrom(randomBytes(32).toString("hex"));
}

/**
 * Reads the key of a state directory.
 *
 * @returns null where there is none yet
 * @throws Failure when the file holds something else
 */
export async function readKey(path: string): Promise<FingerprintKey | null> {
  const hint = "remove it: a new one is made, and every store is looked at as if for the first time";
  const file = await readFileAt(path, hint);
  if (file === null) return null;
  const hex = file.text.trim();
  if (/^[0-9a-f]{64}$/.test(hex)) return keyFrom(hex);
  throw new Failure("bad-data", `${path} does not hold a fingerprint key`, hint);
}

async function readFileAt(path: string, hint: string): Promise<RegularFile | null> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    throw toOwnFailure(error, path, hint);
  }
}

/**
 * Makes the key of a state directory; whoever was first wins, and nobody ever reads half of it.
 *
 * @throws an `EEXIST` system error where there is one already
 */
export async function createKey(path: string): Promise<FingerprintKey> {
  const hex = randomBytes(32).toString("hex");
  const temporary = temporaryName(path);
  const options = { mode: 0o600, flag: "wx", flush: true };
  try {
    await writeFile(temporary, `${hex}\n`, options);
    await link(temporary, path);
  } catch (error) {
    if (!isUnlinkable(error)) throw error;
    await writeFile(path, `${hex}\n`, options);
  } finally {
    await rm(temporary, { force: true });
  }
  return keyFrom(hex);
}

function keyFrom(hex: string): FingerprintKey {
  const key = Buffer.from(hex, "hex");
  return {
    id: createHash("sha256").update(key).digest("hex").slice(0, 16),
    fingerprintOf: (secret) => asFingerprint(createHmac("sha256", key).update(secret.reveal()).digest("hex").slice(0, 32)),
  };
}
