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

/** Why to look, and when: changes of what the last look read, the resync, and whoever asks for a look. */
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
        const hint = "it is looked at every few seconds instead; if it is the limit: sysctl fs.inotify.max_user_watches=1048576";
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

  /** Whether there were events since the last look, due or not. */
  hasEvents(): boolean {
    return hasEvents(this.#bursts);
  }

  /** When the events so far are due (ms, monotonic), or null. */
  dueAt(): number | null {
    const { settle } = this.#ports.config;
    return earliest(dueAt(this.#bursts.source, settle), dueAt(this.#bursts.others, settle));
  }

  /** Asks for a look. @param path what changed; null for a reason that is no file */
  wake(path: string | null = null): void {
    const kind = path !== null && this.#sourcePaths.has(path) ? "source" : "others";
    this.#bursts = { ...this.#bursts, [kind]: noteEvent(this.#bursts[kind], this.#ports.clock.monotonic()) };
    this.#ports.onEvent();
  }

  /** A look begins; what comes from here on is news for the next one. */
  acting(): void {
    this.#bursts = ofEach(this.#bursts, noteActing);
    this.#news.looking();
  }

  /** The look ended. */
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
   * Watches what a look read.
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

  /** The look failed as a whole: what is watched stays. */
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
