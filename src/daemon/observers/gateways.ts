import type { Lag } from "../../app/lag.js";
import { overwrittenBy, Reloader, type Overwritten } from "../../app/reload.js";
import { readLags } from "../../app/status.js";
import type { Look, Observer, Running } from "../observer.js";

/** Tells every gateway that its stores were written. */
export class Gateways implements Observer {
  readonly #reloaders: readonly Reloader[];
  readonly #stateDirectory: string;
  readonly #signal: AbortSignal;

  /** @param onChange called when `lags` changed */
  constructor(
    { gateways, environment, log, stateDirectory }: Pick<Running, "gateways" | "environment" | "log" | "stateDirectory">,
    onChange: () => void,
    signal: AbortSignal,
  ) {
    const { clock } = environment;
    this.#reloaders = gateways.map((gateway) => new Reloader({ gateway, clock, log, onChange }));
    this.#stateDirectory = stateDirectory;
    this.#signal = signal;
  }

  /** Goes on where another daemon, or another configuration of this one, was ended. */
  async resume(): Promise<void> {
    const lags = await readLags(this.#stateDirectory);
    for (const reloader of this.#reloaders) reloader.resume(lags, this.#signal);
  }

  /** The gateways that may still use what was replaced. */
  get lags(): Lag[] {
    return this.#reloaders.flatMap(({ lag }) => (lag === null ? [] : [lag]));
  }

  observe({ result }: Look): void {
    const overwritten = overwrittenBy(result);
    if (overwritten !== null) this.reload(overwritten);
  }

  reload(overwritten: Overwritten): void {
    for (const reloader of this.#reloaders) reloader.request(overwritten, this.#signal);
  }

  async close(): Promise<void> {
    await Promise.all(this.#reloaders.map((reloader) => reloader.idle()));
  }
}
