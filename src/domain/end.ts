/** When an access token expires (epoch ms); null where that is unknown: it is later than nothing, and never over. */
export type End = number | null;

/** An expiry as a store stated it, and when it was recorded (both epoch ms). */
export interface StatedEnd {
  readonly expiresAt: number | null;
  readonly recordedAt: number;
}

/** The start of 2021: no login that is in use expired before. */
const FIRST_PLAUSIBLE_MS = 1_609_459_200_000;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Returns how long (ms) an access token of the provider may last at most; real ones last for less. */
export function longestLifeMs(provider: string | null): number {
  switch (provider) {
    case "anthropic":
    case "claude-cli":
      return 48 * HOUR_MS;
    case "openai":
    case "openai-codex":
      return 30 * DAY_MS;
    default:
      return 365 * DAY_MS;
  }
}

/**
 * Judges the expiries of one provider's logins at one moment (rule R8). A missing expiry, one in another unit, and one from a
 * clock that ran ahead are unknown: they order nothing.
 */
export class Ends {
  readonly #now: number;
  readonly #longestMs: number;

  /** @param longestMs see `longestLifeMs` */
  constructor(now: number, longestMs: number) {
    this.#now = now;
    this.#longestMs = longestMs;
  }

  /** @param recordedAt when the expiry was first recorded; now for what is just read */
  of(expiresAt: number | null, recordedAt = this.#now): End {
    if (expiresAt === null || expiresAt < FIRST_PLAUSIBLE_MS) return null;
    return recordedAt > this.#now || expiresAt > recordedAt + this.#longestMs ? null : expiresAt;
  }

  /** The latest of several, or null where none is known. */
  latestOf(stated: Iterable<StatedEnd>): End {
    let latest: End = null;
    for (const { expiresAt, recordedAt } of stated) {
      const end = this.of(expiresAt, recordedAt);
      if (end !== null && (latest === null || end > latest)) latest = end;
    }
    return latest;
  }

  isOver(end: End): boolean {
    return end !== null && end <= this.#now;
  }
}

/** Checks whether one end is certainly after another. */
export function isLater(left: End, right: End): boolean {
  return left !== null && right !== null && left > right;
}
