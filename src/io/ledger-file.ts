import { open, stat, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod/mini";
import { alertKinds } from "../domain/alerts.js";
import { isTime } from "../domain/clock.js";
import { Failure } from "../domain/errors.js";
import { asFingerprint } from "../domain/generation.js";
import {
  compactLedger,
  emptyLedger,
  foldLedger,
  type LedgerEvent,
  type LedgerState,
  type PlacedEvent,
} from "../domain/ledger.js";
import type { LedgerMemory } from "../domain/memory.js";
import { syncDirectory } from "./atomic-file.js";
import { fingerprintShape as fingerprint } from "./fingerprint.js";
import { isJsonObject } from "./json-document.js";
import { OWN_MAX_BYTES, replaceOwnFile, toOwnFailure } from "./own-file.js";
import { readRegularBytes, refuseForeignOwner } from "./regular-file.js";
import { errnoOf, isAbsent } from "./system-error.js";
import type { Leftovers } from "./temporary-file.js";

const text = z.string();
const time = z.number().check(z.refine(isTime));
const identity = { uuid: z.nullable(text), email: z.nullable(text) };
const account = z.nullable(z.object(identity));
const member = {
  at: time,
  sourceProfile: text,
  chain: text,
  generation: fingerprint,
  issue: fingerprint,
  expiresAt: z.nullable(time),
};
const stub = z.object({ replaced: z.nullable(fingerprint), timeLimit: z.boolean() });
const fence = { claim: text, failed: z.boolean(), spends: z.nullable(fingerprint), since: time };
const eventShape = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("live"),
    ...member,
    flow: z.optional(text),
    signInEndsAt: z.nullable(time),
    account,
    reason: z.enum(["first-sight", "rotation", "reissue", "sign-in", "account-switch", "adoption", "accepted"]),
    from: text,
    unproven: z.optional(z.literal(true)),
  }),
  z.object({ kind: z.literal("account"), at: time, sourceProfile: text, flow: z.optional(text), account: z.object(identity) }),
  z.object({ kind: z.literal("member"), ...member }),
  z.object({
    kind: z.enum(["seen", "written"]),
    at: time,
    store: text,
    profile: text,
    generation: fingerprint,
    issue: fingerprint,
    surroundings: fingerprint,
    terms: z.optional(z.object({ share: z.enum(["full", "access-only"]), expiryMarginMs: z.number() })),
    durationMs: z.optional(z.number()),
    made: z.optional(z.literal(true)),
    carried: z.optional(
      z.object({
        reverts: z.number(),
        revertedAt: z.nullable(time),
        writtenAt: z.optional(time),
        stub: z.nullable(stub),
        fence: z._default(z.nullable(z.object(fence)), null),
      }),
    ),
  }),
  z.object({
    kind: z.literal("stub"),
    at: time,
    store: text,
    profile: text,
    replaced: z.nullable(fingerprint),
    timeLimit: z.boolean(),
  }),
  z.object({ kind: z.literal("fence"), at: time, store: text, profile: text, ...fence }),
  z.object({ kind: z.literal("suspect"), at: time, generation: fingerprint, store: text, profile: text }),
  z.object({ kind: z.literal("revert"), at: time, store: text, profile: text }),
  z.object({ kind: z.literal("hold"), at: time, store: text, profile: text, reason: z.nullable(text) }),
  z.object({
    kind: z.literal("alert"),
    at: time,
    event: z.enum(["raised", "resolved", "superseded"]),
    alert: z.enum(alertKinds),
    store: text,
    profile: z.nullable(text),
    since: time,
  }),
  z.object({ kind: z.literal("key"), at: time, keyId: text }),
]);

/** The remedy for a file that cannot be the ledger. */
const ANEW = "move it away: a new one is made, and every store is looked at as if for the first time";

/** A ledger is rewritten once it has this many lines more than twice what a rewriting leaves. */
const COMPACT_SLACK = 8000;

/**
 * The ledger as a file of one JSON object a line, appended and synced.
 *
 * A last line that a crash cut short is dropped; a line that cannot be understood is passed over and counted.
 */
export class LedgerFile implements LedgerMemory {
  readonly #path: string;
  readonly #keyId: string;
  readonly #leftovers: Leftovers;
  #state: LedgerState = emptyLedger;
  #lines = 0;
  /** The number of lines after the last compaction, or after one at the last check; null: not yet known. */
  #linesAfterCompaction: number | null = null;
  /** How far the file is read: up to this byte of this file. */
  #read = { inode: 0, bytes: 0 };
  /** Lines that could not be understood, for `doctor` and the log. */
  unreadableLines = 0;

  constructor(path: string, keyId: string, leftovers: Leftovers) {
    this.#path = path;
    this.#keyId = keyId;
    this.#leftovers = leftovers;
  }

  async load(): Promise<LedgerState> {
    const file = await statIfPresent(this.#path);
    if (file === null) {
      this.#forget();
    } else if (file.ino !== this.#read.inode || file.size !== this.#read.bytes) {
      this.#readAgain(file.ino);
    }
    return this.#ownState();
  }

  async append(events: readonly LedgerEvent[]): Promise<LedgerState> {
    await this.load();
    const first = events[0];
    if (first === undefined) return this.#ownState();
    const keyed =
      this.#state.keyId === this.#keyId ? events : [{ kind: "key" as const, at: first.at, keyId: this.#keyId }, ...events];
    try {
      await this.#appendDurably(keyed);
      if (await this.#isLong()) await this.#compact();
    } catch (error) {
      throw new Failure(
        "general",
        `cannot write ${this.#path}: ${errnoOf(error) ?? "failed"}`,
        "free space and check its permissions: nothing is pushed until it can be written",
        error,
      );
    }
    return this.#ownState();
  }

  /** Every event that is on disk, oldest first. */
  events(): Promise<LedgerEvent[]> {
    return Promise.resolve(readEvents(this.#path)?.events ?? []);
  }

  /** Fingerprints made with another key say nothing: everything is at first sight again. */
  #ownState(): LedgerState {
    return this.#state.keyId === this.#keyId ? this.#state : emptyLedger;
  }

  #forget(): void {
    this.#state = emptyLedger;
    this.#lines = 0;
    this.#read = { inode: 0, bytes: 0 };
  }

  #readAgain(inode: number): void {
    const parsed = readEvents(this.#path);
    if (parsed === null) {
      this.#forget();
      return;
    }
    this.#state = foldLedger(emptyLedger, parsed.events);
    this.#lines = parsed.events.length;
    this.unreadableLines = parsed.unreadableLines;
    this.#read = { inode, bytes: parsed.bytes };
  }

  async #appendDurably(events: readonly LedgerEvent[]): Promise<void> {
    const file = await open(this.#path, "a+", 0o600);
    try {
      const { size: sizeBefore } = await file.stat();
      const lines = events.map((event) => `${JSON.stringify(event)}\n`).join("");
      const text = `${(await endsMidLine(file)) ? "\n" : ""}${lines}`;
      // Not `write`, which a nearly full disk ends early without an error.
      await file.appendFile(text);
      await file.sync();
      if (sizeBefore === 0) await syncDirectory(dirname(this.#path));
      const { size, ino } = await file.stat();
      const isKnownFile = this.#read.inode === ino || this.#read.inode === 0;
      if (isKnownFile && size === this.#read.bytes + Buffer.byteLength(text)) {
        this.#state = foldLedger(this.#state, events);
        this.#lines += events.length;
        this.#read = { inode: ino, bytes: size };
      } else {
        // Another process wrote since the last read: its events come before, between or after these.
        this.#readAgain(ino);
      }
    } finally {
      await file.close();
    }
  }

  async #isLong(): Promise<boolean> {
    if (this.#lines <= COMPACT_SLACK) return false;
    this.#linesAfterCompaction ??= compactLedger(await this.events()).length;
    return this.#lines > 2 * this.#linesAfterCompaction + COMPACT_SLACK;
  }

  async #compact(): Promise<void> {
    const compacted = compactLedger(await this.events());
    const text = compacted.map((event) => `${JSON.stringify(event)}\n`).join("");
    await replaceOwnFile(this.#path, text, this.#leftovers);
    this.#linesAfterCompaction = compacted.length;
    await this.load();
  }
}

interface ParsedLedger {
  readonly events: LedgerEvent[];
  readonly bytes: number;
  readonly unreadableLines: number;
}

function readEvents(path: string): ParsedLedger | null {
  const bytes = readBytes(path);
  if (bytes === null) return null;
  const events: LedgerEvent[] = [];
  let unreadableLines = 0;
  for (const line of bytes.toString("utf8").split("\n")) {
    if (line === "") continue;
    const event = parseLine(line);
    if (event === null) unreadableLines += 1;
    else events.push(event);
  }
  return { events, bytes: bytes.length, unreadableLines };
}

/** @throws Failure where what is there cannot be the ledger, or must not be read */
function readBytes(path: string): Buffer | null {
  try {
    const file = readRegularBytes(path, OWN_MAX_BYTES, ({ uid }) => {
      refuseForeignOwner(path, uid);
    });
    return file?.bytes ?? null;
  } catch (error) {
    throw toOwnFailure(error, path, ANEW);
  }
}

function parseLine(line: string): LedgerEvent | null {
  try {
    const value: unknown = JSON.parse(line);
    const placed = asPlacement(value);
    if (placed !== null) return placed;
    const parsed = eventShape.safeParse(value);
    return parsed.success ? (parsed.data as LedgerEvent) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Nearly all of thousands of lines, in their plain form; null for every other, which the schema tells. */
function asPlacement(value: unknown): PlacedEvent | null {
  if (!isJsonObject(value) || value["terms"] !== undefined || value["carried"] !== undefined) return null;
  if (value["made"] !== undefined) return null;
  const { kind, at, store, profile, generation, issue, surroundings, durationMs } = value;
  if ((kind !== "seen" && kind !== "written") || !isFinite(at) || !(durationMs === undefined || isFinite(durationMs)))
    return null;
  if (typeof store !== "string" || typeof profile !== "string" || typeof surroundings !== "string") return null;
  if (typeof generation !== "string" || typeof issue !== "string") return null;
  const names = {
    generation: asFingerprint(generation),
    issue: asFingerprint(issue),
    surroundings: asFingerprint(surroundings),
  };
  const placed = { kind, at, store, profile, ...names } as const;
  return durationMs === undefined ? placed : { ...placed, durationMs };
}

function isFinite(value: unknown): value is number {
  return Number.isFinite(value);
}

/** After a crash in the middle of a line the next event starts on a line of its own. */
async function endsMidLine(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] !== 0x0a;
}

async function statIfPresent(path: string): Promise<{ ino: number; size: number } | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsent(error)) return null;
    throw toOwnFailure(error, path, ANEW);
  }
}
