import { join } from "node:path";
import { StoreError } from "../domain/errors.js";
import type { Finding } from "../domain/inventory.js";
import type { Environment } from "./environment.js";
import type { LocatedStore, Location } from "./located-store.js";
import { discoverOpenclaw, openclawStateDirectory, type OpenclawAgent } from "./openclaw-discovery.js";
import { OpenclawJsonStore, PROFILES_FILE } from "./openclaw-json.js";

/** Finds the credential stores of every agent of an OpenClaw. */
export async function locateOpenclaw(
  stateDir: string | null,
  profiles: readonly string[],
  environment: Environment,
): Promise<Location> {
  const layout = await discoverOpenclaw(await openclawStateDirectory(environment, stateDir), environment);
  const stores: LocatedStore[] = [];
  const findings: Finding[] = [];
  if (layout.configError !== null) {
    findings.push({
      store: "openclaw",
      path: join(layout.stateDirectory, "openclaw.json"),
      kind: "error",
      error: layout.configError,
    });
  }
  for (const agent of layout.agents) {
    const finding = findingOf(agent);
    if (finding !== null) findings.push(finding);
    else stores.push({ store: openStore(agent, environment), agent: agent.id, named: profiles, creates: false });
  }
  return { stores, findings, files: layout.files };
}

function findingOf(agent: OpenclawAgent): Finding | null {
  const store = storeName(agent);
  const path = join(agent.directory, PROFILES_FILE);
  if (!agent.configured) return { store, path, kind: "unconfigured", error: null };
  if (agent.era === "json") return null;
  const error = new StoreError(
    "unsupported",
    `${store} keeps its credentials in an SQLite database, which this version cannot write`,
    "its agents are left alone; set them to ignore in the config to silence this",
  );
  return { store, path: agent.directory, kind: "error", error };
}

function openStore(agent: OpenclawAgent, environment: Environment): OpenclawJsonStore {
  return new OpenclawJsonStore(storeName(agent), agent.directory, environment);
}

function storeName(agent: OpenclawAgent): string {
  return `openclaw:${agent.id}`;
}
