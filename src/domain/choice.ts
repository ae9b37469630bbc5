import type { Credential } from "./credential.js";
import type { Place } from "./place.js";
import type { Secret } from "./secret.js";
import type { ProfileId, Revision, StoreDescription, StoreName } from "./store.js";

/** A profile that a program could use. */
export interface ChoosableProfile {
  readonly id: ProfileId;
  /** As the store names it; null where it names none. */
  readonly provider: string | null;
  readonly type: Credential["type"] | null;
  /** Why its program could not use it now; null: it can. */
  readonly flaw: Flaw | null;
  /** The profile's exact text. */
  readonly image: () => Secret;
  /** The part that names the credential: the refresh token, else the secret itself, else the whole text. */
  readonly naming: () => Secret;
}

/** A reason why a program cannot use a profile; `refreshing` passes without help. */
export interface Flaw {
  readonly kind: "incomplete" | "expired" | "refreshing";
  /** In words. */
  readonly explanation: string;
}

/** The profiles of a store and its choice among them, read at one moment. */
export interface Choice {
  /** Over the profiles and what is noted of their use, wherever the store keeps each. */
  readonly revision: Revision;
  /** Tells the same file under two names apart from two files; null where the store is absent. */
  readonly identity: string | null;
  readonly profiles: readonly ChoosableProfile[];
  /** The profiles to use, in turn, by provider as the store writes it. */
  readonly order: Readonly<Record<string, readonly ProfileId[]>>;
  /** The profile that last worked, by provider as the store writes it. */
  readonly lastGood: Readonly<Record<string, ProfileId>>;
  readonly usage: Readonly<Record<ProfileId, ProfileUsage>>;
  /** The exact text of the value at a path of keys, in the place where the store keeps it; null where there is none. */
  readonly valueAt: (path: readonly string[]) => Secret | null;
  /** The key behind the one at the end of a path, so that it can be put back where it was. */
  readonly keyAfter: (path: readonly string[]) => string | null;
  /** True if the store can take named values under this key without other changes. */
  readonly isRecord: (key: "order" | "lastGood") => boolean;
}

/** A program's notes on the use of a profile. */
export interface ProfileUsage {
  /** Epoch ms; null: never. */
  readonly lastUsedAt: number | null;
  /** Until when the program leaves the profile alone because it failed (epoch ms); null: it does not. */
  readonly blockedUntil: number | null;
  /** The keys of the notes that keep a healed profile waiting. */
  readonly penalties: readonly string[];
}

/**
 * One value of a store that a switch changes: `profiles.<id>`, `order`…, `lastGood`… or `usageStats`….
 *
 * The images are the values' JSON texts; null: it is not there.
 */
export interface FieldChange {
  readonly path: readonly string[];
  readonly before: Secret | null;
  readonly after: Secret | null;
  /** The store that a new profile is copied from; null: `after` was not copied. */
  readonly copiedFrom: StoreName | null;
  /** The key that a removed one stood in front of; null: it was the last, or is not removed. */
  readonly next: string | null;
}

/** To which side of a change a store is brought. */
export type Side = "before" | "after";

/** A change that is ready: everything that takes space is on the disk, and nothing of the store has changed yet. */
export interface StagedChoice {
  /**
   * Puts it in place if the store still is what it was staged for.
   *
   * @returns the revision that it has then
   * @throws StoreError `conflict` where the store changed since, `locked` where it is busy; then nothing of it changed, or
   * it is between the two sides, from which staging again leads to either
   */
  readonly commit: (signal: AbortSignal) => Promise<Revision>;
  /** Checks whether the store is still as it was at staging. @throws StoreError */
  readonly isCurrent: () => Promise<boolean>;
  readonly discard: () => Promise<void>;
}

/** How a store is found again after a crash. */
export interface ChoicePlace extends StoreDescription {
  /** The state directory of the program that owns it. */
  readonly stateDirectory: string;
}

/** The port to the part of a program's store that says which profile is used. */
export interface ChoiceStore extends ChoicePlace {
  /** As of a `CredentialStore`. */
  places(): readonly Place[];
  /** @throws StoreError */
  readChoice(): Promise<Choice>;
  /**
   * Makes changes ready, from whatever side each field is on to the one that is wanted.
   *
   * @param tag names the transaction, so that `sweep` finds what a crash left
   * @returns null where the store is on that side already
   * @throws StoreError `conflict` where the revision is not `expected`, `overtaken` where a field is on neither side: someone
   * else changed it
   */
  stage(changes: readonly FieldChange[], side: Side, expected: Revision, tag: string): Promise<StagedChoice | null>;
  /**
   * Takes the program's own locks that guard these changes, at once or not at all; `commit` uses them then.
   *
   * @returns what releases them; null where the format has none that can be held
   * @throws StoreError `locked`
   */
  hold(changes: readonly FieldChange[]): Promise<(() => Promise<void>) | null>;
  /** Removes what an interrupted transaction staged. @throws StoreError */
  sweep(tag: string): Promise<void>;
}

/** The settings in `openclaw.json` for the use of profiles, which apply to every agent. */
export interface AuthPreferences {
  /** The file, for messages. */
  readonly path: string;
  /** By provider as the file writes it. */
  readonly order: Readonly<Record<string, readonly ProfileId[]>>;
  readonly profiles: Readonly<Record<ProfileId, { readonly provider: string | null; readonly mode: string | null }>>;
  /** The line of a path of keys, from 1; null if the path is absent or its line is unknown. */
  readonly lineOf: (path: readonly string[]) => number | null;
}

/** An agent, or the store that agents share, as something that uses profiles. */
export interface InstalledAgent {
  /** Its id; `shared` for the shared store. */
  readonly agent: string;
  readonly store: StoreName;
  /** Null: it has no store of its own. */
  readonly choice: ChoiceStore | null;
  /** The store below its own; null: none. */
  readonly inheritsFrom: StoreName | null;
  readonly ownComeFirst: boolean;
}

/** One program of several agents, and what its config says of all of them. */
export interface Installation {
  readonly agents: readonly InstalledAgent[];
  readonly preferences: AuthPreferences;
}

/** An agent's view: its own store over the one that it inherits from. */
export interface AgentSight {
  /** Null: nothing of its own. */
  readonly own: Choice | null;
  /** Null: it inherits nothing. */
  readonly shared: Choice | null;
  /** From the databases on, an agent's own profiles come before an order that it only inherits. */
  readonly ownComeFirst: boolean;
}

/** Which profile an agent would use for a provider. */
export interface Resolution {
  readonly profile: ProfileId | null;
  /** The setting that decided it. */
  readonly by: "store-order" | "config-order" | "config-profiles" | "all-profiles";
  /** The profile that is meant but cannot be used, and why; null where what is meant is used. */
  readonly broken: { readonly profile: ProfileId; readonly explanation: string } | null;
}

/** Providers are the same whatever their case. */
export function providerKey(provider: string): string {
  return provider.trim().toLowerCase();
}

/** The value under a provider's key, however it is written there. */
export function ofProvider<Value>(entries: Readonly<Record<string, Value>>, provider: string): Value | null {
  const key = Object.keys(entries).find((name) => providerKey(name) === providerKey(provider));
  return key === undefined ? null : (entries[key] ?? null);
}

/** The profiles that an agent sees, its own before inherited ones of the same id. */
export function visibleProfiles({ own, shared }: AgentSight): ChoosableProfile[] {
  const byId = new Map([...(shared?.profiles ?? []), ...(own?.profiles ?? [])].map((profile) => [profile.id, profile]));
  return [...byId.values()];
}

/**
 * The profile that OpenClaw would use for a provider: the first usable one of the store's order, else of the config's
 * order, else of the profiles that the config lists, else of all (openclaw/openclaw, src/agents/auth-profiles/order.ts).
 *
 * @param now epoch ms
 */
export function resolveActive(sight: AgentSight, provider: string, preferences: AuthPreferences, now: number): Resolution {
  const profiles = new Map(visibleProfiles(sight).map((profile) => [profile.id, profile]));
  const ofThisProvider = [...profiles.values()].filter((profile) => isOf(profile, provider)).map(({ id }) => id);
  const { candidates, by } = candidatesOf(sight, provider, preferences, ofThisProvider);
  const flawOf = (id: ProfileId): string | null => flawIn(profiles.get(id) ?? null, provider, preferences);
  const allMissing = candidates.length > 0 && candidates.every((id) => !profiles.has(id));
  const considered = allMissing && by !== "config-order" ? ofThisProvider : candidates;
  const usable = considered.filter((id) => flawOf(id) === null);
  const isExplicit = by === "store-order" || by === "config-order";
  const sorted = isExplicit && !allMissing ? usable : byKindAndAge(usable, profiles, sight);
  const free = sorted.filter((id) => !isBlocked(sight, id, now));
  const profile = free[0] ?? sorted[0] ?? null;
  const meant = isExplicit ? candidates[0] : candidates.length === 1 ? candidates[0] : undefined;
  const flaw = meant === undefined || meant === profile ? null : flawOf(meant);
  if (meant !== undefined && flaw !== null) return { profile, by, broken: { profile: meant, explanation: flaw } };
  const [first] = considered;
  if (profile !== null || first === undefined) return { profile, by, broken: null };
  return { profile, by, broken: { profile: first, explanation: flawOf(first) ?? "it cannot be used" } };
}

function candidatesOf(
  { own, shared, ownComeFirst }: AgentSight,
  provider: string,
  preferences: AuthPreferences,
  all: readonly ProfileId[],
): { readonly candidates: readonly ProfileId[]; readonly by: Resolution["by"] } {
  const ownOrder = own === null ? null : ofProvider(own.order, provider);
  const sharedOrder = shared === null ? null : ofProvider(shared.order, provider);
  const locals =
    ownComeFirst && own !== null ? own.profiles.filter((profile) => isOf(profile, provider)).map(({ id }) => id) : [];
  const stored = ownOrder ?? (sharedOrder === null ? null : [...locals, ...sharedOrder]);
  if (stored !== null) return { candidates: unique(stored), by: "store-order" };
  const configured = ofProvider(preferences.order, provider);
  if (configured !== null) return { candidates: unique(configured), by: "config-order" };
  const listed = listedProfiles(preferences, provider);
  return listed.length > 0 ? { candidates: listed, by: "config-profiles" } : { candidates: all, by: "all-profiles" };
}

/** The profiles of a provider that the config lists: where there are any, others are only used if a store's order says so. */
export function listedProfiles({ profiles }: AuthPreferences, provider: string): ProfileId[] {
  return Object.entries(profiles).flatMap(([id, listed]) => {
    return listed.provider !== null && providerKey(listed.provider) === providerKey(provider) ? [id] : [];
  });
}

/** Why OpenClaw passes a profile over; null where it would use it. */
function flawIn(profile: ChoosableProfile | null, provider: string, preferences: AuthPreferences): string | null {
  if (profile === null) return "it is not there";
  if (!isOf(profile, provider)) return `it is of the provider ${profile.provider ?? "(none)"}`;
  return profile.flaw?.explanation ?? exclusionOf(profile, provider, preferences);
}

/** Why `openclaw.json` keeps OpenClaw from using a profile, whatever the order; null where it does not. */
export function exclusionOf(
  { id, type }: Pick<ChoosableProfile, "id" | "type">,
  provider: string,
  { profiles }: AuthPreferences,
): string | null {
  const listed = Object.hasOwn(profiles, id) ? profiles[id] : undefined;
  if (listed === undefined) return null;
  if (listed.provider !== null && providerKey(listed.provider) !== providerKey(provider))
    return `openclaw.json has it under the provider ${listed.provider}`;
  const isFitting = listed.mode === null || listed.mode === type || (listed.mode === "oauth" && type === "token");
  return isFitting ? null : `openclaw.json says that its mode is ${listed.mode}, but it is ${type ?? "of no known type"}`;
}

function isOf({ provider }: ChoosableProfile, wanted: string): boolean {
  return provider !== null && providerKey(provider) === providerKey(wanted);
}

function usageOf({ own, shared }: AgentSight, id: ProfileId): ProfileUsage | null {
  for (const choice of [own, shared]) {
    const usage = choice !== null && Object.hasOwn(choice.usage, id) ? choice.usage[id] : undefined;
    if (usage !== undefined) return usage;
  }
  return null;
}

function isBlocked(sight: AgentSight, id: ProfileId, now: number): boolean {
  return (usageOf(sight, id)?.blockedUntil ?? 0) > now;
}

/** Logins, then tokens, then keys; among these the one that was not used for longest. */
function byKindAndAge(
  ids: readonly ProfileId[],
  profiles: ReadonlyMap<ProfileId, ChoosableProfile>,
  sight: AgentSight,
): ProfileId[] {
  const kind = (id: ProfileId): number => ["oauth", "token", "api_key"].indexOf(profiles.get(id)?.type ?? "");
  const used = (id: ProfileId): number => usageOf(sight, id)?.lastUsedAt ?? 0;
  return [...ids].sort((left, right) => kind(left) - kind(right) || used(left) - used(right));
}

function unique(ids: readonly ProfileId[]): ProfileId[] {
  return [...new Set(ids)];
}

/** The phase of a switch in the journal: nothing is changed yet, it must be completed, or it must be undone. */
export type SwitchPhase = "prepared" | "committing" | "undoing";

/** A switch as the journal keeps it until every store is on one side. */
export interface SwitchRecord {
  readonly id: string;
  /** Epoch ms. */
  readonly at: number;
  readonly phase: SwitchPhase;
  readonly provider: string;
  readonly profile: ProfileId;
  /** The source of copies for new profiles; null: none are copied. */
  readonly donor: ChoicePlace | null;
  readonly parts: readonly { readonly place: ChoicePlace; readonly changes: readonly FieldChange[] }[];
}

/** The port to the journal: one record a switch. */
export interface SwitchJournal {
  /** Makes a record durable and replaces an earlier one with its id. @throws Failure */
  write(record: SwitchRecord): Promise<void>;
  /** Checks whether the journal has nothing at all, not even half a record. */
  isEmpty(): Promise<boolean>;
  /** Returns the records that crashes left, oldest first. @throws Failure for a record that cannot be understood */
  list(): Promise<SwitchRecord[]>;
  /** Removes halves of records, which a crash left; only where nobody else writes one. */
  sweep(): void;
  drop(id: string): Promise<void>;
}
