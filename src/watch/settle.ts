/** When to act on a stream of events: at once after a pause, else when they have settled. */
export interface Settle {
  /** The pause that counts as settled (ms). */
  readonly quietMs: number;
  /** The longest wait since the first event that is not acted on yet (ms). */
  readonly capMs: number;
}

/** Times (ms on one clock) of what happened so far. */
export interface Burst {
  /** The first event that is not acted on yet, or null. */
  readonly firstAt: number | null;
  readonly lastAt: number | null;
  /** The end of the last action, or null before the first. */
  readonly actedAt: number | null;
}

export const calm: Burst = { firstAt: null, lastAt: null, actedAt: null };

/** Events of the source settle by themselves: a rotation does not wait until busy agents are quiet. */
export interface Bursts {
  readonly source: Burst;
  readonly others: Burst;
}

export const allCalm: Bursts = { source: calm, others: calm };

export function hasEvents({ source, others }: Bursts): boolean {
  return source.firstAt !== null || others.firstAt !== null;
}

/** One action is for all events. */
export function ofEach({ source, others }: Bursts, change: (burst: Burst) => Burst): Bursts {
  return { source: change(source), others: change(others) };
}

/** Takes one more event in. */
export function noteEvent(burst: Burst, at: number): Burst {
  return { ...burst, firstAt: burst.firstAt ?? at, lastAt: at };
}

/** The events so far are about to be acted on; those that come meanwhile are new ones. */
export function noteActing(burst: Burst): Burst {
  return { ...burst, firstAt: null };
}

/** The action ended. */
export function noteActed(burst: Burst, at: number): Burst {
  return { ...burst, actedAt: at };
}

/**
 * When to act.
 *
 * @returns null when nothing waits; a time that may be past
 */
export function dueAt({ firstAt, lastAt, actedAt }: Burst, { quietMs, capMs }: Settle): number | null {
  if (firstAt === null || lastAt === null) return null;
  const isFirstAfterQuiet = firstAt === lastAt && (actedAt === null || firstAt - actedAt >= quietMs);
  return isFirstAfterQuiet ? firstAt : Math.min(lastAt + quietMs, firstAt + capMs);
}
