import type { Config } from "../config/config.js";
import type { Choice, ChoiceStore, InstalledAgent } from "../domain/choice.js";
import { Failure, StoreError, isTransient } from "../domain/errors.js";
import { holdingOf, type Claim, type Holding } from "../domain/holding.js";
import type { Inventory } from "../domain/inventory.js";
import type { Place } from "../domain/place.js";
import { splitBrains, type SplitBrain } from "../domain/split-brain.js";
import type { StoreName } from "../domain/store.js";
import type { SwitchAgent, SwitchHost } from "../domain/switch.js";
import { mapConcurrently } from "../reconcile/concurrency.js";
import type { Composition } from "./compose.js";
import { asFailure } from "./store-failure.js";

const READS_AT_ONCE = 16;
/** A file that is being written in place is whole again after a moment. */
const READ_ATTEMPTS = 4;
const READ_AGAIN_MS = 250;

/** One OpenClaw as it was read, and where to write. */
export interface HostRead {
  readonly host: SwitchHost;
  readonly stores: ReadonlyMap<StoreName, ChoiceStore>;
  /** Why a store could not be read. */
  readonly errors: ReadonlyMap<StoreName, StoreError>;
}

/** @param agent its id, as `--agents` matches it */
export type TakesPart = (agent: string) => boolean;

/**
 * Reads every agent of every OpenClaw that was found.
 *
 * @throws Failure where `openclaw.json` cannot be understood
 */
export async function readHosts(
  composition: Composition,
  takesPart: TakesPart,
  sources: SwitchHost["sources"],
  { programs }: Pick<Inventory, "programs">,
): Promise<HostRead[]> {
  const { config } = composition;
  const hosts = await Promise.all(
    programs.map(async (open) => {
      const { agents, preferences } = await asFailure(open());
      return {
        agents,
        preferences,
        read: await mapConcurrently(agents, READS_AT_ONCE, (agent) => readAgent(agent, composition)),
      };
    }),
  );
  const holdings = holdingsOf(
    hosts.flatMap(({ read }) => read),
    config,
  );
  return hosts.map(({ agents, preferences, read }) => {
    const errors = new Map(read.flatMap(({ store, error }) => (error === null ? [] : [[store, error]])));
    const stores = new Map(agents.flatMap(({ store, choice }) => (choice === null ? [] : [[store, choice]])));
    return { host: { agents: toSwitchAgents(read, holdings, config, takesPart), preferences, sources }, stores, errors };
  });
}

interface ReadAgent extends Omit<InstalledAgent, "choice"> {
  readonly choice: Choice | null;
  /** The place of its store; null if it has none. */
  readonly place: Place | null;
  readonly error: StoreError | null;
}

async function readAgent({ choice: store, ...agent }: InstalledAgent, { config, environment }: Composition): Promise<ReadAgent> {
  // An ignored agent is not even read.
  const [place = null] = store?.places() ?? [];
  if (store === null || config.bindingOf(agent.agent) === "ignore") return { ...agent, choice: null, place, error: null };
  for (let attempt = 1; ; attempt++) {
    try {
      const choice = await store.readChoice();
      return { ...agent, choice: choice.profiles.length === 0 && choice.identity === null ? null : choice, place, error: null };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!isTransient(error.code) || attempt === READ_ATTEMPTS) return { ...agent, choice: null, place, error };
    }
    await environment.clock.sleep(READ_AGAIN_MS, new AbortController().signal);
  }
}

/** Decides which agent each place belongs to that several agents' stores share, by identity (rule R16b). */
function holdingsOf(agents: readonly ReadAgent[], config: Config): Map<string, Holding<ReadAgent>> {
  const claims = new Map<string, [Claim<ReadAgent>, ...Claim<ReadAgent>[]]>();
  for (const name of agents) {
    const { place } = name;
    if (place === null) continue;
    const claim = { name, isItself: place.isItself, binding: config.bindingOf(name.agent), share: "full" } as const;
    const others = claims.get(place.identity);
    if (others === undefined) claims.set(place.identity, [claim]);
    else others.push(claim);
  }
  return new Map([...claims].map(([identity, all]) => [identity, holdingOf(all)]));
}

function toSwitchAgents(
  read: readonly ReadAgent[],
  holdings: ReadonlyMap<string, Holding<ReadAgent>>,
  config: Config,
  takesPart: TakesPart,
): SwitchAgent[] {
  return read.map((each) => {
    const { agent, store, choice, place, inheritsFrom, ownComeFirst } = each;
    const holding = place === null ? undefined : holdings.get(place.identity);
    const binding = holding?.binding ?? config.bindingOf(agent);
    const isAgain = holding !== undefined && holding.name !== each;
    const decided = binding === "follow" ? (takesPart(agent) ? null : "not-named") : binding === "ignore" ? "ignored" : binding;
    return { store, choice, inheritsFrom, ownComeFirst, left: isAgain ? "same-file" : decided };
  });
}

/**
 * Finds agents of one host that use different or broken profiles. Returns none if the ownership of places is unknown, which is an
 * error of its own.
 */
export async function findSplitBrains(composition: Composition, inventory: Inventory): Promise<SplitBrain[]> {
  try {
    const hosts = await readHosts(composition, () => true, [], inventory);
    return hosts.flatMap(({ host }) => splitBrains(host, composition.environment.clock.now()));
  } catch (error) {
    if (error instanceof Failure) return [];
    throw error;
  }
}
