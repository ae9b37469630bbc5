import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Failure, StoreError } from "../domain/errors.js";
import { stateDirectoryOf, systemEnvironment } from "../app/system.js";
import { errnoOf } from "../io/system-error.js";
import { interruptibly } from "./interruption.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode } from "./output.js";

/** Before any command: a switch that a crash interrupted is completed or undone, and that is said. */
export async function recoverFirst(options: CommonOptions): Promise<void> {
  const journal = join(stateDirectoryOf(systemEnvironment()), "journal");
  if (!namesIn(journal).some((name) => name.startsWith("switch-"))) return;
  await interruptibly((signal) => recover(options, signal));
}

async function recover(options: CommonOptions, signal: AbortSignal): Promise<ExitCode> {
  const { say } = openOutput(options);
  try {
    const { loadConfig } = await import("../config/load.js");
    const { compose } = await import("../app/compose.js");
    const { recoverSwitches, recoveryText } = await import("../app/switching.js");
    const environment = systemEnvironment();
    const composition = await compose(await loadConfig(options.config ?? null, environment), environment, "write");
    const recoveries = await recoverSwitches(composition, signal);
    for (const recovery of recoveries) say(`credsyncd: ${recoveryText(recovery)}`);
  } catch (error) {
    // The command itself may not need it; one that does refuses to go on.
    if (!(error instanceof Failure) && !(error instanceof StoreError)) throw error;
    say(`credsyncd: warning: a switch was interrupted and is not settled: ${error.message}`);
    if (error.hint !== null) say(`credsyncd: hint: ${error.hint}`);
  }
  if (signal.aborted) throw new Failure("general", "the command itself was not begun", null);
  return exitCodes.done;
}

/** Returns none if there is no directory, or if the command itself will report its problem. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return [];
  }
}
