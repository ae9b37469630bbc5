import { once } from "node:events";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Credential } from "../../src/domain/credential.js";
import { StoreError, type StoreErrorCode } from "../../src/domain/errors.js";
import { Secret, SecretReference } from "../../src/domain/secret.js";
import type { CredentialStore, ProfileId, ProfilePatch, StoredProfile, StoreSnapshot } from "../../src/domain/store.js";
import { revisionOf } from "../../src/io/revision.js";
import { becomes } from "../support/condition.js";
import { leaksIn, secretPart } from "../support/marked-secret.js";

/** A login as it stands in a document. */
export interface Login {
  readonly access: string;
  /** Null: the key is not there. */
  readonly refresh: string | null;
  readonly expires: number;
}

/** One store in a temporary home, and the hands of the program that owns it. */
export interface Subject {
  readonly store: CredentialStore;
  /** The text of the set of profiles, or null. */
  readonly readText: () => Promise<string | null>;
  /** Leaves this text there, long ago. */
  readonly writeText: (text: string) => Promise<void>;
  readonly remove: () => Promise<void>;
  /** Everything around the text that a write must leave as it is. */
  readonly surroundings: () => Promise<unknown>;
  /** A file that is replaced, or a query that gives the text: what a reader in another thread needs. */
  readonly reader: ReaderData;
}

export interface ReaderData {
  readonly path: string;
  /** Null for a file. */
  readonly query: string | null;
}

export interface StoreKind {
  readonly name: string;
  /** Opens the store as a fixture of the real program has it. */
  readonly open: () => Promise<Subject>;
  /** The content of the fixture: `id provider kind secret/refresh expiry account`. */
  readonly holds: readonly string[];
  /** The profile in use for each provider, by the fixture. */
  readonly active: Readonly<Record<string, ProfileId>>;
  /** A profile that the document has a login in. */
  readonly profile: ProfileId;
  readonly provider: string | null;
  /** A text as a program of another taste might leave it: odd spacing, numbers, order, and unknown things everywhere. */
  readonly document: (login: Login) => string;
  /** A credential that this profile cannot hold. */
  readonly misfit: Credential;
  /** Texts that are no store of this kind. */
  readonly spoilt: readonly (readonly [what: string, text: string, code: StoreErrorCode])[];
}

const signal = new AbortController().signal;
const END_MS = Date.now() + 8 * 3_600_000;

/** A login of a generation, whose tokens are marked. */
export function loginOf(generation: number): Login & { readonly refresh: string } {
  return { access: token("access", generation), refresh: token("refresh", generation), expires: END_MS + generation * 1000 };
}

function token(kind: string, generation: number): string {
  return `sk-ant-${secretPart(`${kind} ${String(generation)}`)}-${String(generation)}`;
}

/** The parts of every token of `loginOf` that must not be seen anywhere. */
const markedParts = [0, 1, 2, 3].flatMap((generation) => [
  secretPart(`access ${String(generation)}`),
  secretPart(`refresh ${String(generation)}`),
]);

export function oauthOf({ access, refresh, expires }: Login): Credential {
  return {
    type: "oauth",
    access: new Secret(access),
    refresh: refresh === null ? null : new Secret(refresh),
    expiresAt: expires,
    signInEndsAt: null,
    idToken: null,
    grant: null,
  };
}

export function patchFor(kind: Pick<StoreKind, "profile" | "provider">, login: Login): ProfilePatch {
  return { profile: kind.profile, provider: kind.provider, credential: oauthOf(login), create: false, account: null };
}

/** A failure of a store, after it was seen to say what to do and to tell nothing of what the store holds. */
export async function failureOf(action: Promise<unknown>): Promise<StoreError> {
  const error = await action.then(
    () => {
      throw new Error("it did not fail");
    },
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreError);
  const failure = error as StoreError;
  expect(failure.message).not.toBe("");
  expect(failure.hint).not.toBe("");
  expect(leaksIn(inspect(failure, { depth: null }), markedParts)).toEqual([]);
  return failure;
}

/** One line for a profile, so that what a store holds is seen at a glance. */
export function summaryOf({ id, provider, content, account }: StoredProfile): string {
  const owner = account === null ? "" : ` of ${account.uuid ?? "?"} ${account.email ?? "?"}`;
  return `${id} ${provider ?? "-"} ${contentSummary(content)}${owner}`;
}

function contentSummary(content: StoredProfile["content"]): string {
  if (content.kind === "stub") return content.timeLimit ? "stub (time limit)" : "stub";
  if (content.kind === "fence") return `fence ${content.claim}${content.failed ? " (failed)" : ""}`;
  if (content.kind === "incomplete") return `incomplete: ${content.reason}`;
  const { credential } = content;
  switch (credential.type) {
    case "oauth": {
      const refresh = credential.refresh === null ? "-" : short(credential.refresh);
      return `oauth ${short(credential.access)} ${refresh} ${String(credential.expiresAt)}`;
    }
    case "token":
      return `token ${short(credential.token)} ${String(credential.expiresAt)}`;
    case "api_key":
      return `api_key ${short(credential.key)}`;
  }
}

function short(secret: Secret | SecretReference): string {
  if (secret instanceof SecretReference) return secret.json;
  const text = secret.reveal();
  return text.length > 40 ? `${text.slice(0, 12)}…${text.slice(-8)}` : text;
}

function profileOf(snapshot: StoreSnapshot, id: ProfileId): StoredProfile {
  const profile = snapshot.profiles.find((candidate) => candidate.id === id);
  if (profile === undefined) throw new Error(`there is no profile ${id}`);
  return profile;
}

function loginIn(snapshot: StoreSnapshot, id: ProfileId): Login | null {
  const { content } = profileOf(snapshot, id);
  if (content.kind !== "credential" || content.credential.type !== "oauth") return null;
  const { access, refresh, expiresAt } = content.credential;
  return { access: access.reveal(), refresh: refresh?.reveal() ?? null, expires: expiresAt ?? 0 };
}

/** The contract of every store, whatever its format. */
export function describeContract(kind: StoreKind): void {
  const { document, profile } = kind;

  /** A store that holds the document with the login of generation 0. */
  async function openDocument(login: Login = loginOf(0)): Promise<Subject> {
    const subject = await kind.open();
    await subject.writeText(document(login));
    return subject;
  }

  const write = async (subject: Subject, login: Login): Promise<StoreSnapshot> => {
    const { revision } = await subject.store.read(signal);
    await subject.store.write([patchFor(kind, login)], revision, signal);
    return subject.store.read(signal);
  };

  describe(`a store of ${kind.name}`, () => {
    test("holds what the real program wrote", async () => {
      const { store } = await kind.open();
      const { profiles, identity, changedAt } = await store.read(signal);
      expect(profiles.map(summaryOf)).toEqual(kind.holds);
      expect(await store.readActive(signal)).toEqual(kind.active);
      expect(identity).toMatch(/^\d+:\d+$/);
      expect(changedAt).toBeGreaterThan(0);
    });

    test("is read without a trace", async () => {
      const subject = await kind.open();
      const before = [await subject.readText(), await subject.surroundings()];
      await subject.store.read(signal);
      await subject.store.readActive(signal);
      expect([await subject.readText(), await subject.surroundings()]).toEqual(before);
    });

    test("is read by several at once", async () => {
      const { store } = await openDocument();
      const reads = await Promise.all(Array.from({ length: 5 }, () => store.read(signal)));
      expect(new Set(reads.map(({ revision }) => revision)).size).toBe(1);
    });

    test("that does not exist has no profiles, and is not made by a write that does not say so", async () => {
      const subject = await kind.open();
      await subject.remove();
      const before = await subject.surroundings();
      const snapshot = await subject.store.read(signal);
      expect(snapshot).toMatchObject({ revision: "absent", changedAt: null, profiles: [] });
      expect(snapshot.files).toContain(subject.store.path);
      expect((await failureOf(subject.store.write([patchFor(kind, loginOf(1))], "absent", signal))).code).toBe("conflict");
      expect(await subject.readText()).toBeNull();
      expect(await subject.surroundings()).toEqual(before);
    });

    test("gets the new login and keeps every other byte (R11)", async () => {
      const subject = await openDocument();
      const before = await subject.surroundings();
      const written = await write(subject, loginOf(1));
      expect(await subject.readText()).toBe(document(loginOf(1)));
      expect(await subject.surroundings()).toEqual(before);
      expect(loginIn(written, profile)).toEqual(loginOf(1));
    });

    test("keeps what the real program wrote around the login", async () => {
      const subject = await kind.open();
      await subject.writeText(document(loginOf(0)));
      const before = await subject.store.read(signal);
      const after = await write(subject, loginOf(1));
      const others = ({ profiles }: StoreSnapshot): string[] => profiles.filter(({ id }) => id !== profile).map(summaryOf);
      expect(others(after)).toEqual(others(before));
      expect(profileOf(after, profile).surroundings().equals(profileOf(before, profile).surroundings())).toBe(true);
    });

    test("is not written, nor is anything beside it, when it changed since it was read (R9)", async () => {
      const subject = await openDocument();
      const { revision } = await subject.store.read(signal);
      await subject.writeText(document(loginOf(2)));
      const before = await subject.surroundings();
      const error = await failureOf(subject.store.write([patchFor(kind, loginOf(1))], revision, signal));
      expect(error.code).toBe("conflict");
      expect(await subject.readText()).toBe(document(loginOf(2)));
      expect(await subject.surroundings()).toEqual(before);
    });

    test("has its revision changed by every change of its text, and by nothing else", async () => {
      const subject = await openDocument();
      const { revision } = await subject.store.read(signal);
      await subject.writeText(document(loginOf(0)));
      expect((await subject.store.read(signal)).revision).toBe(revision);
      await subject.writeText(`${document(loginOf(0))} `);
      expect((await subject.store.read(signal)).revision).not.toBe(revision);
    });

    test("lets exactly one of several through that were planned against the same look", async () => {
      const subject = await openDocument();
      const { revision } = await subject.store.read(signal);
      const writes = [1, 2, 3].map((generation) => subject.store.write([patchFor(kind, loginOf(generation))], revision, signal));
      const results = await Promise.allSettled(writes);
      const winners = results.flatMap(({ status }, index) => (status === "fulfilled" ? [index + 1] : []));
      expect(winners).toHaveLength(1);
      for (const result of results) if (result.status === "rejected") await failureOf(Promise.reject(result.reason as Error));
      expect(await subject.readText()).toBe(document(loginOf(winners[0] ?? 0)));
    });

    test("is never seen but whole and of one generation (I3)", async () => {
      const subject = await openDocument();
      const seen = await readMeanwhile(subject.reader, async (reads) => {
        const before = reads();
        for (let generation = 1; generation <= 50; generation++) await write(subject, loginOf(generation));
        await becomes(() => reads() > before + 100, true);
      });
      const whole = new Set(Array.from({ length: 51 }, (_, generation) => document(loginOf(generation))));
      expect(seen.filter((text) => !whole.has(text))).toEqual([]);
      expect(seen.length).toBeGreaterThan(1);
    });

    test("holds no refresh token after it was given the access token alone", async () => {
      const subject = await openDocument();
      await write(subject, { ...loginOf(1), refresh: null });
      expect(await subject.readText()).toBe(document({ ...loginOf(1), refresh: null }));
      const again = await write(subject, loginOf(2));
      expect(loginIn(again, profile)).toEqual(loginOf(2));
    });

    test("gets a profile's earlier text back, to the byte", async () => {
      const subject = await openDocument();
      const image = profileOf(await subject.store.read(signal), profile).image();
      const { revision } = await write(subject, loginOf(1));
      await subject.store.restore(profile, image, revision, signal);
      expect(loginIn(await subject.store.read(signal), profile)).toEqual(loginOf(0));
      expect(JSON.parse((await subject.readText()) ?? "")).toEqual(JSON.parse(document(loginOf(0))));
    });

    test("gets nothing back once it changed", async () => {
      const subject = await openDocument();
      const before = await subject.store.read(signal);
      await write(subject, loginOf(1));
      const image = profileOf(before, profile).image();
      expect((await failureOf(subject.store.restore(profile, image, before.revision, signal))).code).toBe("conflict");
      expect(await subject.readText()).toBe(document(loginOf(1)));
    });

    test("refuses a credential of a kind that the profile does not hold", async () => {
      const subject = await openDocument();
      const { revision } = await subject.store.read(signal);
      const patch = { ...patchFor(kind, loginOf(1)), credential: kind.misfit };
      expect((await failureOf(subject.store.write([patch], revision, signal))).code).toBe("unsupported");
      expect(await subject.readText()).toBe(document(loginOf(0)));
    });

    test("shows no secret, however it is printed (I6)", async () => {
      const { store } = await openDocument();
      const snapshot = await store.read(signal);
      const images = snapshot.profiles.flatMap((stored) => [stored.image(), stored.surroundings()]);
      const printed = inspect([store, snapshot, images], { depth: null }) + JSON.stringify([store, snapshot, images]);
      expect(leaksIn(printed, markedParts)).toEqual([]);
    });

    test.each(kind.spoilt)("that %s is refused, told without a word of it, and left as it is", async (_what, text, code) => {
      const subject = await openDocument();
      await subject.writeText(text);
      const before = await subject.surroundings();
      expect((await failureOf(subject.store.read(signal))).code).toBe(code);
      expect((await failureOf(subject.store.write([patchFor(kind, loginOf(1))], revisionOf(text), signal))).code).toBe(code);
      expect(await subject.readText()).toBe(text);
      expect(await subject.surroundings()).toEqual(before);
    });
  });
}

/** Reads in a tight loop in another thread while an action goes on, and returns every different text that was seen. */
async function readMeanwhile(reader: ReaderData, action: (reads: () => number) => Promise<void>): Promise<string[]> {
  const reads = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL("./reader.mjs", import.meta.url), { workerData: { ...reader, reads } });
  onTestFinished(async () => {
    await worker.terminate();
  });
  const failed = once(worker, "error").then(([error]) => {
    throw error as Error;
  });
  failed.catch(() => undefined);
  const count = (): number => Atomics.load(reads, 0);
  await Promise.race([becomes(() => count() > 0, true), failed]);
  await action(count);
  const told = once(worker, "message") as Promise<[string[]]>;
  Atomics.store(reads, 1, 1);
  const [seen] = await Promise.race([told, failed]);
  return seen;
}
