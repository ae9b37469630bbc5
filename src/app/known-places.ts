import { lstatSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod/mini";
import { Failure } from "../domain/errors.js";
import type { StateLock } from "../domain/memory.js";
import type { CredentialStore, StoreName } from "../domain/store.js";
import { readOwnFileNow, replaceOwnFile } from "../io/own-file.js";
import { errnoOf } from "../io/system-error.js";
import { Reconciler, type ReconcileResult, type ReconcilerPorts } from "../reconcile/reconciler.js";
import type { AgentPlace, Environment } from "../programs/environment.js";

/** In the state directory. */
export const PLACES_FILE = "places.json";

const shape = z.object({
  schemaVersion: z.literal(1),
  /** By the path of `openclaw.json`. */
  agents: z.record(z.string(), z.array(z.object({ id: z.string(), directory: z.string() }))),
  /** By the store's name: which directory it was in when it last held a login. */
  directories: z.record(z.string(), z.string()),
  /** By the path of a source's file: where it led while it was a link. */
  links: z._default(z.record(z.string(), z.object({ store: z.string(), target: z.string(), isReplaced: z.boolean() })), {}),
});

type Known = z.infer<typeof shape>;
type Places = Omit<Known, "schemaVersion">;

/** A link at a source's file that a program replaced by a file; the file behind the link keeps the old login. */
export interface ReplacedLink {
  readonly store: StoreName;
  readonly path: string;
  /** The file that it led to. */
  readonly target: string;
}

/**
 * The memory of places, in the state directory.
 *
 * It has the agents that each `openclaw.json` named when it was last understood: a process that starts while the file is half
 * saved still knows a pinned agent's directory. It has the directories of stores that credsyncd makes: one that was removed and
 * made again is a new one, in which nobody logged out. It has the links at a source's file: programs that follow the file behind
 * such a link keep the old login when Claude Code replaces the link.
 */
export class KnownPlaces {
  readonly #stateDirectory: string;
  readonly #environment: Environment;
  readonly #directories = new Map<StoreName, string>();
  readonly #links = new Map<string, Known["links"][string]>();
  #newlyReplaced: ReplacedLink[] = [];
  #kept: string | null = null;

  constructor(stateDirectory: string, environment: Environment) {
    this.#stateDirectory = stateDirectory;
    this.#environment = environment;
  }

  /** Reads them, for this process; what it found out itself is newer. */
  recall(): void {
    this.#kept = readOwnFileNow(this.#path);
    const { agents, directories, links } = parse(this.#kept);
    const { lastAgents } = this.#environment;
    for (const [path, places] of Object.entries(agents)) {
      const known = places.map((place) => ({ ...place, refusal: null }));
      if (!lastAgents.has(path)) lastAgents.set(path, known);
    }
    for (const [store, directory] of Object.entries(directories)) this.#directories.set(store, directory);
    for (const [path, link] of Object.entries(links)) this.#links.set(path, link);
  }

  /**
   * Writes them, where they changed; one process at a time, since a temporary file's name may be another container's, too.
   * Without space for it, or while others write, the file says what it said before, which protects no less.
   */
  async keep(lock: StateLock, signal: AbortSignal): Promise<void> {
    const agents = Object.fromEntries([...this.#environment.lastAgents].map(([path, places]) => [path, places.flatMap(plain)]));
    const directories = Object.fromEntries(this.#directories);
    const links = Object.fromEntries(this.#links);
    const text = `${JSON.stringify({ schemaVersion: 1, agents, directories, links } satisfies Known)}\n`;
    if (text === this.#kept) return;
    try {
      await lock.withLock(signal, () => replaceOwnFile(this.#path, text, this.#environment.predecessors.leftovers));
      this.#kept = text;
    } catch (error) {
      if (errnoOf(error) === null && !(error instanceof Failure)) throw error;
    }
  }

  /** Checks whether a store's directory is another one than when the store last had a login. */
  isRenewed(store: StoreName, path: string): boolean {
    const before = this.#directories.get(store);
    const now = directoryIdentity(dirname(path), this.#stateDirectory);
    return before !== undefined && now !== null && isAnother(before, now);
  }

  /** The links that were replaced by a file, while what they led to is still another file. */
  replacedLinks(): ReplacedLink[] {
    return [...this.#links].flatMap(([path, { store, target }]) => (isReplaced(path, target) ? [{ store, path, target }] : []));
  }

  /** Those that were replaced since this was last asked for. */
  takeNewlyReplaced(): ReplacedLink[] {
    const taken = this.#newlyReplaced;
    this.#newlyReplaced = [];
    return taken;
  }

  /** Remembers the directories of the stores that are made, and that hold something now, and the links of the sources. */
  note({ observation, writes }: ReconcileResult): void {
    for (const { store } of observation.sourceReads) this.#noteLink(store);
    const written = new Set(writes.flatMap(({ store, error }) => (error === null ? [store] : [])));
    for (const { target, snapshot } of observation.reads) {
      const { store, single, creation } = target;
      if (single?.creates !== true && creation === null) continue;
      if ((snapshot?.profiles ?? []).length === 0 && !written.has(store.name)) continue;
      const identity = directoryIdentity(dirname(store.path), this.#stateDirectory);
      if (identity !== null) this.#directories.set(store.name, identity);
    }
  }

  #noteLink({ name: store, path }: Pick<CredentialStore, "name" | "path">): void {
    const target = targetOf(path);
    if (target !== null) {
      this.#links.set(path, { store, target, isReplaced: false });
      return;
    }
    const known = this.#links.get(path);
    if (known === undefined || known.isReplaced || !isReplaced(path, known.target)) return;
    this.#links.set(path, { ...known, isReplaced: true });
    this.#newlyReplaced.push({ store, path, target: known.target });
  }

  get #path(): string {
    return join(this.#stateDirectory, PLACES_FILE);
  }
}

/** A reconciler that remembers where it wrote. */
export class RememberingReconciler extends Reconciler {
  readonly #known: KnownPlaces;
  readonly #lock: StateLock;

  constructor(ports: ReconcilerPorts, known: KnownPlaces) {
    super(ports);
    this.#known = known;
    this.#lock = ports.lock;
  }

  override async reconcile(...of: Parameters<Reconciler["reconcile"]>): Promise<ReconcileResult> {
    const result = await super.reconcile(...of);
    this.#known.note(result);
    const [, , signal] = of;
    await this.#known.keep(this.#lock, signal);
    return result;
  }
}

/** One whose name or directory must not be shown is not served, whatever is known of it. */
function plain({ id, directory, refusal }: AgentPlace): { readonly id: string; readonly directory: string }[] {
  return refusal?.code === "malformed" ? [] : [{ id, directory }];
}

/** The file that a link leads to; null for what is no link, or leads nowhere. */
function targetOf(path: string): string | null {
  try {
    return lstatSync(path).isSymbolicLink() ? realpathSync.native(path) : null;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}

/** Checks whether a separate file has replaced a link. A link from the old file to the new one is as good as the old link. */
function isReplaced(path: string, target: string): boolean {
  try {
    if (!lstatSync(path).isFile()) return false;
    const [now, then] = [statSync(path), statSync(target)];
    return now.dev !== then.dev || now.ino !== then.ino;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return false;
  }
}

function parse(text: string | null): Places {
  try {
    const parsed = shape.safeParse(JSON.parse(text ?? "null"));
    return parsed.success ? parsed.data : { agents: {}, directories: {}, links: {} };
  } catch (error) {
    if (error instanceof SyntaxError) return { agents: {}, directories: {}, links: {} };
    throw error;
  }
}

/** Device, inode and time of birth, since an inode is soon used again; null where there is no directory. */
function directoryIdentity(path: string, stateDirectory: string): string | null {
  try {
    const { dev, ino, birthtimeNs } = statSync(path, { bigint: true });
    return [dev, ino, tellsBirth(stateDirectory) ? birthtimeNs : 0n].map(String).join(":");
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}

/** Systems that know no time of birth give that of the last change, or 0; in this directory files were made since its birth. */
function tellsBirth(stateDirectory: string): boolean {
  const { birthtimeNs, ctimeNs } = statSync(stateDirectory, { bigint: true });
  return birthtimeNs !== 0n && birthtimeNs !== ctimeNs;
}

/** On another device it may be the place of a volume that is not mounted now, which is no new directory. */
function isAnother(before: string, now: string): boolean {
  const [[device, inode, birth], [deviceNow, inodeNow, birthNow]] = [before.split(":"), now.split(":")];
  if (device !== deviceNow) return false;
  return inode !== inodeNow || (birth !== birthNow && birth !== "0" && birthNow !== "0");
}
