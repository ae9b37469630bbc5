import type { ReadTarget } from "../reconcile/observe.js";
import type { InheritedProfiles, ProfileStatus, StoreStatus } from "./status-report.js";

/**
 * Adds to every store's status the profiles that its agent inherits from another store, and the own profiles that hide a login
 * there that is in sync with the source.
 */
export function withInheritance(stores: readonly StoreStatus[], reads: readonly ReadTarget[]): StoreStatus[] {
  const readOf = new Map(reads.map((read) => [read.target.store.name, read]));
  return stores.map((status): StoreStatus => {
    const read = readOf.get(status.store);
    const from = read?.target.origin.inheritsFrom ?? null;
    // Nobody knows what an unreadable store lacks.
    if (read?.snapshot == null || from === null || read.target.binding === "ignore") return status;
    const own = new Set(read.snapshot.profiles.map(({ id }) => id));
    const inherited = servedProfiles(stores, from).filter((profile) => !own.has(profile));
    const fresh = new Set(
      profilesOf(stores, from).flatMap(({ profile, state }) => (state === "in-sync" || state === "source" ? [profile] : [])),
    );
    return {
      ...status,
      inherits: inherited.length === 0 ? null : { store: from, profiles: inherited },
      profiles: status.profiles.map((profile) =>
        fresh.has(profile.profile) && isBehind(profile) ? { ...profile, hides: from } : profile,
      ),
    };
  });
}

/** Lists the profiles that an agent uses of another store. */
export function inheritedProfiles(stores: readonly StoreStatus[], { store, profiles }: InheritedProfiles): ProfileStatus[] {
  return profilesOf(stores, store).filter(({ profile }) => profiles.includes(profile));
}

/** The profiles of a store that follow the source, whatever state they are in. */
export function servedProfiles(stores: readonly StoreStatus[], store: string | null): string[] {
  return profilesOf(stores, store).flatMap(({ profile, state }) => (state === "absent" || state === "separate" ? [] : [profile]));
}

function profilesOf(stores: readonly StoreStatus[], store: string | null): readonly ProfileStatus[] {
  return stores.find((status) => status.store === store)?.profiles ?? [];
}

/** A pinned agent has a login of its own on purpose. */
function isBehind({ state }: ProfileStatus): boolean {
  return state === "held" || state === "drift" || state === "error";
}
