import { Failure, StoreError } from "../domain/errors.js";
import { exitCodes, printFailure, type ExitCode } from "./output.js";

const stops = { SIGINT: "interrupted", SIGTERM: "terminated" } as const;

type StopName = keyof typeof stops;

/**
 * Runs a command that changes stores. Asked to stop, it waits for nothing more and finishes the writes in hand, so that
 * no lock and no half of anything is left.
 *
 * @param command ends as busy, or as failed, where the request cut it short
 * @returns the signal's exit code then, else the command's own
 */
export async function interruptibly(command: (signal: AbortSignal) => Promise<ExitCode>): Promise<ExitCode> {
  const stop = new AbortController();
  const abort = (name: NodeJS.Signals): void => {
    stop.abort(name);
  };
  const failure = (what: string, cause?: unknown): Failure => {
    const name = stop.signal.reason as StopName;
    return new Failure(stops[name], `stopped by ${name}${what}`, "run it again", cause);
  };
  // Not `once`: packages that tidy up at an end take a signal without listeners for one that ends the process at once.
  for (const name of Object.keys(stops)) process.on(name, abort);
  try {
    const code = await command(stop.signal);
    const isCutShort = stop.signal.aborted && (code === exitCodes.busy || code === exitCodes.failed);
    if (!isCutShort) return code;
    return printFailure(failure(" before all of it was done"), false);
  } catch (error) {
    if (!stop.signal.aborted || !(error instanceof StoreError || isBusyOrFailed(error))) throw error;
    throw failure(`: ${error.message}`, error);
  } finally {
    for (const name of Object.keys(stops)) process.off(name, abort);
  }
}

function isBusyOrFailed(error: unknown): error is Failure {
  return error instanceof Failure && (error.code === "busy" || error.code === "general");
}

/** To be called right before the first change. @throws Failure where the user asked to stop by then */
export function refuseIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new Failure("general", "nothing was changed", null);
}
