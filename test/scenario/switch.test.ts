import { closeSync, existsSync, openSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { compose, type Composition } from "../../src/app/compose.js";
import { readHosts } from "../../src/app/hosts.js";
import { recoverSwitches } from "../../src/app/switching.js";
import type { ChoiceStore } from "../../src/domain/choice.js";
import { Failure, StoreError, type StoreErrorCode } from "../../src/domain/errors.js";
import { planSwitch } from "../../src/domain/switch.js";
import { SharedOwnerLocks } from "../../src/io/owner-lock.js";
import { recordOf, recoverSwitch, runSwitch, type SwitchPart, type TransactionPorts } from "../../src/reconcile/transaction.js";
import { credsyncd } from "../support/command-line.js";
import { environmentOf } from "../support/composed-daemon.js";
import { inDatabase } from "../support/raw-database.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { NEW, OLD, SwitchHome, type Keeps } from "../support/switch-home.js";

const signal = new AbortController().signal;

interface Notes {
  usageStats?: Record<string, Record<string, unknown>>;
}

/**
 * Does what OpenClaw does at the end of a turn: it notes the use of a profile, under its own lock. @returns whether it got the
 * lock
 */
async function noteUse(host: SwitchHome, agent: string): Promise<boolean> {
  if (host.agents.get(agent) === "sqlite") {
    return inDatabase(host.path(agent), (database) => {
      database.exec("PRAGMA busy_timeout = 2000; BEGIN IMMEDIATE");
      const [row] = database.prepare("SELECT state_json AS text FROM auth_profile_state").all() as { text: string }[];
      database.prepare("UPDATE auth_profile_state SET state_json = ?").run(used(row?.text ?? "{}"));
      database.exec("COMMIT");
      return true;
    });
  }
  const lock = `${host.path(agent)}.lock`;
  try {
    closeSync(openSync(lock, "wx", 0o600));
  } catch {
    return false;
  }
  writeFileSync(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  const path = existsSync(host.statePath(agent)) ? host.statePath(agent) : host.path(agent);
  writeFileSync(`${path}.peer.tmp`, used(readFileSync(path, "utf8")));
  renameSync(`${path}.peer.tmp`, path);
  unlinkSync(lock);
  return true;
}

function used(text: string): string {
  const notes = JSON.parse(text) as Notes;
  const stats = notes.usageStats?.[OLD] ?? {};
  const count = typeof stats["uses"] === "number" ? stats["uses"] : 0;
  return JSON.stringify({ ...notes, usageStats: { ...notes.usageStats, [OLD]: { ...stats, uses: count + 1 } } }, null, 2);
}

describe("at the same time", () => {
  test(
    "two switches, the daemon, and OpenClaw noting the use of its profiles: one order everywhere, and no note is lost",
    {
      timeout: 120_000,
    },
    async () => {
      const host = await SwitchHome.five("json", "sqlite", "json-state");
      const daemon = await RunningDaemon.start(host.home);
      const uses = new Map(host.names.map((agent) => [agent, 0]));
      const switching = new AbortController();
      const peer = (async () => {
        while (!switching.signal.aborted) {
          for (const agent of host.names) if (await noteUse(host, agent)) uses.set(agent, (uses.get(agent) ?? 0) + 1);
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      })();
      const switchTo = (profile: string) =>
        credsyncd(host.home, ["set-active", "--provider", "anthropic", "--profile", profile, "--json"]);
      const ends = await Promise.all([switchTo(NEW), switchTo(OLD), switchTo(NEW)]);
      switching.abort();
      await peer;
      for (const { code, stdout, stderr } of ends) {
        const { committed, verified } = JSON.parse(stdout) as { committed: boolean; verified: boolean };
        // The next one may have switched again before the first could look.
        expect({ committed, stderr }).toEqual({ committed: true, stderr: "" });
        expect(code).toBe(verified ? 0 : 3);
      }
      const orders = new Set(Object.values(await host.orders()).map((order) => JSON.stringify(order)));
      expect([JSON.stringify([NEW]), JSON.stringify([OLD])]).toContain([...orders].join());
      for (const agent of host.names)
        expect((await host.content(agent)).usageStats?.[OLD]).toMatchObject({ uses: uses.get(agent) });
      expect(host.leftovers()).toEqual([]);
      expect(daemon.lines.filter(({ level }) => level === "fatal")).toEqual([]);
    },
  );

  test("the daemon completes what a killed command left, and says so", async () => {
    const host = await SwitchHome.five("json", "sqlite");
    const daemon = await RunningDaemon.start(host.home);
    const composition = await composed(host);
    const parts = await partsFor(composition);
    const record = recordOf({ id: "left", at: Date.now(), provider: "anthropic", profile: NEW, donor: null }, parts);
    await composition.journal.write({ ...record, phase: "committing" });
    await host.home.writeLogin(1);
    expect(await daemon.said("interrupted switch completed")).toMatchObject({ provider: "anthropic", profile: NEW });
    expect(new Set(Object.values(await host.orders()).map(String))).toEqual(new Set([NEW]));
  });
});

test("a use that OpenClaw notes between the scan and the write does not stop a switch", async () => {
  const host = await SwitchHome.five("json", "sqlite", "json-state");
  const composition = await composed(host);
  const parts = await partsFor(composition);
  const record = recordOf({ id: "noted", at: Date.now(), provider: "anthropic", profile: NEW, donor: null }, parts);
  for (const agent of host.names) expect(await noteUse(host, agent)).toBe(true);
  const outcome = await runSwitch(record, parts, portsOf(composition), signal);
  expect(outcome.parts.map(({ result }) => result)).toEqual(parts.map(() => "updated"));
  expect(new Set(Object.values(await host.orders()).map(String))).toEqual(new Set([NEW]));
  for (const agent of host.names) expect((await host.content(agent)).usageStats?.[OLD]).toMatchObject({ uses: 1 });
});

test.each(["main", "work"])(
  "an agent that went away after a crash is named, and the others are on one side: %s",
  async (gone) => {
    const host = await SwitchHome.create({ main: "json", work: "sqlite", ops: "json-state" });
    const composition = await composed(host);
    const parts = await partsFor(composition);
    const record = recordOf({ id: "gone", at: Date.now(), provider: "anthropic", profile: NEW, donor: null }, parts);
    await composition.journal.write({ ...record, phase: "committing" });
    await rm(host.home.agentDirectory(gone), { recursive: true });
    const [recovery] = await recoverSwitches(composition, signal);
    const failures = recovery?.parts.filter(({ error }) => error !== null);
    expect({ settled: recovery?.settled, failures }).toEqual({
      settled: true,
      failures: [
        {
          store: `openclaw:${gone}`,
          result: "failed",
          error: expect.objectContaining({
            code: "overtaken",
            message: `${host.path(gone)} is not there any more`,
          }) as StoreError,
        },
      ],
    });
    const others = host.names.filter((name) => name !== gone);
    for (const agent of others) expect((await host.content(agent)).order?.["anthropic"]).toEqual([OLD]);
    expect(await composition.journal.isEmpty()).toBe(true);
  },
);

/** Takes none: the disk is full. */
class LocksOnAFullDisk extends SharedOwnerLocks {
  override withLock<Result>(): Promise<Result> {
    return Promise.reject(
      Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", syscall: "write" }),
    );
  }
}

test.each<readonly Keeps[]>([["json"], ["json-state", "sqlite"]])(
  "a lock on a refresh that a full disk does not take leaves every store as it was, and nothing to tidy up: %s %s",
  async (...keeps) => {
    const host = await SwitchHome.five(...keeps);
    for (const agent of host.names) {
      const { profiles, ...notes } = host.usual(agent);
      await host.write(agent, { profiles: { ...profiles, [OLD]: host.login(agent) }, ...notes });
    }
    const before = await host.allTexts();
    const environment = { ...environmentOf(host.home), refreshLocks: new LocksOnAFullDisk() };
    const composition = await compose(await loadConfig(null, environment), environment, "write");
    const parts = await partsFor(composition);
    const record = recordOf({ id: "full", at: Date.now(), provider: "anthropic", profile: NEW, donor: null }, parts);
    const outcome = await runSwitch(record, parts, portsOf(composition), signal);
    expect(outcome).toMatchObject({ committed: false, settled: true });
    expect(outcome.parts.filter(({ error }) => error?.code === "no-space")).toHaveLength(1);
    expect(await host.allTexts()).toEqual(before);
    expect(host.leftovers()).toEqual([]);
  },
);

async function composed(host: SwitchHome): Promise<Composition> {
  const environment = environmentOf(host.home);
  return compose(await loadConfig(null, environment), environment, "write");
}

async function partsFor(composition: Composition): Promise<SwitchPart[]> {
  const [read] = await readHosts(composition, () => true, [], await composition.takeInventory());
  if (read === undefined) throw new Error("there is no host");
  const request = {
    provider: "anthropic",
    profile: NEW,
    from: null,
    removeStale: true,
    skipMissing: false,
    copyFrom: null,
    copyOauth: false,
  };
  const plan = planSwitch(read.host, request, Date.now());
  if (plan instanceof Failure) throw plan;
  return plan.stores.map(({ store: name, changes, relied }) => {
    const store = read.stores.get(name);
    const choice = read.host.agents.find((agent) => agent.store === name)?.choice;
    if (store === undefined || choice == null) throw new Error(`there is no ${name}`);
    return {
      store,
      revision: choice.revision,
      changes,
      relied: relied === null ? null : { profile: relied.id, image: relied.image() },
    };
  });
}

function portsOf({ journal, environment }: Composition): TransactionPorts {
  const { clock } = environment;
  // Patience that takes seconds would only make the test slow.
  const hurried = { ...clock, monotonic: () => clock.monotonic() * 50, sleep: (ms: number) => clock.sleep(ms / 50, signal) };
  return { journal, clock: hurried, random: () => 0.5, renewed: (image) => Promise.resolve(image) };
}

/** Something that goes wrong at the n-th effect: it fails, or someone else is faster. */
interface Fault {
  readonly at: number;
  readonly kind: "fail" | "use" | "reorder" | "delete";
  readonly code: StoreErrorCode;
  readonly agent: number;
}

class Faults {
  readonly #host: SwitchHome;
  readonly #faults: readonly Fault[];
  #effects = 0;
  /** Stores whose very values someone else changed or removed. */
  readonly taken = new Set<string>();

  constructor(host: SwitchHome, faults: readonly Fault[]) {
    this.#host = host;
    this.#faults = faults;
  }

  wrap(store: ChoiceStore): ChoiceStore {
    return {
      name: store.name,
      format: store.format,
      path: store.path,
      stateDirectory: store.stateDirectory,
      places: () => store.places(),
      readChoice: () => store.readChoice(),
      hold: (changes) => store.hold(changes),
      sweep: (tag) => store.sweep(tag),
      stage: async (...args) => {
        await this.#strike();
        const staged = await store.stage(...args);
        if (staged === null) return null;
        const commit = async (abort: AbortSignal): Promise<string> => {
          await this.#strike();
          return staged.commit(abort);
        };
        return { ...staged, commit };
      },
    };
  }

  async #strike(): Promise<void> {
    this.#effects += 1;
    for (const { at, kind, code, agent: index } of this.#faults) {
      if (at !== this.#effects) continue;
      const agent = this.#host.names[index % this.#host.names.length] ?? "";
      if (kind === "fail") throw new StoreError(code, "made to fail", "none");
      await this.#interfere(kind, agent);
    }
  }

  async #interfere(kind: Exclude<Fault["kind"], "fail">, agent: string): Promise<void> {
    const name = `openclaw:${agent}`;
    if (!existsSync(this.#host.path(agent))) return;
    if (kind === "use") {
      // Without the lock, as some commands of OpenClaw write.
      const content = await this.#host.content(agent);
      await this.#host.write(agent, { ...content, usageStats: { ...content.usageStats, [OLD]: { lastUsed: this.#effects } } });
      return;
    }
    this.taken.add(name);
    if (kind === "delete") await rm(this.#host.home.agentDirectory(agent), { recursive: true, maxRetries: 5 });
    else await this.#host.write(agent, { ...(await this.#host.content(agent)), order: { anthropic: ["anthropic:theirs"] } });
  }
}

const fault: fc.Arbitrary<Fault> = fc.record({
  at: fc.integer({ min: 1, max: 24 }),
  kind: fc.constantFrom("fail", "use", "reorder", "delete"),
  code: fc.constantFrom("permission", "no-space", "io", "locked", "conflict"),
  agent: fc.nat(4),
});

test("any home, any fault: all stores, or none but those that are named", { timeout: 240_000 }, async () => {
  const keeps = fc.constantFrom<Keeps>("json", "json-state", "sqlite");
  await fc.assert(
    fc.asyncProperty(
      fc.array(keeps, { minLength: 2, maxLength: 5 }),
      fc.array(fault, { maxLength: 3 }),
      async (kinds, faults) => {
        const host = await SwitchHome.create(
          Object.fromEntries(kinds.map((kind, index) => [index === 0 ? "main" : `a${String(index)}`, kind])),
        );
        const composition = await composed(host);
        const parts = await partsFor(composition);
        const struck = new Faults(host, faults);
        const record = recordOf({ id: "property", at: Date.now(), provider: "anthropic", profile: NEW, donor: null }, parts);
        const wrapped = parts.map((part) => ({ ...part, store: struck.wrap(part.store) }));
        let outcome = await runSwitch(record, wrapped, portsOf(composition), signal);
        // The obstacle of that time is gone.
        for (const left of await composition.journal.list()) {
          outcome = await recoverSwitch(left, ({ name }) => storeNamed(parts, name), portsOf(composition), signal);
        }
        expect(outcome.settled).toBe(true);
        const named = new Set(outcome.parts.filter(({ error }) => error !== null).map(({ store }) => store));
        for (const agent of host.names) {
          const name = `openclaw:${agent}`;
          if (struck.taken.has(name)) continue;
          const { order, lastGood, profiles } = await host.content(agent);
          const [used, kept] = outcome.committed ? [NEW, [NEW]] : [OLD, [OLD, NEW]];
          expect({ name, used: order?.["anthropic"], last: lastGood?.["anthropic"] }).toEqual({ name, used: [used], last: used });
          expect(Object.keys(profiles).sort()).toEqual(kept.sort());
        }
        // Whoever was overtaken is named, unless that came after the switch was through.
        if (!outcome.committed) expect(named.size).toBeGreaterThan(0);
        expect(await composition.journal.isEmpty()).toBe(true);
      },
    ),
    { numRuns: 40, seed: 5 },
  );
});

function storeNamed(parts: readonly SwitchPart[], name: string): ChoiceStore {
  const part = parts.find(({ store }) => store.name === name);
  if (part === undefined) throw new Error(`there is no ${name}`);
  return part.store;
}
