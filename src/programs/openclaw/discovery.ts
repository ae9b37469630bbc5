import { realpathSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import * as z from "zod/mini";
import { StoreError } from "../../domain/errors.js";
import { isPresentable, looksLikeToken } from "../../domain/presentable.js";
import { isJsonObject } from "../../io/json-document.js";
import { isInside, LinkFinder, realPathOf, refuseDangling } from "../../io/real-path.js";
import { isThere } from "../../io/regular-file.js";
import { errnoOf, isAbsent, toStoreError } from "../../io/system-error.js";
import { Confinement, confinedTo } from "../confinement.js";
import { expandHome, type AgentPlace, type Environment } from "../environment.js";
import { CONFIG_FILE, partOf, readOpenclawConfig, type ConfigProblem, type OpenclawConfig } from "./config.js";
import { GOLDEN_FILE, PROFILES_FILE } from "./json.js";
import { AGENT_DATABASE, STATE_DATABASE } from "./sqlite.js";
import { substituted } from "./variables.js";

/** The agent whose store is everyone's up to 2026.7, whatever the default agent is. */
export const MAIN_AGENT = "main";

const presentable = z.string().check(z.refine(isPresentable));
const authShape = z.looseObject({
  profiles: z.optional(
    z.record(presentable, z.looseObject({ provider: z.optional(presentable), mode: z.optional(presentable) })),
  ),
  order: z.optional(z.record(presentable, z.array(presentable))),
});
const agentsShape = z.optional(
  z.looseObject({ list: z.optional(z.array(z.unknown())), entries: z.optional(z.record(z.string(), z.unknown())) }),
);

export interface OpenclawAgent {
  readonly id: string;
  readonly directory: string;
  /** `json`: a file. `sqlite`: a database of its own. `inherits`: nothing of its own, the shared store holds. */
  readonly keeps: "json" | "sqlite" | "inherits";
  /** True if there is a file of profiles; OpenClaw does not read it any more beside a database. */
  readonly hasFile: boolean;
  /** True if a provisioning script keeps a copy of that file beside it. */
  readonly hasGolden: boolean;
  /** True if `openclaw.json` names it, or has no list at all. */
  readonly configured: boolean;
  /** The reason why credsyncd does not read its directory, or why its content is unknown; or null. */
  readonly refusal: StoreError | null;
}

export interface OpenclawLayout {
  readonly stateDirectory: string;
  /** The directories that may contain its stores. */
  readonly confinement: Confinement;
  /** The database with the store that agents inherit from; null where there surely is none. */
  readonly sharedDatabase: string | null;
  readonly agents: readonly OpenclawAgent[];
  /** The version that last wrote `openclaw.json`; another one may run. */
  readonly versionHint: string | null;
  /**
   * The reason why agents may be missing here. If `openclaw.json` cannot be read or understood, these are the agents that it
   * named before. If those are unknown, they are the agents whose directories exist.
   */
  readonly problem: ConfigProblem | null;
  /** True if `openclaw.json` was never understood, so that only the names of directories identify the agents. */
  readonly isGuessed: boolean;
  /** Files whose change may change the layout. */
  readonly files: readonly string[];
}

/** OpenClaw's state directory by its own rules; it may not exist. */
export async function openclawStateDirectory(environment: Environment, configured: string | null): Promise<string> {
  return (await readOpenclawConfig(environment, configured)).stateDirectory;
}

/**
 * Finds the agents of an OpenClaw and where each keeps its credentials; a state directory that does not exist has none.
 *
 * @param agentDirs where agents are allowed that are neither in the home nor in the state directory
 */
export async function discoverOpenclaw(
  stateDirectory: string,
  agentDirs: readonly string[],
  environment: Environment,
): Promise<OpenclawLayout> {
  const config = await readOpenclawConfig(environment, stateDirectory);
  const agentsDirectory = join(stateDirectory, "agents");
  const isInstalled = attempt(() => isThere(stateDirectory));
  if (isInstalled !== true && (isInstalled !== false || config.text === null)) {
    const problem = isInstalled === false ? null : { path: stateDirectory, error: isInstalled };
    return nothingIn(stateDirectory, config, problem);
  }
  const { present, unlisted } = await agentDirectoriesIn(agentsDirectory);
  if (config.isMoved && !isAtOneOf(ownPlaces(config, agentDirs, environment), stateDirectory))
    return nothingIn(stateDirectory, config, { path: stateDirectory, error: movedAway(stateDirectory) });
  const confinement = await confinementOf(stateDirectory, agentDirs, environment, config);
  const { configured, isWhole, configProblem } = configuredAgents(config, environment);
  const stateDatabase = join(stateDirectory, STATE_DATABASE);
  const hasStateDatabase = attempt(() => isThere(stateDatabase));

  const behindLinks = new Set<string>();
  const judged = (place: AgentPlace): AgentPlace => {
    if (place.refusal !== null) return place;
    const real = attempt(() => realPathOf(place.directory));
    if (real instanceof StoreError) return { ...place, refusal: real };
    if (real !== place.directory) behindLinks.add(place.directory);
    return { ...place, refusal: refusalOf(place, real, stateDirectory, confinement) };
  };
  const known = (configured ?? (config.isLocated ? present : [])).map(judged);
  const looked = known.filter(({ refusal }) => refusal === null);
  const ids = new Set(known.map(({ id }) => id));
  // While it is not known where every agent is, any directory may be a live one's.
  const strays = config.isLocated ? await othersAmong(present, looked) : [];
  const strangers = strays.filter(({ id }) => !ids.has(id) && (isWhole || id === MAIN_AGENT));
  const others = strangers.filter(({ id, directory }) => mayHaveCredentials(id, directory));
  const agents = [
    ...known.map((place) => agentAt(place, true, hasStateDatabase)),
    ...others.map((place) => agentAt(judged(place), false, hasStateDatabase)),
  ];
  const watched = [...looked, ...others.filter(({ id }) => id === MAIN_AGENT)];
  const links = new LinkFinder();
  const ways = [agentsDirectory, ...behindLinks].flatMap((directory) => links.linksTo(directory));
  const files = [
    ...config.files,
    stateDatabase,
    agentsDirectory,
    // An agent's directory that is replaced, or one above it: what is watched would still be the old one.
    ...present.map(({ id }) => join(agentsDirectory, id)),
    ...ways,
    ...watched.flatMap(filesOf),
  ];
  const sharedDatabase = hasStateDatabase === false ? null : stateDatabase;
  const problem = configProblem ?? (unlisted === null ? null : { path: agentsDirectory, error: unlisted });
  const { versionHint } = config;
  return { stateDirectory, confinement, sharedDatabase, agents, versionHint, problem, isGuessed: configured === null, files };
}

function nothingIn(stateDirectory: string, { files }: OpenclawConfig, problem: ConfigProblem | null): OpenclawLayout {
  return {
    stateDirectory,
    confinement: confinedTo(stateDirectory),
    sharedDatabase: null,
    agents: [],
    versionHint: null,
    problem,
    isGuessed: false,
    files,
  };
}

/** Returns an answer or its error: a place that cannot be read is not an empty one. */
function attempt<Answer>(ask: () => Answer): Answer | StoreError {
  try {
    return ask();
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
}

/** The directories that are no agent's yet, under whatever name. */
async function othersAmong(present: readonly AgentPlace[], agents: readonly AgentPlace[]): Promise<AgentPlace[]> {
  // Nearly all match by name, and following hundreds of links takes time.
  const names = new Set(agents.map(({ directory }) => directory));
  const unnamed = present.filter(({ directory }) => !names.has(directory));
  if (unnamed.length === 0) return [];
  const known = new Set(await Promise.all(agents.map(({ directory }) => canonical(directory))));
  const others: AgentPlace[] = [];
  for (const other of unnamed) if (!known.has(await canonical(other.directory))) others.push(other);
  return others;
}

/**
 * Checks whether an unconfigured agent needs a finding. All agents inherit from main's database, named or not, so files that
 * cannot be read matter for main alone.
 */
function mayHaveCredentials(id: string, directory: string): boolean {
  const isPossible = (name: string): boolean => {
    const answer = attempt(() => isThere(join(directory, name)));
    return answer === true || (answer !== false && id === MAIN_AGENT);
  };
  return isPossible(PROFILES_FILE) || (id === MAIN_AGENT && isPossible(AGENT_DATABASE));
}

/** Returns the files to watch for an agent: its credentials, and the database whose arrival retires them. */
function filesOf({ directory }: AgentPlace): string[] {
  return [PROFILES_FILE, GOLDEN_FILE, AGENT_DATABASE].map((name) => join(directory, name));
}

function agentAt(place: AgentPlace, configured: boolean, hasStateDatabase: boolean | StoreError): OpenclawAgent {
  const kept = place.refusal ?? attempt(() => credentialsOf(place.directory, hasStateDatabase));
  if (kept instanceof StoreError) return { ...place, ...unseen, configured, refusal: kept };
  return { ...place, ...kept, configured };
}

/**
 * Finds an agent's credentials by the files that are there, never by a version: a database retires the file beside it.
 *
 * @throws StoreError if the files are unknown
 */
function credentialsOf(
  directory: string,
  hasStateDatabase: boolean | StoreError,
): Pick<OpenclawAgent, "keeps" | "hasFile" | "hasGolden"> {
  // A scan asks this many times, and the system has it in memory: the thread pool would take longer.
  const [hasDatabase, hasFile, hasGolden] = [
    isThere(join(directory, AGENT_DATABASE)),
    isThere(join(directory, PROFILES_FILE)),
    isThere(join(directory, GOLDEN_FILE)),
  ];
  if (!hasDatabase) refuseDangling(join(directory, AGENT_DATABASE));
  if (hasDatabase) return { keeps: "sqlite", hasFile, hasGolden };
  if (hasStateDatabase instanceof StoreError) throw hasStateDatabase;
  return { keeps: hasStateDatabase ? "inherits" : "json", hasFile, hasGolden };
}

/** An agent whose directory credsyncd does not read has nothing that it knows of. */
const unseen = { keeps: "json", hasFile: false, hasGolden: false } as const;

/**
 * Returns the homes that contain this user's files. A home that is the root of everything, as in some containers, says nothing.
 */
function homes({ home }: Environment, { givenHome }: OpenclawConfig): string[] {
  return [home, givenHome].filter((path) => path !== "/");
}

/** Returns the places that may contain the user's own OpenClaw and its agents. */
function ownPlaces(config: OpenclawConfig, agentDirs: readonly string[], environment: Environment): string[] {
  return [...homes(environment, config), ...agentDirs.map((path) => expandHome(path, environment.home))];
}

/** Whoever may write OpenClaw's own files could have logins put anywhere, as with an agent's directory. */
function movedAway(stateDirectory: string): StoreError {
  return new StoreError(
    "permission",
    `OpenClaw's own .env or env block moves its state directory to ${stateDirectory}, outside of this user's home`,
    `if that is meant, add it to the config of credsyncd: agentDirs: [${JSON.stringify(stateDirectory)}]`,
  );
}

/**
 * The user's own OpenClaw may keep agents anywhere in the home, and where the user says in a file of their own; whoever owns
 * another one, such as a container's, may put a link or an `agentDir` into it, which lead nowhere.
 */
export async function confinementOf(
  stateDirectory: string,
  agentDirs: readonly string[],
  environment: Environment,
  config?: OpenclawConfig,
): Promise<Confinement> {
  if (stateDirectory !== (await openclawStateDirectory(environment, null))) return confinedTo(stateDirectory);
  const own = ownPlaces(config ?? (await readOpenclawConfig(environment, stateDirectory)), agentDirs, environment);
  return new Confinement(
    [...own, stateDirectory, join(stateDirectory, "agents")],
    "this user's home",
    (directory) => `if that is meant, add it to the config of credsyncd: agentDirs: [${JSON.stringify(directory)}]`,
  );
}

/** Checks whether a path leads into one of these places; a path that cannot be resolved leads nowhere. */
function isAtOneOf(places: readonly string[], path: string): boolean {
  const real = attempt(() => realPathOf(path));
  return !(real instanceof StoreError) && places.some((place) => isAt(place, real));
}

/** Checks whether a path is inside a place; a place that cannot be read allows nothing. */
function isAt(place: string, path: string): boolean {
  const real = attempt(() => realPathOf(place));
  return !(real instanceof StoreError) && isInside(path, real);
}

/** Returns the reason not to read an agent's directory, or null. */
function refusalOf(
  { id, directory }: AgentPlace,
  real: string,
  stateDirectory: string,
  confinement: Confinement,
): StoreError | null {
  const isUsual = directory === usualDirectory(stateDirectory, id);
  return confinement.refusalOf(real, isUsual ? directory : `the agentDir of ${id} in openclaw.json`);
}

function usualDirectory(stateDirectory: string, id: string): string {
  return join(stateDirectory, "agents", id, "agent");
}

interface ConfiguredAgents {
  /** Null where the config cannot be understood, and never was. */
  readonly configured: readonly AgentPlace[] | null;
  /** True if these are all agents, each in its right place. */
  readonly isWhole: boolean;
  readonly configProblem: ConfigProblem | null;
}

/** Agents are configured, not scanned for: by `agents.entries`, else by `agents.list`, else there is just `main`. */
function configuredAgents(config: OpenclawConfig, environment: Environment): ConfiguredAgents {
  const { path } = config;
  try {
    refuseUnknown(config, environment);
    const agents = new Map<string, AgentPlace>();
    for (const [index, { id, agentDir }] of writtenAgents(config).entries()) {
      // As it is written: in lower case it would not be known for what it is.
      const place = looksLikeToken(id)
        ? unnamed(index, config.stateDirectory)
        : placeOf(normalizeAgentId(id), agentDir, config, environment);
      if (!agents.has(place.id)) agents.set(place.id, place);
    }
    if (agents.size === 0) agents.set(MAIN_AGENT, usualPlace(MAIN_AGENT, config));
    const configured = [...agents.values()];
    if (config.text !== null) environment.lastAgents.set(path, configured);
    const isWhole = !hasTwoRosters(config) && configured.every(({ refusal }) => !(refusal instanceof UnknownPlace));
    return { configured, isWhole, configProblem: config.problem };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    // By the name of its directory alone an agent would not be known for the one that the user pinned, or has no more.
    const usual = config.isNamed ? path : join(config.stateDirectory, CONFIG_FILE);
    const configured = environment.lastAgents.get(usual) ?? environment.lastAgents.get(path) ?? null;
    return { configured, isWhole: false, configProblem: config.problem ?? { path, error } };
  }
}

/** @throws StoreError where the agents cannot be known from the configuration */
function refuseUnknown(
  { path, text, stateDirectory, isNamed, problem, unknown }: OpenclawConfig,
  { lastAgents }: Environment,
): void {
  if (problem !== null && (unknown === null || unknown.has("agents"))) throw problem.error;
  if (text === null && lastAgents.has(path)) throw gone(path);
  // An older file that lies about counts again while the newer one is being replaced.
  const usual = join(stateDirectory, CONFIG_FILE);
  if (!isNamed && path !== usual && lastAgents.has(usual)) throw gone(usual);
}

/** No version accepts both: one that was started before still has the agents of the other one. */
function hasTwoRosters({ value: { agents } }: OpenclawConfig): boolean {
  return isJsonObject(agents) && agents["list"] !== undefined && agents["entries"] !== undefined;
}

interface WrittenAgent {
  readonly id: string;
  /** As it is written, without variables. */
  readonly agentDir: string;
}

/** @throws StoreError for a shape that OpenClaw would not give it, and for an id that cannot be known */
function writtenAgents(config: OpenclawConfig): WrittenAgent[] {
  const { path, value, variables } = config;
  const parsed = agentsShape.safeParse(value["agents"]);
  if (!parsed.success) throw misshapen(["agents", ...(parsed.error.issues[0]?.path ?? [])].map(String).join("."), path);
  const { list = [], entries } = parsed.data ?? {};
  const listed = list.map((agent, index) => agentIn(agent, `agents.list.${String(index)}`, path));
  if (entries !== undefined) {
    return Object.entries(entries).map(([id, agent]) => {
      const { agentDir = "" } = agentIn(agent, `agents.entries.${id}`, path);
      return { id, agentDir };
    });
  }
  return listed.map(({ id: written = "", agentDir = "" }, index) => {
    const { text: id, missing } = substituted(written, variables);
    if (missing[0] !== undefined) throw unset(`agents.list.${String(index)}.id`, missing[0], config);
    return { id, agentDir };
  });
}

function placeOf(id: string, written: string, config: OpenclawConfig, environment: Environment): AgentPlace {
  const usual = usualPlace(id, config);
  const { text, missing } = substituted(written, config.variables);
  const agentDir = text.trim();
  if (agentDir === "") return usual;
  const nowhere = (refusal: StoreError): AgentPlace => ({ ...usual, refusal });
  if (missing[0] !== undefined) return nowhere(unset(`the agentDir of ${id}`, missing[0], config));
  if (!isPresentable(agentDir)) {
    const what = `the agentDir of ${id} in openclaw.json is no path that can be shown`;
    return nowhere(new UnknownPlace(what, "check it with: openclaw doctor"));
  }
  const directory = expandHome(agentDir, config.home);
  return isAbsolute(directory)
    ? { id, directory: resolve(directory), refusal: null }
    : relativePlace(id, directory, [environment.home, config.stateDirectory]);
}

function usualPlace(id: string, { stateDirectory }: OpenclawConfig): AgentPlace {
  return { id, directory: usualDirectory(stateDirectory, id), refusal: null };
}

/**
 * OpenClaw takes a relative path from where it was started, which nobody else can know: as a service in the home (systemd)
 * or in its state directory (launchd). The one of these that has the agent's credentials counts, else the one that exists.
 */
function relativePlace(id: string, agentDir: string, starts: readonly [string, string]): AgentPlace {
  const places = [...new Set(starts.map((start) => resolve(start, agentDir)))];
  const mayBeThere = (path: string): boolean => attempt(() => isThere(path)) !== false;
  const used = places.filter((place) => [PROFILES_FILE, AGENT_DATABASE].some((name) => mayBeThere(join(place, name))));
  const [place, other] = used.length > 0 ? used : places.filter(mayBeThere);
  if (place !== undefined && other === undefined) return { id, directory: place, refusal: null };
  const what = `the agentDir of ${id} in openclaw.json is relative to where OpenClaw is started, which credsyncd cannot know`;
  const reason = place === undefined ? `there is no ${places.join(" and no ")}` : `it may be ${places.join(" or ")}`;
  const refusal = new UnknownPlace(`${what}: ${reason}`, "write it as an absolute path, or with ~/ in front");
  return { id, directory: resolve(starts[1], agentDir), refusal };
}

/** The reason why an agent's directory cannot be known from its configuration. */
class UnknownPlace extends StoreError {
  constructor(message: string, hint: string) {
    super("malformed", message, hint);
  }
}

function unset(place: string, name: string, { stateDirectory }: OpenclawConfig): StoreError {
  const hint = `set it in ${join(stateDirectory, ".env")}, where OpenClaw and credsyncd both find it, or write its value instead`;
  return new UnknownPlace(`${place} in openclaw.json needs the variable ${name}, which is not set`, hint);
}

/** An agent whose id, and so its directory's name and its store's, must not be shown. */
function unnamed(index: number, stateDirectory: string): AgentPlace {
  const id = `(agent ${String(index + 1)})`;
  const what = `the id of ${id} in openclaw.json is built like a token, so that it must not be shown`;
  const hint = "give the agent another id; it is not served until then";
  return { id, directory: join(stateDirectory, "agents"), refusal: new StoreError("malformed", what, hint) };
}

/** One that was there: who writes it may have removed the old one first. */
function gone(path: string): StoreError {
  const hint =
    "put it back - or, if no agents are to be configured, write {} into it; the agents that it named are served meanwhile";
  return new StoreError("malformed", `${path} is not there any more`, hint);
}

/** Reads the entry of one agent in `openclaw.json`, of which there may be hundreds. @throws StoreError */
function agentIn(value: unknown, place: string, path: string): { readonly id?: string; readonly agentDir?: string } {
  if (!isJsonObject(value)) throw misshapen(place, path);
  const { id, agentDir } = value;
  if (id !== undefined && typeof id !== "string") throw misshapen(`${place}.id`, path);
  if (agentDir !== undefined && typeof agentDir !== "string") throw misshapen(`${place}.agentDir`, path);
  return { ...(id === undefined ? {} : { id }), ...(agentDir === undefined ? {} : { agentDir }) };
}

function misshapen(place: string, path: string): StoreError {
  const keys = place.split(".").map((key) => (isPresentable(key) ? key : "(a key)"));
  return new StoreError(
    "malformed",
    `${path}: ${keys.join(".")} has another shape than OpenClaw gives it`,
    "check it with: openclaw doctor",
  );
}

/** Which profiles `openclaw.json` lets OpenClaw use; a file that cannot be understood says nothing. */
export interface AuthRules {
  readonly path: string;
  readonly profiles: ReadonlyMap<string, { readonly provider: string | null; readonly mode: string | null }>;
  /** By provider, the profiles that may be used, in order. */
  readonly order: ReadonlyMap<string, readonly string[]>;
}

/** Reads what `openclaw.json` says of profiles: where it names any of a provider, or an order, others are never used. */
export async function openclawAuthRules(environment: Environment, configured: string | null): Promise<AuthRules> {
  const config = await readOpenclawConfig(environment, configured);
  const parsed = authShape.safeParse(partOf(config, "auth"));
  const { profiles = {}, order = {} } = parsed.success ? parsed.data : {};
  const named = Object.entries(profiles).map(([id, { provider = null, mode = null }]) => [id, { provider, mode }] as const);
  return { path: config.path, profiles: new Map(named), order: new Map(Object.entries(order)) };
}

/** A variable that makes OpenClaw keep what agents inherit somewhere else than in main's directory. */
export interface AgentDirectoryOverride {
  readonly variable: string;
  readonly directory: string;
}

/** The variable that moves the store of agent main to where no agent is; null where none does. */
export async function overriddenAgentDirectory(
  environment: Environment,
  configured: string | null,
): Promise<AgentDirectoryOverride | null> {
  const { stateDirectory, home, variables } = await readOpenclawConfig(environment, configured);
  const { agents, sharedDatabase } = await discoverOpenclaw(stateDirectory, [], environment);
  const known = new Set(await Promise.all(agents.map(({ directory }) => canonical(directory))));
  // Versions with a state database know the first only.
  const names = ["OPENCLAW_AGENT_DIR", ...(sharedDatabase === null ? ["PI_CODING_AGENT_DIR"] : [])];
  for (const name of names) {
    const value = variables[name]?.trim() ?? "";
    if (value === "") continue;
    const directory = resolve(expandHome(value, home));
    return known.has(await canonical(directory)) ? null : { variable: name, directory };
  }
  return null;
}

/** OpenClaw's rule for agent ids: lower case; what is not allowed becomes `-`; at most 64 characters; empty is `main`. */
export function normalizeAgentId(name: string): string {
  const lower = name.trim().toLowerCase();
  if (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(lower)) return lower;
  const mended = lower
    .replaceAll(/[^a-z0-9_-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 64);
  return mended === "" ? MAIN_AGENT : mended;
}

interface Listing {
  readonly present: readonly AgentPlace[];
  /** Why the directory could not be listed: it may hide the store that all agents inherit from. */
  readonly unlisted: StoreError | null;
}

async function agentDirectoriesIn(agentsDirectory: string): Promise<Listing> {
  try {
    const entries = await readdir(agentsDirectory, { withFileTypes: true });
    const present = entries
      .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && isPresentable(entry.name))
      .map((entry) => ({ id: entry.name, directory: join(agentsDirectory, entry.name, "agent"), refusal: null }));
    return { present, unlisted: null };
  } catch (error) {
    return { present: [], unlisted: isAbsent(error) ? null : toStoreError(error, agentsDirectory, "read") };
  }
}

/** The directory behind links; one that does not exist is its own name. */
function canonical(path: string): Promise<string> {
  try {
    return Promise.resolve(realpathSync.native(path));
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return Promise.resolve(path);
  }
}
