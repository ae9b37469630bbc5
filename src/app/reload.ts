import type { Logger } from "pino";
import type { Clock } from "../domain/clock.js";
import type { SyncPlan } from "../domain/flows.js";
import type { Plan } from "../domain/plan.js";
import type { CommandOutcome } from "../io/run-command.js";
import type { WriteOutcome } from "../reconcile/apply.js";
import type { Gateway } from "../programs/gateway.js";
import { absentText, ABSENT_HINT } from "./absent-gateway.js";
import { isOver, lagHint, lagText, type Lag, type LagReason } from "./lag.js";
import { programOf } from "../programs/registry.js";

const FIRST_RETRY_MS = 15_000;
const LONGEST_RETRY_MS = 15 * 60_000;

/** The writes to a gateway's stores: whether there were any, and the latest expiry of the replaced tokens. */
export interface Overwritten {
  /** Epoch ms; null where one says no end. */
  readonly endsAt: number | null;
}

export interface ReloadPorts {
  readonly gateway: Gateway;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when `lag` changed. */
  readonly onChange: () => void;
}

/**
 * Makes a running gateway use a written login: it works from a snapshot in memory until a reload.
 *
 * Requests during a reload become one more reload after it. It retries a failed one with growing delays, or sooner after another
 * write, until the replaced token has expired or the gateway has restarted and read the stores.
 */
export class Reloader {
  readonly #ports: ReloadPorts;
  #isWanted = false;
  #running: Promise<void> | null = null;
  /** The last failure that was said; it is said again only after a success. */
  #said: LagReason | null = null;
  /** True if the log already says that nobody listens where the gateway should. */
  #saidAbsent = false;
  #lag: Lag | null = null;
  /** Shortens the pause after a failed reload. */
  #hurry = new AbortController();

  constructor(ports: ReloadPorts) {
    this.#ports = ports;
  }

  /** Null while the gateway uses what was written, or none runs. */
  get lag(): Lag | null {
    return this.#lag;
  }

  /** Stores of the gateway were written. */
  request({ endsAt }: Overwritten, signal: AbortSignal): void {
    const { gateway, clock } = this.#ports;
    this.#isWanted = true;
    const before = this.#lag;
    this.#become({
      gateway: gateway.name,
      since: before?.since ?? clock.now(),
      until: before === null ? endsAt : latest(before.until, endsAt),
      reason: before?.reason ?? "reloading",
      listener: null,
    });
    this.#hurry.abort();
    this.#start(signal);
  }

  /** Goes on where another daemon, or another configuration of this one, was ended. */
  resume(lags: readonly Lag[], signal: AbortSignal): void {
    const lag = lags.find(({ gateway }) => gateway === this.#ports.gateway.name);
    if (lag === undefined) return;
    this.#isWanted = true;
    this.#become(lag);
    this.#start(signal);
  }

  /** Resolves when no reload is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  #start(signal: AbortSignal): void {
    this.#running ??= this.#run(signal).finally(() => {
      this.#running = null;
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let retryMs = FIRST_RETRY_MS; this.#isWanted && !signal.aborted;) {
      this.#isWanted = false;
      if (await this.#reloadOnce(signal)) {
        retryMs = FIRST_RETRY_MS;
        continue;
      }
      this.#isWanted = true;
      retryMs = await this.#leaveAlone(retryMs, signal);
    }
  }

  /**
   * Pauses before the next attempt, which comes sooner after another write: the cause of the failure may be long over. @returns
   * the pause after that (ms)
   */
  async #leaveAlone(retryMs: number, signal: AbortSignal): Promise<number> {
    const { clock } = this.#ports;
    const soonest = clock.monotonic() + FIRST_RETRY_MS;
    this.#hurry = new AbortController();
    await clock.sleep(retryMs, AbortSignal.any([signal, this.#hurry.signal]));
    if (clock.monotonic() < soonest) await clock.sleep(soonest - clock.monotonic(), signal);
    return this.#hurry.signal.aborted ? FIRST_RETRY_MS : Math.min(retryMs * 2, LONGEST_RETRY_MS);
  }

  /** @returns whether nothing is left to do */
  async #reloadOnce(signal: AbortSignal): Promise<boolean> {
    const { clock, log, gateway } = this.#ports;
    const listener = await gateway.listener();
    await this.#sayWhetherAbsent(listener);
    if (this.#lag === null || listener === null || isOver(this.#lag, listener, clock.now())) {
      this.#become(null);
      return true;
    }
    this.#become({ ...this.#lag, listener });
    if (gateway.reload === null) return this.#failed("off", true);
    const startedAt = clock.monotonic();
    const outcome = await gateway.reload(signal);
    if (signal.aborted) return true;
    if (outcome.kind === "done") {
      // The reload may have come too early for a write during it.
      if (!this.#isWanted) this.#become(null);
      this.#said = null;
      log.info({ durationMs: Math.round(clock.monotonic() - startedAt) }, "gateway reloaded");
      return true;
    }
    const exitCode = outcome.kind === "failed" ? { exitCode: outcome.exitCode } : {};
    return this.#failed(reasonOf(outcome), outcome.kind === "not-found", exitCode);
  }

  async #sayWhetherAbsent(listener: string | null): Promise<void> {
    const { gateway, log } = this.#ports;
    const expected = listener === null ? ((await gateway.expected?.()) ?? null) : null;
    if (expected !== null && !this.#saidAbsent)
      log.info({ gateway: gateway.name, port: expected.port, why: absentText(expected), hint: ABSENT_HINT }, "gateway not found");
    this.#saidAbsent = expected !== null;
  }

  #failed(reason: LagReason, isFinal: boolean, fields: { readonly exitCode?: number | null } = {}): boolean {
    if (this.#lag !== null) this.#become({ ...this.#lag, reason });
    // The user turned it off: nothing to be said about that.
    if (this.#said !== reason && reason !== "off")
      this.#ports.log.warn({ reason: lagText(reason), ...fields, hint: lagHint(reason) }, "gateway not reloaded");
    this.#said = reason;
    return isFinal;
  }

  #become(lag: Lag | null): void {
    const before = this.#lag;
    this.#lag = lag;
    if (
      before?.since !== lag?.since ||
      before?.until !== lag?.until ||
      before?.reason !== lag?.reason ||
      before?.listener !== lag?.listener
    )
      this.#ports.onChange();
  }
}

/** Returns a reconcile's writes to OpenClaw's stores; null if there were none. */
export function overwrittenBy({
  plan,
  adoptions,
  writes,
}: {
  readonly plan: Pick<SyncPlan, "writes"> & { readonly flows: readonly Pick<Plan, "head" | "adoption">[] };
  readonly adoptions: readonly WriteOutcome[];
  readonly writes: readonly WriteOutcome[];
}): Overwritten | null {
  const written = new Set(
    [...adoptions, ...writes].flatMap(({ store, error }) =>
      error === null && programOf(store)?.hasGateway === true ? [store] : [],
    ),
  );
  if (written.size === 0) return null;
  const adopted = plan.flows.flatMap(({ adoption, head }) => {
    if (adoption === null || !written.has(adoption.into.store)) return [];
    return head.state === "present" && head.observed.held.kind === "credential" ? [head.observed.held.expiresAt] : [];
  });
  const replaced = plan.writes.flatMap(({ target: { store, held, expiryMarginMs } }) => {
    if (!written.has(store) || held.kind !== "credential") return [];
    return [held.expiresAt === null ? null : held.expiresAt - expiryMarginMs];
  });
  const ends = [...adopted, ...replaced];
  return { endsAt: ends.length === 0 ? null : ends.reduce(latest) };
}

/**
 * Makes gateways use what a command wrote, once; there is no daemon behind it to try again.
 *
 * @returns those that may go on with what was replaced
 */
export async function reloadNow(
  gateways: readonly Gateway[],
  { endsAt }: Overwritten,
  clock: Clock,
  signal: AbortSignal,
): Promise<Lag[]> {
  const lags = gateways.map(async (gateway): Promise<Lag | null> => {
    const since = clock.now();
    const listener = await gateway.listener();
    if (listener === null) return null;
    const outcome = gateway.reload === null ? null : await gateway.reload(signal);
    if (outcome?.kind === "done") return null;
    return { gateway: gateway.name, since, until: endsAt, reason: outcome === null ? "off" : reasonOf(outcome), listener };
  });
  return (await Promise.all(lags)).filter((lag) => lag !== null);
}

/** Reduces a failure to a known reason: OpenClaw's output may name devices and addresses. */
function reasonOf(outcome: Exclude<CommandOutcome, { kind: "done" }>): LagReason {
  switch (outcome.kind) {
    case "not-found":
      return "no-command";
    case "timed-out":
      return "no-answer";
    case "failed":
      return /pairing required|scope upgrade pending/i.test(outcome.output) ? "pairing" : "failed";
  }
}

function latest(left: number | null, right: number | null): number | null {
  return left === null || right === null ? null : Math.max(left, right);
}
