import { getEventListeners, once } from "node:events";
import { describe, expect, test } from "vitest";
import type { UntilNews, WriteOutcome } from "../../src/reconcile/apply.js";
import { ReconcileLoop, type LoopPorts } from "../../src/reconcile/loop.js";
import type { StoreErrorCode } from "../../src/domain/errors.js";
import type { ReconcileResult } from "../../src/reconcile/reconciler.js";
import { ManualClock, settled } from "../support/manual-clock.js";

/** A store that stays locked. */
const busy: Answer = { failed: { main: "locked" } };

interface Answer {
  /** Why stores could not be written. */
  readonly failed?: Readonly<Record<string, StoreErrorCode>>;
  /** From the clock's own start (ms). */
  readonly wakeInMs?: number;
  readonly lookAgain?: boolean;
  readonly fails?: Error;
  /** Waits for a lock until there is news. */
  readonly waits?: boolean;
}

/** A loop whose reconciles answer as told, one answer after the other; the last one counts for all that follow. */
class Looping {
  readonly clock = new ManualClock();
  readonly stop = new AbortController();
  readonly looks: number[] = [];
  /** The stores that each scan left out. */
  readonly postponed: string[][] = [];
  readonly failures: unknown[] = [];
  readonly ended: Promise<void>;
  /** When the events so far are due, and null again once they are acted on. */
  due: number | null = null;
  /** While set, a reconcile does not end. */
  gate: Promise<void> | null = null;
  readonly #loop: ReconcileLoop;
  readonly #answers: Answer[];

  constructor(
    answers: readonly Answer[] = [{}],
    options: Partial<Pick<LoopPorts, "onFailure">> & { readonly stopped?: boolean } = {},
  ) {
    this.#answers = [...answers];
    this.#loop = new ReconcileLoop({
      reconcile: (postponed, _signal, untilNews) => this.#reconcile(postponed, untilNews),
      onResult: () => Promise.resolve({ lookAgain: this.#current.lookAgain ?? false }),
      onFailure:
        options.onFailure ??
        ((error) => {
          this.failures.push(error);
          return Promise.resolve();
        }),
      hasEvents: () => this.due !== null,
      dueAt: () => this.due,
      onActing: () => (this.due = null),
      onActed: () => undefined,
      clock: this.clock,
      random: () => 0,
    });
    if (options.stopped === true) this.stop.abort();
    this.ended = this.#loop.run(this.stop.signal);
    this.ended.catch(() => undefined);
  }

  lateMs(): number {
    return this.#loop.lateMs();
  }

  wake(due: number): void {
    this.due = due;
    this.#loop.wake();
  }

  #current: Answer = {};

  async #reconcile(postponed: ReadonlySet<string>, untilNews: UntilNews): Promise<ReconcileResult> {
    this.looks.push(this.clock.monotonic());
    this.postponed.push([...postponed]);
    this.#current = (this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0]) ?? {};
    const answer = this.#current;
    if (this.gate !== null) await this.gate;
    if (answer.fails !== undefined) throw answer.fails;
    const wakeAt = answer.wakeInMs === undefined ? null : this.clock.now() + answer.wakeInMs;
    const failed = new Map(Object.entries(answer.failed ?? {}));
    const writes: Pick<WriteOutcome, "store" | "waiting">[] = [];
    if (answer.waits === true) {
      const news = untilNews(wakeAt);
      if (!news.aborted) await once(news, "abort");
      writes.push({ store: "main", waiting: true });
    }
    return { failed, plan: { wakeAt }, writes, adoptions: [] } as unknown as ReconcileResult;
  }
}

async function passing(looping: Looping, ms: number): Promise<void> {
  for (let step = 0; step < ms / 10; step++) await looping.clock.pass(10);
}

describe("the loop (R15)", () => {
  test("looks once at the start, and then only when there is a reason", async () => {
    const looping = new Looping();
    await settled();
    await looping.clock.pass(10 ** 9);
    expect(looping.looks).toEqual([0]);
  });

  test("knows for how long a scan hangs or is overdue, and reports nothing in between", async () => {
    const looping = new Looping([{}, busy]);
    await settled();
    await looping.clock.pass(10 ** 6);
    expect(looping.lateMs()).toBe(0);
    let open = (): void => undefined;
    looping.gate = new Promise((resolve) => (open = resolve));
    looping.wake(looping.clock.monotonic() + 100);
    await looping.clock.pass(99);
    expect(looping.lateMs()).toBe(0);
    await looping.clock.pass(5001);
    expect(looping.lateMs()).toBe(0);
    await looping.clock.pass(7000);
    expect(looping.lateMs()).toBe(7000);
    looping.gate = null;
    open();
    await settled();
    expect(looping.lateMs()).toBe(0);
    looping.stop.abort();
    await looping.ended;
    await looping.clock.pass(3000);
    expect(looping.lateMs()).toBe(3000);
  });

  test("looks when the events are due, not before", async () => {
    const looping = new Looping();
    await settled();
    looping.wake(100);
    await settled();
    await looping.clock.pass(99);
    expect(looping.looks).toEqual([0]);
    await looping.clock.pass(1);
    expect(looping.looks).toEqual([0, 100]);
  });

  test("scans at once when they are due already", async () => {
    const looping = new Looping();
    await settled();
    looping.wake(0);
    await settled();
    expect(looping.looks).toEqual([0, 0]);
  });

  test("waits longer when further events put the time off", async () => {
    const looping = new Looping();
    await settled();
    looping.wake(100);
    await looping.clock.pass(60);
    looping.wake(160);
    await looping.clock.pass(40);
    expect(looping.looks).toEqual([0]);
    await looping.clock.pass(60);
    expect(looping.looks).toEqual([0, 160]);
  });

  test("does not lose an event that comes while it looks", async () => {
    const looping = new Looping();
    await settled();
    let open: () => void = () => undefined;
    looping.gate = new Promise((resolve) => (open = resolve));
    looping.wake(0);
    await settled();
    looping.wake(0);
    looping.gate = null;
    open();
    await settled();
    expect(looping.looks).toEqual([0, 0, 0]);
  });

  test("looks again at once when a watch was added", async () => {
    const looping = new Looping([{ lookAgain: true }, {}]);
    await settled();
    expect(looping.looks).toEqual([0, 0]);
  });

  test("looks again when the plan asks for it, and an event before that is not put off", async () => {
    const looping = new Looping([{ wakeInMs: 5000 }, { wakeInMs: 4000 }, {}]);
    await settled();
    await looping.clock.pass(1000);
    looping.wake(1000);
    await settled();
    expect(looping.looks).toEqual([0, 1000]);
    await looping.clock.pass(3999);
    expect(looping.looks).toEqual([0, 1000]);
    await looping.clock.pass(1);
    expect(looping.looks).toEqual([0, 1000, 5000]);
  });
});

describe("what is in the way for a moment", () => {
  test("is tried again later and later, and from the start after a success", async () => {
    const looping = new Looping([busy, busy, busy, {}, busy, {}]);
    await settled();
    for (let step = 0; step < 40; step++) await looping.clock.pass(10);
    expect(looping.looks).toEqual([0, 50, 150, 350]);
    looping.wake(400);
    await settled();
    for (let step = 0; step < 10; step++) await looping.clock.pass(10);
    expect(looping.looks).toEqual([0, 50, 150, 350, 400, 450]);
  });

  test("is tried again ten times sooner where a store changed under the plan", async () => {
    const looping = new Looping([{ failed: { main: "conflict" } }, {}]);
    await settled();
    await looping.clock.pass(5);
    expect(looping.looks).toEqual([0, 5]);
  });
});

describe("a store that fails (R13)", () => {
  const both: Answer = { failed: { main: "locked", work: "locked" } };

  test("does not put off another one that failed later, and is left out of what that one needs", async () => {
    const looping = new Looping([busy, busy, busy, busy, both, both, busy, {}]);
    await settled();
    await passing(looping, 360);
    expect(looping.looks).toEqual([0, 50, 150, 350]);
    looping.wake(360);
    await settled();
    await passing(looping, 390);
    expect(looping.looks.slice(4)).toEqual([360, 410, 510, 750]);
    expect(looping.postponed).toEqual([[], [], [], [], [], ["main"], ["main"], []]);
  });

  test("is tried when an event comes, due or not, and keeps its pace", async () => {
    const looping = new Looping([busy, busy, busy, busy, busy, {}]);
    await settled();
    await passing(looping, 160);
    looping.wake(10_000);
    await passing(looping, 190);
    looping.wake(360);
    await passing(looping, 390);
    await passing(looping, 10);
    expect(looping.looks).toEqual([0, 50, 150, 350, 360, 750]);
    expect(looping.postponed.flat()).toEqual([]);
  });

  test("for good waits for an event, and is left out until then", async () => {
    const looping = new Looping([
      { failed: { main: "permission", work: "locked" } },
      { failed: { main: "permission" } },
      { failed: { main: "permission" } },
    ]);
    await settled();
    await passing(looping, 60);
    await looping.clock.pass(10 ** 9);
    expect(looping.looks).toEqual([0, 50]);
    looping.wake(looping.clock.monotonic());
    await settled();
    expect(looping.looks).toHaveLength(3);
    expect(looping.postponed).toEqual([[], ["main"], []]);
  });

  test("is tried again after a reconcile that failed as a whole, whatever asked for that one", async () => {
    const looping = new Looping([{ failed: { main: "permission" } }, { fails: new Error("no space") }, {}]);
    await settled();
    looping.wake(0);
    await settled();
    await passing(looping, 60);
    expect(looping.looks).toEqual([0, 0, 50]);
    expect(looping.postponed).toEqual([[], [], []]);
  });
});

describe("the wait for a lock", () => {
  const waiting: Answer = { failed: { main: "locked" }, waits: true };

  test("ends when an event is due, and goes on at the next scan and soon after, however often that happens", async () => {
    const looping = new Looping([waiting]);
    await settled();
    for (const due of [30, 60, 90]) {
      looping.wake(due);
      await passing(looping, 30);
    }
    expect(looping.looks).toEqual([0, 30, 60, 90]);
    expect(looping.postponed.flat()).toEqual([]);
  });

  test("ends when the plan, or the retry of another store, is due", async () => {
    const looping = new Looping([
      { failed: { main: "locked", work: "io" } },
      { ...waiting, failed: { main: "locked", work: "permission" }, wakeInMs: 20 },
      { ...waiting, failed: { main: "locked", work: "permission" } },
    ]);
    await settled();
    await passing(looping, 200);
    expect(looping.looks).toEqual([0, 50, 70]);
    expect(looping.postponed.at(-1)).toEqual(["work"]);
  });

  test("ends with the loop", async () => {
    const looping = new Looping([waiting]);
    await settled();
    looping.stop.abort();
    await looping.ended;
    expect(looping.looks).toEqual([0]);
  });
});

describe("a reconcile that fails as a whole", () => {
  test("is reported and tried again later and later", async () => {
    const failure = new Error("no space");
    const looping = new Looping([{ fails: failure }, { fails: failure }, {}]);
    await settled();
    for (let step = 0; step < 40; step++) await looping.clock.pass(10);
    expect(looping.looks).toEqual([0, 50, 150]);
    expect(looping.failures).toEqual([failure, failure]);
  });

  test("ends the loop where the reporter says that it is a bug", async () => {
    const bug = new TypeError("bug");
    const looping = new Looping([{ fails: bug }], {
      onFailure: (error) => {
        throw error;
      },
    });
    await expect(looping.ended).rejects.toBe(bug);
  });
});

describe("the end of the loop", () => {
  test("comes at once while it waits", async () => {
    const looping = new Looping();
    await settled();
    looping.stop.abort();
    await looping.ended;
    expect(looping.looks).toEqual([0]);
  });

  test("comes after the reconcile in hand", async () => {
    const looping = new Looping();
    await settled();
    let open: () => void = () => undefined;
    looping.gate = new Promise((resolve) => (open = resolve));
    looping.wake(0);
    await settled();
    let isOver = false;
    void looping.ended.then(() => (isOver = true));
    looping.stop.abort();
    await settled();
    expect(isOver).toBe(false);
    open();
    await looping.ended;
    expect(looping.looks).toEqual([0, 0]);
  });

  test("comes before the first scan if it was asked for earlier", async () => {
    const looping = new Looping([{}], { stopped: true });
    await looping.ended;
    expect(looping.looks).toEqual([]);
  });

  test("leaves nothing listening, so that what a reload ended can be forgotten", async () => {
    const looping = new Looping();
    await settled();
    expect(getEventListeners(looping.stop.signal, "abort")).not.toEqual([]);
    looping.stop.abort();
    await looping.ended;
    expect(getEventListeners(looping.stop.signal, "abort")).toEqual([]);
  });

  test("ends a wait for a retry", async () => {
    const looping = new Looping([busy]);
    await settled();
    looping.stop.abort();
    await looping.ended;
    expect(looping.looks).toEqual([0]);
  });
});
