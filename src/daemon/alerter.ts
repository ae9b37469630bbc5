import { hostname } from "node:os";
import type { Logger } from "pino";
import { formatDuration } from "../domain/duration.js";
import {
  advanceAlerts,
  alertKey,
  type Alert,
  type AlertEvent,
  type AlertKind,
  type Condition,
  type Notice,
  type Severity,
} from "../domain/alerts.js";
import type { Clock } from "../domain/clock.js";
import { conditionsOf, type Facts, type Windows } from "../domain/conditions.js";
import type { AlertNoted } from "../domain/ledger.js";
import type { StoreName } from "../domain/store.js";
import { runCommand, type CommandOutcome } from "../io/run-command.js";
import { errnoOf } from "../io/system-error.js";
import type { Leftovers } from "../io/temporary-file.js";
import { readAlerts, writeAlerts, type RememberedAlert, type ToldAlert } from "../app/alert-memory.js";
import { overWords, wordsFor, type AlertWords } from "../app/alert-words.js";
import { failureText } from "../app/words.js";
import { hasNamelessLogin } from "../programs/registry.js";

/** An `alerts.command` that takes longer (ms) is ended. */
export const COMMAND_TIMEOUT_MS = 30_000;
/** Notices that wait for a slow command; the oldest are given up first. */
const LONGEST_QUEUE = 100;
/** So long (ms) a command may go on when the daemon stops. */
const CLOSING_MS = 3000;
/** So many stores are named where many have the same alert. */
const NAMED_STORES = 3;

/** Kinds whose beginning and end stand in the log already, as what was seen; the alert only says them aloud. */
const IN_THE_LOG: ReadonlySet<AlertKind> = new Set([
  "source-missing",
  "source-unreadable",
  "logged-out",
  "source-rolled-back",
  "account-changed",
  "target-newer",
  "unknown-origin",
  "suspect",
  "reverting",
  "store-error",
  "unsupported-store",
] satisfies AlertKind[]);

export interface AlerterPorts {
  readonly stateDirectory: string;
  readonly leftovers: Leftovers;
  readonly windows: Windows;
  readonly repeatEveryMs: number;
  /** The user's own, given each notice as JSON on its stdin. */
  readonly command: readonly [string, ...string[]] | null;
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Adds reported alerts to the history. */
  readonly record: (events: readonly AlertNoted[]) => Promise<void>;
  /** Says one line to a person. */
  readonly say: (line: string, severity: Severity | "info") => void;
  readonly log: Logger;
  readonly clock: Clock;
}

/** The result of one scan, for the alerts. */
export interface Look {
  readonly facts: Facts;
  readonly undecided: ReadonlySet<StoreName>;
  /** Problems outside the stores. */
  readonly others: readonly Condition[];
  readonly isResync: boolean;
}

/** Tells a person what is wrong: once when it begins, again at intervals, and when it is over; across restarts. */
export class Alerter {
  readonly #ports: AlerterPorts;
  #remembered: readonly RememberedAlert[];
  #queue: string[] = [];
  #running: Promise<void> | null = null;
  #facts: Facts | null = null;
  readonly #closing = new AbortController();
  /** When time alone changes the alerts to report (epoch ms); null for never. */
  wakeAt: number | null = null;

  private constructor(ports: AlerterPorts, remembered: readonly RememberedAlert[]) {
    this.#ports = ports;
    this.#remembered = remembered;
  }

  /** Begins where the last one ended. */
  static async open(ports: AlerterPorts): Promise<Alerter> {
    return new Alerter(ports, await readAlerts(ports.stateDirectory));
  }

  /** The facts of the last scan, or null. */
  get facts(): Facts | null {
    return this.#facts;
  }

  /** Applies the result of a scan. It never waits for the user's command. */
  async observe({ facts, undecided, others, isResync }: Look): Promise<void> {
    const { windows, repeatEveryMs, clock } = this.#ports;
    const now = clock.now();
    this.#facts = facts;
    const { conditions: judged, changesAt } = conditionsOf(facts, windows, now);
    const conditions = [...judged, ...others];
    const { alerts, notices, wakeAt } = advanceAlerts(this.#remembered, { conditions, undecided, isResync }, repeatEveryMs, now);
    this.wakeAt = [...changesAt, ...(wakeAt === null ? [] : [wakeAt])].reduce<number | null>(earlier, null);
    const changed = notices.length > 0 || alerts.length !== this.#remembered.length || alerts.some(isOther(this.#remembered));
    this.#remembered = withWords(alerts, conditions, this.#remembered, now);
    if (!changed) return;
    await this.#save();
    if (notices.length > 0) await this.#tell(notices, now);
  }

  /** How many alerts hold now, by their kind. */
  counts(): Map<AlertKind, number> {
    const counts = new Map<AlertKind, number>();
    for (const { kind, raisedAt, resolvedAt } of this.#remembered)
      if (raisedAt !== null && resolvedAt === null) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return counts;
  }

  /** Lets a command that runs come to its end for a moment, then ends it. */
  async close(): Promise<void> {
    const moment = new AbortController();
    const running = this.#running?.finally(() => {
      moment.abort();
    });
    if (running === undefined) return;
    await this.#ports.clock.sleep(CLOSING_MS, moment.signal);
    this.#closing.abort();
    await running;
  }

  /** Without it a restart would repeat what was said, which is better than to end. */
  async #save(): Promise<void> {
    try {
      await writeAlerts(this.#ports.stateDirectory, this.#ports.leftovers, this.#remembered);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
      this.#ports.log.debug({ reason: errnoOf(error) }, "alerts not saved");
    }
  }

  async #tell(notices: readonly Notice[], now: number): Promise<void> {
    for (const [, group] of groups(notices)) this.#tellGroup(group, now);
    await this.#ports.record(notices.flatMap((notice) => ledgerEvents(notice, now)));
  }

  #tellGroup(notices: readonly [Notice, ...Notice[]], now: number): void {
    const { log, say } = this.#ports;
    const [first, ...others] = notices;
    const { event, alert } = first;
    if (event === "superseded") return;
    const told = [tell(first, now), ...others.map((notice) => tell(notice, now))] as const;
    const line = humanLine(event, alert.kind, told);
    const severity = event === "resolved" ? "info" : told.some((each) => each.severity === "error") ? "error" : "warning";
    say(`credsyncd: ${line}`, severity);
    if (event === "repeated" || !IN_THE_LOG.has(alert.kind)) {
      for (const each of told) log[levelOf(severity)]({ ...each, event }, "alert");
    }
    if (this.#ports.command === null) return;
    const at = new Date(now).toISOString();
    const payload = { schemaVersion: 1, event, kind: alert.kind, severity, at, host: hostname(), message: line, alerts: told };
    this.#queue.push(JSON.stringify(payload));
    if (this.#queue.length > LONGEST_QUEUE) this.#queue.shift();
    this.#running ??= this.#runCommands(this.#ports.command);
  }

  async #runCommands(command: readonly [string, ...string[]]): Promise<void> {
    const { signal } = this.#closing;
    try {
      for (let input = this.#queue.shift(); input !== undefined; input = this.#queue.shift()) {
        const options = { timeoutMs: COMMAND_TIMEOUT_MS, variables: this.#ports.variables, input: `${input}\n` };
        const outcome = await runCommand(command, options, signal);
        if (signal.aborted) return;
        if (outcome.kind !== "done") this.#sayFailure(outcome, command[0]);
      }
    } finally {
      this.#running = null;
    }
  }

  /** The command's own words may hold anything, so they are not told. */
  #sayFailure(outcome: Exclude<CommandOutcome, { kind: "done" }>, program: string): void {
    this.#ports.log.warn(
      { reason: failureText(outcome), program, hint: "see alerts.command in the config" },
      "alert command failed",
    );
  }
}

function earlier(left: number | null, right: number): number {
  return left === null ? right : Math.min(left, right);
}

/** Returns a check whether an alert differs from its remembered state. */
function isOther(remembered: readonly Alert[]): (alert: Alert) => boolean {
  const before = new Map(remembered.map((alert) => [alertKey(alert), alert]));
  return (alert) => {
    const known = before.get(alertKey(alert));
    return (
      known === undefined ||
      known.saidAt !== alert.saidAt ||
      known.resolvedAt !== alert.resolvedAt ||
      known.goneSince !== alert.goneSince ||
      known.resyncs !== alert.resyncs
    );
  };
}

function withWords(
  alerts: readonly Alert[],
  conditions: readonly Condition[],
  remembered: readonly RememberedAlert[],
  now: number,
): RememberedAlert[] {
  const present = new Map(conditions.map((condition) => [alertKey(condition), condition]));
  const before = new Map(remembered.map((alert) => [alertKey(alert), alert]));
  return alerts.map((alert) => {
    const condition = present.get(alertKey(alert));
    const known = before.get(alertKey(alert));
    const words: AlertWords =
      condition === undefined
        ? { message: known?.message ?? "", hint: known?.hint ?? "" }
        : wordsFor(condition, alert.since, now);
    const severity = condition?.severity ?? known?.severity ?? "warning";
    return { ...alert, severity, message: words.message, hint: words.hint };
  });
}

/** Groups notices of one kind and event: hundreds of agents may fail at once. */
function groups(notices: readonly Notice[]): Map<string, [Notice, ...Notice[]]> {
  const found = new Map<string, [Notice, ...Notice[]]>();
  for (const notice of notices) {
    const key = `${notice.event} ${notice.alert.kind}`;
    const group = found.get(key);
    if (group === undefined) found.set(key, [notice]);
    else group.push(notice);
  }
  return found;
}

function tell({ event, alert, condition }: Notice, now: number): ToldAlert {
  const { kind, store, profile, since } = alert;
  const words = condition === null ? null : wordsFor(condition, since, now);
  return {
    kind,
    store,
    profile,
    severity: condition?.severity ?? "warning",
    since: new Date(since).toISOString(),
    message: words?.message ?? `${overWords(kind)}, after ${formatDuration(now - since)}`,
    hint: event === "resolved" ? null : (words?.hint ?? null),
  };
}

const PREFIXES: Readonly<Record<Exclude<AlertEvent, "superseded">, string>> = {
  raised: "alert",
  repeated: "alert, still",
  resolved: "resolved",
};

function humanLine(
  event: Exclude<AlertEvent, "superseded">,
  kind: AlertKind,
  told: readonly [ToldAlert, ...ToldAlert[]],
): string {
  const [first] = told;
  const stores = [...new Set(told.map(({ store }) => store))];
  const profile = told.length === 1 && first.profile !== null && store(first) !== null ? ` ${first.profile}` : "";
  const words = `${first.message}${first.hint === null ? "" : ` - ${first.hint}`}`;
  // When it is over there is nothing to do, whatever it was.
  const isOne = event === "resolved" || told.every(({ message, hint }) => message === first.message && hint === first.hint);
  if (isOne) return `${PREFIXES[event]}: ${kind}: ${named(stores)}${profile}: ${words}`;
  const others = stores.filter((name) => name !== first.store);
  const also = others.length === 0 ? "" : `; also, each for its own reason: ${named(others)} - see: credsyncd status`;
  return `${PREFIXES[event]}: ${kind}: ${first.store}${profile}: ${words}${also}`;
}

function named(stores: readonly StoreName[]): string {
  const more = stores.length > NAMED_STORES ? ` and ${String(stores.length - NAMED_STORES)} more` : "";
  return `${stores.slice(0, NAMED_STORES).join(", ")}${more}`;
}

/** The source has one login, whose inner name says nothing to a person. */
function store({ store: name }: ToldAlert): string | null {
  return hasNamelessLogin(name) ? null : name;
}

function levelOf(severity: Severity | "info"): "info" | "warn" | "error" {
  return severity === "warning" ? "warn" : severity;
}

function ledgerEvents({ event, alert }: Notice, at: number): AlertNoted[] {
  if (event === "repeated") return [];
  const { kind, store: name, profile, since } = alert;
  return [{ kind: "alert", at, event, alert: kind, store: name, profile, since }];
}
