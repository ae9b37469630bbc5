import { randomUUID } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const OWN_TEMPORARY = /\.credsyncd-[0-9a-f-]{36}\.tmp$/;

/** A name beside a file for what is to take its place, which no other program gives. */
export function temporaryName(path: string): string {
  return join(dirname(path), `${basename(path)}.credsyncd-${randomUUID()}.tmp`);
}

/**
 * Removes what a killed credsyncd left half done in a directory. To be called under the lock that guards its files, so
 * that nobody is at work on them; whoever only wants the lock makes another temporary file when its own is gone.
 */
export function removeLeftovers(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isFile() && OWN_TEMPORARY.test(entry.name)) rmSync(join(directory, entry.name), { force: true });
  }
}
