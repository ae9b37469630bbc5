import { loadConfig } from "../config/load.js";
import { compose, type Composition } from "../app/compose.js";
import { commandEnvironment } from "../app/system.js";
import { Failure } from "../domain/errors.js";
import type { Fingerprint } from "../domain/generation.js";
import { noOrders, type ObservedProfile } from "../domain/observation.js";
import type { Backup } from "../io/backups.js";
import { readStores, type ReadStore } from "../reconcile/observe.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { Questioner } from "./ask.js";
import { tellGateways } from "./gateways.js";
import { tidily } from "./stuck.js";
import { refuseIfStopped } from "./interruption.js";
import { exitCodes, openOutput, table, type CommonOptions, type ExitCode } from "./output.js";
import { shellWord } from "../domain/shell-word.js";
import { warnOfUnmatched } from "./unmatched.js";
import { programOf } from "../programs/registry.js";

export interface RestoreOptions extends CommonOptions {
  readonly store?: string;
  readonly profile?: string;
  readonly list?: boolean;
  readonly at?: string;
  readonly yes?: boolean;
}

/** `credsyncd restore`: lists a store's backups, or puts one back. */
export async function restore(options: RestoreOptions, signal: AbortSignal): Promise<ExitCode> {
  const environment = commandEnvironment();
  const config = await loadConfig(options.config ?? null, environment);
  const composition = await compose(config, environment, options.at === undefined ? "look" : "write");
  const backups = await composition.backups.list(options.store ?? null);
  if (options.at === undefined) {
    const stores = backups.length > 0 ? [] : (await composition.backups.list(null)).map(({ store }) => store);
    return listBackups(backups, [...new Set(stores)], options);
  }
  if (options.store === undefined)
    throw new Failure(
      "usage",
      "restore needs the store to put a backup into",
      "for example: credsyncd restore --store openclaw:main --at TIME",
    );
  const backup = chooseBackup(backups, { ...options, at: options.at });
  const output = openOutput(options);
  const unmatchedAgents = await warnOfUnmatched(composition, output);
  await tidily(composition, output, () => putBack(backup, composition, { options, signal }));
  // The command does not read the old login, so its expiry is unknown.
  const overwritten = programOf(backup.store)?.hasGateway === true ? { endsAt: null } : null;
  const gateways = await tellGateways(overwritten, composition, { output, signal });
  output.result(`${backup.store} ${backup.profile} holds what it held until ${timeOf(backup)}`, {
    schemaVersion: 1,
    restored: true,
    store: backup.store,
    profile: backup.profile,
    at: timeOf(backup),
    unmatchedAgents,
    gateways,
  });
  return exitCodes.done;
}

/** `others`: which stores have backups, where this one has none. */
function listBackups(backups: readonly Backup[], others: readonly string[], options: RestoreOptions): ExitCode {
  const entries = backups.map((backup) => ({
    store: backup.store,
    profile: backup.profile,
    at: timeOf(backup),
    path: backup.path,
  }));
  const rows = [["STORE", "PROFILE", "KEPT AT"], ...entries.map(({ store, profile, at }) => [store, profile, at])];
  const none =
    others.length === 0
      ? "there are no backups"
      : `there are no backups of ${options.store ?? "it"}; of others: ${others.join(", ")}`;
  openOutput(options).result(entries.length === 0 ? none : table(rows), { schemaVersion: 1, backups: entries });
  return exitCodes.done;
}

/** A start of the time is enough, as long as it names one backup. */
function chooseBackup(backups: readonly Backup[], { at, profile, store }: RestoreOptions & { readonly at: string }): Backup {
  const matching = backups.filter(
    (backup) => timeOf(backup).startsWith(at) && (profile === undefined || backup.profile === profile),
  );
  const [backup, another] = matching;
  const list = `credsyncd restore --store ${shellWord(store ?? "STORE")} --list`;
  if (backup === undefined)
    throw new Failure("usage", `there is no backup of ${store ?? "it"} from ${at}`, `see them with: ${list}`);
  if (another !== undefined)
    throw new Failure(
      "usage",
      `${at} names ${String(matching.length)} backups`,
      `name one by its full time and --profile; see: ${list}`,
    );
  return backup;
}

async function putBack(
  backup: Backup,
  composition: Composition,
  { options, signal }: { readonly options: RestoreOptions; readonly signal: AbortSignal },
): Promise<void> {
  const { reconciler, config, backups, environment, lock } = composition;
  const find = async (): Promise<ReadStore & { readonly look: ReconcileResult }> => {
    const look = await reconciler.preview(config.policy, noOrders, signal);
    const found = findStore(backup, look);
    refuseWhileRefreshing(backup, look);
    return { ...found, look };
  };
  // Without the lock: nobody else is to wait for a person.
  await confirm(backup, (await find()).look, { options, signal });
  await lock.withLock(signal, async () => {
    const { store, snapshot, look } = await find();
    refuseIfStopped(signal);
    const current = snapshot.profiles.find(({ id }) => id === backup.profile);
    const fingerprint = fingerprintOf(observedAt(backup, look));
    if (current !== undefined && fingerprint !== null) {
      await backups.save(
        { store: store.name, profile: backup.profile, fingerprint, image: current.image() },
        environment.clock.now(),
      );
    }
    await store.restore(backup.profile, backup.image, snapshot.revision, signal);
  });
}

/** A refresh under way saves its answer only over its own mark: what it brings would be lost. */
function refuseWhileRefreshing(backup: Backup, look: ReconcileResult): void {
  const held = observedAt(backup, look)?.held;
  if (held?.kind !== "fence" || held.failed || isOverdue(backup, look)) return;
  throw new Failure(
    "busy",
    `the program of ${backup.store} is refreshing ${backup.profile}`,
    "try again in a moment; a refresh that hangs counts as failed after 3 minutes",
  );
}

/** Checks whether the planner no longer waits for a refresh; it knows since when the refresh has been seen. */
function isOverdue({ store, profile }: Backup, { plan }: ReconcileResult): boolean {
  return plan.flows.some(({ head, source, reports }) => {
    if (head.store === store && head.profile === profile) return source.kind === "fenced" && source.until === null;
    const verdict = reports.find(({ target }) => target.store === store && target.profile === profile)?.verdict ?? null;
    if (verdict === null || verdict.kind === "unrelated") return false;
    return verdict.kind !== "drift" || verdict.reason !== "refreshing";
  });
}

function findStore(backup: Backup, { observation }: ReconcileResult): ReadStore {
  const found = readStores(observation).get(backup.store);
  if (found !== undefined) return found;
  const read = observation.reads.find(({ target }) => target.store.name === backup.store);
  if (read?.error != null) throw new Failure("general", read.error.message, read.error.hint, read.error);
  throw new Failure("general", `${backup.store} is not here any more, or cannot be read`, "see: credsyncd status");
}

function observedAt(backup: Backup, { observation }: ReconcileResult): ObservedProfile | null {
  const { source, reads } = observation;
  const own = source.state === "read" ? source.profiles.map(({ observed }) => observed) : [];
  const all = [...own, ...reads.flatMap(({ profiles }) => profiles)];
  return all.find(({ store, profile }) => store === backup.store && profile === backup.profile) ?? null;
}

function fingerprintOf(observed: ObservedProfile | null): Fingerprint | null {
  return observed?.held.kind === "credential" ? (observed.held.generation ?? observed.held.issue) : null;
}

/** Putting an older login back is the one thing that credsyncd does only after asking. */
async function confirm(
  backup: Backup,
  { observation }: ReconcileResult,
  { options, signal }: { readonly options: RestoreOptions; readonly signal: AbortSignal },
): Promise<void> {
  const target = observation.reads.find(({ target: { store } }) => store.name === backup.store);
  const follows = target !== undefined && target.target.binding === "follow";
  const warning = follows
    ? `${backup.store} follows the source and will be brought in step again unless its agent is set to pinned`
    : `${backup.store} will hold an older login`;
  openOutput(options).say(`credsyncd: ${warning}`);
  if (options.yes === true) return;
  refuseIfStopped(signal);
  const questioner = new Questioner();
  signal.addEventListener("abort", () => {
    questioner.close();
  });
  try {
    const answer = await questioner.ask(`put back what ${backup.profile} held until ${timeOf(backup)}? (y/n)`, "n");
    if (answer !== "y" && answer !== "yes") throw new Failure("general", "nothing was restored", "say yes, or give --yes");
  } finally {
    questioner.close();
  }
}

function timeOf({ at }: Backup): string {
  return new Date(at).toISOString();
}
