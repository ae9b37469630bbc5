import { alertWindows, factsOf, factsOfFailure, undecidedIn } from "../../app/alert-facts.js";
import type { Condition } from "../../domain/alerts.js";
import { Failure } from "../../domain/errors.js";
import { Alerter, type AlerterPorts } from "../alerter.js";
import type { Observer, Running } from "../observer.js";

/** Reports the problems that a scan found to people. */
export interface AlertTeller extends Observer {
  readonly alerter: Alerter;
}

/** @param others what is wrong now and is seen in no store */
export async function observeForAlerts(
  running: Running,
  others: () => readonly Condition[],
  signal: AbortSignal,
): Promise<AlertTeller> {
  const alerter = await Alerter.open(portsOf(running, signal));
  return {
    alerter,
    observe: async ({ result, isResync }) => {
      await alerter.observe({ facts: factsOf(result), undecided: undecidedIn(result), others: others(), isResync });
    },
    observeFailure: async ({ message, hint }, { isResync }) => {
      const facts = factsOfFailure(alerter.facts, message, hint);
      await alerter.observe({ facts, undecided: new Set(), others: others(), isResync });
    },
    close: () => alerter.close(),
  };
}

function portsOf(
  { config, environment, stateDirectory, ledger, lock, log, sayAlert }: Running,
  signal: AbortSignal,
): AlerterPorts {
  const { repeatEveryMs, command } = config.alerts;
  return {
    stateDirectory,
    leftovers: environment.predecessors.leftovers,
    windows: alertWindows(config),
    repeatEveryMs,
    command,
    variables: environment.variables,
    clock: environment.clock,
    log,
    say: sayAlert,
    record: async (events) => {
      try {
        await lock.withLock(signal, () => ledger.append(events));
      } catch (error) {
        // The history lacks a line; the alert itself was reported.
        if (!(error instanceof Failure)) throw error;
        log.debug({ reason: error.message }, "alert not recorded");
      }
    },
  };
}
