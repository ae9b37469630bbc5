import { join } from "node:path";
import { StoreError } from "../domain/errors.js";
import type { Finding } from "../domain/inventory.js";
import type { CredentialStore, ProfileId } from "../domain/store.js";
import type { Environment } from "./environment.js";
import type { LocatedStore, Location } from "./located-store.js";
import {
  AGENT_DATABASE,
  discoverOpenclaw,
  openclawStateDirectory,
  type OpenclawAgent,
  type OpenclawLayout,
} from "./openclaw-discovery.js";
import { OpenclawJsonStore, PROFILES_FILE } from "./openclaw-json.js";
import { sharedStoreLocation } from "./openclaw-shared.js";
import { agentLayout, OpenclawSqliteStore, sharedLayout } from "./openclaw-sqlite.js";

/** The store that agents inherit from, as an agent's name in the config and in `openclaw:shared`. */
const SHARED = "shared";

/** Finds the credential stores of an OpenClaw: every agent's, and the one that they share. */
export async function locateOpenclaw(
  stateDir: string | null,
  profiles: readonly ProfileId[],
  environment: Environment,
): Promise<Location> {
  const layout = await discoverOpenclaw(await openclawStateDirectory(environment, stateDir), environment);
  const agents = layout.agents.filter((agent) => agent.configured && agent.keeps !== "inherits");
  const shared = await locateShared(layout, profiles, environment);
  const stores = agents.map((agent): LocatedStore => ({
    store: openStore(agent, layout, environment),
    agent: agent.id,
    named: profiles,
    creates: false,
  }));
  const findings = [...configFindings(layout), ...shared.findings, ...layout.agents.flatMap(agentFindings)];
  return { stores: [...shared.stores, ...stores], findings, files: layout.files };
}

async function locateShared(
  layout: OpenclawLayout,
  profiles: readonly ProfileId[],
  environment: Environment,
): Promise<Pick<Location, "stores" | "findings">> {
  const { sharedDatabase: path, stateDirectory } = layout;
  const name = storeName(SHARED);
  if (path === null) return { stores: [], findings: [] };
  try {
    if ((await sharedStoreLocation(path, environment)) === "legacy-main") return { stores: [], findings: [] };
    const store = new OpenclawSqliteStore({ name, path, layout: sharedLayout, stateDirectory }, environment);
    return { stores: [{ store, agent: SHARED, named: profiles, creates: false }], findings: [] };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { stores: [], findings: [{ store: name, path, kind: "error", error }] };
  }
}

function openStore(agent: OpenclawAgent, { stateDirectory }: OpenclawLayout, environment: Environment): CredentialStore {
  const name = storeName(agent.id);
  if (agent.keeps === "json") return new OpenclawJsonStore(name, agent.directory, stateDirectory, environment);
  return new OpenclawSqliteStore(
    { name, path: join(agent.directory, AGENT_DATABASE), layout: agentLayout, stateDirectory },
    environment,
  );
}

function configFindings({ configError, stateDirectory }: OpenclawLayout): Finding[] {
  if (configError === null) return [];
  return [{ store: "openclaw", path: join(stateDirectory, "openclaw.json"), kind: "error", error: configError }];
}

function agentFindings(agent: OpenclawAgent): Finding[] {
  const store = storeName(agent.id);
  const path = join(agent.directory, PROFILES_FILE);
  if (!agent.configured) return [{ store, path, kind: "unconfigured", error: null }];
  const findings: Finding[] = [];
  if (agent.keeps === "inherits") findings.push({ store, path: agent.directory, kind: "inherits", error: null });
  if (agent.hasRetiredFile) findings.push({ store, path, kind: "retired", error: null });
  return findings;
}

function storeName(agent: string): string {
  return `openclaw:${agent}`;
}
