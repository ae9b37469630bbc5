import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  advanceAlerts,
  alertKey,
  isActive,
  type Alert,
  type Condition,
  type Notice,
  type Seen,
} from "../../src/domain/alerts.js";
import { HOUR_MS, MINUTE_MS, NOW } from "../support/planning.js";

const REPEAT_MS = HOUR_MS;
/** Longer than anything is waited for, and longer than what is over is remembered. */
const LONG_MS = 2 * HOUR_MS;

const usual = { severity: "warning", reason: null, explanation: null, hint: null, startedAt: null, endsAt: null } as const;

/** Few enough that they meet: exclusive ones and others, of stores and of profiles. */
const condition = fc.record({
  kind: fc.constantFrom("drift" as const, "expired" as const, "store-error" as const, "suspect" as const),
  store: fc.constantFrom("openclaw:main", "openclaw:work"),
  profile: fc.constantFrom(null, "a"),
  patience: fc.constantFrom("none" as const, "none" as const, "a-minute" as const, "two-resyncs" as const),
  onlyKeeps: fc.constantFrom(false, false, false, true),
});

const step = fc.record({
  afterMs: fc.constantFrom(0, 1, 5000, 10_000, 40_000, MINUTE_MS, 10 * MINUTE_MS, REPEAT_MS - 1, REPEAT_MS, LONG_MS),
  seen: fc.record({
    conditions: fc
      .uniqueArray(condition, { maxLength: 4, selector: alertKey })
      .map((conditions) => conditions.map((each): Condition => ({ ...usual, ...each }))),
    undecided: fc
      .uniqueArray(fc.constantFrom("openclaw:main", "openclaw:work"), { maxLength: 1 })
      .map((stores) => new Set(stores)),
    isResync: fc.boolean(),
  }),
  restarts: fc.boolean(),
});

/** Returns the alerts as the daemon's file brings them back after a restart. */
function saved(alerts: readonly Alert[]): Alert[] {
  return JSON.parse(JSON.stringify(alerts)) as Alert[];
}

/** A listener that knows the notices, and nothing else. */
class Listener {
  /** When each alert that holds was last told. */
  readonly saidAt = new Map<string, number>();

  hear({ event, alert }: Notice, now: number): void {
    const key = alertKey(alert);
    const before = this.saidAt.get(key);
    switch (event) {
      case "raised":
        expect(before, "raised while it holds").toBeUndefined();
        this.saidAt.set(key, now);
        break;
      case "repeated":
        expect(before, "repeated without having been raised").toBeDefined();
        expect(now - (before ?? now), "repeated too early").toBeGreaterThanOrEqual(REPEAT_MS);
        this.saidAt.set(key, now);
        break;
      case "resolved":
      case "superseded":
        expect(before, "over without having been raised, or over twice").toBeDefined();
        this.saidAt.delete(key);
    }
  }
}

function checkNotices(notices: readonly Notice[], before: readonly Alert[], { conditions, undecided }: Seen): void {
  const present = new Map(conditions.map((each) => [alertKey(each), each]));
  expect(new Set(notices.map(({ alert }) => alertKey(alert))).size, "two notices of one alert").toBe(notices.length);
  for (const { event, alert } of notices) {
    const found = present.get(alertKey(alert));
    if (event === "raised") expect(found?.onlyKeeps).toBe(false);
    if (event === "repeated") expect(found).toBeDefined();
    if (event !== "resolved" && event !== "superseded") continue;
    expect(found, "told to be over while it is there").toBeUndefined();
    expect([...undecided], "told to be over while nobody knows").not.toContain(alert.store);
    if (event === "superseded") {
      expect(alert.kind).not.toBe("suspect");
      const others = conditions.filter(({ kind, store, onlyKeeps }) => kind !== "suspect" && store === alert.store && !onlyKeeps);
      expect(others, "superseded by nothing").not.toEqual([]);
    } else {
      const known = before.find((each) => alertKey(each) === alertKey(alert));
      expect(known?.goneSince, "over at the first look that did not find it").not.toBeNull();
    }
  }
}

describe("whatever comes and goes, and however often the daemon is restarted", () => {
  test("an alert is raised once, repeated no earlier than it should be and no later, and over exactly once", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const listener = new Listener();
        let alerts: readonly Alert[] = [];
        let now = NOW;
        const look = (seen: Seen): void => {
          const before = alerts;
          const { notices, alerts: after, wakeAt } = advanceAlerts(alerts, seen, REPEAT_MS, now);
          for (const notice of notices) listener.hear(notice, now);
          checkNotices(notices, before, seen);
          expect(new Set(after.map(alertKey)).size, "two of one key").toBe(after.length);
          expect(new Set(after.filter(isActive).map(alertKey))).toEqual(new Set(listener.saidAt.keys()));
          for (const each of seen.conditions) {
            const saidAt = listener.saidAt.get(alertKey(each));
            if (each.patience === "none" && !each.onlyKeeps) expect(saidAt, "never told").toBeDefined();
            if (saidAt !== undefined) expect(now - saidAt, "told too long ago").toBeLessThan(REPEAT_MS);
          }
          // Nothing is new before the time at which the alerts want to be asked again.
          const quiet = { ...seen, isResync: false };
          for (const later of [now, wakeAt === null ? now + LONG_MS : Math.max(now, wakeAt - 1)])
            expect(advanceAlerts(saved(after), quiet, REPEAT_MS, later).notices, "not asked for").toEqual([]);
          alerts = after;
        };
        for (const { afterMs, seen, restarts } of steps) {
          now += afterMs;
          look(seen);
          if (restarts) alerts = saved(alerts);
        }
        const nothing = { conditions: [], undecided: new Set<string>(), isResync: false };
        for (let rest = 0; rest < 3; rest++) {
          look(nothing);
          now += LONG_MS;
        }
        expect([...listener.saidAt]).toEqual([]);
        expect(alerts).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
