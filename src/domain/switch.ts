import { Failure } from "./errors.js";
import { nearest } from "./nearest.js";
import { Secret } from "./secret.js";
import {
  exclusionOf,
  listedProfiles,
  ofProvider,
  providerKey,
  resolveActive,
  visibleProfiles,
  type AgentSight,
  type AuthPreferences,
  type FieldChange,
  type ChoosableProfile,
  type Choice,
} from "./choice.js";
import type { ProfileId, StoreName } from "./store.js";
import { shellWord } from "./shell-word.js";

/** The user's request; `set-active` names no `from`. */
export interface SwitchRequest {
  readonly provider: string;
  readonly profile: ProfileId;
  /** `migrate`: only agents that use this one, or mention it, are moved. */
  readonly from: ProfileId | null;
  readonly removeStale: boolean;
  /** Agents without the profile stay as they are, instead of standing in the way. */
  readonly skipMissing: boolean;
  /** The store that the profile is copied from into those that lack it. */
  readonly copyFrom: StoreName | null;
  readonly copyOauth: boolean;
}

/** An agent of a host, or the store that agents share. */
export interface SwitchAgent {
  readonly store: StoreName;
  /** Null: it has no store of its own. */
  readonly choice: Choice | null;
  readonly inheritsFrom: StoreName | null;
  readonly ownComeFirst: boolean;
  /** Why it stays as it is; null: it takes part. */
  readonly left: "pinned" | "ignored" | "not-named" | "same-file" | null;
}

/** Every agent of one OpenClaw, with what its configuration says of all of them. */
export interface SwitchHost {
  readonly agents: readonly SwitchAgent[];
  readonly preferences: AuthPreferences;
  /** Profiles that credsyncd itself reads, which a switch must not remove. */
  readonly sources: readonly { readonly store: StoreName; readonly profile: ProfileId }[];
}

/** One row of the plan. */
export interface PlannedStore {
  readonly store: StoreName;
  readonly result: "update" | "unchanged" | "absent";
  /** The profile in use before and after. */
  readonly from: ProfileId | null;
  readonly to: ProfileId | null;
  readonly removed: readonly ProfileId[];
  readonly copied: boolean;
  readonly note: string | null;
  readonly changes: readonly FieldChange[];
  /** The profile that will be used, where it stands in this very store already. */
  readonly relied: ChoosableProfile | null;
  /** True if its agent will use the new profile afterwards. */
  readonly moves: boolean;
}

export interface SwitchPlan {
  readonly stores: readonly PlannedStore[];
  readonly warnings: readonly ConfigWarning[];
}

/** Something in `openclaw.json` that is in the way of the profile, and what to write there. */
export interface ConfigWarning {
  readonly message: string;
  /** The exact entry. */
  readonly line: string;
  /** A hint for the user. */
  readonly hint: string;
}

/**
 * Decides what a switch changes in each store.
 *
 * The order becomes the new profile alone (`migrate` keeps the others of it): OpenClaw's sessions take turns through the
 * order, and stay with another profile for as long as it stands there (src/agents/auth-profiles/session-override.ts).
 *
 * @param now epoch ms
 * @returns a failure where nothing may be changed
 */
export function planSwitch(host: SwitchHost, request: SwitchRequest, now: number): SwitchPlan | Failure {
  const names = refuseNames(host, request, now);
  if (names !== null) return names;
  const donor = donorOf(host, request);
  if (donor instanceof Failure) return donor;
  const moves = movesOf(host, request, now);
  const unfit = refuseUnfit(host, request, moves, donor);
  if (unfit !== null) return unfit;
  const drafts = host.agents.map((agent) => draft(agent, host, request, moves.get(agent.store) ?? null, donor));
  const kept = drafts.map((each) => withoutKept(each, host, request, drafts, now));
  const rows = kept.map((each) => rowOf(each, host, request, kept, now));
  return refuseOutcome(rows, kept, request) ?? { stores: rows, warnings: configWarnings(host, request) };
}

/** Returns an agent's view of the profiles. */
export function sightOf(agent: SwitchAgent, agents: readonly SwitchAgent[]): AgentSight {
  const { inheritsFrom, ownComeFirst } = agent;
  const isAlone = inheritsFrom === null || inheritsFrom === agent.store;
  const shared = isAlone ? undefined : agents.find(({ store }) => store === inheritsFrom);
  return { own: agent.choice, shared: shared?.choice ?? null, ownComeFirst };
}

function refuseNames(host: SwitchHost, request: SwitchRequest, now: number): Failure | null {
  const { provider, profile, from } = request;
  if (from === profile) return usage(`--from and --to are the same: ${profile}`, "name two profiles");
  const choices = host.agents.flatMap(({ choice }) => (choice === null ? [] : [choice]));
  const profiles = choices.flatMap((choice) => choice.profiles);
  const providers = distinct([
    ...profiles.flatMap((each) => (each.provider === null ? [] : [providerKey(each.provider)])),
    ...choices.flatMap(({ order }) => Object.keys(order).map(providerKey)),
  ]);
  if (!providers.includes(providerKey(provider)))
    return usage(`no agent knows the provider ${provider}`, suggestion(provider, providers, "providers here"));
  const known = distinct(profiles.filter((each) => isOf(each, provider)).map(({ id }) => id));
  const unknown = [profile, from].find((id) => id !== null && !known.includes(id));
  if (unknown === undefined || unknown === null) return null;
  const elsewhere = profiles.find(({ id }) => id === unknown)?.provider ?? null;
  if (elsewhere !== null)
    return usage(
      `${unknown} is a profile of the provider ${elsewhere}, not of ${provider}`,
      `name that one: --provider ${elsewhere}`,
    );
  if (unknown === from && isMoved(host, request, now)) return null;
  return usage(`no agent has a profile ${unknown} of the provider ${provider}`, suggestion(unknown, known, "profiles here"));
}

/** A migration that was made before has nothing left to name. */
function isMoved({ agents, preferences }: SwitchHost, { provider, profile, from }: SwitchRequest, now: number): boolean {
  const mentions = agents.some(({ choice }) => choice !== null && mentionsOf(choice, provider).includes(from ?? ""));
  const uses = agents.some((agent) => resolveActive(sightOf(agent, agents), provider, preferences, now).profile === profile);
  return !mentions && uses;
}

function suggestion(word: string, known: readonly string[], title: string): string {
  const near = nearest(word, known);
  const list = `${title}: ${known.join(", ") || "none"}`;
  return near === null ? list : `did you mean ${near}? ${list}`;
}

interface Donor {
  readonly store: StoreName;
  readonly profile: ChoosableProfile;
}

function donorOf(host: SwitchHost, { copyFrom, copyOauth, provider, profile }: SwitchRequest): Donor | Failure | null {
  if (copyFrom === null) return null;
  const agent = host.agents.find(({ store }) => store === copyFrom);
  if (agent === undefined) {
    const names = host.agents.map(({ store }) => agentName(store));
    return usage(`there is no agent ${agentName(copyFrom)} to copy from`, suggestion(agentName(copyFrom), names, "agents here"));
  }
  const given = agent.choice?.profiles.find((each) => each.id === profile && isOf(each, provider));
  if (given === undefined) {
    const holders = host.agents.filter(({ choice }) => choice?.profiles.some(({ id }) => id === profile) === true);
    const list = holders.map(({ store }) => agentName(store)).join(", ");
    return badData(`${copyFrom} has no ${profile} of its own to copy`, `copy from one that has: ${list || "there is none"}`);
  }
  if (given.flaw !== null)
    return badData(
      `${profile} of ${copyFrom} cannot be used: ${given.flaw.explanation}`,
      "copy from another agent, or sign in there again",
    );
  if (given.type === "oauth" && !copyOauth)
    return usage(
      `${profile} is an OAuth login: each refresh token works once, so the first agent that refreshes its copy logs the others out`,
      "sign in for each agent, use an API key or a token, or say --copy-oauth if credsyncd keeps the copies in step",
    );
  return { store: copyFrom, profile: given };
}

/** Per store: how it is moved; a store that is not there stays as it is. */
type Moves = ReadonlyMap<StoreName, "use" | "mention">;

function movesOf({ agents, preferences }: SwitchHost, { provider, from }: SwitchRequest, now: number): Moves {
  const moves = new Map<StoreName, "use" | "mention">();
  for (const agent of agents) {
    if (agent.left !== null) continue;
    const { profile, broken } = resolveActive(sightOf(agent, agents), provider, preferences, now);
    const isUsed = from === null || profile === from || broken?.profile === from;
    if (isUsed) moves.set(agent.store, "use");
    else if (agent.choice !== null && mentionsOf(agent.choice, provider).includes(from)) moves.set(agent.store, "mention");
  }
  return moves;
}

/** The profiles that a store's notes name for a provider. */
function mentionsOf({ order, lastGood }: Choice, provider: string): ProfileId[] {
  const last = ofProvider(lastGood, provider);
  return [...(ofProvider(order, provider) ?? []), ...(last === null ? [] : [last])];
}

/** Agents that lack the profile, or whose copy of it cannot be used. */
function refuseUnfit(host: SwitchHost, request: SwitchRequest, moves: Moves, donor: Donor | null): Failure | null {
  const { profile, provider, skipMissing } = request;
  const lacking: StoreName[] = [];
  const unusable: string[] = [];
  let refreshing = false;
  for (const agent of host.agents) {
    if (!moves.has(agent.store)) continue;
    const seen = seenProfile(agent, host, profile);
    const given = seen ?? (agent.choice === null ? null : (donor?.profile ?? null));
    if (given === null) {
      // Without a store of its own it has what the shared one has, which is asked for itself.
      if (agent.choice !== null || agent.inheritsFrom === null) lacking.push(agent.store);
      continue;
    }
    const reason =
      given.flaw?.explanation ?? (isOf(given, provider) ? null : `it is of the provider ${given.provider ?? "(none)"}`);
    if (given.flaw?.kind === "refreshing") refreshing = true;
    if (reason !== null) unusable.push(`${agent.store} (${reason})`);
  }
  if (refreshing)
    return new Failure(
      "busy",
      `${profile} is being refreshed: ${unusable.join(", ")}`,
      "try again in a moment; nothing was changed",
    );
  if (unusable.length > 0)
    return badData(
      `${profile} cannot be used in ${unusable.join(", ")}`,
      "sign in there again, or leave these out with --agents; nothing was changed",
    );
  if (lacking.length > 0 && !skipMissing) {
    const many = lacking.length === 1 ? "agent has" : "agents have";
    return badData(
      `${String(lacking.length)} ${many} no ${profile}: ${lacking.join(", ")}`,
      "give it to them with --copy-from AGENT, or leave them as they are with --skip-missing; nothing was changed",
    );
  }
  return refuseExcluded(host, request);
}

/** Refuses a switch to a profile that the config excludes: every agent would have no profile to use. */
function refuseExcluded({ agents, preferences }: SwitchHost, { provider, profile }: SwitchRequest): Failure | null {
  const present = agents.flatMap(({ choice }) => choice?.profiles.find(({ id }) => id === profile) ?? [])[0];
  const exclusion = present === undefined ? null : exclusionOf(present, provider, preferences);
  if (present === undefined || exclusion === null) return null;
  const place = placeIn(preferences, ["auth", "profiles", profile]);
  return badData(
    `${place} keeps OpenClaw from using ${profile}: ${exclusion}`,
    `change this entry to: ${profileLine(present, provider)} - nothing was changed`,
  );
}

function seenProfile(agent: SwitchAgent, { agents }: SwitchHost, profile: ProfileId): ChoosableProfile | null {
  return visibleProfiles(sightOf(agent, agents)).find(({ id }) => id === profile) ?? null;
}

/** One store's planned change, before the check of profiles that must stay. */
interface Draft {
  readonly agent: SwitchAgent;
  /** Null: it stays as it is. */
  readonly move: "use" | "mention" | null;
  readonly order: readonly ProfileId[] | null;
  readonly lastGood: ProfileId | null;
  readonly copied: ChoosableProfile | null;
  readonly donor: StoreName | null;
  readonly removed: readonly ProfileId[];
  readonly notes: readonly string[];
}

function draft(agent: SwitchAgent, host: SwitchHost, request: SwitchRequest, move: Draft["move"], donor: Donor | null): Draft {
  const { choice } = agent;
  const { provider, profile, from } = request;
  const still: Draft = {
    agent,
    move: null,
    order: null,
    lastGood: null,
    copied: null,
    donor: null,
    removed: [],
    notes: leftNotes(agent),
  };
  if (agent.left !== null) return still;
  if (choice === null) {
    const words = agent.inheritsFrom === null ? "it has no store" : `inherits from ${agent.inheritsFrom}`;
    // Without a store of its own, the agent gets whatever its parent store receives.
    const gets = seenProfile(agent, host, profile) !== null || (agent.inheritsFrom !== null && donor !== null);
    return { ...still, move: gets ? move : null, notes: [words] };
  }
  const removed = request.removeStale ? staleIn(choice, request) : [];
  if (move === null) return { ...still, removed };
  const seen = seenProfile(agent, host, profile);
  if (seen === null && donor === null) return { ...still, notes: [`it has no ${profile}, and stays as it is`] };
  const copy = seen === null ? donor : null;
  const isOwn = copy !== null || choice.profiles.some((each) => isOf(each, provider)) || mentionsOf(choice, provider).length > 0;
  // Nothing of its own for this provider: the shared store decides, which is switched itself.
  if (!isOwn && host.agents.some(({ store, left }) => store === agent.inheritsFrom && left === null))
    return { ...still, move, removed, notes: [`inherits from ${agent.inheritsFrom ?? ""}`] };
  const present = ofProvider(choice.order, provider) ?? [];
  const replaced = present.map((id) => (id === from ? profile : id));
  const order = from === null ? [profile] : move === "use" ? [profile, ...present] : replaced;
  const usesLast = move === "use" || ofProvider(choice.lastGood, provider) === from;
  return {
    ...still,
    move,
    order: move === "mention" && present.length === 0 ? null : distinct(order.filter((id) => id !== from)),
    lastGood: usesLast ? profile : null,
    copied: copy?.profile ?? null,
    donor: copy?.store ?? null,
    removed,
    notes: copy === null ? [] : [`copied from ${copy.store}`],
  };
}

function leftNotes({ left }: SwitchAgent): string[] {
  if (left === "pinned") return ["pinned: it keeps an account of its own"];
  return left === "same-file" ? ["the same file as another store"] : [];
}

function staleIn({ profiles }: Choice, { provider, profile, from }: SwitchRequest): ProfileId[] {
  return profiles.flatMap((each) =>
    isOf(each, provider) && (from === null ? each.id !== profile : each.id === from) ? [each.id] : [],
  );
}

/** Takes back the removal of what is another's only credential, is pinned, or is what credsyncd reads from. */
function withoutKept(each: Draft, host: SwitchHost, request: SwitchRequest, drafts: readonly Draft[], now: number): Draft {
  const kept = new Map<ProfileId, string>();
  for (const id of each.removed) {
    const reason = reasonToKeep(id, each, host, request, drafts, now);
    if (reason !== null) kept.set(id, reason);
  }
  const notes = [...kept].map(([id, reason]) => `${id} is kept: ${reason}`);
  return { ...each, removed: each.removed.filter((id) => !kept.has(id)), notes: [...each.notes, ...notes] };
}

function reasonToKeep(
  id: ProfileId,
  { agent }: Draft,
  host: SwitchHost,
  { provider, profile }: SwitchRequest,
  drafts: readonly Draft[],
  now: number,
): string | null {
  const { agents, preferences, sources } = host;
  if (sources.some((source) => source.store === agent.store && source.profile === id)) return "credsyncd reads from it";
  const users = drafts.filter((other) => {
    const sees = other.agent.store === agent.store || other.agent.inheritsFrom === agent.store;
    const hasOwn = other.agent.store !== agent.store && other.agent.choice?.profiles.some((own) => own.id === id) === true;
    return sees && !hasOwn;
  });
  for (const user of users) {
    const { store, left } = user.agent;
    if (left === "pinned" || left === "ignored")
      return `${store} is ${left === "pinned" ? "pinned" : "to be left alone"}, and has it from here`;
    if (user.move === "use") continue;
    const sight = sightOf(user.agent, agents);
    if (resolveActive(sight, provider, preferences, now).profile === id) return `${store} uses it`;
    const others = visibleProfiles(sight).filter((other) => other.id !== id && isOf(other, provider) && other.flaw === null);
    const gets = user.copied !== null || others.some((other) => other.id === profile);
    if (others.length === 0 && !gets) return `it is the only credential of ${store}`;
  }
  return null;
}

function rowOf(
  each: Draft,
  host: SwitchHost,
  { provider, profile }: SwitchRequest,
  drafts: readonly Draft[],
  now: number,
): PlannedStore {
  const { agent, move, removed, copied, notes } = each;
  const { agents, preferences } = host;
  const afterwards = drafts.map(afterDraft(provider, profile));
  const after = afterwards.find(({ store }) => store === agent.store) ?? agent;
  const changes = agent.choice === null ? [] : changesOf(each, agent.choice, provider, profile);
  const isAbsent =
    agent.left === null && (agent.choice === null || (move === null && seenProfile(agent, host, profile) === null));
  return {
    store: agent.store,
    result: changes.length > 0 ? "update" : isAbsent ? "absent" : "unchanged",
    from: resolveActive(sightOf(agent, agents), provider, preferences, now).profile,
    to: resolveActive(sightOf(after, afterwards), provider, preferences, now).profile,
    removed,
    copied: copied !== null,
    note: notes.length === 0 ? null : notes.join("; "),
    changes,
    relied: move === null ? null : (agent.choice?.profiles.find(({ id }) => id === profile) ?? null),
    moves: move === "use",
  };
}

/** The agent as it will be. */
function afterDraft(provider: string, profile: ProfileId): (each: Draft) => SwitchAgent {
  return ({ agent, order, lastGood, copied, removed }) => {
    const { choice } = agent;
    if (choice === null) return agent;
    const profiles = choice.profiles.filter(({ id }) => !removed.includes(id));
    const usage = Object.hasOwn(choice.usage, profile)
      ? { [profile]: { lastUsedAt: null, blockedUntil: null, penalties: [] } }
      : {};
    return {
      ...agent,
      choice: {
        ...choice,
        profiles: copied === null ? profiles : [...profiles, copied],
        order: order === null ? choice.order : { ...without(choice.order, provider), [providerKey(provider)]: order },
        lastGood:
          lastGood === null ? choice.lastGood : { ...without(choice.lastGood, provider), [providerKey(provider)]: lastGood },
        usage: order === null ? choice.usage : { ...choice.usage, ...usage },
      },
    };
  };
}

function without<Value>(entries: Readonly<Record<string, Value>>, provider: string): Record<string, Value> {
  return Object.fromEntries(Object.entries(entries).filter(([key]) => providerKey(key) !== providerKey(provider)));
}

function changesOf(
  { order, lastGood, copied, donor, removed, move }: Draft,
  choice: Choice,
  provider: string,
  profile: ProfileId,
): FieldChange[] {
  const change = (path: readonly string[], after: Secret | null, copiedFrom: StoreName | null = null): FieldChange[] => {
    const before = choice.valueAt(path);
    const isSame = before === null || after === null ? before === after : before.equals(after);
    return isSame ? [] : [{ path, before, after, copiedFrom, next: after === null ? choice.keyAfter(path) : null }];
  };
  const noted = (place: "order" | "lastGood", value: readonly ProfileId[] | ProfileId | null): FieldChange[] => {
    if (value === null || JSON.stringify(ofProvider<unknown>(choice[place], provider)) === JSON.stringify(value)) return [];
    const key = Object.keys(choice[place]).find((name) => providerKey(name) === providerKey(provider)) ?? providerKey(provider);
    return choice.isRecord(place)
      ? change([place, key], new Secret(JSON.stringify(value)))
      : change([place], new Secret(JSON.stringify({ [key]: value })));
  };
  const penalties = move === null ? [] : Object.hasOwn(choice.usage, profile) ? (choice.usage[profile]?.penalties ?? []) : [];
  return [
    ...(copied === null ? [] : change(["profiles", copied.id], copied.image(), donor)),
    ...noted("order", order),
    ...noted("lastGood", lastGood),
    ...penalties.flatMap((name) => change(["usageStats", profile, name], null)),
    ...removed.flatMap((id) => change(["profiles", id], null)),
  ];
}

/** Agents that take no part must go on as before, and those that do must end on the profile. */
function refuseOutcome(
  rows: readonly PlannedStore[],
  drafts: readonly Draft[],
  { profile, provider }: SwitchRequest,
): Failure | null {
  for (const { agent } of drafts) {
    const row = rows.find(({ store }) => store === agent.store);
    if (row === undefined || agent.left === null || row.from === row.to) continue;
    // Nobody read an ignored agent, and an agent under two names is reported under the other one.
    if (agent.left === "ignored" || agent.left === "same-file") continue;
    const why = agent.left === "not-named" ? "is not among --agents" : `is ${agent.left}`;
    return badData(
      `${agent.store} ${why}, but uses the order of ${agent.inheritsFrom ?? "the shared store"}, and would change from ${row.from ?? "nothing"} to ${row.to ?? "nothing"}`,
      `give it an order of its own first: openclaw models auth order set --agent ${shellWord(agentId(agent.store))} --provider ${shellWord(provider)} ${shellWord(row.from ?? "PROFILE")}`,
    );
  }
  const astray = rows.find((row) => row.moves && row.to !== profile);
  if (astray === undefined) return null;
  const { choice = null, inheritsFrom = null } = drafts.find(({ agent }) => agent.store === astray.store)?.agent ?? {};
  if (choice === null && inheritsFrom !== null)
    return badData(
      `${astray.store} has no store of its own and uses that of ${inheritsFrom}, which stays as it is`,
      `let that one take part too: --agents ${shellWord(`{${agentId(astray.store)},${agentId(inheritsFrom)}}`)}; nothing was changed`,
    );
  return badData(
    `${astray.store} would use ${astray.to ?? "nothing"}, not ${profile}`,
    "look at it: credsyncd status; nothing was changed",
  );
}

function configWarnings({ agents, preferences }: SwitchHost, { provider, profile }: SwitchRequest): ConfigWarning[] {
  const warnings: ConfigWarning[] = [];
  const present = agents.flatMap(({ choice }) => choice?.profiles.find(({ id }) => id === profile) ?? [])[0];
  const order = ofProvider(preferences.order, provider);
  if (order !== null && order[0] !== profile) {
    const key = Object.keys(preferences.order).find((name) => providerKey(name) === providerKey(provider)) ?? provider;
    const line = `${JSON.stringify(key)}: ${JSON.stringify([profile, ...order.filter((id) => id !== profile)])}`;
    warnings.push({
      message: `${placeIn(preferences, ["auth", "order", key])} puts ${order[0] ?? "nothing"} first wherever a store has no order of its own`,
      line,
      hint: `change this entry to: ${line}`,
    });
  }
  const listed = listedProfiles(preferences, provider);
  if (listed.length > 0 && !listed.includes(profile) && present !== undefined) {
    const line = profileLine(present, provider);
    warnings.push({
      message: `${placeIn(preferences, ["auth", "profiles"])} lists ${listed.join(", ")} and not ${profile}, so it is left out wherever a store has no order of its own`,
      line,
      hint: `add this entry there: ${line}`,
    });
  }
  return warnings;
}

function profileLine({ id, type }: ChoosableProfile, provider: string): string {
  return `${JSON.stringify(id)}: ${JSON.stringify({ provider: providerKey(provider), mode: type })}`;
}

function placeIn({ path, lineOf }: AuthPreferences, keys: readonly string[]): string {
  const line = lineOf(keys);
  return `${path}${line === null ? "" : `:${String(line)}`} (${keys.join(".")})`;
}

/** How a user names an agent: `work` for `openclaw:work`. */
export function agentName(store: StoreName): string {
  return store.slice(store.indexOf(":") + 1);
}

/** The agent of a store as OpenClaw and the config know it, whichever OpenClaw it is of. */
export function agentId(store: StoreName): string {
  // One that is called like the shared store has another name than that.
  return agentName(store)
    .replace(/^agents\/(?=shared\b)/, "")
    .replace(/[@/].*$/, "");
}

function isOf({ provider }: ChoosableProfile, wanted: string): boolean {
  return provider !== null && providerKey(provider) === providerKey(wanted);
}

function distinct<Value>(values: readonly Value[]): Value[] {
  return [...new Set(values)];
}

function usage(message: string, hint: string): Failure {
  return new Failure("usage", message, hint);
}

function badData(message: string, hint: string): Failure {
  return new Failure("bad-data", message, hint);
}
