import { providerKey, resolveActive, visibleProfiles } from "./choice.js";
import type { ProfileId, StoreName } from "./store.js";
import { agentName, sightOf, type SwitchAgent, type SwitchHost } from "./switch.js";
import { shellWord } from "./shell-word.js";

/** Agents of one host that use different profiles for one provider, or one that is broken. */
export interface SplitBrain {
  readonly provider: string;
  /** In words. */
  readonly explanation: string;
  readonly hint: string;
  readonly agents: readonly {
    readonly store: StoreName;
    readonly profile: ProfileId | null;
    /** Why the profile that is meant cannot be used; null: what is meant is used. */
    readonly broken: string | null;
  }[];
}

/**
 * Finds them. Agents that are pinned or ignored go their own way on purpose, and the shared store is no agent.
 *
 * @param now epoch ms
 */
export function splitBrains(host: SwitchHost, now: number): SplitBrain[] {
  const agents = host.agents.filter(({ store, left }) => left === null && !/^shared(@|$)/.test(agentName(store)));
  return providersOf(agents, host).flatMap((provider) => {
    const uses = agents.flatMap((agent): SplitBrain["agents"][number][] => {
      const { profile, broken } = resolveActive(sightOf(agent, host.agents), provider, host.preferences, now);
      if (profile === null && broken === null) return [];
      const reason = broken === null ? null : `${broken.profile} is meant, but ${broken.explanation}`;
      return [{ store: agent.store, profile, broken: reason }];
    });
    const isSplit = new Set(uses.map(({ profile }) => profile)).size > 1 || uses.some(({ broken }) => broken !== null);
    return isSplit ? [{ provider, explanation: inWords(uses), hint: hintFor(provider, uses), agents: uses }] : [];
  });
}

function providersOf(agents: readonly SwitchAgent[], { agents: all }: SwitchHost): string[] {
  const profiles = agents.flatMap((agent) => visibleProfiles(sightOf(agent, all)));
  return [...new Set(profiles.flatMap(({ provider }) => (provider === null ? [] : [providerKey(provider)])))].sort();
}

function inWords(uses: SplitBrain["agents"]): string {
  const sayings = new Map<string, StoreName[]>();
  for (const { store, profile, broken } of uses) {
    const saying = `${profile ?? "nothing"}${broken === null ? "" : ` (${broken})`}`;
    sayings.set(saying, [...(sayings.get(saying) ?? []), store]);
  }
  return [...sayings].map(([saying, stores]) => `${listOf(stores)} ${stores.length === 1 ? "uses" : "use"} ${saying}`).join("; ");
}

/** Hundreds of names would help nobody. */
function listOf(stores: readonly StoreName[]): string {
  const [shown, more] = [stores.slice(0, 5), stores.length - 5];
  return more > 0 ? `${shown.join(", ")} and ${String(more)} more` : shown.join(", ");
}

/** The profile that most agents use is the likely one, first of all where it is the one that is meant. */
function hintFor(provider: string, uses: SplitBrain["agents"]): string {
  const likely = mostUsed(uses.filter(({ broken }) => broken === null)) ?? mostUsed(uses) ?? "PROFILE";
  return `bring them together: credsyncd set-active --provider ${shellWord(provider)} --profile ${shellWord(likely)} - or set an agent to pinned`;
}

function mostUsed(uses: SplitBrain["agents"]): ProfileId | null {
  const counts = new Map<ProfileId, number>();
  for (const { profile } of uses) if (profile !== null) counts.set(profile, (counts.get(profile) ?? 0) + 1);
  return [...counts].sort(([, left], [, right]) => right - left)[0]?.[0] ?? null;
}
