import { Failure } from "../domain/errors.js";
import type { Stuck } from "../io/owner-lock.js";
import { backoffMs } from "../reconcile/backoff.js";
import type { Composition } from "./compose.js";

/** A third of a second at the most: who waits for a command waits for this. */
const ATTEMPTS = 3;

/**
 * Tries for the last time, before a process ends, to remove files that could not be removed. If some remain, it leaves the state
 * directory as a killed process does, so that the next start removes them.
 *
 * @returns the files that remain
 */
export async function leaveStuck({ environment, lock }: Pick<Composition, "environment" | "lock">): Promise<Stuck[]> {
  const { clock, predecessors } = environment;
  const signal = new AbortController().signal;
  let stuck = predecessors.removeStuck();
  for (let attempt = 1; attempt <= ATTEMPTS && stuck.length > 0; attempt++) {
    await clock.sleep(backoffMs(attempt, 0), signal);
    stuck = predecessors.removeStuck();
  }
  if (stuck.length > 0) await leave(lock);
  return stuck;
}

async function leave(lock: Composition["lock"]): Promise<void> {
  try {
    await lock.leave();
  } catch (error) {
    // If that fails there is nothing more to do; the caller has reported the files.
    if (!(error instanceof Failure)) throw error;
  }
}
