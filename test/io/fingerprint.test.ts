import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/domain/secret.js";
import { createKey, ephemeralKey, readKey } from "../../src/io/fingerprint.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

describe("a fingerprint", () => {
  test("is equal for equal secrets under one key, and says nothing of the secret", () => {
    const { fingerprintOf } = ephemeralKey();
    const name = fingerprintOf(new Secret("a token"));
    expect(fingerprintOf(new Secret("a token"))).toBe(name);
    expect(fingerprintOf(new Secret("a token "))).not.toBe(name);
    expect(name).toMatch(/^[0-9a-f]{32}$/);
  });

  test("is another one under another key", () => {
    const [left, right] = [ephemeralKey(), ephemeralKey()];
    expect(left.id).not.toBe(right.id);
    expect(left.fingerprintOf(new Secret("a token"))).not.toBe(right.fingerprintOf(new Secret("a token")));
  });
});

describe("the key of a state directory", () => {
  test("is none before it was made, and the same whenever it is read after that", async () => {
    const path = join(await temporaryDirectory(), "key");
    expect(await readKey(path)).toBeNull();
    const made = await createKey(path);
    const read = await readKey(path);
    expect(read?.id).toBe(made.id);
    expect(read?.fingerprintOf(new Secret("a token"))).toBe(made.fingerprintOf(new Secret("a token")));
  });

  test("is readable by its user alone, and its name does not give it away", async () => {
    const path = join(await temporaryDirectory(), "key");
    const { id } = await createKey(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).not.toContain(id);
  });

  test("is never made over another one", async () => {
    const path = join(await temporaryDirectory(), "key");
    await createKey(path);
    const before = await readFile(path, "utf8");
    await expect(createKey(path)).rejects.toMatchObject({ code: "EEXIST" });
    expect(await readFile(path, "utf8")).toBe(before);
  });

  test("that cannot be read for a moment is not to be removed", async () => {
    // Nothing has a name as long, and the system says so with an error of its own.
    const path = join(await temporaryDirectory(), "x".repeat(300));
    await expect(readKey(path)).rejects.toMatchObject({
      code: "general",
      hint: expect.stringMatching(/^it is tried again/) as string,
    });
  });

  test("is made by one of many at once, and is read whole or not at all", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "key");
    const look = async (): Promise<string | null> => (await readKey(path))?.id ?? null;
    const [made, seen] = await Promise.all([
      Promise.allSettled(Array.from({ length: 10 }, () => createKey(path))),
      Promise.all(Array.from({ length: 50 }, look)),
    ]);
    expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const id = await look();
    expect(seen.filter((other) => other !== null && other !== id)).toEqual([]);
    expect(await readdir(directory)).toEqual(["key"]);
  });

  test.each(["", "abc", "0".repeat(63), `${"0".repeat(64)}\nmore`, "G".repeat(64)])(
    "that is %j is a failure that says what to do, and is left as it is",
    async (text) => {
      const path = join(await temporaryDirectory(), "key");
      await writeFile(path, text);
      await expect(readKey(path)).rejects.toMatchObject({ code: "bad-data", hint: expect.any(String) as string });
      expect(await readFile(path, "utf8")).toBe(text);
    },
  );
});
