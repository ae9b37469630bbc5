import type { Logger } from "pino";
import { alertKinds, type AlertKind } from "../domain/alerts.js";
import { replacePublicFile } from "../io/own-file.js";
import { errnoOf } from "../io/system-error.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import { factsOf } from "../app/alert-facts.js";
import { storeStates } from "../app/store-states.js";

/** Upper bounds of the histogram of writes (s): an SSD, a slow disk, a lock that was waited for. */
const WRITE_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly suffix?: string;
  readonly labels?: Labels;
  readonly value: number;
}

interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Facts besides the reconciles. */
export interface MetricsContext {
  readonly alerts: ReadonlyMap<AlertKind, number>;
  readonly keepWarm: { readonly renewed: number; readonly unchanged: number } | null;
}

/** Counts what the daemon does, since its start, for a Prometheus text file. Neither e-mails nor fingerprints are in it. */
export class Metrics {
  readonly #startedAt: number;
  readonly #syncs = { changed: 0, unchanged: 0, failed: 0 };
  readonly #writes = { written: 0, failed: 0 };
  readonly #durations = { counts: WRITE_BUCKETS_S.map(() => 0), count: 0, sum: 0 };
  #rotations = 0;
  #adoptions = 0;
  #conflicts = 0;
  #reverts = 0;
  #last: ReconcileResult | null = null;
  #lastSuccessAt: number | null = null;

  /** @param startedAt epoch ms */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  observe(result: ReconcileResult): void {
    const { plan, adoptions, writes } = result;
    const outcomes = [...writes, ...adoptions].filter(({ postponed, waiting }) => !postponed && !waiting);
    this.#last = result;
    this.#syncs[outcomes.length === 0 ? "unchanged" : "changed"] += 1;
    this.#lastSuccessAt = result.startedAt + result.durationMs;
    const lives = plan.record.filter((event) => event.kind === "live");
    this.#rotations += lives.length;
    this.#adoptions += lives.filter(({ reason }) => reason === "adoption").length;
    this.#reverts += plan.writes.filter(({ revert }) => revert).length;
    for (const { error, durationMs } of outcomes) {
      this.#writes[error === null ? "written" : "failed"] += 1;
      if (error?.code === "conflict") this.#conflicts += 1;
      if (error === null) this.#noteDuration(durationMs / 1000);
    }
  }

  observeFailure(): void {
    this.#syncs.failed += 1;
  }

  /** The text of the file. */
  render({ alerts, keepWarm }: MetricsContext): string {
    return [...this.#counters(keepWarm), ...this.#writeDurations(), ...gauges(this.#last), ...this.#times(alerts)]
      .filter(({ samples }) => samples.length > 0)
      .map(textOf)
      .join("");
  }

  #noteDuration(seconds: number): void {
    this.#durations.count += 1;
    this.#durations.sum += seconds;
    for (const [index, bound] of WRITE_BUCKETS_S.entries())
      if (seconds <= bound) this.#durations.counts[index] = (this.#durations.counts[index] ?? 0) + 1;
  }

  #counters(keepWarm: MetricsContext["keepWarm"]): Family[] {
    return [
      counter("credsyncd_sync_total", "Reconciles by what became of them.", byLabel("result", this.#syncs)),
      counter("credsyncd_writes_total", "Stores written, the source included.", byLabel("result", this.#writes)),
      counter("credsyncd_rotations_total", "Logins that became the live one.", [{ value: this.#rotations }]),
      counter("credsyncd_adoptions_total", "Logins that an agent refreshed and the source was given.", [
        { value: this.#adoptions },
      ]),
      counter("credsyncd_conflicts_total", "Writes given up because the store changed meanwhile.", [{ value: this.#conflicts }]),
      counter("credsyncd_reverts_total", "Writes that another program had undone.", [{ value: this.#reverts }]),
      counter(
        "credsyncd_keep_warm_runs_total",
        "Runs of the keepWarm command by whether the login was renewed.",
        keepWarm === null ? [] : byLabel("result", keepWarm),
      ),
    ];
  }

  #writeDurations(): Family[] {
    const { counts, count, sum } = this.#durations;
    const buckets = WRITE_BUCKETS_S.map((bound, index) => {
      return { suffix: "_bucket", labels: { le: String(bound) }, value: counts[index] ?? 0 };
    });
    const samples = [
      ...buckets,
      { suffix: "_bucket", labels: { le: "+Inf" }, value: count },
      { suffix: "_sum", value: sum },
      { suffix: "_count", value: count },
    ];
    return [
      { name: "credsyncd_write_duration_seconds", type: "histogram", help: "How long the good writes of a store took.", samples },
    ];
  }

  #times(alerts: ReadonlyMap<AlertKind, number>): Family[] {
    const last = this.#last === null ? [] : [{ value: seconds(this.#last.startedAt) }];
    const success = this.#lastSuccessAt === null ? [] : [{ value: seconds(this.#lastSuccessAt) }];
    const duration = this.#last === null ? [] : [{ value: seconds(this.#last.durationMs) }];
    const counts = alertKinds.map((kind) => ({ labels: { kind }, value: alerts.get(kind) ?? 0 }));
    return [
      gauge("credsyncd_alerts", "Alerts that hold now.", counts),
      gauge("credsyncd_last_sync_duration_seconds", "How long the last reconcile took.", duration),
      gauge("credsyncd_last_sync_timestamp_seconds", "When the last reconcile began.", last),
      gauge("credsyncd_last_success_timestamp_seconds", "When a reconcile last ended as a whole.", success),
      gauge("credsyncd_start_time_seconds", "When the daemon started.", [{ value: seconds(this.#startedAt) }]),
    ];
  }
}

/** The file that node_exporter reads. */
export class MetricsFile {
  readonly #path: string;
  readonly #log: Logger;
  #failure: string | null = null;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** The metrics are not what the daemon is for: where they cannot be written, the log says so, once. */
  async write(text: string): Promise<void> {
    try {
      await replacePublicFile(this.#path, text);
      this.#failure = null;
    } catch (error) {
      const reason = errnoOf(error);
      if (reason === null) throw error;
      const hint = "make its directory writable for this user, or name another: metrics.textfile in the config";
      if (this.#failure !== reason) this.#log.warn({ path: this.#path, reason, hint }, "metrics not written");
      this.#failure = reason;
    }
  }
}

function gauges(result: ReconcileResult | null): Family[] {
  if (result === null) return [];
  const facts = factsOf(result);
  const nameOf = nameless();
  const expiries: Sample[] = [];
  const signIns: Sample[] = [];
  const sources: Sample[] = [];
  for (const { store, profile, verdict, live } of facts.flows) {
    const labels = { store: nameOf(store), profile: nameOf(profile) };
    const isFollowed = verdict.kind === "live" || verdict.kind === "becomes-live" || verdict.kind === "restored";
    sources.push({ labels, value: isFollowed ? 1 : 0 });
    if (!isFollowed && verdict.kind !== "held") continue;
    const { credential } = verdict.held;
    const expiresAt = verdict.kind === "restored" ? (live?.expiresAt ?? null) : verdict.held.expiresAt;
    if (expiresAt !== null) expiries.push({ labels, value: seconds(expiresAt) });
    if (credential.type === "oauth" && credential.signInEndsAt !== null)
      signIns.push({ labels, value: seconds(credential.signInEndsAt) });
  }
  const states = storeStates(facts);
  const counts = { "in-sync": 0, drift: 0, held: 0, error: 0 };
  for (const state of states.values()) counts[state] += 1;
  const inSync = [...states].map(([store, state]) => ({ labels: { store: nameOf(store) }, value: state === "in-sync" ? 1 : 0 }));
  return [
    gauge("credsyncd_source_followed", "Whether the source holds a login that is handed on.", sources),
    gauge("credsyncd_credential_expiry_timestamp_seconds", "When the source's access token ends.", expiries),
    gauge("credsyncd_sign_in_end_timestamp_seconds", "When the source's sign-in ends, which no refresh extends.", signIns),
    gauge("credsyncd_store_in_sync", "Whether a store that follows holds the live login.", inSync),
    gauge("credsyncd_stores", "Stores by their state.", byLabel("state", counts)),
    gauge("credsyncd_drift_stores", "Stores that should hold the live login and do not, whatever the reason.", [
      { value: counts.drift + counts.held + counts.error },
    ]),
  ];
}

/** E-mails are no labels; profile ids and directories may hold one, so each becomes a number that tells them apart. */
function nameless(): (name: string) => string {
  const numbers = new Map<string, number>();
  return (name) =>
    name.replaceAll(/[^\s:/@]+@[^\s:/@]+/g, (email) => {
      const number = numbers.get(email) ?? numbers.size + 1;
      numbers.set(email, number);
      return `account-${String(number)}`;
    });
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: "counter", help, samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: "gauge", help, samples };
}

function byLabel(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([value, count]) => ({ labels: { [label]: value }, value: count }));
}

function seconds(milliseconds: number): number {
  return milliseconds / 1000;
}

/** The text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
function textOf({ name, type, help, samples }: Family): string {
  const lines = samples.map(({ suffix = "", labels = {}, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}${suffix}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${String(value)}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
