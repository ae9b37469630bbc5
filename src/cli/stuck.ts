import type { Composition } from "../app/compose.js";
import { leaveStuck } from "../app/stuck.js";
import type { Output } from "./output.js";
import { stuckHints } from "../app/words.js";

/** Runs what a command writes, and says at its end, however it ends, what it was done with and could not remove. */
export async function tidily<Result>(
  composition: Pick<Composition, "environment" | "lock">,
  { say }: Pick<Output, "say">,
  write: () => Promise<Result>,
): Promise<Result> {
  try {
    return await write();
  } finally {
    for (const { what, error } of await leaveStuck(composition)) {
      say(`credsyncd: warning: ${error.message}`);
      say(`credsyncd: hint: ${stuckHints[what]}`);
    }
  }
}
