import { Writable } from "node:stream";
import { pino, type Logger } from "pino";
import { loadConfig } from "../../src/config/load.js";
import { compose, type Composition } from "../../src/app/compose.js";
import { systemClock, systemEnvironment } from "../../src/app/system.js";
import type { Clock } from "../../src/domain/clock.js";
import { noOrders, type Orders } from "../../src/domain/observation.js";
import { onlyRound, type ReconcileResult, type Round } from "../../src/reconcile/reconciler.js";
import type { Environment } from "../../src/programs/environment.js";
import type { LogLine } from "./running-daemon.js";
import type { TemporaryHome } from "./temporary-home.js";

export function environmentOf(
  home: TemporaryHome,
  clock: Clock = systemClock,
  variables: Readonly<Record<string, string>> = {},
): Environment {
  return { ...systemEnvironment(), home: home.path, variables: home.environment(variables), clock };
}

/** The parts of the daemon in a temporary home, to be moved by hand. */
export async function composeIn(
  home: TemporaryHome,
  environment = environmentOf(home),
): Promise<Composition & { readonly reconcile: (orders?: Partial<Orders>, round?: Partial<Round>) => Promise<ReconcileResult> }> {
  const composition = await compose(await loadConfig(null, environment), environment, "write");
  const { reconciler, config } = composition;
  const reconcile = (orders: Partial<Orders> = {}, round: Partial<Round> = {}): Promise<ReconcileResult> => {
    const { signal } = new AbortController();
    return reconciler.reconcile(config.policy, { ...noOrders, ...orders }, signal, { ...onlyRound, ...round });
  };
  return { ...composition, reconcile };
}

/** A log that remembers its lines. */
export function rememberingLog(home: TemporaryHome): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      home.spoken.push(chunk.toString());
      lines.push(JSON.parse(chunk.toString()) as LogLine);
      done();
    },
  });
  const log = pino({ level: "debug", base: null, formatters: { level: (label) => ({ level: label }) } }, stream);
  return { log, lines };
}
