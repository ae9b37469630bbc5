import type { Composition } from "../daemon/compose.js";
import { stuckHints } from "../daemon/reporter.js";
import { leaveStuck } from "../daemon/stuck.js";
import type { Output } from "./output.js";

/** At the end of a command that writes: says what it was done with and could not remove. */
export async function tellStuck(composition: Composition, output: Output): Promise<void> {
  for (const { what, error } of await leaveStuck(composition)) {
    output.say(`credsyncd: warning: ${error.message}`);
    output.say(`credsyncd: hint: ${stuckHints[what]}`);
  }
}
