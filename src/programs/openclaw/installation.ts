import { join } from "node:path";
import type { ChoicePlace, ChoiceStore, InstalledAgent, Installation } from "../../domain/choice.js";
import type { StoreName } from "../../domain/store.js";
import type { Environment } from "../environment.js";
import { readAuthPreferences } from "./auth-config.js";
import { confinedTo, type Confinement } from "../confinement.js";
import { confinementOf, MAIN_AGENT, type OpenclawAgent } from "./discovery.js";
import { OpenclawJsonChoice } from "./json-choice.js";
import { PROFILES_FILE } from "./json.js";
import { AGENT_DATABASE, agentLayout, sharedLayout } from "./sqlite.js";
import { OpenclawSqliteChoice } from "./sqlite-choice.js";
import { SHARED, type Surroundings } from "./stores.js";
import { unreachableChoice } from "../unreachable-store.js";

/**
 * Everyone who uses profiles in an OpenClaw as it was found, agents without a store of their own too.
 *
 * @throws StoreError where `openclaw.json`, or where the shared store is, cannot be understood: whose is what is not known
 */
export async function openInstallation(
  { layout, shared, nameOf, agents: served }: Surroundings,
  environment: Environment,
): Promise<Installation> {
  if (layout.problem !== null) throw layout.problem.error;
  for (const { error } of shared.findings) if (error !== null) throw error;
  const { stateDirectory, confinement } = layout;
  const users = layout.agents.filter((agent) => agent.configured || served.includes(agent));
  const main = users.find(({ id, keeps }) => id === MAIN_AGENT && keeps !== "inherits");
  const below = shared.store !== null ? shared.store.name : main === undefined ? null : nameOf(main.id);
  const agents = users.map(({ id, keeps, directory, refusal }): InstalledAgent => {
    const store = nameOf(id);
    return {
      agent: id,
      store,
      choice:
        keeps === "inherits" ? null : choiceIn({ store, keeps, directory, stateDirectory, confinement, refusal }, environment),
      inheritsFrom: below === store ? null : below,
      ownComeFirst: keeps === "sqlite",
    };
  });
  if (shared.store !== null) {
    const { name, path } = shared.store;
    const choice = new OpenclawSqliteChoice({ name, path, layout: sharedLayout, stateDirectory, confinement }, environment);
    agents.unshift({ agent: SHARED, store: name, choice, inheritsFrom: null, ownComeFirst: true });
  }
  return { agents, preferences: await readAuthPreferences(stateDirectory, environment) };
}

interface ChoiceLocation extends Pick<OpenclawAgent, "directory" | "refusal"> {
  readonly store: StoreName;
  readonly keeps: "json" | "sqlite";
  readonly stateDirectory: string;
  readonly confinement: Confinement;
}

function choiceIn(
  { store: name, keeps, directory, stateDirectory, confinement, refusal }: ChoiceLocation,
  environment: Environment,
): ChoiceStore {
  if (refusal !== null) return unreachableChoice({ name, path: directory, stateDirectory }, refusal);
  if (keeps === "json")
    return new OpenclawJsonChoice(name, join(directory, PROFILES_FILE), stateDirectory, environment, confinement);
  const path = join(directory, AGENT_DATABASE);
  return new OpenclawSqliteChoice({ name, path, layout: agentLayout, stateDirectory, confinement }, environment);
}

/**
 * Returns a function that opens a store again at the place that a journal names.
 *
 * @param agentDirs places outside the home where the user allows agents
 */
export async function choiceReopener(
  stateDirectories: readonly string[],
  agentDirs: readonly string[],
  environment: Environment,
): Promise<(place: ChoicePlace) => ChoiceStore> {
  const confinements = new Map<string, Confinement>();
  for (const directory of stateDirectories) confinements.set(directory, await confinementOf(directory, agentDirs, environment));
  return ({ name, format, path, stateDirectory }) => {
    const confinement = confinements.get(stateDirectory) ?? confinedTo(stateDirectory);
    if (format === "openclaw-json") return new OpenclawJsonChoice(name, path, stateDirectory, environment, confinement);
    const layout = path.endsWith(AGENT_DATABASE) ? agentLayout : sharedLayout;
    return new OpenclawSqliteChoice({ name, path, layout, stateDirectory, confinement }, environment);
  };
}
