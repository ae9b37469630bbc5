import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { watch, type FSWatcher } from "chokidar";

export interface WatcherEvents {
  /** Something happened to a watched file, or to the directory that it is or will be in. */
  readonly onChange: (path: string) => void;
  /** The system refuses a watch; the resync still sees every change, only later. */
  readonly onError: (error: Error) => void;
}

/** A directory that is watched for some names in it. */
interface WatchedDirectory {
  readonly identity: string;
  readonly names: ReadonlySet<string>;
  readonly watcher: FSWatcher;
}

/**
 * Watches directories, not files: a file that is renamed, removed or made anew keeps its name, not its inode.
 *
 * A file whose directory does not exist is awaited in the nearest directory above that does. Other entries of a
 * directory wake nobody, however busy they are.
 */
export class Watcher {
  readonly #events: WatcherEvents;
  #directories = new Map<string, WatchedDirectory>();

  constructor(events: WatcherEvents) {
    this.#events = events;
  }

  /**
   * Watches exactly these files from now on.
   *
   * @returns whether a watch was added: what changed before it took hold was missed, so look once more
   */
  async watch(files: Iterable<string>): Promise<boolean> {
    const wanted = await wantedDirectories(files);
    await this.#drop((path, { identity }) => wanted.get(path)?.identity !== identity);
    const added: string[] = [];
    for (const [path, { names }] of wanted) {
      const present = this.#directories.get(path);
      if (present === undefined) added.push(path);
      else this.#directories.set(path, { ...present, names });
    }
    if (added.length > 0) await this.#add(added, wanted);
    return added.length > 0;
  }

  async close(): Promise<void> {
    await this.#drop(() => true);
  }

  /** How many directories are watched. */
  get size(): number {
    return this.#directories.size;
  }

  async #add(paths: readonly string[], wanted: ReadonlyMap<string, Wanted>): Promise<void> {
    const own = new Set(paths);
    // One watcher a batch, since only a new one tells when its watches have taken hold.
    const watcher = watch([...paths], { ignoreInitial: true, depth: 0, ignored: (path) => !own.has(path), atomic: false });
    watcher.on("raw", (_event, name: unknown, details: unknown) => {
      this.#onRaw(typeof name === "string" ? name : null, watchedPathOf(details));
    });
    watcher.on("error", (error) => {
      this.#events.onError(error instanceof Error ? error : new Error(String(error)));
    });
    for (const path of paths) {
      const directory = wanted.get(path);
      if (directory !== undefined) this.#directories.set(path, { ...directory, watcher });
    }
    await new Promise<void>((resolve) => watcher.once("ready", resolve));
  }

  #onRaw(name: string | null, directory: string | null): void {
    const watched = directory === null ? undefined : this.#directories.get(directory);
    if (watched === undefined || directory === null) return;
    // A directory that goes away reports its own name; some systems report none.
    const concerns = name === null || name === basename(directory) || watched.names.has(name);
    if (concerns) this.#events.onChange(name === null ? directory : join(directory, name));
  }

  async #drop(isUnwanted: (path: string, directory: WatchedDirectory) => boolean): Promise<void> {
    const kept = new Set<FSWatcher>();
    const dropped = new Set<FSWatcher>();
    for (const [path, directory] of this.#directories) {
      if (isUnwanted(path, directory)) {
        directory.watcher.unwatch(path);
        this.#directories.delete(path);
        dropped.add(directory.watcher);
      } else {
        kept.add(directory.watcher);
      }
    }
    for (const watcher of dropped) if (!kept.has(watcher)) await watcher.close();
  }
}

interface Wanted {
  readonly identity: string;
  readonly names: Set<string>;
}

async function wantedDirectories(files: Iterable<string>): Promise<Map<string, Wanted>> {
  const wanted = new Map<string, Wanted>();
  const identities = new Map<string, string | null>();
  for (const file of files) {
    let path = dirname(file);
    let name = basename(file);
    let identity = await remember(identities, path);
    while (identity === null && dirname(path) !== path) {
      name = basename(path);
      path = dirname(path);
      identity = await remember(identities, path);
    }
    if (identity === null) continue;
    const directory = wanted.get(path) ?? { identity, names: new Set() };
    directory.names.add(name);
    wanted.set(path, directory);
  }
  return wanted;
}

async function remember(identities: Map<string, string | null>, path: string): Promise<string | null> {
  const known = identities.get(path);
  if (known !== undefined) return known;
  const identity = await identityOf(path);
  identities.set(path, identity);
  return identity;
}

/** Which directory is at the path; null for none. One that cannot be looked at may appear later, like one that is absent. */
async function identityOf(path: string): Promise<string | null> {
  try {
    const found = await stat(path, { bigint: true });
    return found.isDirectory() ? `${String(found.dev)}:${String(found.ino)}:${String(found.birthtimeNs)}` : null;
  } catch (error) {
    if (error instanceof Error && "code" in error) return null;
    throw error;
  }
}

function watchedPathOf(details: unknown): string | null {
  if (typeof details !== "object" || details === null || !("watchedPath" in details)) return null;
  return typeof details.watchedPath === "string" ? details.watchedPath : null;
}
