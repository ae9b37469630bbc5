import { existsSync } from "node:fs";
import { join } from "node:path";
import { StoreError } from "../../domain/errors.js";
import type { Finding, UnsentProvider, UnusedIds } from "../../domain/inventory.js";
import type { CredentialStore, ProfileId, StoreName } from "../../domain/store.js";
import type { Environment } from "../environment.js";
import type { AgentIds, LocatedSource, LocatedStore, Location } from "../located-store.js";
import {
  discoverOpenclaw,
  MAIN_AGENT,
  normalizeAgentId,
  openclawStateDirectory,
  type OpenclawAgent,
  type OpenclawLayout,
} from "./discovery.js";
import { readImage } from "./profiles.js";
import { GOLDEN_FILE, OpenclawJsonStore, OLDEST_FILE, PROFILES_FILE } from "./json.js";
import { refreshLockDirectory } from "./refresh-lock.js";
import { sharedStorePlace } from "./shared.js";
import { AGENT_DATABASE, agentLayout, OpenclawSqliteStore, sharedLayout } from "./sqlite.js";
import { unreachableStore } from "../unreachable-store.js";
import { isBefore } from "./version.js";

/** From 2026.8 OpenClaw reads the login of these from Claude Code's own file. */
const TAKEN_FROM_CLAUDE_CODE = ["claude-cli"];
/** The store that agents inherit from, as an agent's name in the config and in `openclaw:shared`. */
export const SHARED = "shared";

/** It takes an OAuth login for ended so long (ms) before the end that is written. */
const ENDS_EARLY_MS = 300_000;

/**
 * The way an OpenClaw keeps its stores, by its files: a file per agent (up to 2026.6.1), a database per agent (from 2026.6.5),
 * these with a shared one (from 2026.8.1), or also with fences (surely 2026.9.4 or later; an earlier version may look the same).
 */
type Era = "json" | "sqlite" | "sqlite-shared" | "sqlite-fenced";

/** One OpenClaw among those in the config. */
export interface OpenclawSpec {
  /** Null for the usual one. */
  readonly stateDir: string | null;
  /** Tells its stores' names from another OpenClaw's; null where there is no other. */
  readonly label: string | null;
  /** Places outside the home where the user allows agents. */
  readonly agentDirs: readonly string[];
}

/** The OpenClaw of a host that has just one. */
export const usualOpenclaw: OpenclawSpec = { stateDir: null, label: null, agentDirs: [] };

/** The credential stores of an OpenClaw as it was found: every agent's, and the one that they share. */
export function openclawStores(
  { layout, shared, agents, inheritsFrom, nameOf }: Surroundings,
  spec: OpenclawSpec,
  environment: Environment,
): Omit<Location, "open"> {
  const doubt = layout.isGuessed ? guessed(layout) : null;
  const stores = agents.flatMap((agent): LocatedStore[] => {
    const era = agent.keeps === "json" ? "json" : shared.era;
    const from = era === "json" || nameOf(agent.id) === inheritsFrom ? null : inheritsFrom;
    // Each version has such a store: main's in the era of files, too, though none is read through to it there.
    const common = inheritsFrom ?? nameOf(MAIN_AGENT);
    const comparesAccounts = era !== "json" || comparesAccountsFrom(layout.versionHint);
    const overruledBy = nameOf(agent.id) === common ? null : { store: common, comparesAccounts };
    const unsent = era === "json" ? unsentBy(layout.versionHint) : null;
    const hinted = { era, versionHint: layout.versionHint, inheritsFrom: from, overruledBy };
    const origin = unsent === null ? hinted : { ...hinted, unsent };
    const creation = creationOf(agent, nameOf, inheritsFrom);
    const unused = era === "json" ? nothingUnused : shared.unused;
    const store = openStore(agent, nameOf, layout, environment);
    const golden = goldenStore(agent, nameOf, layout, environment);
    return [
      { store, agent: agent.id, doubt, single: null, creation, origin, unused },
      ...(golden === null ? [] : [{ store: golden, agent: agent.id, doubt, single: null, creation: null, origin, unused }]),
    ];
  });
  if (shared.store !== null) {
    const origin = { era: shared.era, versionHint: layout.versionHint, inheritsFrom: null };
    const creation = { inheritsFrom: null, fromNothing: false, except: TAKEN_FROM_CLAUDE_CODE };
    const { store, unused } = shared;
    stores.unshift({ store, agent: SHARED, doubt: null, single: null, creation, origin, unused });
  }
  const findings = [
    ...layoutFindings(layout, spec),
    ...shared.findings,
    ...layout.agents.flatMap((agent) => agentFindings(agent, nameOf(agent.id), { shared, inheritsFrom })),
  ];
  return { stores, findings, agents: agentsOf(layout, shared), files: layout.files };
}

/** `openclaw.json` may put any agent, a protected one too, into a directory that is named after another. */
function guessed({ stateDirectory }: OpenclawLayout): StoreError {
  return new StoreError(
    "malformed",
    `${join(stateDirectory, "openclaw.json")} was never understood, so nobody knows whose store this is`,
    "repair that file: openclaw doctor; until then no agent is written, since the config of credsyncd protects some",
  );
}

/** The agents by their ids, and the shared store as the config names it. */
function agentsOf({ agents, problem }: OpenclawLayout, shared: Shared): AgentIds {
  if (problem !== null) return null;
  const ids = agents.map(({ id }) => id);
  return shared.store === null && shared.findings.length === 0 ? ids : [SHARED, ...ids];
}

/** The directories in which writing to the stores of an OpenClaw makes lock files. */
export async function openclawLockDirectories(
  { stateDir, agentDirs }: OpenclawSpec,
  environment: Environment,
): Promise<string[]> {
  const layout = await discoverOpenclaw(await openclawStateDirectory(environment, stateDir), agentDirs, environment);
  const served = layout.agents.filter(({ refusal }) => refusal === null);
  return [refreshLockDirectory(layout.stateDirectory), ...served.map(({ directory }) => directory)];
}

/** An agent of an OpenClaw, or its shared store, as the source. */
export interface OpenclawSourceSpec {
  readonly openclaw: OpenclawSpec;
  /** As the user wrote it. */
  readonly agent: string;
  readonly named: readonly ProfileId[];
  readonly matches: (profile: ProfileId) => boolean;
  /** The profiles as the user wrote them. */
  readonly text: string;
}

/** Finds the store of the source's agent, and behind it the one that the agent inherits from. */
export async function locateOpenclawSource(spec: OpenclawSourceSpec, environment: Environment): Promise<LocatedSource> {
  const around = await lookAround(spec.openclaw, environment);
  const id = normalizeAgentId(spec.agent);
  const source = id === SHARED ? around.nameOfShared : around.nameOf(id);
  const { named, matches, text } = spec;
  return {
    stores: openSource(id, around, environment),
    selection: { kind: "same-id", source, named, matches, text },
    // Nothing surely distinguishes versions with fences from the last ones without.
    copies: around.shared.store === null ? null : { contentOf: readImage, expiryMarginMs: ENDS_EARLY_MS },
    signIn: "openclaw configure",
    agents: agentsOf(around.layout, around.shared),
    files: around.layout.files,
  };
}

/** An OpenClaw as it was found. */
export interface Surroundings {
  readonly layout: OpenclawLayout;
  readonly shared: Shared;
  /** Those that have a store of their own which counts. */
  readonly agents: readonly OpenclawAgent[];
  /** The store that agents with databases inherit from; null where it is not known or not there. */
  readonly inheritsFrom: StoreName | null;
  readonly nameOf: (agent: string) => StoreName;
  readonly nameOfShared: StoreName;
}

export async function lookAround({ stateDir, label, agentDirs }: OpenclawSpec, environment: Environment): Promise<Surroundings> {
  const labelled = (name: string): StoreName => `openclaw:${name}${label === null ? "" : `@${label}`}`;
  const nameOfShared = labelled(SHARED);
  // Nothing keeps an agent from being called like the shared store, and two stores of one name would be taken for one.
  const nameOf = (agent: string): StoreName => labelled(agent === SHARED ? `agents/${agent}` : agent);
  const layout = await discoverOpenclaw(await openclawStateDirectory(environment, stateDir), agentDirs, environment);
  const shared = await findShared(layout, nameOfShared, environment);
  const agents = layout.agents.filter((agent) => isServed(agent, shared));
  return { layout, shared, agents, inheritsFrom: sharedName(agents, shared, nameOf), nameOf, nameOfShared };
}

function openSource(
  id: string,
  around: Surroundings,
  environment: Environment,
): readonly [CredentialStore, ...CredentialStore[]] {
  const { layout, shared, agents, inheritsFrom, nameOf, nameOfShared } = around;
  const open = (agent: OpenclawAgent): CredentialStore => openStore(agent, nameOf, layout, environment);
  const main = agents.find((agent) => nameOf(agent.id) === inheritsFrom);
  const inherited = shared.store ?? (main === undefined ? null : open(main));
  const isShared = id === SHARED && inherited !== null;
  const agent = isShared ? undefined : layout.agents.find((each) => each.id === id && (each.configured || agents.includes(each)));
  const own = agent === undefined || agent.keeps === "inherits" ? null : open(agent);
  if (own !== null)
    return inherited === null || agent?.keeps === "json" || inherited.name === own.name ? [own] : [own, inherited];
  const inherits = id === SHARED || agent !== undefined;
  if (inherits && inherited !== null) return [inherited];
  // Nothing is there yet: what a first sign-in makes is awaited.
  const usual = { id, directory: join(layout.stateDirectory, "agents", id, "agent"), keeps: "json" as const, refusal: null };
  if (layout.agents.length === 0 && layout.problem === null) return [openStore(usual, nameOf, layout, environment)];
  const error = (inherits ? shared.findings[0]?.error : null) ?? layout.problem?.error ?? noSuchAgent(id, layout);
  const name = id === SHARED ? nameOfShared : nameOf(id);
  return [unreachableStore({ name, path: layout.stateDirectory }, error)];
}

function noSuchAgent(id: string, { stateDirectory, agents }: OpenclawLayout): StoreError {
  const names = agents.filter(({ configured }) => configured).map((agent) => agent.id);
  const what = id === SHARED ? "no shared store" : `no agent ${id}`;
  return new StoreError(
    "unsupported",
    `the OpenClaw in ${stateDirectory} has ${what}`,
    `name another in source.agent of the configuration; its agents: ${names.join(", ")}`,
  );
}

export interface Shared {
  /** The shared store in a database of its own; null where it is main's, or cannot be served. */
  readonly store: CredentialStore | null;
  /** The era of the agents that have a database. */
  readonly era: Era;
  /** The unused ids of the same agents. */
  readonly unused: UnusedIds;
  /** True if this OpenClaw (2026.8.1 or later) refuses an agent with a file that it has not taken over. */
  readonly refusesFiles: boolean;
  readonly findings: readonly Finding[];
}

const nothingUnused: UnusedIds = new Map();
/** From 2026.8.1 on OpenClaw leaves its own name for Claude Code's login to Claude Code, and sends none of that id. */
const claudeCliUnused: UnusedIds = new Map([["anthropic:claude-cli", "anthropic:default"]]);

/** The first that takes the provider `claude-cli` for another name of `anthropic`, whose models its agents use. */
const FIRST_WITH_ALIAS = "2026.4.24";

/**
 * Returns the provider that an OpenClaw with files never sends. The version that last wrote its config decides: the files say
 * none.
 */
function unsentBy(versionHint: string | null): UnsentProvider | null {
  if (versionHint !== null && !isBefore(versionHint, FIRST_WITH_ALIAS)) return null;
  return { provider: "claude-cli", instead: "anthropic", until: FIRST_WITH_ALIAS };
}

/** The first version that was seen to leave another account's login alone; 2026.4.15 writes main's over it. */
const FIRST_COMPARING = "2026.5.28";

/** A config that names no version is taken for one of a version that does. */
function comparesAccountsFrom(versionHint: string | null): boolean {
  return versionHint === null || !isBefore(versionHint, FIRST_COMPARING);
}

async function findShared(
  { sharedDatabase: path, stateDirectory, confinement }: OpenclawLayout,
  name: StoreName,
  environment: Environment,
): Promise<Shared> {
  const none = { store: null, era: "sqlite", unused: nothingUnused, refusesFiles: false, findings: [] } as const;
  if (path === null) return none;
  try {
    const { location, hasFences, sendsClaudeCli } = await sharedStorePlace(path, environment);
    const unused = sendsClaudeCli ? nothingUnused : claudeCliUnused;
    const refusesFiles = !sendsClaudeCli;
    if (location === "legacy-main") return { ...none, unused, refusesFiles };
    const store = new OpenclawSqliteStore({ name, path, layout: sharedLayout, stateDirectory, confinement }, environment);
    return { store, era: hasFences ? "sqlite-fenced" : "sqlite-shared", unused, refusesFiles, findings: [] };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { ...none, findings: [{ store: name, path, kind: "error", error }] };
  }
}

/**
 * Decides where credsyncd may create a profile. Agents with databases inherit from the owner of their shared store, so a copy of
 * their own would only hide it. It creates files only in existing directories.
 */
function creationOf(
  agent: OpenclawAgent,
  nameOf: (agent: string) => StoreName,
  inheritsFrom: StoreName | null,
): LocatedStore["creation"] {
  if (agent.refusal !== null) return null;
  const name = nameOf(agent.id);
  const main = nameOf(MAIN_AGENT);
  if (agent.keeps === "json") {
    if (!existsSync(agent.directory)) return null;
    return { inheritsFrom: name === main ? null : main, fromNothing: true, except: [] };
  }
  return name === inheritsFrom ? { inheritsFrom: null, fromNothing: false, except: [] } : null;
}

/** Main's store is served where it is everyone's, even if the config names other agents only. */
export function isServed({ id, keeps, configured }: OpenclawAgent, shared: Shared): boolean {
  if (keeps === "inherits") return false;
  return configured || (id === MAIN_AGENT && shared.store === null && shared.findings.length === 0);
}

function sharedName(served: readonly OpenclawAgent[], shared: Shared, nameOf: (agent: string) => StoreName): StoreName | null {
  if (shared.store !== null) return shared.store.name;
  if (shared.findings.length > 0) return null;
  return served.some(({ id, keeps }) => id === MAIN_AGENT && keeps === "sqlite") ? nameOf(MAIN_AGENT) : null;
}

function openStore(
  agent: Pick<OpenclawAgent, "id" | "directory" | "keeps" | "refusal">,
  nameOf: (agent: string) => StoreName,
  { stateDirectory, confinement }: OpenclawLayout,
  environment: Environment,
): CredentialStore {
  const name = nameOf(agent.id);
  const { directory, refusal } = agent;
  if (refusal !== null) {
    const paths = [PROFILES_FILE, AGENT_DATABASE].map((file) => join(directory, file));
    return unreachableStore({ name, path: directory }, refusal, paths);
  }
  if (agent.keeps === "json")
    return new OpenclawJsonStore(name, directory, stateDirectory, environment, { file: PROFILES_FILE, confinement });
  const path = join(directory, AGENT_DATABASE);
  return new OpenclawSqliteStore({ name, path, layout: agentLayout, stateDirectory, confinement }, environment);
}

/** The copy that a script would put back has to hold what the agent holds; beside a database nobody may put it back. */
function goldenStore(
  { id, directory, keeps, hasGolden }: OpenclawAgent,
  nameOf: (agent: string) => StoreName,
  { stateDirectory, confinement }: OpenclawLayout,
  environment: Environment,
): CredentialStore | null {
  if (!hasGolden || keeps !== "json") return null;
  return new OpenclawJsonStore(`${nameOf(id)}/provisioned`, directory, stateDirectory, environment, {
    file: GOLDEN_FILE,
    confinement,
  });
}

function layoutFindings({ problem }: OpenclawLayout, { label }: OpenclawSpec): Finding[] {
  return problem === null ? [] : [{ store: label === null ? "openclaw" : `openclaw@${label}`, kind: "error", ...problem }];
}

function agentFindings(
  agent: OpenclawAgent,
  store: StoreName,
  { shared, inheritsFrom }: Pick<Surroundings, "shared" | "inheritsFrom">,
): Finding[] {
  const served = isServed(agent, shared);
  const path = join(agent.directory, PROFILES_FILE);
  if (!agent.configured && !served) return agent.hasFile ? [{ store, path, kind: "unconfigured", error: null }] : [];
  const findings: Finding[] = [];
  if (agent.keeps === "inherits") findings.push({ store, path: agent.directory, kind: "inherits", error: null, inheritsFrom });
  if (agent.hasFile && agent.keeps !== "json") {
    const blocks = shared.refusesFiles ? { blocks: true as const } : {};
    findings.push({ store, path, kind: "retired", error: null, ...blocks });
  }
  const oldest = join(agent.directory, OLDEST_FILE);
  if (shared.refusesFiles && agent.keeps !== "json" && existsSync(oldest))
    findings.push({ store, path: oldest, kind: "retired", error: null, blocks: true });
  if (agent.hasGolden && agent.keeps !== "json") {
    findings.push({ store: `${store}/provisioned`, path: join(agent.directory, GOLDEN_FILE), kind: "retired", error: null });
  }
  return findings;
}
