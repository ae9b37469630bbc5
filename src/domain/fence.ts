import type { Fingerprint } from "./generation.js";
import { placementKey, type Fence, type FenceEvent, type LedgerState } from "./ledger.js";
import type { HeldFence, ObservedProfile } from "./observation.js";

/** The programs of a claim wait 120 s for its end; an unchanged one counts as failed after this. */
const CLAIM_LASTS_MS = 180_000;

/** A running daemon sees a mark so soon; what it wrote in between was not there to be marked. */
const MARK_IS_SEEN_WITHIN_MS = 5_000;

/** A fence in a store, with what earlier looks knew of it. */
export interface SeenFence extends Fence {
  readonly place: ObservedProfile;
  /** Until when (epoch ms) the program is given time to finish; null: the refresh failed, or counts as failed. */
  readonly until: number | null;
}

interface Context {
  /** Every profile that was read, whatever its binding. */
  readonly read: readonly ObservedProfile[];
  readonly ledger: LedgerState;
  readonly now: number;
  /** True if the clock jumped since the last scan. The duration of each claim is then unknown, so the wait starts again. */
  readonly clockJumped: boolean;
}

/** All fences of one scan (rule R16a). A fence is neither a credential nor a logout. */
export class Fences {
  readonly #seen: ReadonlyMap<string, SeenFence>;
  readonly #context: Context;

  constructor(places: readonly ObservedProfile[], context: Context) {
    this.#context = context;
    this.#seen = new Map(
      places.flatMap((place): [string, SeenFence][] => {
        const { held } = place;
        return held.kind === "fence" ? [[placementKey(place.store, place.profile), see(place, held, context)]] : [];
      }),
    );
  }

  at({ store, profile }: ObservedProfile): SeenFence | null {
    return this.#seen.get(placementKey(store, profile)) ?? null;
  }

  /**
   * Until when (epoch ms) a fence is left alone: its own refresh is under way, or that of another store that may bring
   * what this one waits for. Null: the refresh failed, and nothing is awaited.
   */
  busyUntil(fence: SeenFence): number | null {
    const awaited = this.#all().filter(({ claim, place }) => claim === fence.claim || place.profile === fence.place.profile);
    const times = awaited.flatMap(({ until }) => (until === null ? [] : [until]));
    return times.length === 0 ? null : Math.max(...times);
  }

  /** A failed refresh that may have spent a generation, with the answer lost, or null. */
  mayHaveSpent(generation: Fingerprint): SeenFence | null {
    const failed = this.#all().filter((fence) => fence.spends === generation && this.busyUntil(fence) === null);
    return failed.find((fence) => !this.wasNeverSent(fence)) ?? null;
  }

  /**
   * Checks whether a failed refresh never reached a server. OpenClaw marks every profile with this id and login before it asks a
   * server, so an unmarked one proves it. But in the login's last five minutes it may also mark one row without asking.
   */
  wasNeverSent({ place, claim, failed, spends, since }: SeenFence): boolean {
    const { read, ledger } = this.#context;
    const marked = ledger.placements.get(placementKey(place.store, place.profile));
    const knownAt = marked?.writtenAt ?? marked?.at ?? null;
    // A program that died in the middle of it never said that it failed.
    if (!failed || spends === null || place.marksWith === undefined) return false;
    return read.some(({ store, profile, provider, marksWith, held }) => {
      if (marksWith !== place.marksWith || profile !== place.profile || provider !== place.provider) return false;
      if (held.kind !== "credential" || held.generation !== spends) return false;
      const placement = ledger.placements.get(placementKey(store, profile));
      // The program marked this profile as failed, so somebody else brought its login back. The program itself takes a mark back
      // only while the refresh is under way and has asked no server.
      if (placement?.fence?.claim === claim && placement.fence.failed) return false;
      // credsyncd wrote this profile after the marking, so the program could not mark it.
      if (placement?.generation !== spends || placement.writtenAt === undefined) return true;
      if (placement.writtenAt >= since - MARK_IS_SEEN_WITHIN_MS) return false;
      // If the marked store was unreadable for a while, the mark may be as old as the last known content.
      return knownAt === null || placement.writtenAt <= knownAt + MARK_IS_SEEN_WITHIN_MS;
    });
  }

  /** When (epoch ms) the refreshes under way count as failed; also those that no target waits for may make live suspect. */
  ends(): number[] {
    return this.#all().flatMap(({ until }) => (until === null ? [] : [until]));
  }

  /** Returns the events that the ledger does not have yet. */
  events(): FenceEvent[] {
    const { ledger, now } = this.#context;
    return this.#all().flatMap(({ place, claim, failed, spends, since }): FenceEvent[] => {
      const { store, profile } = place;
      const known = ledger.placements.get(placementKey(store, profile))?.fence ?? null;
      const unchanged = known?.claim === claim && known.failed === failed && known.spends === spends && known.since === since;
      return unchanged ? [] : [{ kind: "fence", at: now, store, profile, claim, failed, spends, since }];
    });
  }

  #all(): SeenFence[] {
    return [...this.#seen.values()];
  }
}

function see(place: ObservedProfile, held: HeldFence, { ledger, now, clockJumped }: Context): SeenFence {
  const before = ledger.placements.get(placementKey(place.store, place.profile))?.fence;
  const known = before?.claim === held.claim ? before : null;
  const { claim, failed } = held;
  const restarts = known === null || (!failed && (clockJumped || known.since > now));
  const since = restarts ? now : known.since;
  const until = failed || now >= since + CLAIM_LASTS_MS ? null : since + CLAIM_LASTS_MS;
  // The token that it names may have been in another store when the fence was first seen, and nowhere now.
  return { place, claim, failed, spends: held.spends ?? known?.spends ?? null, since, until };
}

/** The generation that a fence recorded earlier ties a profile to. */
export function fencedGeneration(fence: Fence | null | undefined, ledger: LedgerState): Fingerprint | null {
  return fence?.spends != null && ledger.generations.has(fence.spends) ? fence.spends : null;
}
