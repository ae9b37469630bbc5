import { statSync, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export interface WatcherEvents {
  /**
   * Reports an event on a watched file, or on the directory that it is or will be in.
   *
   * `content`: the same file was written or touched. `name`: another file may be there now, or none.
   */
  readonly onChange: (path: string, what: "content" | "name") => void;
  /** The system refuses a watch, so the directory is polled. */
  readonly onRefused: (directory: string, error: Error) => void;
  /** Something is wrong with a watch; the resync still sees every change, only later. */
  readonly onError: (error: Error) => void;
}

/** The interval between polls of a directory that the system does not watch (ms). */
const POLLED_EVERY_MS = 2000;

/** A directory that is watched for some names in it. */
interface WatchedDirectory {
  readonly identity: string;
  readonly names: ReadonlySet<string>;
  readonly stop: () => void;
}

/**
 * Watches directories, not files: a file that is renamed, removed or made again keeps its name, not its inode.
 *
 * If a file's directory does not exist, it waits in the nearest existing directory above. Other entries of a directory wake
 * nobody, however busy they are. If the system refuses a watch (at the limit of inotify), it polls the directory.
 */
export class Watcher {
  readonly #events: WatcherEvents;
  readonly #pollEveryMs: number;
  readonly #directories = new Map<string, WatchedDirectory>();

  constructor(events: WatcherEvents, pollEveryMs = POLLED_EVERY_MS) {
    this.#events = events;
    this.#pollEveryMs = pollEveryMs;
  }

  /**
   * Watches exactly these files from now on.
   *
   * @returns whether a watch was added: what changed before it took hold was missed, so look once more
   */
  async watch(files: Iterable<string>): Promise<boolean> {
    const wanted = await wantedDirectories(files);
    this.#drop((path, { identity }) => wanted.get(path)?.identity !== identity);
    let added = false;
    for (const [path, directory] of wanted) {
      const present = this.#directories.get(path);
      if (present === undefined) added = this.#add(path, directory) || added;
      else this.#directories.set(path, { ...present, names: directory.names });
    }
    return added;
  }

  close(): void {
    this.#drop(() => true);
  }

  /** How many directories are watched. */
  get size(): number {
    return this.#directories.size;
  }

  /** @returns whether there is a reason to look again */
  #add(path: string, wanted: Wanted): boolean {
    try {
      const watcher = watch(path, (event, name) => {
        this.#onEvent(path, event === "change" ? "content" : "name", name);
      });
      watcher.on("error", (error) => {
        this.#events.onError(error);
      });
      this.#directories.set(path, {
        ...wanted,
        stop: () => {
          watcher.close();
        },
      });
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error)) throw error;
      // It has just gone away, which the next scan finds out.
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return true;
      this.#events.onRefused(path, error);
      this.#poll(path, wanted);
    }
    return true;
  }

  #poll(directory: string, wanted: Wanted): void {
    let before = statesOf(directory, wanted.names);
    const timer = setInterval(() => {
      const now = statesOf(directory, this.#directories.get(directory)?.names ?? []);
      if (now === before) return;
      before = now;
      this.#onEvent(directory, "name", null);
    }, this.#pollEveryMs);
    this.#directories.set(directory, {
      ...wanted,
      stop: () => {
        clearInterval(timer);
      },
    });
  }

  #onEvent(directory: string, what: "content" | "name", name: string | null): void {
    const watched = this.#directories.get(directory);
    if (watched === undefined) return;
    // A directory that goes away reports its own name; some systems report none.
    const concerns = name === null || name === basename(directory) || watched.names.has(name);
    if (concerns) this.#events.onChange(name === null ? directory : join(directory, name), name === null ? "name" : what);
  }

  #drop(isUnwanted: (path: string, directory: WatchedDirectory) => boolean): void {
    for (const [path, directory] of this.#directories) {
      if (!isUnwanted(path, directory)) continue;
      this.#directories.delete(path);
      directory.stop();
    }
  }
}

/** Returns a text that changes when a file is written, replaced, made or removed. */
function statesOf(directory: string, names: Iterable<string>): string {
  return [...names].map((name) => stateOf(join(directory, name))).join("\n");
}

function stateOf(path: string): string {
  try {
    const { ino, size, mtimeNs } = statSync(path, { bigint: true });
    return `${String(ino)} ${String(size)} ${String(mtimeNs)}`;
  } catch (error) {
    if (error instanceof Error && "code" in error) return String(error.code);
    throw error;
  }
}

interface Wanted {
  readonly identity: string;
  readonly names: Set<string>;
}

async function wantedDirectories(files: Iterable<string>): Promise<Map<string, Wanted>> {
  const wanted = new Map<string, Wanted>();
  // A directory behind a link has two names, and is watched once: by the one that comes first.
  const first = new Map<string, string>();
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
    const known = first.get(identity) ?? path;
    const directory = wanted.get(known) ?? { identity, names: new Set() };
    directory.names.add(name);
    wanted.set(known, directory);
    first.set(identity, known);
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

/** Identifies the directory at the path; null for none. One that cannot be read may appear later, like an absent one. */
async function identityOf(path: string): Promise<string | null> {
  try {
    const found = await stat(path, { bigint: true });
    return found.isDirectory() ? `${String(found.dev)}:${String(found.ino)}:${String(found.birthtimeNs)}` : null;
  } catch (error) {
    if (error instanceof Error && "code" in error) return null;
    throw error;
  }
}
