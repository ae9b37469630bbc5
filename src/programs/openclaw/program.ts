import * as z from "zod/mini";
import { parseDurationMs } from "../../domain/duration.js";
import { Failure } from "../../domain/errors.js";
import type { Terms } from "../../domain/ledger.js";
import type { ProfileId, Share } from "../../domain/store.js";
import { agentId } from "../../domain/switch.js";
import { margin, share, text } from "../entry-shapes.js";
import {
  sourceKind,
  targetKind,
  usualWords,
  type ConfiguredSource,
  type ConfiguredTarget,
  type EntrySurroundings,
  type Program,
  type SourceSurroundings,
} from "../program.js";
import { openclawGateway } from "./gateway.js";
import { openInstallation } from "./installation.js";
import { locateOpenclawSource, lookAround, openclawLockDirectories, openclawStores, type OpenclawSpec } from "./stores.js";

/** OpenClaw stops using a token five minutes before the end that it reads, which is made up for where it cannot refresh. */
const DEFAULT_MARGIN: Readonly<Record<Share, string>> = { full: "0s", "access-only": "5m" };

const sourceShape = z.strictObject({
  kind: z.literal("openclaw"),
  /** The agent with the canonical profiles; "shared" for the store that agents inherit from. */
  agent: z._default(text, "main"),
  /** The one profile that is followed; without it, `profiles` says which are. */
  profile: z.optional(text),
  /** Default: OPENCLAW_STATE_DIR, else ~/.openclaw. */
  stateDir: z.optional(text),
});

const targetShape = z.strictObject({
  kind: z.literal("openclaw"),
  /** Default: OPENCLAW_STATE_DIR, else ~/.openclaw. */
  stateDir: z.optional(text),
  /** Default: full; access-only for a profile that credsyncd makes because this OpenClaw does not use another one. */
  share: z.optional(share),
  /** Added to every expiry that is written there. Default: 5m for access-only, else 0s. */
  expiryMargin: z.optional(margin),
});

type SourceOptions = z.infer<typeof sourceShape>;
type TargetOptions = z.infer<typeof targetShape>;

/** OpenClaw: a store for each of its agents, and one that they share. */
export const openclaw: Program = {
  kind: "openclaw",
  owns: (store) => store.startsWith("openclaw:"),
  hasAgents: true,
  hasGateway: true,
  isTargetByDirectory: false,
  words: {
    ...usualWords,
    name: "OpenClaw",
    user: "this agent",
    keepOwn: (store) => `pin the agent in the config (agents: { "${agentId(store)}": "pinned" })`,
  },
  executable: "openclaw",
  variables: [
    "OPENCLAW_HOME",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_INCLUDE_ROOTS",
    "OPENCLAW_PROFILE",
    "OPENCLAW_AGENT_DIR",
    "PI_CODING_AGENT_DIR",
    "CLAWDBOT_STATE_DIR",
    "CLAWDBOT_CONFIG_PATH",
    "OPENCLAW_GATEWAY_PORT",
    "CLAWDBOT_GATEWAY_PORT",
  ],
  overrides: [],
  renewal: null,
  locksBeside: () => Promise.resolve([]),
  source: sourceKind({
    shape: sourceShape,
    withProfiles: checkProfiles,
    configure: configuredSource,
  }),
  target: targetKind({
    shape: targetShape,
    configure: configuredTarget,
  }),
};

/** It has profiles of every kind, so that the user names those that are followed. */
function checkProfiles(
  { profile }: SourceOptions,
  profiles: readonly ProfileId[] | undefined,
  place: string,
): readonly ProfileId[] | undefined {
  if (profile !== undefined && profiles !== undefined) {
    const hint = "take one of them out: source.profile follows one profile, profiles follows each that matches";
    throw new Failure("config", `${place}: source.profile and profiles both say what is followed`, hint);
  }
  if (profile === undefined && (profiles ?? []).length === 0) {
    const hint = 'for example: source: { kind: "openclaw", profile: "anthropic:default" }, or profiles: ["openai:*"]';
    throw new Failure("config", `${place}: nothing says which profiles of the openclaw source are followed`, hint);
  }
  return profiles;
}

function configuredSource({ agent, profile, stateDir }: SourceOptions, surroundings: SourceSurroundings): ConfiguredSource {
  const patterns = profile === undefined ? surroundings.profiles : [profile];
  const isExact = profile !== undefined;
  const globs = patterns.map((pattern) => ({ pattern, ...surroundings.compileGlob(pattern) }));
  const openclaw = specOf(stateDir, surroundings);
  const spec = {
    openclaw,
    agent,
    named: globs.flatMap(({ pattern, isGlob }) => (isExact || !isGlob ? [pattern] : [])),
    matches: (id: ProfileId) => patterns.includes(id) || (!isExact && globs.some(({ matches }) => matches(id))),
    text: patterns.join(", "),
  };
  return { ...configured(openclaw), locator: (environment) => () => locateOpenclawSource(spec, environment) };
}

function configuredTarget({ stateDir, share, expiryMargin }: TargetOptions, surroundings: EntrySurroundings): ConfiguredTarget {
  const spec = specOf(stateDir, surroundings);
  return {
    ...configured(spec),
    ...termsOf(share ?? "full", expiryMargin),
    termsOfMade: termsOf(share ?? "access-only", expiryMargin),
    locate: async (environment) => {
      const around = await lookAround(spec, environment);
      return { ...openclawStores(around, spec, environment), open: () => openInstallation(around, environment) };
    },
  };
}

function configured(spec: OpenclawSpec): Omit<ConfiguredSource, "locator"> {
  return {
    program: openclaw,
    directory: spec.stateDir,
    lockDirectories: (environment) => openclawLockDirectories(spec, environment),
    gateway: (reloads, environment) => openclawGateway(spec.stateDir, reloads, environment),
  };
}

/** Distinguishes the store names of several OpenClaws by their directories. */
function specOf(stateDir: string | undefined, { entries, agentDirs }: EntrySurroundings): OpenclawSpec {
  const directories = entries.filter(isOpenclaw).map((entry) => entry.stateDir ?? null);
  const label = new Set(directories).size > 1 ? (stateDir ?? null) : null;
  return { stateDir: stateDir ?? null, label, agentDirs };
}

function isOpenclaw(entry: { readonly kind: string }): entry is SourceOptions | TargetOptions {
  return entry.kind === openclaw.kind;
}

function termsOf(share: Share, expiryMargin: string = DEFAULT_MARGIN[share]): Terms {
  return { share, expiryMarginMs: parseDurationMs(expiryMargin) ?? 0 };
}
