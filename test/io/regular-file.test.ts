import { appendFileSync, cpSync, readFileSync, renameSync, rmSync, utimesSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { chown, link, mkdir, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { FilesOfALook, isUnchanged, readRegularFile } from "../../src/io/regular-file.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const AN_HOUR_MS = 3_600_000;
const isRoot = process.geteuid?.() === 0;

async function newPath(): Promise<string> {
  return join(await temporaryDirectory(), "file");
}

describe("a regular file", () => {
  test("is read with what is known of it", async () => {
    const path = await newPath();
    await writeFile(path, "\u{feff}text é \u{1f511}", { mode: 0o640 });
    const { dev, ino, mtimeMs } = await stat(path);
    expect(await readRegularFile(path)).toEqual({
      text: "\u{feff}text é \u{1f511}",
      bytes: 15,
      realPath: path,
      identity: `${String(dev)}:${String(ino)}`,
      mode: 0o100640,
      changedAt: mtimeMs,
    });
  });

  test("is the same one under two names, and behind a link", async () => {
    const path = await newPath();
    await writeFile(path, "text");
    await link(path, `${path}.second`);
    await symlink(path, `${path}.link`);
    const files = await Promise.all([path, `${path}.second`, `${path}.link`].map((name) => readRegularFile(name)));
    expect(new Set(files.map((file) => file?.identity)).size).toBe(1);
    expect(files[2]?.realPath).toBe(path);
  });

  test.each([
    ["nothing", (path: string) => path],
    ["a link to nothing", (path: string) => `${path}.link`],
    ["something below a file", (path: string) => join(path, "..", "other", "below")],
  ])("that is %s is null", async (_what, name) => {
    const path = await newPath();
    await symlink(path, `${path}.link`);
    await writeFile(join(path, "..", "other"), "");
    expect(await readRegularFile(name(path))).toBeNull();
  });

  test("is read up to its limit and no further", async () => {
    const path = await newPath();
    await writeFile(path, "12345678");
    expect((await readRegularFile(path, 8))?.text).toBe("12345678");
    await expect(readRegularFile(path, 7)).rejects.toMatchObject({ code: "too-large" });
    await truncate(path, 5 * 1024 * 1024);
    await expect(readRegularFile(path)).rejects.toMatchObject({ code: "too-large" });
  });

  test.each<[string, (path: string) => unknown, string]>([
    ["a directory", (path) => mkdir(path), "not-a-file"],
    ["a pipe that nobody writes", (path) => execFileSync("mkfifo", [path]), "not-a-file"],
    ["a socket", listen, "not-a-file"],
    ["a device", (path) => symlink("/dev/zero", path), "not-a-file"],
    ["a link to itself", (path) => symlink(path, path), "symlink"],
    ["bytes that are no text", (path) => writeFile(path, Buffer.from([0xc3, 0x28])), "malformed"],
    ["half a character", (path) => writeFile(path, Buffer.from("é").subarray(0, 1)), "malformed"],
  ])("that is %s is refused, and says what to do", async (_what, make, code) => {
    const path = await newPath();
    await make(path);
    await expect(readRegularFile(path)).rejects.toMatchObject({ name: "StoreError", code, hint: expect.any(String) as string });
  });

  test("of another user is refused", async ({ skip }) => {
    if (!isRoot) skip("needs the right to give a file away");
    const path = await newPath();
    await writeFile(path, "text");
    await chown(path, 12_345, 12_345);
    await expect(readRegularFile(path)).rejects.toMatchObject({ code: "foreign-owner" });
  });
});

describe("a file that another program writes in place", () => {
  test("is read whole, or as one that has just changed", async () => {
    const path = await newPath();
    await writeFile(path, "");
    const writer = new Worker(new URL("./in-place-writer.mjs", import.meta.url), { workerData: path });
    onTestFinished(async () => {
      await writer.terminate();
    });
    await once(writer, "message");
    for (let whole = 0; whole < 2000;) {
      const file = await readRegularFile(path).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "torn" });
        return null;
      });
      if (file?.text.endsWith("end") === true) whole++;
      else if (file !== null) expect(Date.now() - file.changedAt).toBeLessThan(AN_HOUR_MS);
    }
  });
});

async function listen(path: string): Promise<void> {
  const server = createServer();
  onTestFinished(() => {
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

describe("a file that was read", () => {
  const cases: readonly (readonly [string, boolean, (path: string) => void])[] = [
    ["nothing happened", true, () => undefined],
    ["it was read again", true, (path) => void readFileSync(path)],
    [
      "something was written into it",
      false,
      (path) => {
        appendFileSync(path, "more");
      },
    ],
    [
      "as many bytes were written into it, at another time",
      false,
      (path) => {
        utimesSync(path, 1, 1);
      },
    ],
    [
      "another was put in its place",
      false,
      (path) => {
        renameSync(copyOf(path), path);
      },
    ],
    [
      "it was removed",
      false,
      (path) => {
        rmSync(path);
      },
    ],
  ];
  const copyOf = (path: string): string => {
    cpSync(path, `${path}.copy`, { preserveTimestamps: true });
    return `${path}.copy`;
  };

  test.each(cases)("since when %s is unchanged: %s", async (_, expected, happens) => {
    const path = join(await temporaryDirectory(), "file");
    await writeFile(path, "text");
    const file = await readRegularFile(path);
    happens(path);
    expect(isUnchanged(path, file)).toBe(expected);
  });

  test("and was absent is unchanged while it is absent", async () => {
    const path = join(await temporaryDirectory(), "file");
    expect(isUnchanged(path, null)).toBe(true);
    await writeFile(path, "text");
    expect(isUnchanged(path, null)).toBe(false);
  });
});

describe("the files of a scan", () => {
  test("are read once, there or not, whatever happens to them meanwhile", async () => {
    const [path, absent] = [await newPath(), await newPath()];
    await writeFile(path, "text");
    const files = new FilesOfALook();
    const first = await files.read(path);
    expect(first?.text).toBe("text");
    expect(await files.read(absent)).toBeNull();
    await writeFile(path, "other");
    await writeFile(absent, "text");
    expect(await files.read(path)).toBe(first);
    expect(await files.read(absent)).toBeNull();
  });

  test("are read again at the next scan", async () => {
    const path = await newPath();
    await writeFile(path, "text");
    const files = new FilesOfALook();
    const first = await files.read(path);
    files.forget();
    expect(await files.read(path)).not.toBe(first);
  });
});
