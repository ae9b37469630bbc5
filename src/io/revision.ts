import { createHash } from "node:crypto";
import type { Revision } from "../domain/store.js";

/** The revision of a store that does not exist. */
export const ABSENT: Revision = "absent";

/** Hashes a store's content for compare-and-swap. */
export function revisionOf(text: string): Revision {
  return createHash("sha256").update(text).digest("base64url");
}
