import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/domain/errors.js";
import { asFingerprint } from "../../src/domain/generation.js";
import type { BackupEntry } from "../../src/domain/memory.js";
import { Secret } from "../../src/domain/secret.js";
import { Backups } from "../../src/io/backups.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { secretPart } from "../support/marked-secret.js";
import { runFailing } from "../support/failing-calls.js";
import { runMounted } from "../support/mount-namespace.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const IMAGE = `{"refresh": "${secretPart("image")}", "odd" : 1.0}`;

function entry(fingerprint: string, fields: Partial<BackupEntry> = {}): BackupEntry {
  return {
    store: "openclaw:main",
    profile: "anthropic:claude-cli",
    fingerprint: asFingerprint(fingerprint),
    image: new Secret(IMAGE),
    ...fields,
  };
}

interface Subject {
  readonly directory: string;
  readonly backups: Backups;
  readonly spent: Set<string>;
}

async function open(): Promise<Subject> {
  const directory = join(await temporaryDirectory(), "state", "backups");
  const spent = new Set<string>();
  return {
    directory,
    spent,
    backups: new Backups(directory, new Leftovers(), (fingerprint) => Promise.resolve(spent.has(fingerprint))),
  };
}

async function fingerprintsIn(backups: Backups, store: string | null = null): Promise<string[]> {
  return (await backups.list(store)).map(({ fingerprint }) => fingerprint);
}

describe("half of a backup that could not be removed", () => {
  test("is removed as soon as that can be done", async (context) => {
    const faults = ["rename:error=EROFS:when=1", "unlink:error=EROFS:when=1"];
    const outcome = await runFailing(
      context,
      new URL("faulty.mjs", import.meta.url),
      faults,
      "backup",
      await temporaryDirectory(),
    );
    const saved = expect.stringMatching(/^cannot write .*: the file system is read-only$/) as string;
    expect(outcome).toEqual({ saved, left: [expect.stringMatching(/\.json\.credsyncd-ID\.tmp\.ID$/)], stuck: [], after: [] });
  });
});

describe("the backups (R17)", () => {
  test("of an issue stay with their store and profile until a newer one takes their place, or they are spent", async () => {
    const { backups, spent } = await open();
    await backups.save(entry("live", { issue: asFingerprint("i1") }), 1);
    await backups.save(entry("live", { store: "openclaw:ops" }), 2);
    for (let at = 3; at < 9; at++) await backups.save(entry(`other ${String(at)}`, { profile: "anthropic:mine" }), at);
    await backups.save(entry("live", { profile: "anthropic:mine" }), 9);
    const images = async (): Promise<number> => (await backups.imagesOf("openclaw:main", "anthropic:claude-cli")).length;
    expect(await images()).toBe(1);
    await backups.save(entry("live", { issue: asFingerprint("i2") }), 10);
    expect((await backups.list("openclaw:main")).filter(({ issue }) => issue !== undefined)).toMatchObject([
      { issue: asFingerprint("i2") },
    ]);
    spent.add("live");
    for (let at = 11; at < 16; at++) await backups.save(entry(`other ${String(at)}`), at);
    expect(await fingerprintsIn(backups, "openclaw:main")).not.toContain("live");
  });

  test("give a profile's text back to the byte", async () => {
    const { backups } = await open();
    await backups.save(entry("f1"), 1000);
    const [backup] = await backups.list(null);
    expect(backup).toMatchObject({ at: 1000, store: "openclaw:main", profile: "anthropic:claude-cli", fingerprint: "f1" });
    expect(backup?.image.reveal()).toBe(IMAGE);
  });

  test("are private files in a private directory", async () => {
    const { backups, directory } = await open();
    await backups.save(entry("f1"), 1000);
    for (const path of [join(directory, ".."), directory]) expect(statSync(path).mode & 0o777).toBe(0o700);
    const names = readdirSync(directory);
    expect(names).toHaveLength(1);
    for (const name of names) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
  });

  test("say nothing of what they hold in their names, and a listed one shows no secret", async () => {
    const { backups, directory } = await open();
    await backups.save(entry("f1"), 1000);
    expect(readdirSync(directory).join()).not.toContain("f1");
    expect(inspect(await backups.list(null), { depth: null })).not.toContain(secretPart("image"));
  });

  test("keep the same credential of the same profile once", async () => {
    const { backups } = await open();
    await backups.save(entry("f1"), 1000);
    await backups.save(entry("f1"), 2000);
    expect((await backups.list(null)).map(({ at }) => at)).toEqual([1000]);
    await backups.save(entry("f1", { profile: "anthropic:default" }), 3000);
    await backups.save(entry("f1", { store: "openclaw:ops" }), 3000);
    expect(await fingerprintsIn(backups)).toEqual(["f1", "f1", "f1"]);
  });

  test("keep it once for every issue where that is named, and give a profile's texts back, newest first", async () => {
    const { backups } = await open();
    await backups.save(entry("f1", { issue: asFingerprint("i1"), image: new Secret("1") }), 1000);
    await backups.save(entry("f1", { issue: asFingerprint("i2"), image: new Secret("2") }), 2000);
    await backups.save(entry("f1", { issue: asFingerprint("i1"), image: new Secret("3") }), 3000);
    await backups.save(entry("f1"), 3000);
    await backups.save(entry("f2", { profile: "anthropic:default" }), 3000);
    const images = await backups.imagesOf("openclaw:main", "anthropic:claude-cli");
    expect(images.map((image) => image.reveal())).toEqual(["2", "1"]);
    expect(await backups.imagesOf("openclaw:ops", "anthropic:claude-cli")).toEqual([]);
  });

  test("are listed newest first, of one store or of all", async () => {
    const { backups } = await open();
    await backups.save(entry("f2"), 2000);
    await backups.save(entry("f10"), 10_000);
    await backups.save(entry("f1", { store: "openclaw:ops" }), 1000);
    expect(await fingerprintsIn(backups)).toEqual(["f10", "f2", "f1"]);
    expect(await fingerprintsIn(backups, "openclaw:ops")).toEqual(["f1"]);
    expect(await fingerprintsIn(backups, "openclaw:nobody")).toEqual([]);
  });

  test("are five of a store once their credentials are spent", async () => {
    const { backups, spent } = await open();
    await backups.save(entry("other", { store: "openclaw:ops" }), 1);
    for (let index = 1; index <= 8; index++) {
      spent.add(`f${String(index)}`);
      await backups.save(entry(`f${String(index)}`), index * 1000);
    }
    expect(await fingerprintsIn(backups, "openclaw:main")).toEqual(["f8", "f7", "f6", "f5", "f4"]);
    expect(await fingerprintsIn(backups, "openclaw:ops")).toEqual(["other"]);
  });

  test("never lose one that is not known to be spent, however many there are", async () => {
    const { backups, spent } = await open();
    for (let index = 1; index <= 9; index++) await backups.save(entry(`f${String(index)}`), index * 1000);
    expect(await fingerprintsIn(backups)).toHaveLength(9);
    spent.add("f1").add("f3");
    await backups.save(entry("f10"), 10_000);
    expect(await fingerprintsIn(backups)).toEqual(["f10", "f9", "f8", "f7", "f6", "f5", "f4", "f2"]);
  });

  test("let an old copy go where the new one is of the same credential", async () => {
    const { backups } = await open();
    await backups.save(entry("same", { profile: "anthropic:old" }), 1);
    for (let index = 1; index <= 4; index++) await backups.save(entry(`f${String(index)}`), index * 1000);
    await backups.save(entry("same"), 9000);
    expect(await fingerprintsIn(backups)).toEqual(["same", "f4", "f3", "f2", "f1"]);
  });

  test("of a credential that is not known to be spent are kept once beyond five a store, not once a store", async () => {
    const { backups } = await open();
    const stores = Array.from({ length: 20 }, (_, index) => `openclaw:agent-${String(index)}`);
    for (let signIn = 1; signIn <= 8; signIn++) {
      await Promise.all(stores.map((store) => backups.save(entry(`f${String(signIn)}`, { store }), signIn * 1000)));
    }
    const kept = await fingerprintsIn(backups);
    expect(kept).toHaveLength(20 * 5 + 3);
    expect(kept.slice(-3)).toEqual(["f3", "f2", "f1"]);
    for (const store of stores)
      expect((await fingerprintsIn(backups, store)).slice(0, 5)).toEqual(["f8", "f7", "f6", "f5", "f4"]);
  });

  test("never rely on another file that only has the name of a copy", async () => {
    const { backups, directory } = await open();
    await backups.save(entry("f1"), 1000);
    const name = readdirSync(directory)[0] ?? "";
    writeFileSync(join(directory, name.replace("1000", "1")), '{"at":1}');
    for (let index = 2; index <= 8; index++) await backups.save(entry(`f${String(index)}`), index * 1000);
    expect(await fingerprintsIn(backups)).toContain("f1");
  });

  test("that are not there are none", async () => {
    const { backups } = await open();
    expect(await backups.list(null)).toEqual([]);
  });

  test("pass over a file that is none of theirs", async () => {
    const { backups, directory } = await open();
    await backups.save(entry("f1"), 1000);
    const name = readdirSync(directory)[0] ?? "";
    for (const [other, text] of [
      ["notes.txt", "hello"],
      [`1-${name}`, "{"],
      [name.replace("1000", "2000"), '{"at":"never"}'],
    ] as const)
      writeFileSync(join(directory, other), text);
    expect(await fingerprintsIn(backups)).toEqual(["f1"]);
    expect(await fingerprintsIn(backups, "openclaw:main")).toEqual(["f1"]);
  });
});

describe("a backup that cannot be made", () => {
  test("is a store's failure, so that this store alone is not written", async () => {
    const { backups, directory } = await open();
    await mkdir(join(directory, ".."), { recursive: true });
    writeFileSync(directory, "in the way");
    const error: unknown = await backups.save(entry("f1"), 1000).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({ message: expect.stringContaining(directory) as string });
    expect(inspect(error, { depth: null })).not.toContain(secretPart("image"));
    expect(readFileSync(directory, "utf8")).toBe("in the way");
  });

  test("for lack of space leaves nothing half written", async (context) => {
    const script = new URL("mounted.mjs", import.meta.url);
    const outcome = await runMounted(context, script, "backup-on-full-disk", await temporaryDirectory());
    expect(outcome).toEqual({ outcome: "no-space", left: [] });
  });

  test("because the ledger cannot say what is spent is not mistaken for one of the store", async () => {
    const { directory } = await open();
    const backups = new Backups(directory, new Leftovers(), () => Promise.reject(new TypeError("a bug")));
    for (let index = 1; index <= 4; index++) await backups.save(entry(`f${String(index)}`), index);
    await backups.save(entry("f5"), 5);
    await expect(backups.save(entry("f6"), 6)).rejects.toThrow(TypeError);
  });
});
