import { resolve } from "node:path";
import type { SourceStore } from "../domain/inventory.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import { CLAUDE_PROFILE, ClaudeCodeStore, claudeDirectories } from "./claude-code.js";
import { expandHome, type Environment } from "./environment.js";
import type { Location } from "./located-store.js";
import { openclawGateway, type Gateway } from "./openclaw-gateway.js";
import { locateOpenclaw } from "./openclaw.js";

/** Names the source's own store in orders and logs. */
export const SOURCE_STORE: StoreName = "claude-code";

/** Opens the source. */
export function locateSource(environment: Environment): SourceStore {
  const store = new ClaudeCodeStore(SOURCE_STORE, claudeDirectories(environment), environment);
  return { store, profile: CLAUDE_PROFILE, providers: ["anthropic", "claude-cli"] };
}

/** Which stores a target in the config stands for. */
export type TargetSpec =
  { readonly kind: "openclaw"; readonly stateDir: string | null } | { readonly kind: "claude-code"; readonly dir: string };

/** The gateways that work from a target's stores. */
export function gatewaysOf(spec: TargetSpec, environment: Environment): Gateway[] {
  return spec.kind === "openclaw" ? [openclawGateway(spec.stateDir, environment)] : [];
}

/** Finds a target's stores as they are at this moment. */
export async function locateTarget(
  spec: TargetSpec,
  profiles: readonly ProfileId[],
  environment: Environment,
): Promise<Location> {
  switch (spec.kind) {
    case "openclaw":
      return locateOpenclaw(spec.stateDir, profiles, environment);
    case "claude-code": {
      const directory = resolve(expandHome(spec.dir, environment.home));
      const directories = { storage: directory, accountFile: resolve(directory, ".claude.json") };
      const store = new ClaudeCodeStore(`claude-code:${spec.dir}`, directories, environment);
      return { stores: [{ store, agent: null, named: null, creates: true }], findings: [], files: [store.path] };
    }
  }
}
