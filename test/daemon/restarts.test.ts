import { describe, expect, test } from "vitest";
import { Restarts } from "../../src/daemon/restarts.js";
import { UNKNOWN_LISTENER, type Gateway } from "../../src/programs/gateway.js";
import { login, targetWith } from "../support/planning.js";
import type { TargetReport } from "../../src/domain/target-verdict.js";

const report = (store: string, reason: "reverting" | "target-newer"): TargetReport => ({
  target: targetWith(login("old"), { store }),
  verdict: { kind: "hold", reason, cause: "reverting", detail: null },
});
const leftAlone = { reports: [report("openclaw:main", "reverting"), report("openclaw:work", "target-newer")] };
const calm = { reports: [report("openclaw:work", "target-newer")] };

/** Returns the scans that cause one more write, by the listeners at each scan. */
async function retriesAt(listeners: readonly (string | null)[]): Promise<number[]> {
  let look = -1;
  const gateway: Gateway = { name: "g", listener: () => Promise.resolve(listeners[look] ?? null), reload: null };
  const restarts = new Restarts([gateway]);
  const retries: number[] = [];
  for (look = 0; look < listeners.length; look++) {
    if (await restarts.observe(leftAlone)) {
      expect([...restarts.take()]).toEqual(["openclaw:main"]);
      expect(restarts.take().size).toBe(0);
      retries.push(look);
    }
  }
  return retries;
}

describe("a gateway that kept undoing what was written", () => {
  test.each<[string, (string | null)[], number[]]>([
    ["is left alone while the same one runs", ["1", "1", "1"], []],
    ["is tried once when another start of it listens", ["1", "1", "2", "2"], [2]],
    ["is tried once for each start", ["1", "2", "3"], [1, 2]],
    ["is tried when it comes back, not when it goes", ["1", null, null, "2"], [3]],
    ["is left alone when it seemed gone for a moment", ["1", null, "1"], []],
    ["is tried when one starts where none ran", [null, null, "1"], [2]],
    ["is left alone where the system does not tell who listens", [UNKNOWN_LISTENER, UNKNOWN_LISTENER], []],
  ])("%s", async (_what, listeners, retries) => {
    expect(await retriesAt(listeners)).toEqual(retries);
  });

  test("is forgotten once it is not left alone any more", async () => {
    let listener = "1";
    const restarts = new Restarts([{ name: "g", listener: () => Promise.resolve(listener), reload: null }]);
    await restarts.observe(leftAlone);
    expect(await restarts.observe(calm)).toBe(false);
    listener = "2";
    expect(await restarts.observe(leftAlone)).toBe(false);
  });
});
