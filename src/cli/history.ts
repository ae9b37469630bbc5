import { parseDurationMs } from "../domain/duration.js";
import { loadConfig } from "../config/load.js";
import { compose } from "../app/compose.js";
import { systemEnvironment } from "../app/system.js";
import { Failure } from "../domain/errors.js";
import type { Fingerprint } from "../domain/generation.js";
import { displayGeneration, emptyLedger, foldLedger, type LedgerEvent, type LedgerState } from "../domain/ledger.js";
import { exitCodes, openOutput, table, type CommonOptions, type ExitCode } from "./output.js";

export interface HistoryOptions extends CommonOptions {
  readonly limit?: string;
  readonly since?: string;
}

interface Entry {
  readonly at: string;
  readonly event: string;
  readonly store: string;
  readonly profile: string | null;
  readonly generation: string | null;
  readonly detail: string | null;
  readonly durationMs: number | null;
}

/** `credsyncd history`: rotations, writes, holds and alerts from the ledger, oldest first. */
export async function history(options: HistoryOptions): Promise<ExitCode> {
  const environment = systemEnvironment();
  const { ledger } = await compose(await loadConfig(options.config ?? null, environment), environment, "look");
  const events = await ledger.events();
  const state = foldLedger(emptyLedger, events);
  const since = sinceOf(options.since, environment.clock.now());
  const recent = events.filter(({ at }) => at >= since).flatMap((event) => entryOf(event, state));
  // A user who names a time wants everything since then.
  const entries = options.since !== undefined && options.limit === undefined ? recent : recent.slice(-limitOf(options.limit));
  const output = openOutput(options);
  if (output.json) for (const entry of entries) process.stdout.write(`${JSON.stringify(entry)}\n`);
  else output.result(entries.length === 0 ? "nothing happened yet" : table(entries.map(rowOf)), null);
  return exitCodes.done;
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return 50;
  const limit = Number(text);
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new Failure("usage", `--limit takes a whole number, not "${text}"`, "for example: --limit 20");
  return limit;
}

/** A time (epoch ms): a duration back from now, or a date as ISO 8601 writes it. */
function sinceOf(text: string | undefined, now: number): number {
  if (text === undefined) return Number.NEGATIVE_INFINITY;
  const backMs = parseDurationMs(text);
  if (backMs !== null) return now - backMs;
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new Failure(
      "usage",
      `--since takes a duration or a date, not "${text}"`,
      "for example: --since 2h, or --since 2026-11-21",
    );
  return time;
}

function entryOf(event: LedgerEvent, state: LedgerState): Entry[] {
  const entry = (
    name: string,
    store: string,
    profile: string | null,
    generation: Fingerprint | null,
    detail: string | null,
    durationMs?: number,
  ): Entry[] => [
    {
      at: new Date(event.at).toISOString(),
      event: name,
      store,
      profile,
      generation: displayGeneration(state, generation),
      detail,
      durationMs: durationMs ?? null,
    },
  ];
  switch (event.kind) {
    case "live":
      return entry(
        event.reason,
        event.from,
        event.flow === undefined ? null : event.sourceProfile,
        event.generation,
        event.expiresAt === null ? null : `expires ${new Date(event.expiresAt).toISOString()}`,
      );
    case "written":
      return entry("written", event.store, event.profile, event.generation, null, event.durationMs);
    case "stub":
      return entry(
        "logged-out",
        event.store,
        event.profile,
        event.replaced,
        event.timeLimit ? "the sign-in reached its end" : null,
      );
    case "fence":
      return entry(
        event.failed ? "refresh-failed" : "refreshing",
        event.store,
        event.profile,
        event.spends,
        event.failed ? "its program put a mark in the place of the tokens" : null,
      );
    case "suspect":
      return entry("suspect", event.store, event.profile, event.generation, "it may be spent: a refresh of it failed there");
    case "revert":
      return entry("reverted", event.store, event.profile, null, "another program put an older login back");
    case "hold":
      return entry(event.reason === null ? "released" : "held", event.store, event.profile, null, event.reason);
    case "alert": {
      const gaveWay = event.event === "superseded" ? "another alert says more" : null;
      const detail = event.event === "raised" ? event.alert : `${event.alert}${gaveWay === null ? "" : `: ${gaveWay}`}`;
      return entry(event.event === "raised" ? "alert" : "resolved", event.store, event.profile, null, detail);
    }
    case "account":
    case "seen":
    case "member":
    case "key":
      return [];
  }
}

function rowOf({ at, event, store, profile, generation, detail, durationMs }: Entry): string[] {
  return [at, event, store, profile ?? "", generation ?? "", detail ?? (durationMs === null ? "" : `${String(durationMs)} ms`)];
}
