import { join } from "node:path";
import type { Config } from "../config/load.js";
import type { FingerprintKey } from "../io/fingerprint.js";
import { createKey, ephemeralKey, readKey } from "../io/fingerprint.js";
import { Backups } from "../io/backups.js";
import { LedgerFile } from "../io/ledger-file.js";
import { makePrivateDirectory } from "../io/private-directory.js";
import { StateDirectoryLock } from "../io/state-lock.js";
import { errnoOf } from "../io/system-error.js";
import { Failure } from "../domain/errors.js";
import type { Finding, Inventory, TargetStore } from "../domain/inventory.js";
import { isSpent } from "../domain/ledger.js";
import type { StateLock } from "../domain/memory.js";
import { Reconciler } from "../reconcile/reconciler.js";
import type { Environment } from "../stores/environment.js";
import { customGateway, type Gateway } from "../stores/openclaw-gateway.js";
import { gatewaysOf, locateSource, locateTarget } from "../stores/registry.js";
import { stateDirectoryOf } from "./system.js";

/** The parts of the program, put together for one configuration. */
export interface Composition {
  readonly config: Config;
  readonly environment: Environment;
  readonly stateDirectory: string;
  readonly ledger: LedgerFile;
  readonly backups: Backups;
  readonly lock: StateLock;
  readonly reconciler: Reconciler;
  /** What is told after a write. */
  readonly gateways: readonly Gateway[];
}

/**
 * Puts the program together.
 *
 * @param access `look`: nothing is made on disk, so that a mere look leaves no trace
 * @throws Failure when the state directory cannot be made
 */
export async function compose(config: Config, environment: Environment, access: "look" | "write"): Promise<Composition> {
  const stateDirectory = stateDirectoryOf(environment);
  const key =
    access === "write" ? await ensureState(stateDirectory) : ((await readKey(join(stateDirectory, "key"))) ?? ephemeralKey());
  const ledger = new LedgerFile(join(stateDirectory, "ledger.jsonl"), key.id);
  const backups = new Backups(join(stateDirectory, "backups"), async (generation) => isSpent(await ledger.load(), generation));
  const lock = new StateDirectoryLock(join(stateDirectory, "state.lock"), environment.clock);
  const reconciler = new Reconciler({
    takeInventory: inventoryTaker(config, environment),
    ledger,
    backups,
    lock,
    fingerprintOf: key.fingerprintOf,
    clock: environment.clock,
  });
  return { config, environment, stateDirectory, ledger, backups, lock, reconciler, gateways: gatewaysFor(config, environment) };
}

function gatewaysFor({ reload, targets }: Config, environment: Environment): Gateway[] {
  if (reload === "off") return [];
  if (reload === "auto") return targets.flatMap(({ spec }) => gatewaysOf(spec, environment));
  return [customGateway(reload, environment)];
}

async function ensureState(stateDirectory: string): Promise<FingerprintKey> {
  const path = join(stateDirectory, "key");
  try {
    await makePrivateDirectory(stateDirectory);
    return (await readKey(path)) ?? (await createKey(path));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return ensureState(stateDirectory);
    if (errno === null) throw error;
    throw new Failure(
      "permission",
      `cannot make the state directory ${stateDirectory}: ${errno}`,
      "make it writable, or set XDG_STATE_HOME",
      error,
    );
  }
}

function inventoryTaker(config: Config, environment: Environment): () => Promise<Inventory> {
  const source = locateSource(environment);
  return async () => {
    const targets: TargetStore[] = [];
    const findings: Finding[] = [];
    const files: string[] = [source.store.path];
    for (const { spec, share, expiryMarginMs } of config.targets) {
      const located = await locateTarget(spec, config.profiles, environment);
      findings.push(...located.findings);
      files.push(...located.files);
      for (const { store, agent, named, creates } of located.stores) {
        const binding = agent === null ? "follow" : config.bindingOf(agent);
        targets.push({ store, named, binding, share, expiryMarginMs, creates });
      }
    }
    return { source, targets, findings, files };
  };
}
