import type { Policy, Binding } from "../../src/domain/observation.js";
import type { Share } from "../../src/domain/store.js";
import type { AgentSetting, ClaudeSetting } from "./actors.js";
import type { Random } from "./random.js";

export type InitialProfile =
  | "copy" // what the source holds
  | "old-copy" // what the source held one refresh ago
  | "own-sign-in" // another sign-in of the same account
  | "other-account"
  | "api-key";

interface InitialAgentProfile {
  readonly id: string;
  readonly holds: InitialProfile;
  readonly email: boolean;
}

export interface AgentStoreSetting extends AgentSetting {
  readonly name: string;
  readonly binding: Binding;
  readonly share: Share;
  readonly expiryMarginMs: number;
  readonly profiles: readonly InitialAgentProfile[];
  /** Known to credsyncd under a second name too, as behind a symlink. */
  readonly twice: boolean;
  readonly exists: boolean;
}

interface FollowerSetting {
  readonly share: Share;
  readonly creates: boolean;
  readonly starts: "absent" | "copy" | "own-sign-in";
}

/** Everything about a world that is fixed from its start. */
export interface Setting {
  /** Nobody but the source's program refreshes, and nobody signs in: then everything must come into step. */
  readonly calm: boolean;
  readonly sourceIs: "claude" | "main";
  readonly claude: ClaudeSetting;
  readonly agents: readonly [AgentStoreSetting, ...AgentStoreSetting[]];
  readonly follower: FollowerSetting | null;
  readonly policy: Policy;
  readonly replayRevokes: boolean;
  readonly daemonSkewMs: number;
  readonly variableLifetime: boolean;
  /** OpenClaw is 2026.9.4 or later, which fences what it refreshes. */
  readonly fencing?: boolean;
  /** The source is an OpenClaw store, which is one of the targets, too, as in the real program. */
  readonly ownTarget?: boolean;
  /** Ends are written wrong for a while, clocks run ahead and are right again, the server shortens what it grants. */
  readonly ends?: boolean;
}

const MINUTE_MS = 60_000;

/** Draws a world. */
export function drawSetting(random: Random): Setting {
  const calm = random.chance(0.15);
  const skewed = !calm && random.chance(0.25);
  const skewMs = (): number => (skewed && random.chance(0.6) ? random.pick([-90, -20, -6, 7, 25, 120, 600]) * MINUTE_MS : 0);
  const sourceIs = !calm && random.chance(0.12) ? "main" : "claude";
  const agentNames = ["main", "ops", "work"].slice(0, 1 + random.below(3));
  const agents = agentNames.map((name) =>
    drawAgent(name, { random, calm, skewMs, isSource: name === "main" && sourceIs === "main" }),
  );
  const [main, ...others] = agents;
  if (main === undefined) throw new Error("there is always a main agent");
  const era = random.chance(0.7) ? "cas" : "blind";
  return {
    calm,
    sourceIs,
    claude: {
      era,
      // Earlier versions write neither.
      writesSignInEnd: era === "cas" && random.chance(0.75),
      writesUuid: era === "cas" && random.chance(0.5),
      writesAccountFile: random.chance(0.75),
      skewMs: skewMs(),
    },
    agents: [main, ...others],
    follower: random.chance(0.3)
      ? {
          share: random.chance(0.6) ? "access-only" : "full",
          creates: random.chance(0.6),
          starts: calm ? "absent" : random.pick(["absent", "copy", "own-sign-in"]),
        }
      : null,
    policy: {
      bind: random.chance(0.75) ? "matching" : "listed",
      onAgentRotation: random.chance(0.85) ? "adopt" : "hold",
      onAccountChange: random.chance(0.75) ? "hold" : "push",
    },
    replayRevokes: random.chance(0.4),
    daemonSkewMs: skewMs(),
    variableLifetime: !calm && random.chance(0.1),
  };
}

/** The same world with a later OpenClaw. */
export function withFencing(setting: Setting): Setting {
  const [main, ...others] = setting.agents;
  const later = (agent: AgentStoreSetting): AgentStoreSetting => ({ ...agent, era: "S3" });
  return { ...setting, fencing: true, agents: [later(main), ...others.map(later)] };
}

/** The same world where the main agent's store is the source, and one of the targets, too. */
export function withMainAsOwnTarget(random: Random, setting: Setting): Setting {
  const [main, ...others] = setting.agents;
  const holds = random.pick<InitialProfile>(["copy", "copy", "old-copy", "own-sign-in"]);
  const profiles: InitialAgentProfile[] = [
    { id: "anthropic:claude-cli", holds: "copy", email: random.chance(0.4) },
    { id: "anthropic:default", holds, email: random.chance(0.4) },
  ];
  const source = { binding: "follow", share: "full", expiryMarginMs: 0, twice: false, exists: true, profiles } as const;
  return { ...setting, sourceIs: "main", ownTarget: true, agents: [{ ...main, ...source }, ...others] };
}

/** The same world where ends are written wrong, and where more than ends differ between two sign-ins. */
export function withWrongEnds(random: Random, setting: Setting): Setting {
  const { era } = setting.claude;
  const late = era === "blind" || random.chance(0.3);
  const claude = {
    ...setting.claude,
    signInEndSlips: random.chance(0.6),
    writesSignInEnd: !late && random.chance(0.85),
    writesUuid: !late && setting.claude.writesUuid,
    writesAccountFile: late ? random.chance(0.9) : setting.claude.writesAccountFile,
  };
  return { ...setting, ends: true, claude };
}

/** The same world where every agent follows, and names the account of what it holds. */
export function withNamedAgents(setting: Setting): Setting {
  const [main, ...others] = setting.agents;
  const named = (agent: AgentStoreSetting): AgentStoreSetting => {
    const [, ...rest] = agent.profiles;
    const copy = { id: "anthropic:claude-cli", holds: "copy", email: true } as const;
    return { ...agent, binding: "follow", share: "full", expiryMarginMs: 0, exists: true, profiles: [copy, ...rest] };
  };
  const claude = { ...setting.claude, writesAccountFile: true };
  return { ...setting, claude, agents: [named(main), ...others.map(named)] };
}

interface AgentDraw {
  readonly random: Random;
  readonly calm: boolean;
  readonly skewMs: () => number;
  readonly isSource: boolean;
}

function drawAgent(name: string, { random, calm, skewMs, isSource }: AgentDraw): AgentStoreSetting {
  const share = random.chance(0.8) ? "full" : "access-only";
  return {
    name,
    era: random.chance(0.5) ? "J1" : "J2",
    early: random.chance(0.6),
    mirrors: random.chance(0.3),
    skewMs: skewMs(),
    binding: isSource || random.chance(0.9) ? "follow" : random.pick(["pinned", "ignore"]),
    share,
    expiryMarginMs: share === "access-only" && random.chance(0.5) ? 5 * MINUTE_MS : 0,
    profiles: drawProfiles(random, calm, isSource),
    twice: !isSource && random.chance(0.08),
    exists: isSource || name === "main" || random.chance(0.9),
  };
}

function drawProfiles(random: Random, calm: boolean, isSource: boolean): InitialAgentProfile[] {
  const email = random.chance(0.4);
  if (isSource) return [{ id: "anthropic:claude-cli", holds: "copy", email }];
  const cli = calm
    ? random.pick<InitialProfile>(["copy", "old-copy"])
    : random.weighted<InitialProfile>([
        [5, "copy"],
        [3, "old-copy"],
        [2, "own-sign-in"],
        [2, "other-account"],
        [1, "api-key"],
      ]);
  const profiles: InitialAgentProfile[] = [{ id: "anthropic:claude-cli", holds: cli, email }];
  if (random.chance(0.5)) {
    const holds = random.pick<InitialProfile>(["copy", "old-copy", "own-sign-in", "other-account", "api-key"]);
    profiles.push({ id: "anthropic:default", holds, email: random.chance(0.5) });
  }
  return profiles;
}
