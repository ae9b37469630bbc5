import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { refuseForeignPlace } from "../../src/io/own-place.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const ALICE = 12345;
const BOB = 12346;
const isRoot = process.getuid?.() === 0;

function askedAs(uid: number, path: string, home: string): string {
  const script = fileURLToPath(new URL("own-place-as.mjs", import.meta.url));
  return execFileSync(process.execPath, [script, String(uid), path, home], { encoding: "utf8" });
}

/** A home with a directory in it. */
async function homeOf(uid: number, ownerOfConfig = uid): Promise<string> {
  const home = await temporaryDirectory();
  await chmod(home, 0o755);
  await mkdir(join(home, ".config"));
  if (uid !== 0) await chown(home, uid, uid);
  if (ownerOfConfig !== 0) await chown(join(home, ".config"), ownerOfConfig, ownerOfConfig);
  return home;
}

describe.skipIf(!isRoot)("a place to create", () => {
  test.each([
    ["in one's own home", ALICE, ALICE, ALICE, "done"],
    ["in a home of root's, as images have it for any user", 0, ALICE, ALICE, "done"],
    ["below a directory of root's in one's own home", ALICE, 0, ALICE, "done"],
    ["by root in root's home", 0, 0, 0, "done"],
    ["by root in another's home", ALICE, ALICE, 0, /^permission: .* belongs to user 12345, not to .*sudo -u '#12345' -H/],
    ["by root in what root made in another's home before", ALICE, 0, 0, /^permission: the home directory .*sudo -H credsyncd/],
    ["by another user in somebody's home", ALICE, ALICE, BOB, /^permission: .*set HOME to your own/],
    ["in another user's directory in one's own home", ALICE, BOB, ALICE, /^permission: .*\.config belongs to user 12346/],
  ])("%s", async (_where, owner, ownerOfConfig, uid, outcome) => {
    const home = await homeOf(owner, ownerOfConfig);
    expect(askedAs(uid, join(home, ".config", "credsyncd", "config.json5"), home)).toMatch(outcome);
  });

  test("elsewhere is the other user's, too, where that is what the place names", async () => {
    const [own, theirs] = [await homeOf(ALICE), await homeOf(BOB)];
    expect(askedAs(ALICE, join(theirs, "state", "credsyncd"), own)).toMatch(/^permission: .*XDG_STATE_HOME/);
  });

  test("behind a link is judged by what the link leads to", async () => {
    const [own, theirs] = [await homeOf(ALICE), await homeOf(BOB)];
    await symlink(theirs, join(own, "link"));
    expect(askedAs(ALICE, join(own, "link", "credsyncd"), own)).toMatch(/^permission: /);
  });
});

describe("a home that is none", () => {
  test("is refused where something would be made in it, and only there", async () => {
    const directory = await temporaryDirectory();
    const home = join(directory, "gone");
    const refused = expect.objectContaining({ code: "config", message: `the home directory ${home} does not exist` }) as Error;
    expect(() => {
      refuseForeignPlace(join(home, ".local", "state"), home);
    }).toThrow(refused);
    refuseForeignPlace(join(directory, "state"), home);
    await writeFile(home, "");
    expect(() => {
      refuseForeignPlace(join(home, ".config"), home);
    }).toThrow("is no directory");
  });
});
