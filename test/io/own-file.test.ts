import { execFile, spawnSync } from "node:child_process";
import { readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { removeOwnLeftovers, replaceOwnFile } from "../../src/io/own-file.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const canLimit = spawnSync("prlimit", ["--version"]).status === 0;

describe("a file of credsyncd's own", () => {
  test("is replaced as a whole, private, and alone in its directory", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "file");
    await writeFile(path, "old", { mode: 0o644 });
    await replaceOwnFile(path, "new");
    expect(await readFile(path, "utf8")).toBe("new");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(["file"]);
  });

  test("is replaced where a link leads", async () => {
    const [directory, other] = [await temporaryDirectory(), await temporaryDirectory()];
    await writeFile(join(other, "file"), "old");
    await symlink(join(other, "file"), join(directory, "link"));
    await replaceOwnFile(join(directory, "link"), "new");
    expect(await readFile(join(other, "file"), "utf8")).toBe("new");
    expect(await readdir(other)).toEqual(["file"]);
  });

  test.skipIf(!canLimit)("stays as it was where the system takes a part of the new one alone", async () => {
    const script = fileURLToPath(new URL("faulty.mjs", import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script, "short-write", await temporaryDirectory()]);
    expect(JSON.parse(stdout)).toEqual({
      replaced: expect.stringMatching(/^EFBIG/) as string,
      left: ["file"],
      text: "old",
    });
  });

  test("leaves two names behind at the most when it is killed, and both are removed", async () => {
    const directory = await temporaryDirectory();
    const half = "file.credsyncd-01234567-0123-0123-0123-0123456789ab.tmp";
    for (const name of ["file", half, `${half}.123456789`, "file.1234567", `other.${half}`])
      await writeFile(join(directory, name), "");
    removeOwnLeftovers(directory, new Leftovers(), "file");
    expect((await readdir(directory)).sort()).toEqual(["file", `other.${half}`]);
  });
});
