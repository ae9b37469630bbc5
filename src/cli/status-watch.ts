import type { Composition } from "../app/compose.js";
import type { FilesOfALook } from "../io/regular-file.js";
import { calm, dueAt, noteEvent } from "../watch/settle.js";
import { Watcher } from "../watch/watcher.js";
import { lookNow, type StatusLook } from "./status-look.js";

/** The longest delay of times on the screen (ms). */
const REDRAW_MS = 5000;

/** Shows the status whenever something changes, and updates the times, until the user interrupts it. */
export async function watchStatus(
  composition: Composition,
  files: FilesOfALook,
  show: (look: StatusLook) => void,
): Promise<void> {
  const { clock } = composition.environment;
  const changes = new Changes(composition);
  const watcher = new Watcher({
    onChange: () => {
      changes.note();
    },
    onRefused: () => undefined,
    // The next redraw shows what changed.
    onError: () => undefined,
  });
  const { signal } = changes.interrupted;
  try {
    while (!signal.aborted) {
      changes.forget();
      const look = await lookNow(composition, files);
      const isMissing = await watcher.watch([...look.result.observation.files, ...ownFiles(composition)]);
      if (isMissing) continue;
      show(look);
      await changes.wait(clock.monotonic() + REDRAW_MS);
    }
  } finally {
    watcher.close();
  }
}

/** The changes since the last scan, and the user's wish to stop. */
class Changes {
  readonly interrupted = new AbortController();
  readonly #composition: Composition;
  #burst = calm;
  #wake: () => void = () => undefined;

  constructor(composition: Composition) {
    this.#composition = composition;
    const stop = (): void => {
      this.interrupted.abort();
      this.#wake();
    };
    for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, stop);
    // The reader went away.
    process.stdout.on("error", stop);
  }

  note(): void {
    this.#burst = noteEvent(this.#burst, this.#composition.environment.clock.monotonic());
    this.#wake();
  }

  forget(): void {
    this.#burst = calm;
  }

  /** Waits until changes have settled, or until a time (ms, monotonic). */
  async wait(until: number): Promise<void> {
    const { environment, config } = this.#composition;
    for (;;) {
      const due = Math.min(dueAt(this.#burst, config.settle) ?? until, until);
      const leftMs = due - environment.clock.monotonic();
      if (leftMs <= 0 || this.interrupted.signal.aborted) return;
      const woken = new AbortController();
      this.#wake = () => {
        woken.abort();
      };
      await environment.clock.sleep(leftMs, woken.signal);
    }
  }
}

/** The files by which the daemon reports in passing. */
function ownFiles({ stateDirectory }: Composition): string[] {
  return ["status.json", "alerts.json", "run.lock"].map((name) => `${stateDirectory}/${name}`);
}
