import type { ExitCode } from "./output.js";
import { switchProfile, type SwitchOptions } from "./switch.js";

export interface MigrateOptions extends SwitchOptions {
  readonly from: string;
  readonly to: string;
}

/** `credsyncd migrate`: every agent that uses one profile of the provider uses another instead. */
export function migrate(options: MigrateOptions, signal: AbortSignal): Promise<ExitCode> {
  return switchProfile({ profile: options.to, from: options.from }, options, signal);
}
