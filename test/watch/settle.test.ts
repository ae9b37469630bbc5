import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allCalm, calm, dueAt, hasEvents, noteActed, noteActing, noteEvent, ofEach, type Burst } from "../../src/watch/settle.js";

const settle = { quietMs: 100, capMs: 2000 };

/** A burst of events at these times, none of which was acted on; the last action ended at `actedAt`. */
function burstAt(times: readonly number[], actedAt: number | null = null): Burst {
  return times.reduce(noteEvent, { ...calm, actedAt });
}

describe("when to act on events", () => {
  test.each<[string, Burst, number | null]>([
    ["never without an event", calm, null],
    ["at once on the very first event", burstAt([5000]), 5000],
    ["at once on the first event after a pause", burstAt([5000], 4900), 5000],
    ["a pause after an event that follows an action closely", burstAt([5000], 4950), 5100],
    ["a pause after the last of two events", burstAt([5000, 5030]), 5130],
    ["at the cap when events do not end", burstAt([5000, 5090, 6000, 6950]), 7000],
    ["at the cap when it is before the pause's end", burstAt([5000, 6999]), 7000],
  ])("%s", (_when, burst, expected) => {
    expect(dueAt(burst, settle)).toBe(expected);
  });

  test("acting takes the events so far; those that come meanwhile settle", () => {
    const acting = noteActing(burstAt([5000]));
    expect(dueAt(acting, settle)).toBeNull();
    const meanwhile = noteEvent(acting, 5020);
    const acted = noteActed(meanwhile, 5050);
    expect(dueAt(acted, settle)).toBe(5120);
  });

  test("an event after quiet is acted on at once again", () => {
    const acted = noteActed(noteActing(burstAt([5000, 5030])), 5200);
    expect(dueAt(acted, settle)).toBeNull();
    expect(dueAt(noteEvent(acted, 5300), settle)).toBe(5300);
    expect(dueAt(noteEvent(acted, 5299), settle)).toBe(5399);
  });
});

test("events of the source settle by themselves, and one action is for all", () => {
  const bursts = { source: noteEvent(calm, 5060), others: burstAt([5000, 5030, 5060]) };
  expect(dueAt(bursts.source, settle)).toBe(5060);
  expect(dueAt(bursts.others, settle)).toBe(5160);
  expect(hasEvents(bursts)).toBe(true);
  expect(hasEvents({ ...bursts, source: calm })).toBe(true);
  expect(hasEvents({ ...bursts, others: calm })).toBe(true);
  const acted = ofEach(ofEach(bursts, noteActing), (burst) => noteActed(burst, 5070));
  expect(hasEvents(acted)).toBe(false);
  expect(acted).toMatchObject({ source: { actedAt: 5070 }, others: { actedAt: 5070 } });
  expect(hasEvents(allCalm)).toBe(false);
});

describe("any stream of events", () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 60 });
  const settles = fc.record({ quietMs: fc.integer({ min: 0, max: 500 }), capMs: fc.integer({ min: 0, max: 3000 }) });
  const lastAction = fc.option(fc.integer({ min: 0, max: 1000 }));

  test("is acted on no earlier than its first event and no later than the cap after it", () => {
    fc.assert(
      fc.property(gaps, settles, lastAction, (between, limits, actedAt) => {
        let at = 1000;
        let burst: Burst = { ...calm, actedAt };
        const first = at + (between[0] ?? 0);
        for (const gap of between) {
          at += gap;
          burst = noteEvent(burst, at);
          const due = dueAt(burst, limits);
          expect(due).not.toBeNull();
          expect(due).toBeGreaterThanOrEqual(first);
          expect(due).toBeLessThanOrEqual(first + Math.max(limits.capMs, 0));
        }
      }),
    );
  });

  test("is acted on once it pauses, and nothing waits after that", () => {
    fc.assert(
      fc.property(gaps, settles, (between, limits) => {
        let at = 0;
        let burst = calm;
        for (const gap of between) burst = noteEvent(burst, (at += gap));
        expect(dueAt(burst, limits)).toBeLessThanOrEqual(at + limits.quietMs);
        expect(dueAt(noteActed(noteActing(burst), at + 1), limits)).toBeNull();
      }),
    );
  });
});
