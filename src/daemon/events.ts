import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import { earliest, type Clock } from "../domain/clock.js";
import type { SqliteReaders } from "../io/sqlite-database.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { Schedule } from "../watch/schedule.js";
import { allCalm, dueAt, hasEvents, noteActed, noteActing, noteEvent, ofEach } from "../watch/settle.js";
import { Watcher } from "../watch/watcher.js";
import { DatabaseNews } from "./database-news.js";

export interface EventsPorts {
  readonly config: Pick<Config, "settle" | "resync">;
  readonly databases: Pick<SqliteReaders, "databaseOf" | "isNews" | "keepOnly">;
  readonly clock: Clock;
  readonly log: Logger;
  /** There is one more event. */
  readonly onEvent: () => void;
}

/** The reasons to scan, and when: changed files of the last scan, the resync, and callers that ask for a scan. */
export class Events {
  readonly #ports: EventsPorts;
  readonly #news: DatabaseNews;
  readonly #watcher: Watcher;
  readonly #resync: Schedule;
  #bursts = allCalm;
  #isResync = false;
  #sourcePaths: ReadonlySet<string> = new Set();

  constructor(ports: EventsPorts) {
    const { config, databases, clock, log } = ports;
    this.#ports = ports;
    this.#news = new DatabaseNews({
      databases,
      onNews: (path) => {
        this.#changed(path);
      },
    });
    this.#watcher = new Watcher({
      onChange: (path, what) => {
        if (what === "content" && this.#news.takes(path)) return;
        this.#changed(path);
      },
      onRefused: (directory, error) => {
        const hint =
          "credsyncd scans it every few seconds instead; if it is the limit: sysctl fs.inotify.max_user_watches=1048576";
        log.warn({ path: directory, reason: error.message, hint }, "cannot watch a directory");
      },
      onError: (error) => {
        log.warn({ reason: error.message, hint: "changes there are seen at the next resync" }, "cannot watch");
      },
    });
    const onTime = (): void => {
      this.#isResync = true;
      this.wake();
    };
    this.#resync = new Schedule(config.resync, onTime, clock);
  }

  /** So many directories are watched. */
  get directories(): number {
    return this.#watcher.size;
  }

  /** True if there were events since the last scan, due or not. */
  hasEvents(): boolean {
    return hasEvents(this.#bursts);
  }

  /** When the events so far are due (ms, monotonic), or null. */
  dueAt(): number | null {
    const { settle } = this.#ports.config;
    return earliest(dueAt(this.#bursts.source, settle), dueAt(this.#bursts.others, settle));
  }

  /** Asks for a scan. @param path the file that changed; null for another reason */
  wake(path: string | null = null): void {
    const kind = path !== null && this.#sourcePaths.has(path) ? "source" : "others";
    this.#bursts = { ...this.#bursts, [kind]: noteEvent(this.#bursts[kind], this.#ports.clock.monotonic()) };
    this.#ports.onEvent();
  }

  /** A scan begins; later events are news for the next one. */
  acting(): void {
    this.#bursts = ofEach(this.#bursts, noteActing);
    this.#news.looking();
  }

  /** The scan ended. */
  acted(): void {
    const now = this.#ports.clock.monotonic();
    this.#bursts = ofEach(this.#bursts, (burst) => noteActed(burst, now));
  }

  /** @returns whether a resync came since this was last asked */
  takeResync(): boolean {
    const isResync = this.#isResync;
    this.#isResync = false;
    return isResync;
  }

  /**
   * Watches the files that a scan read.
   *
   * @returns whether to look again, since something may have changed before it was watched
   */
  async watch({ observation, writes, adoptions }: ReconcileResult): Promise<boolean> {
    const { files, inventory } = observation;
    this.#sourcePaths = new Set(inventory.source.stores.map(({ path }) => path));
    this.#news.looked({ isDecided: writes.length === 0 && adoptions.length === 0 });
    const lookAgain = await this.#watcher.watch(files);
    this.#ports.databases.keepOnly(files);
    return lookAgain;
  }

  /** The scan failed as a whole: the watched files stay the same. */
  failed(): void {
    this.#news.looked({ isDecided: false });
  }

  async close(): Promise<void> {
    await this.#resync.stop();
    this.#watcher.close();
    this.#news.close();
  }

  #changed(path: string): void {
    this.#ports.log.debug({ path }, "changed");
    this.wake(path);
  }
}
