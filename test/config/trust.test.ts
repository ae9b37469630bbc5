import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { distrustIn, type Standing, type Trust } from "../../src/config/trust.js";
import { credsyncd } from "../support/command-line.js";
import { environmentIn } from "../support/environment.js";
import { runMounted } from "../support/mount-namespace.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { TemporaryHome } from "../support/temporary-home.js";

const [ME, ROOT, OTHER] = [1000, 0, 1001];
const [MY_OWN, STAFF] = [1000, 20];
const me: Trust = { uid: ME, isOwnGroup: (gid) => gid === MY_OWN, isReadOnly: () => false };

function standing(what: "file" | "directory", uid: number, mode: number, gid = MY_OWN): Standing {
  return { path: "/c", isDirectory: what === "directory", uid, gid, mode };
}

describe("a configuration file, or its directory,", () => {
  test.each<[owner: number, mode: number, gid: number, why: RegExp | null]>([
    [ME, 0o600, MY_OWN, null],
    [ME, 0o644, MY_OWN, null],
    [ME, 0o644, STAFF, null],
    [ROOT, 0o644, ROOT, null],
    [ME, 0o664, MY_OWN, null],
    [ME, 0o664, STAFF, /^\/c is 0664, so that its group \(20\) may change it: /],
    [ROOT, 0o664, STAFF, /its group \(20\) may change it/],
    [ME, 0o606, MY_OWN, /^\/c is 0606, so that everyone may change it: /],
    [ME, 0o666, MY_OWN, /everyone may change it/],
    [ME, 0o662, MY_OWN, /everyone may change it/],
    [ROOT, 0o666, ROOT, /everyone may change it/],
    [OTHER, 0o600, MY_OWN, /^\/c belongs to user 1001, who is neither this user nor root: /],
    [OTHER, 0o644, OTHER, /belongs to user 1001/],
  ])("of user %i, with mode %o and group %i", (uid, mode, gid, why) => {
    for (const what of ["file", "directory"] as const) {
      const distrust = distrustIn(standing(what, uid, mode, gid), me);
      if (why === null) expect(distrust).toBeNull();
      else {
        expect(distrust?.reason).toMatch(why);
        expect(distrust?.hint).toMatch(uid === OTHER ? /chown 1000 \/c$/ : /chmod go-w \/c$/);
      }
    }
  });

  test("of a sticky directory, where only the owner replaces a file, is trusted; a sticky file is not", () => {
    expect(distrustIn(standing("directory", ROOT, 0o1777, ROOT), me)).toBeNull();
    expect(distrustIn(standing("file", ROOT, 0o1777, ROOT), me)).not.toBeNull();
    expect(distrustIn(standing("directory", OTHER, 0o1777, ROOT), me)).not.toBeNull();
  });

  test("that nobody can write, whatever its mode says, is trusted, unless it is somebody else's", () => {
    const mounted = { ...me, isReadOnly: () => true };
    expect(distrustIn(standing("directory", ROOT, 0o777, ROOT), mounted)).toBeNull();
    expect(distrustIn(standing("directory", OTHER, 0o777, ROOT), mounted)).not.toBeNull();
  });

  test("of root's own run is root's alone", () => {
    const root = { ...me, uid: ROOT };
    expect(distrustIn(standing("file", ROOT, 0o600, ROOT), root)).toBeNull();
    expect(distrustIn(standing("file", ME, 0o600), root)?.hint).toMatch(/chown 0 \/c$/);
  });
});

/** A home whose configuration lets a command run as soon as an alert is raised. */
async function homeWithCommand(): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents: ["main"] });
  await home.writeConfig(`{ alerts: { command: ["touch", ${JSON.stringify(home.at("ran"))}] } }`);
  return home;
}

describe("a configuration that others can have written is refused as a whole", () => {
  test("as a file that everyone may write, with the command that mends it", async () => {
    const home = await homeWithCommand();
    await chmod(home.configFile, 0o646);
    const { code, stdout, stderr } = await credsyncd(home, ["sync"]);
    expect({ code, stdout }).toEqual({ code: 78, stdout: "" });
    expect(stderr).toMatch(/^credsyncd: error: the configuration cannot be used: .*config\.json5 is 0646, so that everyone may /);
    expect(stderr).toContain(`chmod go-w ${home.configFile}`);
    await chmod(home.configFile, 0o644);
    expect((await credsyncd(home, ["sync"])).code).toBe(0);
  });

  test("in a directory that everyone may write", async () => {
    const home = await homeWithCommand();
    await chmod(dirname(home.configFile), 0o777);
    const { code, stderr } = await credsyncd(home, ["config", "check"]);
    expect(code).toBe(78);
    expect(stderr).toContain(`chmod go-w ${dirname(home.configFile)}`);
  });

  test("behind a link into such a directory", async () => {
    const home = await homeWithCommand();
    const [open, link] = [home.at("open"), home.at("link.json5")];
    await mkdir(open);
    await chmod(open, 0o777);
    await writeFile(join(open, "real.json5"), "{}");
    await symlink(join(open, "real.json5"), link);
    await expect(loadConfig(link, environmentIn(home.path))).rejects.toThrow(`${open} is 0777`);
    await chmod(open, 0o755);
    await expect(loadConfig(link, environmentIn(home.path))).resolves.toMatchObject({ path: link });
  });

  test.skipIf(process.getuid?.() !== 0).each(["file", "directory"])("as a %s of somebody else's", async (what) => {
    const home = await homeWithCommand();
    const path = what === "file" ? home.configFile : dirname(home.configFile);
    await chown(path, 12345, 12345);
    await expect(loadConfig(null, environmentIn(home.path))).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining(`${path} belongs to user 12345`) as string,
      hint: expect.stringContaining(`chown 0 ${path}`) as string,
    });
  });

  test("and doctor names it as the one thing that is wrong, and leaves it for a person to look at", async () => {
    const home = await homeWithCommand();
    await chmod(home.configFile, 0o666);
    const { code, stdout } = await credsyncd(home, ["doctor", "--fix"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^error +config: .*config\.json5 is 0666/m);
    expect(stdout).toMatch(/chmod go-w \/.*config\.json5/);
    expect((await credsyncd(home, ["sync"])).code).toBe(78);
  });

  test("but not on a file system that is mounted read-only, as a ConfigMap is", async (context) => {
    const script = new URL("mounted-config.mjs", import.meta.url);
    expect(await runMounted(context, script, await temporaryDirectory())).toEqual({ writable: "refused", readOnly: "taken" });
  });
});
