import { Failure } from "../domain/errors.js";
import type { Stuck } from "../io/owner-lock.js";
import { backoffMs } from "../reconcile/backoff.js";
import type { Composition } from "./compose.js";

/** A third of a second at the most: who waits for a command waits for this. */
const ATTEMPTS = 3;

/**
 * Before a process ends: tries for the last time to remove what could not be removed. What is still there is left to the
 * next start, which finds the state directory as a killed process leaves it.
 *
 * @returns what is left
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
    // Where it cannot be made nothing more can be done; what is left was told.
    if (!(error instanceof Failure)) throw error;
  }
}
