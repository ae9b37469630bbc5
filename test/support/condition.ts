import { expect } from "vitest";
import { PATIENCE_MS } from "./running-daemon.js";

/** Checks repeatedly until a value is what it should be. */
export async function becomes<Value>(look: () => Value | Promise<Value>, expected: Value): Promise<void> {
  await expect.poll(look, { timeout: PATIENCE_MS, interval: 15 }).toEqual(expected);
}
