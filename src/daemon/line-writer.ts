import { constants, fstatSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { destination } from "pino";
import { errnoOf } from "../io/system-error.js";

/** So much (characters) is kept of what cannot be written now; it is written when it can be. */
const MOST_UNWRITTEN = 1_000_000;
/** How often a reader that stalls is tried again (ms). */
const RETRY_MS = 100;

type Stream = NodeJS.WriteStream & { readonly fd: number };

/**
 * Writes lines to a stream of this process, in order and at once, and never waits for who reads them: what does not fit is
 * kept up to a limit, then dropped and counted.
 */
export class LineWriter {
  readonly descriptor: number;
  readonly #destination: ReturnType<typeof destination>;
  #dropped = 0;
  /** The reader does not take more now. */
  #isStalled = false;
  #retry: NodeJS.Timeout | null = null;
  #onDropped: (lines: number) => void = () => undefined;

  /** @param stream `process.stdout` or `process.stderr`; a socket of theirs does not block once the runtime has opened it */
  constructor(stream: Stream) {
    this.descriptor = stream.fd;
    const dest = withoutBlocking(stream.fd);
    // Synchronous, so that the last line before an end is not lost. By default the package waits where a pipe is full.
    this.#destination = destination({ dest, sync: true, maxLength: MOST_UNWRITTEN, retryEAGAIN: () => false });
    this.#destination.on("error", (error: Error) => {
      this.#failed(error);
    });
    this.#destination.on("drop", () => (this.#dropped += 1));
    this.#destination.on("drain", () => {
      this.#drained();
    });
  }

  write(line: string): void {
    this.#destination.write(line);
  }

  /** Sets who reports how many lines were dropped, once there is room again. */
  onDropped(report: (lines: number) => void): void {
    this.#onDropped = report;
  }

  /** Waits until everything was written, or no longer than this for a reader that stalls. */
  async flush(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    while (this.#isStalled && performance.now() < until) {
      await sleep(RETRY_MS / 5);
      this.write("");
      // The package tells that all is written at its next turn.
      await sleep(0);
    }
  }

  /** A log that nobody reads any more, or whose disk is full, is no reason to let logins go stale. */
  #failed(error: Error): void {
    const errno = errnoOf(error);
    if (errno === null) throw error;
    this.#isStalled = errno === "EAGAIN";
    if (!this.#isStalled || this.#retry !== null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.write("");
    }, RETRY_MS).unref();
  }

  #drained(): void {
    this.#isStalled = false;
    const dropped = this.#dropped;
    if (dropped === 0) return;
    this.#dropped = 0;
    this.#onDropped(dropped);
  }
}

/** A pipe or a terminal is opened again: whether it blocks is a matter of everyone who shares the opening. */
function withoutBlocking(descriptor: number): number {
  const file = fstatSync(descriptor);
  if (!file.isFIFO() && !file.isCharacterDevice()) return descriptor;
  try {
    return openSync(`/proc/self/fd/${String(descriptor)}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    // Another user's, nobody reads it, or this system keeps no such names.
    if (errnoOf(error) === null) throw error;
    return descriptor;
  }
}
