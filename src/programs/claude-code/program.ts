import { realpath } from "node:fs/promises";
import { platform } from "node:os";
import { dirname, join, resolve } from "node:path";
import * as z from "zod/mini";
import { noOrigin } from "../../domain/inventory.js";
import type { StoreName } from "../../domain/store.js";
import { waysTo } from "../../io/real-path.js";
import { confinedTo } from "../confinement.js";
import { share, text } from "../entry-shapes.js";
import { expandHome, type Environment } from "../environment.js";
import { sourceKind, targetKind, usualWords, type ConfiguredSource, type ConfiguredTarget, type Program } from "../program.js";
import { claudeRenewal, RENEWING_COMMAND } from "./command.js";
import { ClaudeKeychainStore, keychainDirectory } from "./keychain.js";
import { CLAUDE_PROFILE, ClaudeCodeStore, claudeDirectories, type ClaudeDirectories } from "./store.js";

/** Names the source's own store in orders and logs. */
const SOURCE: StoreName = "claude-code";
/** Other programs keep copies of Claude Code's login under these. */
const PROVIDERS = ["anthropic", "claude-cli"];
/** OpenClaw's own name for a copy of this login; a version that uses another id has it in its stores' `unused`. */
const COPIES = ["anthropic:claude-cli"];

const sourceShape = z.strictObject({ kind: z.literal("claude-code") });

const targetShape = z.strictObject({
  kind: z.literal("claude-code"),
  /** The directory that holds the other `.credentials.json`. */
  dir: text,
  share: z._default(share, "access-only"),
});

/** Claude Code: one login in a file, or in the keychain of a Mac. */
export const claudeCode: Program = {
  kind: "claude-code",
  owns: (store) => store === SOURCE || store.startsWith("claude-code:"),
  hasAgents: false,
  hasGateway: false,
  isTargetByDirectory: true,
  words: {
    ...usualWords,
    name: "Claude Code",
    user: "this directory",
    renew: `${RENEWING_COMMAND} (no inference request), or claude -p hi`,
    newToken: "make a new one: claude setup-token - or sign in: claude auth login",
  },
  executable: "claude",
  variables: ["CLAUDE_CONFIG_DIR", "CLAUDE_SECURESTORAGE_CONFIG_DIR"],
  overrides: ["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
  renewal: claudeRenewal,
  locksBeside,
  source: sourceKind({
    shape: sourceShape,
    withProfiles: (_entry, profiles) => profiles ?? COPIES,
    configure: (_entry, { profiles }) => configuredSource(profiles),
  }),
  target: targetKind({
    shape: targetShape,
    configure: configuredTarget,
  }),
};

function configuredSource(followers: readonly string[]): ConfiguredSource {
  return {
    program: claudeCode,
    directory: null,
    lockDirectories: (environment) => Promise.resolve([claudeDirectories(environment).storage]),
    gateway: () => null,
    locator: (environment) => {
      // One for all looks: it remembers what it read of a large file beside the login.
      const store = openStore(SOURCE, claudeDirectories(environment), keychainDirectory(environment), environment);
      const selection = { kind: "one", profile: CLAUDE_PROFILE, providers: PROVIDERS, followers } as const;
      const located = { stores: [store], selection, copies: null, signIn: "claude auth login", agents: [] } as const;
      const files = (): string[] => [...waysTo(dirname(store.path), environment.home), store.path];
      return () => Promise.resolve({ ...located, files: files() });
    },
  };
}

function configuredTarget({ dir, share }: z.infer<typeof targetShape>): ConfiguredTarget {
  const terms = { share, expiryMarginMs: 0 };
  return {
    program: claudeCode,
    directory: dir,
    ...terms,
    termsOfMade: terms,
    lockDirectories: ({ home }) => Promise.resolve([resolve(expandHome(dir, home))]),
    gateway: () => null,
    locate: (environment) => {
      const directory = resolve(expandHome(dir, environment.home));
      const directories = {
        storage: directory,
        accountFile: resolve(directory, ".claude.json"),
        confinement: confinedTo(directory),
      };
      const store = openStore(`claude-code:${dir}`, directories, directory, environment);
      const single = { profile: CLAUDE_PROFILE, providers: PROVIDERS, creates: true };
      return Promise.resolve({
        stores: [{ store, agent: null, doubt: null, single, creation: null, origin: noOrigin }],
        findings: [],
        agents: [],
        files: [...waysTo(directory, environment.home), store.path],
        open: null,
      });
    },
  };
}

/** On a Mac Claude Code keeps its logins in the keychain, each under the name of its directory. */
function openStore(
  name: StoreName,
  directories: ClaudeDirectories,
  directory: string | null,
  environment: Environment,
): ClaudeCodeStore {
  return platform() === "darwin"
    ? new ClaudeKeychainStore(name, directories, directory, environment)
    : new ClaudeCodeStore(name, directories, environment);
}

/** Its locks on refreshes and writes stand in the file's directory, and one beside that. */
async function locksBeside(path: string): Promise<string[]> {
  const directory = dirname(path);
  const real = await realpath(directory).catch(() => directory);
  return [join(directory, ".oauth_refresh.lock"), join(directory, ".storage-write.lock"), `${real}.lock`];
}
