import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readAlerts } from "../../src/app/alert-memory.js";
import { Alerter, type AlerterPorts } from "../../src/daemon/alerter.js";
import { factsOfFailure, alertWindows } from "../../src/app/alert-facts.js";
import type { Condition } from "../../src/domain/alerts.js";
import type { Facts } from "../../src/domain/conditions.js";
import { StoreError } from "../../src/domain/errors.js";
import type { AlertNoted } from "../../src/domain/ledger.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { factsFor, notKeptWarm, trouble, wellFacts } from "../support/alerting.js";
import { rememberingLog } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { ManualClock } from "../support/manual-clock.js";
import { HOUR_MS, login, MINUTE_MS, NOW, sourceWith, targetWith } from "../support/planning.js";
import type { LogLine } from "../support/running-daemon.js";
import { TemporaryHome } from "../support/temporary-home.js";

const REPEAT_MS = 6 * HOUR_MS;

interface Moment {
  readonly others?: readonly Condition[];
  readonly undecided?: readonly string[];
  readonly isResync?: boolean;
}

/** An alerter in a real state directory, and everything that it said; it may be started again. */
class Watched {
  readonly clock = new ManualClock(NOW);
  readonly said: string[] = [];
  readonly recorded: AlertNoted[] = [];
  readonly lines: LogLine[];
  readonly #ports: AlerterPorts;
  #alerter: Alerter | null = null;

  private constructor(home: TemporaryHome, ports: Partial<AlerterPorts>) {
    const { log, lines } = rememberingLog(home);
    this.lines = lines;
    this.#ports = {
      stateDirectory: home.stateDirectory,
      leftovers: new Leftovers(),
      windows: { expiringWithinMs: 24 * HOUR_MS, signInWithinMs: 72 * HOUR_MS },
      repeatEveryMs: REPEAT_MS,
      command: null,
      variables: home.environment(),
      record: (events) => {
        this.recorded.push(...events);
        return Promise.resolve();
      },
      say: (line) => {
        home.spoken.push(line);
        this.said.push(line);
      },
      log,
      clock: this.clock,
      ...ports,
    };
  }

  static async start(ports: Partial<AlerterPorts> = {}, home?: TemporaryHome): Promise<Watched> {
    const own = home ?? (await TemporaryHome.create());
    await own.makeDirectory(own.stateDirectory);
    const watched = new Watched(own, ports);
    await watched.restart();
    return watched;
  }

  async restart(): Promise<void> {
    this.#alerter = await Alerter.open(this.#ports);
  }

  get alerter(): Alerter {
    if (this.#alerter === null) throw new Error("it was not started");
    return this.#alerter;
  }

  /** @returns the lines of this scan */
  async look(facts: Facts, { others = [], undecided = [], isResync = false }: Moment = {}): Promise<string[]> {
    const before = this.said.length;
    await this.alerter.observe({ facts, others, undecided: new Set(undecided), isResync });
    return this.said.slice(before);
  }

  /** Lets time pass, and looks when the alerter wants to. */
  async passTo(ms: number, facts: Facts, moment: Moment = {}): Promise<string[]> {
    const before = this.said.length;
    const end = this.clock.now() + ms;
    for (;;) {
      const { wakeAt } = this.alerter;
      if (wakeAt === null || wakeAt > end) break;
      await this.clock.pass(Math.max(0, wakeAt - this.clock.now()));
      await this.look(facts, moment);
    }
    await this.clock.pass(end - this.clock.now());
    return this.said.slice(before);
  }
}

/** The facts of each kind, and how long or how often they must last until the alerter reports them. */
const kinds: Record<string, () => { readonly facts: Facts; readonly moment?: Moment }> = {
  ...Object.fromEntries(Object.entries(trouble).map(([kind, facts]) => [kind, () => ({ facts: facts() })])),
  "keep-warm-failed": () => ({ facts: wellFacts(), moment: { others: [notKeptWarm] } }),
};

describe.each(Object.keys(kinds))("%s", (kind) => {
  test("is reported once, again after the interval, when it is over, and not again by a restart", async () => {
    const watched = await Watched.start();
    const { facts, moment = {} } = kinds[kind]?.() ?? { facts: wellFacts() };
    // A problem that may go away without help is reported when two resyncs have seen it.
    const first = await watched.look(facts, moment);
    const raised = kind === "drift" ? [] : first;
    if (kind === "drift") {
      expect(first).toEqual([]);
      for (let resync = 0; resync < 2; resync++) raised.push(...(await watched.look(facts, { ...moment, isResync: true })));
    }
    expect(raised).toEqual([expect.stringMatching(new RegExp(`^credsyncd: alert: ${kind}: `)) as string]);

    await watched.clock.pass(MINUTE_MS);
    expect(await watched.look(facts, moment)).toEqual([]);
    await watched.restart();
    expect(await watched.look(facts, moment)).toEqual([]);

    expect(await watched.passTo(REPEAT_MS - 2 * MINUTE_MS, facts, moment)).toEqual([]);
    expect(await watched.passTo(2 * MINUTE_MS, facts, moment)).toEqual([
      expect.stringMatching(new RegExp(`^credsyncd: alert, still: ${kind}: `)) as string,
    ]);

    expect(await watched.look(wellFacts())).toEqual([]);
    await watched.restart();
    expect(await watched.look(wellFacts())).toEqual([]);
    expect(await watched.passTo(MINUTE_MS, wellFacts())).toEqual([
      expect.stringMatching(new RegExp(`^credsyncd: resolved: ${kind}: .*, after `)) as string,
    ]);
    await watched.restart();
    expect(await watched.look(wellFacts())).toEqual([]);
    expect(watched.recorded.map(({ event, alert }) => [event, alert])).toEqual([
      ["raised", kind],
      ["resolved", kind],
    ]);
  });
});

describe("what is said", () => {
  test.each([
    ["expiring", /the access token expires in 23h, and nobody has renewed it yet\. .* fail.* - .*claude mcp list/],
    ["expired", /expired 1h ago\. The sign-in is still valid, but .* - renew it: claude mcp list/],
    [
      "sign-in-ends",
      /the sign-in expires in 2d 12h\. No refresh extends it, and then every agent fails - sign in: claude auth login/,
    ],
    ["logged-out", /logged out\. Agents can use their logins for 4h more - sign in: claude auth login/],
    [
      "source-missing",
      /nobody is signed in to Claude Code\. Agents can use their logins for 4h more - sign in: claude auth login/,
    ],
    ["source-unreadable", /: it is no JSON\. .* - sign in again/],
    [
      "source-rolled-back",
      /from a backup\. credsyncd pushes nothing.* - sign in: claude auth login - or use the login of an agent .*: credsyncd adopt STORE/,
    ],
    ["account-changed", /signed in to another account\. credsyncd pushes nothing.* - accept it: credsyncd sync --force/],
    ["target-newer", /openclaw:work anthropic:claude-cli: .* - accept it: credsyncd adopt openclaw:work/],
    ["unknown-origin", /openclaw:main anthropic:mine: .* - if it is a copy, add it to profiles in the config/],
    ["reverting", /keeps undoing.* - .*credsyncd sync --force openclaw:main/],
    ["store-error", /openclaw:work: cannot read work: denied\. It gets no new login until this works - chown it/],
    ["unsupported-store", /openclaw:work: work is of a new format\..* - update/],
  ] as const)("of %s names what is wrong, what it breaks and what to do", async (kind, words) => {
    const watched = await Watched.start();
    const [line] = await watched.look(trouble[kind]());
    expect(line).toMatch(words);
  });

  test("of a login without a refresh token asks for a new one", async () => {
    const watched = await Watched.start();
    const facts = factsFor({ source: sourceWith(login("live", { endsInHours: -1, signInEndsAt: NOW - HOUR_MS })) });
    const [line] = await watched.look(facts);
    expect(line).toMatch(/expired 1h ago, and so did the sign-in\. Every agent fails - sign in: claude auth login/);
  });

  test.each([-1, 2])("of a sign-in that ends before the login (in %i hours) promises nothing of a use", async (hours) => {
    const watched = await Watched.start();
    const facts = factsFor({ source: sourceWith(login("live", { endsInHours: 3, signInEndsAt: NOW + hours * HOUR_MS })) });
    const [line] = await watched.look(facts);
    expect(line).toMatch(
      /alert: expiring: .* expires in 3h, and so does the sign-in\. No use renews it, .* - sign in: claude auth/,
    );
  });

  test("tells since when it lasts, once that is worth a word", async () => {
    const watched = await Watched.start();
    await watched.look(trouble["source-missing"]());
    const [still] = await watched.passTo(REPEAT_MS, trouble["source-missing"]());
    expect(still).toContain("(for 6h)");
  });

  test("of many stores is one line and one notice", async () => {
    const watched = await Watched.start();
    const { failures } = trouble["store-error"]();
    const many = Array.from({ length: 340 }, (_, index) =>
      failures.map(({ error }) => ({ store: `openclaw:a${String(index)}`, error })),
    );
    const lines = await watched.look({ ...wellFacts(), failures: many.flat() });
    expect(lines).toEqual([expect.stringContaining("openclaw:a0, openclaw:a1, openclaw:a2 and 337 more: ") as string]);
    expect(watched.alerter.counts().get("store-error")).toBe(340);
  });

  test("of stores that differ in what is wrong, or in what to do, names each, and the reason of the first only as its own", async () => {
    const watched = await Watched.start();
    const failing = (store: string, hint: string): Facts["failures"][number] => ({
      store,
      error: new StoreError("malformed", `${store} is not JSON`, hint),
    });
    const stores = ["a", "b", "c", "d", "e", "f"].map((agent) => failing(`openclaw:${agent}`, `mend ${agent}`));
    const [line] = await watched.look({ ...wellFacts(), failures: stores });
    expect(line).toMatch(
      /^credsyncd: alert: store-error: openclaw:a: openclaw:a is not JSON\. .* - mend a; also, each for its own reason: openclaw:b, openclaw:c, openclaw:d and 2 more - see: credsyncd status$/,
    );
    const rest = { ...wellFacts(), failures: stores.slice(2) };
    await watched.look(rest);
    const over = await watched.passTo(HOUR_MS, rest);
    expect(over.join("\n")).toMatch(
      /^credsyncd: resolved: store-error: openclaw:a, openclaw:b: the store is served again, after /,
    );
  });

  test("is in the log once, whoever says it", async () => {
    const watched = await Watched.start();
    await watched.look(trouble.expired());
    await watched.look(trouble["source-missing"]());
    expect(watched.lines.filter(({ msg }) => msg === "alert").map(({ level, kind, event }) => [level, kind, event])).toEqual([
      ["warn", "expired", "raised"],
    ]);
  });
});

describe("an alert", () => {
  test("that gives way to one that says more is not told to be over", async () => {
    const watched = await Watched.start();
    await watched.look(trouble.expiring());
    expect(await watched.look(trouble["logged-out"]())).toEqual([expect.stringContaining("alert: logged-out") as string]);
    expect(await watched.passTo(HOUR_MS, trouble["logged-out"]())).toEqual([]);
    expect(watched.recorded.map(({ event, alert }) => `${event} ${alert}`)).toEqual([
      "raised expiring",
      "superseded expiring",
      "raised logged-out",
    ]);
  });

  test("comes at the right moment, even if only time brings it", async () => {
    const watched = await Watched.start();
    const signInEndsAt = NOW + 100 * HOUR_MS;
    const facts = factsFor({ source: sourceWith(login("live", { endsInHours: 30, signInEndsAt })) });
    expect(await watched.look(facts)).toEqual([]);
    expect(watched.alerter.wakeAt).toBe(NOW + 6 * HOUR_MS);
    const heard = async (hours: number): Promise<string[]> =>
      (await watched.passTo(hours * HOUR_MS, facts)).map((line) => line.split(":")[2]?.trim() ?? "");
    expect(await heard(5.9)).toEqual([]);
    expect(await heard(0.2)).toEqual(["expiring"]);
    expect(await heard(21.8)).toEqual(["expiring", "expiring", "expiring"]);
    // 28 h after NOW the sign-in ends in 72 h.
    expect(await heard(0.2)).toEqual(["sign-in-ends"]);
    expect(await heard(1.8)).toEqual([]);
    expect(await heard(0.1)).toEqual(["expired"]);
  });

  test("of a threshold is not over until the end is well beyond it", async () => {
    const watched = await Watched.start();
    const ending = (hours: number): Facts => factsFor({ source: sourceWith(login("live", { endsInHours: hours })) });
    expect(await watched.look(ending(25))).toEqual([]);
    expect(await watched.look(ending(23))).toHaveLength(1);
    expect(await watched.look(ending(25))).toEqual([]);
    expect(await watched.passTo(MINUTE_MS, ending(25))).toEqual([]);
    expect(await watched.look(ending(23))).toEqual([]);
  });

  test("that comes and goes is reported less and less often", async () => {
    const watched = await Watched.start();
    const facts = trouble["store-error"]();
    for (let round = 0; round < 120; round++) {
      await watched.look(facts);
      await watched.passTo(15_000, facts);
      await watched.look(wellFacts());
      await watched.passTo(15_000, wellFacts());
    }
    // An hour of it: without patience it would be 240 lines.
    expect(watched.said.length).toBeLessThanOrEqual(6);
  });

  test("of a store that a scan could not judge stays as it is", async () => {
    const watched = await Watched.start();
    await watched.look(trouble["store-error"]());
    expect(await watched.look(wellFacts(), { undecided: ["openclaw:work"] })).toEqual([]);
    expect(await watched.passTo(HOUR_MS, wellFacts(), { undecided: ["openclaw:work"] })).toEqual([]);
    expect(await watched.look(trouble["store-error"]())).toEqual([]);
  });

  test("of a busy store waits a minute, and is not told where it mends before", async () => {
    const watched = await Watched.start();
    const busy = factsOfFailure(wellFacts(), "cannot write the ledger", null);
    expect(await watched.look(busy)).toEqual([]);
    await watched.clock.pass(50_000);
    expect(await watched.look(wellFacts())).toEqual([]);
    expect(await watched.look(busy)).toEqual([]);
    expect(await watched.passTo(MINUTE_MS, busy)).toEqual([
      expect.stringContaining(
        "store-error: credsyncd: cannot write the ledger. credsyncd pushes nothing until this works",
      ) as string,
    ]);
  });

  test("of an agent that waits for the source is the source's alone", async () => {
    const watched = await Watched.start();
    const old = login("old", { endsInHours: -4 });
    const facts = factsFor({ source: { ...sourceWith(old), state: "missing" }, targets: [targetWith(old)] });
    for (let resync = 0; resync < 4; resync++) await watched.look(facts, { isResync: true });
    expect(watched.said).toHaveLength(1);
  });

  test("is repeated although the clock was set back", async () => {
    const watched = await Watched.start();
    await watched.look(trouble["source-missing"]());
    await watched.clock.pass(-10 * HOUR_MS);
    expect(await watched.look(trouble["source-missing"]())).toHaveLength(1);
  });
});

describe("the memory of alerts", () => {
  test("is private, and one that is broken counts as none", async () => {
    const home = await TemporaryHome.create();
    const watched = await Watched.start({}, home);
    await watched.look(trouble["source-missing"]());
    const file = join(home.stateDirectory, "alerts.json");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readAlerts(home.stateDirectory)).toMatchObject([{ kind: "source-missing", raises: 1 }]);
    for (const text of ["", "{", "[]", `{"alerts":[{"kind":"nonsense"}]}`]) {
      await writeFile(file, text);
      expect(await readAlerts(home.stateDirectory)).toEqual([]);
    }
  });

  test("that cannot be written stops nothing", async () => {
    const home = await TemporaryHome.create();
    const watched = await Watched.start({}, home);
    await home.remove(home.stateDirectory);
    await writeFile(home.stateDirectory, "");
    expect(await watched.look(trouble["source-missing"]())).toHaveLength(1);
    expect(watched.lines).toContainEqual(expect.objectContaining({ msg: "alerts not saved" }));
  });
});

describe("alerts.command", () => {
  async function withCommand(script: string): Promise<{ watched: Watched; home: TemporaryHome; out: string }> {
    const home = await TemporaryHome.create();
    const out = home.at("out");
    await writeFile(home.at("command"), `#!/bin/sh\n${script.replaceAll("OUT", out)}\n`);
    await chmod(home.at("command"), 0o700);
    return { watched: await Watched.start({ command: [home.at("command")] }, home), home, out };
  }

  test("reads every notice as JSON", async () => {
    const { watched, out } = await withCommand("cat >> OUT");
    await watched.look(trouble["source-missing"]());
    await watched.look(trouble["logged-out"]());
    const read = async (): Promise<unknown[]> =>
      (await readFile(out, "utf8").catch(() => ""))
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => (JSON.parse(line) as { kind: string }).kind);
    await becomes(read, ["source-missing", "logged-out"]);
    const [first] = (await readFile(out, "utf8")).split("\n");
    expect(JSON.parse(first ?? "")).toEqual({
      schemaVersion: 1,
      event: "raised",
      kind: "source-missing",
      severity: "error",
      at: new Date(NOW).toISOString(),
      host: expect.any(String) as string,
      message: expect.stringContaining("nobody is signed in") as string,
      alerts: [
        {
          kind: "source-missing",
          store: "claude-code",
          profile: null,
          severity: "error",
          since: new Date(NOW).toISOString(),
          message: expect.stringContaining("nobody is signed in") as string,
          hint: "sign in: claude auth login",
        },
      ],
    });
  });

  test("that fails is logged, without its words", async () => {
    const { watched } = await withCommand("echo secret words; exit 3");
    await watched.look(trouble["source-missing"]());
    await becomes(() => watched.lines.filter(({ msg }) => msg === "alert command failed").length, 1);
    const line = watched.lines.find(({ msg }) => msg === "alert command failed");
    expect(line).toMatchObject({ level: "warn", reason: "exit code 3" });
    expect(JSON.stringify(watched.lines)).not.toContain("secret words");
  });

  test("that does not exist is logged", async () => {
    const watched = await Watched.start({ command: ["/nowhere/pager"] });
    await watched.look(trouble["source-missing"]());
    await becomes(() => watched.lines.find(({ msg }) => msg === "alert command failed")?.["reason"], "there is no such command");
  });

  test("that hangs with all that it started holds nobody up, and is ended", async () => {
    const { watched, out } = await withCommand("sleep 1000 & echo $! > OUT; wait");
    const startedAt = performance.now();
    expect(await watched.look(trouble["source-missing"]())).toHaveLength(1);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    await becomes(async () => /\d/.test(await readFile(out, "utf8").catch(() => "")), true);
    const pid = Number(await readFile(out, "utf8"));
    const closed = watched.alerter.close();
    await watched.clock.pass(3000);
    await closed;
    await becomes(() => isAlive(pid), false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("the window in which an end is news", () => {
  const alerts = { expiringWithinMs: HOUR_MS, signInWithinMs: 72 * HOUR_MS, repeatEveryMs: REPEAT_MS, command: null };

  test("is the configured one", () => {
    expect(alertWindows({ alerts, keepWarm: null })).toEqual({ expiringWithinMs: HOUR_MS, signInWithinMs: 72 * HOUR_MS });
  });

  test("is smaller where keepWarm renews the login in its last minutes", () => {
    const keepWarm = { command: ["claude"], beforeMs: 4 * MINUTE_MS } as const;
    expect(alertWindows({ alerts, keepWarm }).expiringWithinMs).toBe(3 * MINUTE_MS);
  });
});
