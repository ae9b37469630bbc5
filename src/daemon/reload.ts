import type { Logger } from "pino";
import type { Clock } from "../domain/clock.js";
import type { CommandOutcome } from "../io/run-command.js";
import { RELOAD_TIMEOUT_MS, type Gateway } from "../stores/openclaw-gateway.js";

const FIRST_RETRY_MS = 15_000;
const LONGEST_RETRY_MS = 15 * 60_000;

export interface ReloadPorts {
  readonly gateway: Gateway;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Makes a running gateway use what was written: it works from a snapshot in memory until it is told.
 *
 * Requests that come while a reload runs become one more reload after it; a failed one is tried again, ever later.
 */
export class Reloader {
  readonly #ports: ReloadPorts;
  #isWanted = false;
  #running: Promise<void> | null = null;
  #saidPairing = false;
  /** When a write was last followed by no good reload (epoch ms); null while every gateway is up to date. */
  laggingSince: number | null = null;

  constructor(ports: ReloadPorts) {
    this.#ports = ports;
  }

  /** A store of a gateway was written. */
  request(signal: AbortSignal): void {
    this.#isWanted = true;
    this.laggingSince ??= this.#ports.clock.now();
    this.#running ??= this.#run(signal).finally(() => {
      this.#running = null;
    });
  }

  /** Resolves when no reload is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let retryMs = FIRST_RETRY_MS; this.#isWanted && !signal.aborted;) {
      this.#isWanted = false;
      if (await this.#reloadOnce(signal)) {
        retryMs = FIRST_RETRY_MS;
        continue;
      }
      this.#isWanted = true;
      await this.#ports.clock.sleep(retryMs, signal);
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
    }
  }

  /** @returns whether nothing is left to do */
  async #reloadOnce(signal: AbortSignal): Promise<boolean> {
    const { clock, log, gateway } = this.#ports;
    if (!(await gateway.isListening())) {
      this.laggingSince = null;
      return true;
    }
    const startedAt = clock.monotonic();
    const outcome = await gateway.reload(signal);
    if (signal.aborted) return true;
    if (outcome.kind === "done") {
      this.laggingSince = null;
      log.info({ durationMs: Math.round(clock.monotonic() - startedAt) }, "gateway reloaded");
      return true;
    }
    if (outcome.kind === "not-found") {
      log.warn(
        { hint: "put openclaw on the daemon's PATH, or name the command: reload.openclaw in the config" },
        "gateway not reloaded: no such command",
      );
      return true;
    }
    this.#sayFailure(outcome);
    return false;
  }

  /** OpenClaw's words may name devices and addresses, so only what is known of them is told. */
  #sayFailure(outcome: Exclude<CommandOutcome, { kind: "done" | "not-found" }>): void {
    const { log } = this.#ports;
    if (outcome.kind === "failed" && /pairing required|scope upgrade pending/i.test(outcome.output)) {
      if (!this.#saidPairing) {
        log.warn(
          { hint: "approve this device once (openclaw devices list, openclaw devices approve), or restart the gateway" },
          "gateway not reloaded: it wants this device to be paired",
        );
      }
      this.#saidPairing = true;
      return;
    }
    const reason =
      outcome.kind === "timed-out" ? `no answer within ${RELOAD_TIMEOUT_MS / 1000} s` : `exit code ${String(outcome.exitCode)}`;
    log.warn(
      { reason, hint: "a turn or a restart of the gateway also makes it use the new login; it is tried again by itself" },
      "gateway not reloaded",
    );
  }
}
