import { realpathSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as z from "zod/mini";
import { StoreError } from "../domain/errors.js";
import { isPresentable, looksLikeToken } from "../domain/presentable.js";
import { isJsonObject } from "../io/json-document.js";
import { LinkFinder, realPathOf, refuseDangling } from "../io/real-path.js";
import { isThere, readRegularFile } from "../io/regular-file.js";
import { errnoOf, isAbsent, toStoreError } from "../io/system-error.js";
import { Confinement, confinedTo } from "./confinement.js";
import { expandHome, variable, type AgentPlace, type Environment } from "./environment.js";
import { GOLDEN_FILE, PROFILES_FILE } from "./openclaw-json.js";
import { AGENT_DATABASE, STATE_DATABASE } from "./openclaw-sqlite.js";

/** The agent whose store is everyone's up to 2026.7, whatever the default agent is. */
export const MAIN_AGENT = "main";
/** Names that OpenClaw's state directory had before, which it still uses where only they exist. */
const LEGACY_STATE_DIRECTORIES = [".clawdbot", ".moldbot", ".moltbot"];

const presentable = z.string().check(z.refine(isPresentable));
const authShape = z.looseObject({
  profiles: z.optional(
    z.record(presentable, z.looseObject({ provider: z.optional(presentable), mode: z.optional(presentable) })),
  ),
  order: z.optional(z.record(presentable, z.array(presentable))),
});
const configShape = z.looseObject({
  meta: z.optional(z.catch(z.looseObject({ lastTouchedVersion: z.optional(z.string()) }), {})),
  gateway: z.optional(z.catch(z.looseObject({ port: z.optional(z.number()) }), {})),
  auth: z.optional(z.catch(authShape, {})),
  agents: z.optional(
    z.looseObject({ list: z.optional(z.array(z.unknown())), entries: z.optional(z.record(z.string(), z.unknown())) }),
  ),
});

export interface OpenclawAgent {
  readonly id: string;
  readonly directory: string;
  /** `json`: a file. `sqlite`: a database of its own. `inherits`: nothing of its own, the shared store holds. */
  readonly keeps: "json" | "sqlite" | "inherits";
  /** Whether there is a file of profiles, which OpenClaw does not read any more beside a database. */
  readonly hasFile: boolean;
  /** Whether a provisioning script keeps a copy of that file beside it. */
  readonly hasGolden: boolean;
  /** Whether `openclaw.json` names it, or has no list at all. */
  readonly configured: boolean;
  /** Why its directory is not even looked at, or why it cannot be told what is there; or null. */
  readonly refusal: StoreError | null;
}

export interface OpenclawLayout {
  readonly stateDirectory: string;
  /** Where its stores may be. */
  readonly confinement: Confinement;
  /** The database with the store that agents inherit from; null where there surely is none. */
  readonly sharedDatabase: string | null;
  readonly agents: readonly OpenclawAgent[];
  /** The version that last wrote `openclaw.json`; another one may run. */
  readonly versionHint: string | null;
  /**
   * Why these may not be all agents. Where it is `openclaw.json` that cannot be read or understood, they are those that it
   * named before; where that is not known, those whose directories exist.
   */
  readonly problem: Problem | null;
  /** Whether `openclaw.json` was never understood, so that agents are known by their directories' names alone. */
  readonly isGuessed: boolean;
  /** Files whose change may change the layout. */
  readonly files: readonly string[];
}

interface Problem {
  readonly path: string;
  readonly error: StoreError;
}

/** OpenClaw's state directory by its own rules; it may not exist. */
export function openclawStateDirectory(environment: Environment, configured: string | null): Promise<string> {
  const home = openclawHome(environment);
  const named = configured ?? variable(environment, "OPENCLAW_STATE_DIR") ?? variable(environment, "CLAWDBOT_STATE_DIR");
  if (named !== null) return Promise.resolve(resolve(expandHome(named, home)));
  const usual = join(home, ".openclaw");
  for (const directory of [usual, ...LEGACY_STATE_DIRECTORIES.map((name) => join(home, name))]) {
    if (attempt(() => isThere(directory)) !== false) return Promise.resolve(directory);
  }
  return Promise.resolve(usual);
}

/** What OpenClaw takes for the home, in its config too (openclaw/openclaw, src/infra/home-dir.ts). */
function openclawHome(environment: Environment): string {
  return resolve(expandHome(variable(environment, "OPENCLAW_HOME") ?? environment.home, environment.home));
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
  const configFile = join(stateDirectory, "openclaw.json");
  const agentsDirectory = join(stateDirectory, "agents");
  const isInstalled = attempt(() => isThere(stateDirectory));
  if (isInstalled !== true) {
    const problem = isInstalled === false ? null : { path: stateDirectory, error: isInstalled };
    return {
      stateDirectory,
      confinement: confinedTo(stateDirectory),
      sharedDatabase: null,
      agents: [],
      versionHint: null,
      problem,
      isGuessed: false,
      files: [configFile],
    };
  }
  const { present, unlisted } = await agentDirectoriesIn(agentsDirectory);
  const confinement = await confinementOf(stateDirectory, agentDirs, environment);
  const { configured, versionHint, configError } = await configuredAgents(configFile, stateDirectory, environment);
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
  const known = (configured ?? present).map(judged);
  const looked = known.filter(({ refusal }) => refusal === null);
  const ids = new Set(known.map(({ id }) => id));
  const others = (await othersAmong(present, looked)).filter(
    ({ id, directory }) => !ids.has(id) && mayHaveCredentials(id, directory),
  );
  const agents = [
    ...known.map((place) => agentAt(place, true, hasStateDatabase)),
    ...others.map((place) => agentAt(judged(place), false, hasStateDatabase)),
  ];
  const watched = [...looked, ...others.filter(({ id }) => id === MAIN_AGENT)];
  const links = new LinkFinder();
  const ways = [agentsDirectory, ...behindLinks].flatMap((directory) => links.linksTo(directory));
  const files = [
    configFile,
    stateDatabase,
    agentsDirectory,
    // An agent's directory that is replaced, or one above it: what is watched would still be the old one.
    ...present.map(({ id }) => join(agentsDirectory, id)),
    ...ways,
    ...watched.flatMap(filesOf),
  ];
  const sharedDatabase = hasStateDatabase === false ? null : stateDatabase;
  const problem = problemOf([configFile, configError], [agentsDirectory, unlisted]);
  return { stateDirectory, confinement, sharedDatabase, agents, versionHint, problem, isGuessed: configured === null, files };
}

function problemOf(...all: readonly (readonly [string, StoreError | null])[]): Problem | null {
  for (const [path, error] of all) if (error !== null) return { path, error };
  return null;
}

/** An answer, or why there is none: a place that cannot be looked at is not an empty one. */
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
  // Nearly all are known by the very name, and following hundreds of links takes its time.
  const names = new Set(agents.map(({ directory }) => directory));
  const unnamed = present.filter(({ directory }) => !names.has(directory));
  if (unnamed.length === 0) return [];
  const known = new Set(await Promise.all(agents.map(({ directory }) => canonical(directory))));
  const others: AgentPlace[] = [];
  for (const other of unnamed) if (!known.has(await canonical(other.directory))) others.push(other);
  return others;
}

/**
 * Whether there is something to tell of an agent that is not configured: agents inherit from main's database, named or not.
 * What cannot be looked at matters of main's alone.
 */
function mayHaveCredentials(id: string, directory: string): boolean {
  const isPossible = (name: string): boolean => {
    const answer = attempt(() => isThere(join(directory, name)));
    return answer === true || (answer !== false && id === MAIN_AGENT);
  };
  return isPossible(PROFILES_FILE) || (id === MAIN_AGENT && isPossible(AGENT_DATABASE));
}

/** What to watch for an agent: its credentials, and the database whose arrival retires them. */
function filesOf({ directory }: AgentPlace): string[] {
  return [PROFILES_FILE, GOLDEN_FILE, AGENT_DATABASE].map((name) => join(directory, name));
}

function agentAt(place: AgentPlace, configured: boolean, hasStateDatabase: boolean | StoreError): OpenclawAgent {
  const kept = place.refusal ?? attempt(() => credentialsOf(place.directory, hasStateDatabase));
  if (kept instanceof StoreError) return { ...place, ...unseen, configured, refusal: kept };
  return { ...place, ...kept, configured };
}

/**
 * Told from the files that are there, never from a version: a database retires the file beside it.
 *
 * @throws StoreError where it cannot be told what is there
 */
function credentialsOf(
  directory: string,
  hasStateDatabase: boolean | StoreError,
): Pick<OpenclawAgent, "keeps" | "hasFile" | "hasGolden"> {
  // Asked many times a look, of what the system has in memory: the way through the thread pool would take longer.
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

/** What is not looked at keeps nothing that is known of. */
const unseen = { keeps: "json", hasFile: false, hasGolden: false } as const;

/** Where this user's programs keep their files. A home that is the root of everything, as in some containers, tells nothing. */
function homes(environment: Environment): string[] {
  return [environment.home, openclawHome(environment)].filter((path) => path !== "/");
}

/**
 * The user's own OpenClaw may keep agents anywhere in the home, and where the user says in a file of their own; whoever owns
 * another one, such as a container's, may put a link or an `agentDir` into it, which lead nowhere.
 */
export async function confinementOf(
  stateDirectory: string,
  agentDirs: readonly string[],
  environment: Environment,
): Promise<Confinement> {
  if (stateDirectory !== (await openclawStateDirectory(environment, null))) return confinedTo(stateDirectory);
  const allowed = agentDirs.map((path) => expandHome(path, environment.home));
  return new Confinement(
    [...homes(environment), stateDirectory, join(stateDirectory, "agents"), ...allowed],
    "this user's home",
    (directory) => `if that is meant, add it to the config of credsyncd: agentDirs: [${JSON.stringify(directory)}]`,
  );
}

/** Why an agent's directory is not even looked at, or null. */
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
  readonly versionHint: string | null;
  readonly configError: StoreError | null;
}

/** Agents are configured, not scanned for: by `agents.entries`, else by `agents.list`, else there is just `main`. */
async function configuredAgents(path: string, stateDirectory: string, environment: Environment): Promise<ConfiguredAgents> {
  const placeOf = (id: string, agentDir = ""): AgentPlace => {
    const usual = usualDirectory(stateDirectory, id);
    if (agentDir.trim() === "") return { id, directory: usual, refusal: null };
    if (!isPresentable(agentDir)) {
      const what = `the agentDir of ${id} in openclaw.json is no path that can be shown`;
      return { id, directory: usual, refusal: new StoreError("malformed", what, "check it with: openclaw doctor") };
    }
    const directory = resolve(stateDirectory, expandHome(agentDir.trim(), openclawHome(environment)));
    return { id, directory, refusal: null };
  };
  try {
    const config = await readConfig(path);
    if (config === null && environment.lastAgents.has(path)) throw gone(path);
    const { list = [], entries } = config?.agents ?? {};
    const listed = list.map((value, index) => agentIn(value, `agents.list.${String(index)}`, path));
    const named = Object.entries(entries ?? {}).map(([name, value]) => ({
      ...agentIn(value, `agents.entries.${name}`, path),
      id: name,
    }));
    const agents = new Map<string, AgentPlace>();
    for (const [index, { id: written = "", agentDir }] of (entries === undefined ? listed : named).entries()) {
      // As it is written: in lower case it would not be known for what it is.
      const place = looksLikeToken(written) ? unnamed(index, stateDirectory) : placeOf(normalizeAgentId(written), agentDir);
      if (!agents.has(place.id)) agents.set(place.id, place);
    }
    if (agents.size === 0) agents.set(MAIN_AGENT, placeOf(MAIN_AGENT, undefined));
    const configured = [...agents.values()];
    if (config !== null) environment.lastAgents.set(path, configured);
    return { configured, versionHint: versionIn(config ?? {}), configError: null };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    // By the name of its directory alone an agent would not be known for the one that the user pinned, or has no more.
    return { configured: environment.lastAgents.get(path) ?? null, versionHint: null, configError: error };
  }
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

/** Only what looks like a version is shown: the config is another program's, and may hold anything. */
function versionIn({ meta }: z.infer<typeof configShape>): string | null {
  const version = meta?.lastTouchedVersion ?? "";
  return /^\d[\w.+-]{0,39}$/.test(version) ? version : null;
}

/** Null where there is none, which says the same as an empty one. */
async function readConfig(path: string): Promise<z.infer<typeof configShape> | null> {
  const file = await readRegularFile(path);
  if (file === null) return null;
  const parsed = configShape.safeParse(await parseJson5(file.text, path));
  if (parsed.success) return parsed.data;
  throw misshapen((parsed.error.issues[0]?.path ?? []).map(String).join("."), path);
}

/** What `openclaw.json` says of one agent, of which there may be hundreds. @throws StoreError */
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

/** The parser's message quotes the text, which may hold keys, so only the place is told. */
export async function parseJson5(text: string, path: string): Promise<unknown> {
  const json = asPlainJson(text);
  if (json !== undefined) return json;
  const { default: JSON5 } = await import("json5");
  try {
    return JSON5.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { lineNumber } = error as { lineNumber?: number };
    const place = lineNumber === undefined ? "" : ` at line ${String(lineNumber)}`;
    throw new StoreError(
      "malformed",
      `${path} is not JSON5${place}`,
      "check it with: openclaw doctor; the agents that it named before, or whose directories exist, are served meanwhile",
    );
  }
}

/** What OpenClaw itself writes is plain JSON, which the runtime reads many times faster; undefined for anything else. */
function asPlainJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The port that the gateway of a state directory listens on, as `openclaw.json` says; null where it does not say. */
export async function configuredGatewayPort(stateDirectory: string): Promise<number | null> {
  try {
    return (await readConfig(join(stateDirectory, "openclaw.json")))?.gateway?.port ?? null;
  } catch (error) {
    if (error instanceof StoreError) return null;
    throw error;
  }
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
  const path = join(await openclawStateDirectory(environment, configured), "openclaw.json");
  try {
    const { profiles = {}, order = {} } = (await readConfig(path))?.auth ?? {};
    const named = Object.entries(profiles).map(([id, { provider = null, mode = null }]) => [id, { provider, mode }] as const);
    return { path, profiles: new Map(named), order: new Map(Object.entries(order)) };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { path, profiles: new Map(), order: new Map() };
  }
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
  const { agents, sharedDatabase } = await discoverOpenclaw(
    await openclawStateDirectory(environment, configured),
    [],
    environment,
  );
  const known = new Set(await Promise.all(agents.map(({ directory }) => canonical(directory))));
  // Versions with a state database know the first only.
  const names = ["OPENCLAW_AGENT_DIR", ...(sharedDatabase === null ? ["PI_CODING_AGENT_DIR"] : [])];
  for (const name of names) {
    const value = variable(environment, name);
    if (value === null) continue;
    const directory = resolve(expandHome(value, openclawHome(environment)));
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
