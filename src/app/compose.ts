import { statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.js";
import type { FingerprintKey } from "../io/fingerprint.js";
import { createKey, ephemeralKey, readKey } from "../io/fingerprint.js";
import { Backups } from "../io/backups.js";
import { LedgerFile } from "../io/ledger-file.js";
import { isForsaken, removeForsakenLocks } from "../io/owner-lock.js";
import { removeOwnLeftovers } from "../io/own-file.js";
import { SwitchJournalFile } from "../io/switch-journal.js";
import { refuseForeignOwner } from "../io/regular-file.js";
import { refuseForeignPlace } from "../io/own-place.js";
import { makePrivateDirectory } from "../io/private-directory.js";
import { StateDirectoryLock } from "../io/state-lock.js";
import { errnoOf } from "../io/system-error.js";
import { Failure, StoreError } from "../domain/errors.js";
import type { Finding, TakeInventory, TargetStore } from "../domain/inventory.js";
import { isSpent } from "../domain/ledger.js";
import type { Fingerprint, FingerprintOf } from "../domain/generation.js";
import type { Installation, SwitchJournal } from "../domain/choice.js";
import type { Reconciler } from "../reconcile/reconciler.js";
import type { Environment } from "../programs/environment.js";
import { customGateway, type Gateway } from "../programs/gateway.js";
import { placeKey, type ConfiguredSource, type ConfiguredTarget } from "../programs/program.js";
import type { AgentIds } from "../programs/located-store.js";
import { unreachableStore } from "../programs/unreachable-store.js";
import { KnownPlaces, PLACES_FILE, RememberingReconciler } from "./known-places.js";
import { stateDirectoryOf } from "./system.js";
import { unmatchedIn } from "./unmatched-agents.js";

/** The parts of the program, put together for one configuration. */
export interface Composition {
  readonly config: Config;
  readonly environment: Environment;
  readonly stateDirectory: string;
  readonly ledger: LedgerFile;
  readonly backups: Backups;
  readonly lock: StateDirectoryLock;
  readonly takeInventory: TakeInventory;
  readonly reconciler: Reconciler;
  /** The journal of switches under way. */
  readonly journal: SwitchJournal;
  readonly fingerprintOf: FingerprintOf;
  readonly known: Pick<KnownPlaces, "replacedLinks" | "takeNewlyReplaced">;
  /** Programs that work from a memory of the stores and must reload after a write. */
  readonly gateways: readonly Gateway[];
}

/**
 * Puts the program together.
 *
 * @param access `look`: nothing is made on disk, so that a mere look leaves no trace
 * @throws Failure when the state directory cannot be made
 */
export async function compose(config: Config, environment: Environment, access: "look" | "write"): Promise<Composition> {
  if (access === "write") await loadTheRest();
  const stateDirectory = stateDirectoryOf(environment);
  const key =
    access === "write"
      ? await ensureState(stateDirectory, environment.home)
      : ((await readKey(join(stateDirectory, "key"))) ?? ephemeralKey());
  const { leftovers } = environment.predecessors;
  const ledger = new LedgerFile(join(stateDirectory, "ledger.jsonl"), key.id, leftovers);
  const isOfNoUse = async (generation: Fingerprint): Promise<boolean> => isSpent(await ledger.load(), generation);
  const backups = new Backups(join(stateDirectory, "backups"), leftovers, isOfNoUse);
  const lockPath = join(stateDirectory, "state.lock");
  const { clock, predecessors } = environment;
  const lock = new StateDirectoryLock(lockPath, clock, predecessors, () => cleanUp(config, environment, stateDirectory));
  if (access === "write" && isForsaken(lockPath)) await lock.withLock(new AbortController().signal, () => Promise.resolve());
  const known = new KnownPlaces(stateDirectory, environment);
  known.recall();
  const takeInventory = inventoryTaker(config, environment, known);
  const { fingerprintOf } = key;
  const ports = { takeInventory, ledger, backups, lock, fingerprintOf, clock };
  const reconciler = new RememberingReconciler(ports, known);
  const journal = new SwitchJournalFile(join(stateDirectory, "journal"), leftovers);
  const gateways = gatewaysFor(config, environment);
  const memory = { ledger, backups, lock, journal };
  return { config, environment, stateDirectory, ...memory, takeInventory, reconciler, fingerprintOf, known, gateways };
}

/**
 * Loads the modules that a mere scan does not need, so that it starts early. Commands that write, and the daemon, load them at
 * the start: later there may be no free descriptor, or an upgrade may have replaced the program's files.
 */
async function loadTheRest(): Promise<void> {
  await Promise.all([
    import("../config/parse.js"),
    import("json5"),
    import("dotenv"),
    import("proper-lockfile"),
    import("write-file-atomic"),
  ]);
}

/** A credsyncd was killed while it wrote: its locks, on which other programs would wait, go first. */
async function cleanUp({ source, targets }: Config, environment: Environment, stateDirectory: string): Promise<void> {
  const { leftovers } = environment.predecessors;
  // Only what is written under this lock: a daemon may be writing the rest just now.
  removeOwnLeftovers(stateDirectory, leftovers, PLACES_FILE);
  removeOwnLeftovers(join(stateDirectory, "backups"), leftovers);
  for (const configured of [source, ...targets]) {
    for (const directory of await lockDirectoriesIfKnown(configured, environment))
      removeForsakenLocks(directory, environment.predecessors);
  }
}

/** Returns none if they cannot be found now: the next scan reports the reason. */
async function lockDirectoriesIfKnown(
  { lockDirectories }: ConfiguredSource | ConfiguredTarget,
  environment: Environment,
): Promise<readonly string[]> {
  try {
    return await lockDirectories(environment);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return [];
  }
}

function gatewaysFor({ reload, source, targets }: Config, environment: Environment): Gateway[] {
  if (reload !== "off" && reload !== "auto") return [customGateway(reload, environment)];
  const gateways = new Map<string, Gateway | null>();
  for (const configured of [source, ...targets])
    gateways.set(placeKey(configured), configured.gateway(reload === "auto", environment));
  return [...gateways.values()].filter((gateway) => gateway !== null);
}

async function ensureState(stateDirectory: string, home: string): Promise<FingerprintKey> {
  const path = join(stateDirectory, "key");
  refuseForeignPlace(stateDirectory, home);
  try {
    await makePrivateDirectory(stateDirectory);
    refuseForeignOwner(stateDirectory, statSync(stateDirectory).uid);
    return (await readKey(path)) ?? (await createKey(path));
  } catch (error) {
    if (error instanceof StoreError)
      throw new Failure("permission", error.message, `${error.hint}, or set XDG_STATE_HOME`, error);
    const errno = errnoOf(error);
    if (errno === "EEXIST") return ensureState(stateDirectory, home);
    if (errno === null) throw error;
    throw new Failure(
      "permission",
      `cannot make the state directory ${stateDirectory}: ${errno}`,
      "make it writable, or set XDG_STATE_HOME",
      error,
    );
  }
}

function inventoryTaker(config: Config, environment: Environment, known: KnownPlaces): TakeInventory {
  const locateSource = config.source.locator(environment);
  const protectsAgents = config.agentPatterns.some(({ binding }) => binding !== "follow");
  return async () => {
    const source = await locateSource();
    const targets: TargetStore[] = [];
    const findings: Finding[] = [];
    const files: string[] = [...source.files];
    const agents: AgentIds[] = [source.agents];
    // The same program may serve several targets.
    const installations = new Map<string, () => Promise<Installation>>();
    for (const target of config.targets) {
      const { share, expiryMarginMs, termsOfMade } = target;
      const located = await target.locate(environment);
      findings.push(...located.findings);
      agents.push(located.agents);
      files.push(...located.files);
      if (located.open !== null) installations.set(placeKey(target), located.open);
      for (const { agent, creation: possible, doubt, store: opened, ...found } of located.stores) {
        const binding = agent === null ? "follow" : config.bindingOf(agent);
        const isDoubtful = doubt !== null && binding === "follow" && protectsAgents;
        const store = isDoubtful ? unreachableStore(opened, doubt) : opened;
        const canCreate = config.create !== "never" && possible !== null && !isDoubtful;
        const creation = canCreate ? { policy: config.create, ...possible } : null;
        const isMade = creation !== null || found.single?.creates === true;
        const renewed = isMade && known.isRenewed(store.name, store.path);
        targets.push({ ...found, store, binding, share, expiryMarginMs, termsOfMade, creation, renewed });
      }
    }
    const unmatchedAgents = unmatchedIn(config, agents);
    return { source, targets, findings, unmatchedAgents, programs: [...installations.values()], files };
  };
}
