import { platform } from "node:os";
import { dirname, resolve } from "node:path";
import { noOrigin } from "../domain/inventory.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import { CLAUDE_PROFILE, ClaudeCodeStore, claudeDirectories, type ClaudeDirectories } from "./claude-code/store.js";
import { ClaudeKeychainStore, keychainDirectory } from "./claude-code/keychain.js";
import { waysTo } from "../io/real-path.js";
import { confinedTo } from "./confinement.js";
import { expandHome, type Environment } from "./environment.js";
import type { LocatedSource, Location } from "./located-store.js";
import { openInstallation } from "./openclaw/installation.js";
import { openclawGateway, type Gateway } from "./openclaw/gateway.js";
import {
  locateOpenclawSource,
  lookAround,
  openclawStores,
  openclawLockDirectories,
  type OpenclawSourceSpec,
  type OpenclawSpec,
} from "./openclaw/stores.js";

/** What a source in the config stands for. */
export type SourceSpec =
  | {
      readonly kind: "claude-code";
      /** Profiles that follow by their very id. */
      readonly followers: readonly ProfileId[];
    }
  | ({ readonly kind: "openclaw" } & OpenclawSourceSpec);

/** Names the source's own store in orders and logs. */
const CLAUDE_CODE: StoreName = "claude-code";
/** Under these other programs keep copies of Claude Code's login. */
const CLAUDE_PROVIDERS = ["anthropic", "claude-cli"];

/** What finds the source as it is at a moment; it may be asked any number of times. */
export function sourceLocator(spec: SourceSpec, environment: Environment): () => Promise<LocatedSource> {
  if (spec.kind === "openclaw") return () => locateOpenclawSource(spec, environment);
  // One for all looks: it remembers what it read of a large file beside the login.
  const store = claudeStore(CLAUDE_CODE, claudeDirectories(environment), keychainDirectory(environment), environment);
  const selection = { kind: "one", profile: CLAUDE_PROFILE, providers: CLAUDE_PROVIDERS, followers: spec.followers } as const;
  const located = { stores: [store], selection, copies: null, signIn: "claude auth login", agents: [] } as const;
  const files = (): string[] => [...waysTo(dirname(store.path), environment.home), store.path];
  return () => Promise.resolve({ ...located, files: files() });
}

/** On a Mac Claude Code keeps its logins in the keychain, each under the name of its directory. */
function claudeStore(
  name: StoreName,
  directories: ClaudeDirectories,
  directory: string | null,
  environment: Environment,
): ClaudeCodeStore {
  return platform() === "darwin"
    ? new ClaudeKeychainStore(name, directories, directory, environment)
    : new ClaudeCodeStore(name, directories, environment);
}

/** Which stores a target in the config stands for. */
export type TargetSpec =
  { readonly kind: "openclaw"; readonly openclaw: OpenclawSpec } | { readonly kind: "claude-code"; readonly dir: string };

/** The gateways that work from the stores of the source and the targets. */
export function gatewaysOf(specs: readonly (SourceSpec | TargetSpec)[], reloads: boolean, environment: Environment): Gateway[] {
  const places = new Set(specs.flatMap((spec) => (spec.kind === "openclaw" ? [spec.openclaw.stateDir] : [])));
  return [...places].map((stateDir) => openclawGateway(stateDir, reloads, environment));
}

/** The directories in which writing to the stores of the source or a target makes lock files and temporary ones. */
export async function lockDirectoriesOf(spec: SourceSpec | TargetSpec, environment: Environment): Promise<string[]> {
  if (spec.kind === "openclaw") return openclawLockDirectories(spec.openclaw, environment);
  return ["dir" in spec ? resolve(expandHome(spec.dir, environment.home)) : claudeDirectories(environment).storage];
}

/** Finds a target's stores as they are at this moment. */
export async function locateTarget(spec: TargetSpec, environment: Environment): Promise<Location> {
  switch (spec.kind) {
    case "openclaw": {
      const around = await lookAround(spec.openclaw, environment);
      return { ...openclawStores(around, spec.openclaw, environment), open: () => openInstallation(around, environment) };
    }
    case "claude-code": {
      const directory = resolve(expandHome(spec.dir, environment.home));
      const accountFile = resolve(directory, ".claude.json");
      const directories = { storage: directory, accountFile, confinement: confinedTo(directory) };
      const store = claudeStore(`claude-code:${spec.dir}`, directories, directory, environment);
      const single = { profile: CLAUDE_PROFILE, providers: CLAUDE_PROVIDERS, creates: true };
      return {
        stores: [{ store, agent: null, doubt: null, single, creation: null, origin: noOrigin }],
        findings: [],
        agents: [],
        files: [...waysTo(directory, environment.home), store.path],
        open: null,
      };
    }
  }
}
