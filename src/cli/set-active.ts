import type { ExitCode } from "./output.js";
import { switchProfile, type SwitchOptions } from "./switch.js";

export interface SetActiveOptions extends SwitchOptions {
  readonly profile: string;
}

/** `credsyncd set-active`: every agent uses this profile of the provider, whatever it used before. */
export function setActive(options: SetActiveOptions, signal: AbortSignal): Promise<ExitCode> {
  return switchProfile({ profile: options.profile, from: null }, options, signal);
}
