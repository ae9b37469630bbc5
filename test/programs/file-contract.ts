import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { chmod, chown, lstat, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { CredentialStore } from "../../src/domain/store.js";
import { revisionOf } from "../../src/io/revision.js";
import type { Clock } from "../../src/domain/clock.js";
import { SetClock } from "../support/environment.js";
import { modeOf } from "../support/store-file.js";
import { failureOf, loginOf, patchFor, type StoreKind, type Subject } from "./contract.js";

const signal = new AbortController().signal;
const isRoot = process.geteuid?.() === 0;
const SOMEONE = 12_345;

export interface FileStoreKind extends StoreKind {
  /** As `open`, with another clock. */
  readonly openAt: (clock: Clock) => Promise<Subject>;
}

async function refuses(store: CredentialStore, text: string): Promise<[string, string]> {
  const patch = patchFor({ profile: "claudeAiOauth", provider: null }, loginOf(1));
  const read = await failureOf(store.read(signal));
  const write = await failureOf(store.write([{ ...patch, create: true }], revisionOf(text), signal));
  return [read.code, write.code];
}

/** The contract of every store that is a file, besides the contract of all. */
export function describeFileContract(kind: FileStoreKind): void {
  const before = kind.document(loginOf(0));
  const after = kind.document(loginOf(1));

  async function openDocument(): Promise<Subject> {
    const subject = await kind.open();
    await subject.writeText(before);
    return subject;
  }

  async function write({ store }: Subject): Promise<void> {
    const { revision } = await store.read(signal);
    await store.write([patchFor(kind, loginOf(1))], revision, signal);
  }

  describe(`a file of ${kind.name}`, () => {
    test.each([0o644, 0o666, 0o400])("with the mode %o is private after a write", async (mode) => {
      const subject = await openDocument();
      await chmod(subject.store.path, mode);
      await write(subject);
      expect(await modeOf(subject.store.path)).toBe("600");
      expect(await subject.readText()).toBe(after);
    });

    test("is replaced, not written over: whoever has the old one open has it whole", async () => {
      const subject = await openDocument();
      const { ino } = await stat(subject.store.path);
      await write(subject);
      expect((await stat(subject.store.path)).ino).not.toBe(ino);
    });

    test("that a program without a lock writes in the next moment is reported as changed, and stays as that program left it", async () => {
      const subject = await openDocument();
      const { store } = subject;
      const { revision } = await store.read(signal);
      const theirs = kind.document(loginOf(2));
      let isWritten = false;
      // While the new name is made durable, before it is read back.
      const overtake = (): void => {
        if (readFileSync(store.path, "utf8") === after) writeFileSync(store.path, theirs);
        else if (!isWritten) setImmediate(overtake);
      };
      overtake();
      const error = await failureOf(
        store.write([patchFor(kind, loginOf(1))], revision, signal).finally(() => {
          isWritten = true;
        }),
      );
      expect(error.code).toBe("conflict");
      expect(await subject.readText()).toBe(theirs);
    });

    test("that is a pipe is refused, and not waited for", async () => {
      const subject = await openDocument();
      await rm(subject.store.path);
      execFileSync("mkfifo", [subject.store.path]);
      expect(await refuses(subject.store, before)).toEqual(["not-a-file", "not-a-file"]);
      expect((await lstat(subject.store.path)).isFIFO()).toBe(true);
    });

    test("that is a directory is refused, and stays one", async () => {
      const subject = await openDocument();
      await rm(subject.store.path);
      await mkdir(subject.store.path);
      expect(await refuses(subject.store, before)).toEqual(["not-a-file", "not-a-file"]);
      expect((await lstat(subject.store.path)).isDirectory()).toBe(true);
    });

    test("that belongs to another user is refused, and stays theirs", async ({ skip }) => {
      if (!isRoot) skip("needs the right to give a file away");
      const subject = await openDocument();
      await chown(subject.store.path, SOMEONE, SOMEONE);
      expect(await refuses(subject.store, before)).toEqual(["foreign-owner", "foreign-owner"]);
      expect((await stat(subject.store.path)).uid).toBe(SOMEONE);
      expect(await subject.readText()).toBe(before);
    });

    test("keeps its group", async ({ skip }) => {
      if (!isRoot) skip("needs the right to give a file away");
      const subject = await openDocument();
      await chown(subject.store.path, 0, SOMEONE);
      await write(subject);
      expect((await stat(subject.store.path)).gid).toBe(SOMEONE);
    });

    test("that is not UTF-8 is malformed", async () => {
      const subject = await openDocument();
      await writeFile(subject.store.path, Buffer.from([0x22, 0xff, 0xfe, 0x22]));
      expect((await failureOf(subject.store.read(signal))).code).toBe("malformed");
    });

    test.each(["", "{", before.slice(0, 200)])(
      "that holds %j is half-written while it is young, and broken after that",
      async (text) => {
        const clock = new SetClock();
        const subject = await kind.openAt(clock);
        await writeFile(subject.store.path, text);
        const young = await failureOf(subject.store.read(signal));
        clock.aheadMs = 10_000;
        const old = await failureOf(subject.store.read(signal));
        clock.aheadMs = -10_000;
        const fromTheFuture = await failureOf(subject.store.read(signal));
        expect([young.code, old.code, fromTheFuture.code]).toEqual(["torn", "malformed", "malformed"]);
      },
    );
  });
}
