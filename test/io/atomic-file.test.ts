import { chmodSync, chownSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { link, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { replaceFile } from "../../src/io/atomic-file.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { runMounted } from "../support/mount-namespace.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** Options without any obstacle, in this process. */
const always = { isStillWanted: () => true, discard: new Leftovers().discard };
const mounted = new URL("mounted.mjs", import.meta.url);

describe("replacing a file", () => {
  test("leaves the old one, and nothing else, where it is refused at the last moment", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "file");
    writeFileSync(path, "old");
    expect(await replaceFile(path, "new", { ...always, isStillWanted: () => false })).toBe(false);
    expect([readdirSync(directory), readFileSync(path, "utf8")]).toEqual([["file"], "old"]);
  });

  test("makes it where there is none, private, and leaves nothing else", async () => {
    const directory = await temporaryDirectory();
    await replaceFile(join(directory, "file"), "new", always);
    expect(readFileSync(join(directory, "file"), "utf8")).toBe("new");
    expect(statSync(join(directory, "file")).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(["file"]);
  });

  test("makes a readable one private", async () => {
    const path = join(await temporaryDirectory(), "file");
    writeFileSync(path, "old");
    chmodSync(path, 0o664);
    await replaceFile(path, "new", always);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("leaves the old content to whoever has it open, or linked", async () => {
    const path = join(await temporaryDirectory(), "file");
    writeFileSync(path, "old");
    await link(path, `${path}.link`);
    await replaceFile(path, "new", always);
    expect(readFileSync(`${path}.link`, "utf8")).toBe("old");
  });

  test.skipIf(process.getuid?.() !== 0)("leaves it with its owner and group", async () => {
    const path = join(await temporaryDirectory(), "file");
    writeFileSync(path, "old");
    chownSync(path, 12345, 23456);
    await replaceFile(path, "new", always);
    expect(await stat(path)).toMatchObject({ uid: 12345, gid: 23456 });
  });

  test("leaves nothing behind where it fails", async () => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "file"));
    await expect(replaceFile(join(directory, "file"), "new", always)).rejects.toMatchObject({ code: "EISDIR" });
    expect(readdirSync(directory)).toEqual(["file"]);
    await expect(replaceFile(join(directory, "gone", "file"), "new", always)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("many times at once leaves one of the texts whole", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "file");
    const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(5000));
    await Promise.all(texts.map((text) => replaceFile(path, text, always)));
    expect(texts).toContain(readFileSync(path, "utf8"));
    expect(readdirSync(directory)).toEqual(["file"]);
  });

  test("keeps the old content on a disk that takes only part of the new", async (context) => {
    expect(await runMounted(context, mounted, "replace-on-full-disk", await temporaryDirectory())).toMatchObject({
      outcome: "ENOSPC",
      text: "old".repeat(1000),
      beside: ["file", "filler"],
    });
  });

  test("changes nothing on a file system that is read-only", async (context) => {
    const outcome = await runMounted(context, mounted, "replace-read-only", await temporaryDirectory());
    expect(outcome).toMatchObject({ outcome: "EROFS", text: "old", beside: ["file"] });
  });
});

describe("what could not be put in a file's place", () => {
  test.for([
    ["nor removed, on a file system that became read-only", "replace-read-only-meanwhile", "EROFS"],
    ["as it was not wanted any more, nor removed", "replace-unwanted-read-only", "done"],
  ] as const)("%s, is kept in mind and removed later", async ([, scenario, outcome], context) => {
    const directory = await temporaryDirectory();
    expect(await runMounted(context, mounted, scenario, directory)).toEqual({
      outcome,
      text: "old",
      left: 2,
      stuck: [expect.stringMatching(/^cannot write .*\.tmp: the file system is read-only$/) as string],
      stuckAfter: [],
      after: ["file"],
    });
  });
});

describe("replacing a file that is a mount of its own", () => {
  test("writes it in place, longer or shorter, and makes it private", async (context) => {
    const { before, seen } = (await runMounted(context, mounted, "replace-bound", await temporaryDirectory())) as {
      before: number;
      seen: unknown[];
    };
    const expected = { inode: before, mode: "600", beside: ["file"] };
    expect(seen).toEqual([
      { ...expected, text: "a longer text than before" },
      { ...expected, text: "short" },
    ]);
  });

  test("makes it private before anything of the new text is in it, and leaves the old one where that is refused", async (context) => {
    const outcome = await runMounted(context, mounted, "replace-bound-readable", await temporaryDirectory());
    expect(outcome).toEqual({ modes: ["600", "600"], texts: ["done", "a longer text", "EPERM", "old"] });
  });

  test("is whole also where the system takes the new text by halves, or but the first half", async (context) => {
    expect(await runMounted(context, mounted, "replace-bound-by-halves", await temporaryDirectory())).toEqual([
      { outcome: "done", text: "new ".repeat(10) },
      { outcome: "ENOSPC", text: "new ".repeat(10) },
    ]);
  });

  test("keeps the old content where there is no room for the new", async (context) => {
    expect(await runMounted(context, mounted, "replace-bound-on-full-disk", await temporaryDirectory())).toMatchObject({
      outcome: "ENOSPC",
      text: "old".repeat(1000),
    });
  });
});
