import type { SqliteReaders } from "../io/sqlite-database.js";

/** How often one database is asked whether something of interest changed, while it changes all the time (ms). */
const ASK_EVERY_MS = 250;

export interface DatabaseNewsPorts {
  readonly databases: Pick<SqliteReaders, "databaseOf" | "isNews">;
  /** Reports a database whose content may have changed since the last plan. */
  readonly onNews: (path: string) => void;
}

/**
 * Filters events on databases that change all day because a gateway writes its sessions beside the logins. It passes an event on
 * only if the content that the last scan read has changed.
 */
export class DatabaseNews {
  readonly #ports: DatabaseNewsPorts;
  /** Databases that were asked a moment ago, with whether something happened to them since. */
  readonly #asked = new Map<string, { readonly timer: NodeJS.Timeout; isAwaited: boolean }>();
  /** Databases with an event during a scan, which may have read them before or after it. */
  readonly #deferred = new Set<string>();
  /** `decided`: what was last read of the databases is what was last decided upon. */
  #state: "looking" | "decided" | "undecided" = "undecided";

  constructor(ports: DatabaseNewsPorts) {
    this.#ports = ports;
  }

  /** Takes an event on a file's content; false: it is not about a database that can be asked, and counts as it stands. */
  takes(file: string): boolean {
    const path = this.#ports.databases.databaseOf(file);
    if (path === null || this.#state === "undecided") return false;
    const asked = this.#asked.get(path);
    if (asked === undefined) this.#ask(path);
    else asked.isAwaited = true;
    return true;
  }

  /** Marks the start of a scan. */
  looking(): void {
    this.#state = "looking";
  }

  /** It ended; after writes what was read back may hold what another program wrote just then, which nobody decided upon. */
  looked({ isDecided }: { readonly isDecided: boolean }): void {
    this.#state = isDecided ? "decided" : "undecided";
    const deferred = [...this.#deferred];
    this.#deferred.clear();
    for (const path of deferred) this.#tell(path);
  }

  close(): void {
    for (const { timer } of this.#asked.values()) clearTimeout(timer);
    this.#asked.clear();
    this.#deferred.clear();
  }

  /** Asks at once, and once more later if something happens until then. */
  #ask(path: string): void {
    const timer = setTimeout(() => {
      const isAwaited = this.#asked.get(path)?.isAwaited === true;
      this.#asked.delete(path);
      if (isAwaited) this.#ask(path);
    }, ASK_EVERY_MS);
    this.#asked.set(path, { timer, isAwaited: false });
    this.#tell(path);
  }

  #tell(path: string): void {
    if (this.#state === "looking") this.#deferred.add(path);
    else if (this.#state === "undecided" || this.#ports.databases.isNews(path)) this.#ports.onNews(path);
  }
}
