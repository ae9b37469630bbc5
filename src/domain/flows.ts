import type { Selection, SingleLogin, TargetStore, UnusedIds } from "./inventory.js";
import {
  flowId,
  foldLedger,
  liveOf,
  placementKey,
  splitKey,
  type ChainId,
  type LedgerEvent,
  type LedgerState,
  type Terms,
} from "./ledger.js";
import { fencedGeneration } from "./fence.js";
import { NO_FINGERPRINT, type Fingerprint } from "./generation.js";
import {
  refreshGenerationOf,
  type ObservedProfile,
  type ObservedSource,
  type ObservedTarget,
  type Orders,
  type Policy,
  type SourceLook,
} from "./observation.js";
import { planSync, type Plan, type PlannedWrite } from "./plan.js";
import type { ProfileId, StoreName, StoreSnapshot } from "./store.js";
import { knownGeneration, type TargetReport } from "./target-verdict.js";

const ABSENT_REVISION = "absent";

/** A target's store that was read, with what it holds. */
export interface StoreLook {
  readonly target: TargetStore;
  readonly snapshot: Pick<StoreSnapshot, "revision"> | null;
  readonly profiles: readonly ObservedProfile[];
}

export interface FlowsInput {
  readonly source: SourceLook;
  readonly selection: Selection;
  readonly stores: readonly StoreLook[];
  readonly ledger: LedgerState;
  readonly policy: Policy;
  readonly orders: Orders;
  /** As in `PlanInput`. */
  readonly restarted: ReadonlySet<StoreName>;
  /** Epoch ms. */
  readonly now: number;
  /** As in `PlanInput`. */
  readonly clockJumped: boolean;
}

/** The whole of what one reconcile would do; `--dry-run` prints it and apply carries it out. */
export interface SyncPlan {
  /** One for each followed profile of the source; where none is there, one for what is missing. */
  readonly flows: readonly [Plan, ...Plan[]];
  /** To be durable before anything is pushed. */
  readonly record: readonly LedgerEvent[];
  readonly writes: readonly PlannedWrite[];
  readonly reports: readonly TargetReport[];
  /** When time alone requires the next scan (epoch ms); null if only a change can matter. */
  readonly wakeAt: number | null;
}

/** Plans every flow over one scan. Later flows know the logins that earlier ones bring. */
export function planFlows(found: FlowsInput): SyncPlan {
  const input = { ...found, ledger: withoutRenewed(found) };
  const [first, ...others] = sourcesOf(input);
  const targetsOf = divide([first, ...others], input);
  const plan = (source: ObservedSource, ledger: LedgerState): Plan => {
    const { policy, orders, restarted, now, clockJumped } = input;
    const targets = targetsOf(source);
    const provider = providerOfFlow(source, targets, input);
    return planSync({ source, provider, targets, ledger, policy, orders, restarted, now, clockJumped });
  };
  const flows: [Plan, ...Plan[]] = [plan(first, input.ledger)];
  let { ledger } = input;
  for (const source of others) {
    ledger = foldLedger(ledger, flows.at(-1)?.record ?? []);
    flows.push(plan(source, ledger));
  }
  const wakes = flows.flatMap(({ wakeAt }) => (wakeAt === null ? [] : [wakeAt]));
  return {
    flows,
    record: flows.flatMap(({ record }) => record),
    writes: flows.flatMap(({ writes }) => writes),
    reports: flows.flatMap(({ reports }) => reports),
    wakeAt: wakes.length === 0 ? null : Math.min(...wakes),
  };
}

/** The provider of a flow's logins: the source's own, even if its format has no word for it. */
function providerOfFlow(source: ObservedSource, targets: readonly ObservedTarget[], { selection }: FlowsInput): string | null {
  if (selection.kind === "one") return selection.providers[0] ?? null;
  return source.state === "present" ? source.observed.provider : (targets.find(({ related }) => related)?.provider ?? null);
}

/** The ledger without what renewed stores held before and do not have: it went with the directory, not by a logout. */
function withoutRenewed({ ledger, stores }: FlowsInput): LedgerState {
  const renewed = new Map(stores.flatMap((look) => (look.target.renewed === true ? [[look.target.store.name, look]] : [])));
  if (renewed.size === 0) return ledger;
  const isKept = (key: string): boolean => {
    const { store, profile } = splitKey(key);
    const look = renewed.get(store);
    return look === undefined || holds(look, profile);
  };
  return { ...ledger, placements: new Map([...ledger.placements].filter(([key]) => isKept(key))) };
}

/** Checks whether the plan changes nothing outside credsyncd's own state. */
export function isEmptyPlan({ flows, writes }: SyncPlan): boolean {
  return writes.length === 0 && flows.every(({ adoption, restoration }) => adoption === null && restoration === null);
}

/** Returns the followed profiles of the source: present ones, ones that must appear, and former ones. */
function sourcesOf(input: FlowsInput): [ObservedSource, ...ObservedSource[]] {
  const { source, selection } = input;
  if (selection.kind === "one") return [sourceOf(selection.profile, source, selection)];
  const ids = new Set([...selection.named, ...presentIn(source).filter(selection.matches), ...followedBefore(input)]);
  const [first, ...others] = [...ids].map((profile) => sourceOf(profile, source, selection));
  return [first ?? sourceOf(selection.text, source, selection), ...others];
}

function presentIn(source: SourceLook): ProfileId[] {
  return source.state === "read" ? source.profiles.map(({ observed }) => observed.profile) : [];
}

/** Profiles that were followed, as long as anyone has them: what left the source and every agent is over. */
function followedBefore({ source, selection, stores, ledger }: FlowsInput): ProfileId[] {
  if (selection.kind === "one") return [];
  const followed = [...ledger.live].flatMap(([flow, { profile }]) => (flow === flowOf(selection, profile) ? [profile] : []));
  return followed.filter(
    (profile) => selection.matches(profile) && (source.state === "unreadable" || stores.some((store) => holds(store, profile))),
  );
}

function sourceOf(profile: ProfileId, source: SourceLook, selection: Selection): ObservedSource {
  const flow = flowOf(selection, profile);
  if (source.state === "unreadable") {
    const { code, ...place } = source;
    return { ...place, torn: code === "torn", profile, flow };
  }
  const present = source.profiles.find(({ observed }) => observed.profile === profile);
  if (present === undefined) return { store: source.store, profile, flow, state: "missing" };
  return { store: present.observed.store, profile, flow, state: "present", ...present };
}

function flowOf(selection: Selection, profile: ProfileId): string {
  return flowId(selection.kind === "one" ? null : selection.source, profile);
}

function holds({ profiles }: StoreLook, profile: ProfileId): boolean {
  return profiles.some((observed) => observed.profile === profile);
}

/** Gives every profile of every target to the one flow that it concerns, if any. */
function divide(
  sources: readonly [ObservedSource, ...ObservedSource[]],
  input: FlowsInput,
): (source: ObservedSource) => readonly ObservedTarget[] {
  const { selection, stores } = input;
  const followers = new Map<ObservedSource, ObservedTarget[]>(sources.map((source) => [source, []]));
  const follow = selection.kind === "one" ? followOne(sources[0], selection) : followSameId(sources, input);
  for (const look of stores) {
    const { target, profiles } = look;
    const { binding, share, expiryMarginMs, single, unused } = target;
    const common = target.origin.overruledBy ?? null;
    const standIns = standInsOf(target, selection);
    const present = single === null || profiles.length > 0 ? profiles : [absentProfile(target.store.name, single.profile, null)];
    for (const profile of present) {
      const found = follow(profile, single);
      if (found === null) continue;
      const { source, listed, related } = found;
      // Only one spread: this runs for every profile of hundreds of agents at every scan, and a second one is slow.
      const overruledBy = unused?.has(profile.profile) === true ? null : common;
      const creates = single?.creates === true;
      const observed = { ...profile, binding, share, expiryMarginMs, creates, listed, related, overruledBy };
      const standsIn = !listed && standIns.has(profile.profile);
      followers.get(source)?.push(standsIn ? { ...observed, ...termsOf(profile, target, input), standsIn } : observed);
    }
    for (const { source, ...absent } of absentProfiles(sources, look, input)) {
      const standsIn = standIns.has(absent.profile);
      const terms = standsIn ? { ...termsOf(absent, target, input), standsIn } : {};
      const observed = { ...absent, binding, share, expiryMarginMs, creates: true, listed: true, related: true, ...terms };
      followers.get(source)?.push(observed);
    }
  }
  return (source) => followers.get(source) ?? [];
}

/** Returns the ids that a store's program uses instead of listed ones. */
function standInsOf({ unused }: TargetStore, selection: Selection): ReadonlySet<ProfileId> {
  if (unused === undefined || selection.kind !== "one") return noIds;
  return new Set(selection.followers.flatMap((id) => unused.get(id) ?? []));
}

const noIds: ReadonlySet<ProfileId> = new Set();

/** Returns the terms of a profile that replaces an unused one: those under which credsyncd made it, or those of its store. */
function termsOf({ store, profile, held }: ObservedProfile, target: TargetStore, { ledger }: FlowsInput): Terms {
  const { share, expiryMarginMs, termsOfMade } = target;
  const isMade = held.kind === "absent" || ledger.placements.get(placementKey(store, profile))?.made === true;
  return isMade && termsOfMade !== undefined ? termsOfMade : { share, expiryMarginMs };
}

function absentProfile(store: StoreName, profile: ProfileId, provider: string | null): ObservedProfile {
  return { store, profile, provider, held: { kind: "absent" }, account: null, surroundings: () => NO_FINGERPRINT };
}

interface AbsentProfile extends ObservedProfile {
  readonly source: ObservedSource;
}

/** The profiles that a store is to get, or once got and lost. */
function absentProfiles(
  sources: readonly ObservedSource[],
  { target, snapshot, profiles }: StoreLook,
  input: FlowsInput,
): AbsentProfile[] {
  const { creation, binding, store, unused } = target;
  if (creation === null || binding !== "follow") return [];
  if (!creation.fromNothing && snapshot?.revision === ABSENT_REVISION) return [];
  const { selection } = input;
  const own = new Set(profiles.map(({ profile }) => profile));
  const providers = new Set(usedProfiles(profiles, unused).map(({ provider }) => provider));
  if (creation.policy === "when-provider-missing")
    for (const provider of inheritedProviders(sources, creation.inheritsFrom, input)) providers.add(provider);
  const absent: AbsentProfile[] = [];
  for (const { source, profile, provider, kin } of wantedProfiles(sources, selection, unused)) {
    if (own.has(profile) || source.store === store.name || unused?.has(profile) === true) continue;
    if (creation.except.includes(provider)) continue;
    if (creation.policy === "when-provider-missing" && kin.some((name) => providers.has(name))) continue;
    absent.push({ ...absentProfile(store.name, profile, provider), source });
    // One login needs one profile; of several, an agent without the provider gets every one.
    if (selection.kind === "one") providers.add(provider);
  }
  return absent;
}

/** Returns the providers that an agent inherits from another store, now or after this plan. */
function inheritedProviders(sources: readonly ObservedSource[], from: StoreName | null, input: FlowsInput): (string | null)[] {
  const { stores, source, ledger } = input;
  const look = stores.find(({ target }) => target.store.name === from);
  const canonical = source.state === "read" ? source.profiles.map(({ observed }) => observed) : [];
  const made = look === undefined ? [] : absentProfiles(sources, look, input);
  return [
    ...usedProfiles(look?.profiles ?? [], look?.target.unused),
    ...canonical.filter(({ store }) => store === from),
    ...made.filter(({ store, profile }) => !ledger.placements.has(placementKey(store, profile))),
  ].map(({ provider }) => provider);
}

/** Those that their program uses: one that it only lists serves no agent. */
function usedProfiles(profiles: readonly ObservedProfile[], unused: UnusedIds | undefined): readonly ObservedProfile[] {
  return unused === undefined ? profiles : profiles.filter(({ profile }) => !unused.has(profile));
}

interface WantedProfile {
  readonly source: ObservedSource;
  readonly profile: ProfileId;
  readonly provider: string;
  /** Providers whose profiles serve as well. */
  readonly kin: readonly string[];
}

function wantedProfiles(
  sources: readonly ObservedSource[],
  selection: Selection,
  unused: UnusedIds | undefined,
): WantedProfile[] {
  return sources.flatMap((source): WantedProfile[] => {
    if (selection.kind === "one") {
      const { followers, providers: kin } = selection;
      const used = new Set(followers.map((id) => unused?.get(id) ?? id));
      return [...used].map((profile) => ({ source, profile, provider: usualProvider(profile), kin }));
    }
    const provider = providerOf(source);
    return provider === null ? [] : [{ source, profile: source.profile, provider, kin: [provider] }];
  });
}

/**
 * OpenClaw names a profile after its provider. The copy of Claude Code's login, `anthropic:claude-cli`, is made so, too: up to
 * 2026.4.23 a turn sends it with the provider `anthropic` alone, and from 2026.4.24 to 2026.7 with that as well as `claude-cli`.
 */
function usualProvider(profile: ProfileId): string {
  return profile.split(":")[0] ?? profile;
}

interface Followed extends Pick<ObservedTarget, "listed" | "related"> {
  readonly source: ObservedSource;
}

/** @returns the flow that a profile concerns, or null for none */
type Follow = (profile: ObservedProfile, single: SingleLogin | null) => Followed | null;

function followOne(source: ObservedSource, { followers, providers }: Extract<Selection, { kind: "one" }>): Follow {
  return ({ profile, provider }, single) => {
    const listed = single !== null || followers.includes(profile);
    return { source, listed, related: listed || (provider !== null && providers.includes(provider)) };
  };
}

/** By its id; else by the login that it holds or held; else by its provider, so that an unknown login is at least shown. */
function followSameId(sources: readonly ObservedSource[], { source: look, ledger }: FlowsInput): Follow {
  const byId = new Map(sources.map((source) => [source.profile, source]));
  const byLogin = loginsOf(sources, ledger);
  const own = new Set(look.state === "read" ? look.profiles.map(({ observed }) => observed.store) : [look.store]);
  const ofLogin = (profile: ObservedProfile): ObservedSource | null => {
    // The same key may well serve two providers, each with a profile of its own.
    if (profile.held.kind === "credential" && profile.held.credential.type !== "oauth") return null;
    const placement = ledger.placements.get(placementKey(profile.store, profile.profile));
    const known = knownGeneration(profile.held, ledger);
    const before = placement && (fencedGeneration(placement.fence, ledger) ?? placement.generation);
    const chains = [known?.chain, before && ledger.generations.get(before)?.chain];
    for (const name of [refreshGenerationOf(profile.held), ...chains]) {
      const source = name == null ? undefined : byLogin.get(name);
      if (source !== undefined) return source;
    }
    return null;
  };
  return (profile, single) => {
    if (single !== null) return followWithSingle(sources, single, ofLogin(profile));
    const named = byId.get(profile.profile);
    if (named !== undefined) {
      // The source's own place follows nothing.
      if (named.store === profile.store) return null;
      const provider = providerOf(named);
      return { source: named, listed: true, related: provider === null || provider === profile.provider };
    }
    const source = ofLogin(profile);
    if (source !== null) return { source, listed: false, related: providerOf(source) === profile.provider };
    // The source may have any number of other logins, which nobody asked to be followed.
    if (own.has(profile.store)) return null;
    const kin = sources.find((each) => isOauthLogin(each) && providerOf(each) === profile.provider);
    return kin === undefined ? null : { source: kin, listed: false, related: true };
  };
}

/** A store of one login takes the only one of its providers; where there are several, the one that it has already. */
function followWithSingle(
  sources: readonly ObservedSource[],
  { providers }: SingleLogin,
  before: ObservedSource | null,
): Followed | null {
  if (before !== null) return { source: before, listed: true, related: true };
  const fitting = sources.filter((source) => providers.includes(providerOf(source) ?? ""));
  const [source] = fitting;
  return source === undefined || fitting.length > 1 ? null : { source, listed: true, related: true };
}

/**
 * Maps every chain, and every generation that the source has now, to its flow; the first flow wins. Live logins come first, but a
 * profile that missed the next sign-in still follows by the previous live chain.
 */
function loginsOf(sources: readonly ObservedSource[], ledger: LedgerState): Map<ChainId | Fingerprint, ObservedSource> {
  const logins = new Map<ChainId | Fingerprint, ObservedSource>();
  const add = (name: ChainId | Fingerprint, source: ObservedSource): void => {
    if (!logins.has(name)) logins.set(name, source);
  };
  for (const source of sources) {
    const held = source.state === "present" ? refreshGenerationOf(source.observed.held) : null;
    for (const name of [liveOf(ledger, source.flow)?.chain, held]) if (name != null) add(name, source);
  }
  for (const [chain, flows] of ledger.chainFlows) for (const source of sources) if (flows.has(source.flow)) add(chain, source);
  return logins;
}

function providerOf(source: ObservedSource): string | null {
  return source.state === "present" ? source.observed.provider : null;
}

function isOauthLogin(source: ObservedSource): boolean {
  if (source.state !== "present") return false;
  const { held } = source.observed;
  return held.kind === "fence" || (held.kind === "credential" && held.credential.type === "oauth");
}
