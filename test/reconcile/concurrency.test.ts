import { describe, expect, test } from "vitest";
import { mapConcurrently } from "../../src/reconcile/concurrency.js";

describe("mapping concurrently", () => {
  test("keeps the order and never exceeds the limit", async () => {
    let [underWay, most] = [0, 0];
    const results = await mapConcurrently([5, 1, 4, 2, 3], 2, async (item) => {
      underWay += 1;
      most = Math.max(most, underWay);
      for (let turn = 0; turn < item; turn++) await Promise.resolve();
      underWay -= 1;
      return item * 10;
    });
    expect(results).toEqual([50, 10, 40, 20, 30]);
    expect(most).toBe(2);
  });

  test("rejects only when nothing is under way any more, and begins nothing new", async () => {
    const ended: number[] = [];
    const mapped = mapConcurrently([0, 1, 2, 3], 2, async (item) => {
      if (item === 0) throw new Error("the first fails");
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      ended.push(item);
    });
    await expect(mapped).rejects.toThrow("the first fails");
    expect(ended).toEqual([1]);
  });

  test("maps nothing to nothing", async () => {
    expect(await mapConcurrently([], 4, () => Promise.reject(new Error("never called")))).toEqual([]);
  });
});
