import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const deploy = (script: string): string => join(ROOT, "deploy", script);
const PACKING_TIMEOUT_MS = 240_000;

/** `npm pack` of this checkout. */
async function packed(): Promise<string> {
  const directory = await temporaryDirectory();
  await run("npm", ["pack", "--silent", "--pack-destination", directory], { cwd: ROOT });
  const [name] = await readdir(directory);
  return join(directory, name ?? "");
}

async function version(): Promise<string> {
  return (JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { version: string }).version;
}

describe("install.sh", () => {
  test(
    "installs a tarball that is what it must be, again, and removes it; nothing else of the prefix is touched",
    async () => {
      const tarball = await packed();
      const prefix = await temporaryDirectory();
      await writeFile(join(prefix, "mine"), "stays");
      const install = (...args: string[]): Promise<{ stdout: string }> =>
        run("sh", [deploy("install.sh"), "--prefix", prefix, "--tarball", tarball, ...args]);

      await expect(install()).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("nothing says what") as string });
      await expect(install("--sha256", "0".repeat(64))).rejects.toMatchObject({
        stderr: expect.stringContaining("its checksum differs") as string,
      });
      expect(await readdir(prefix)).toEqual(["mine"]);

      const sum = createHash("sha256")
        .update(await readFile(tarball))
        .digest("hex");
      await writeFile(`${tarball}.sha256`, `${sum}  credsyncd.tgz\n`);
      for (let time = 0; time < 2; time++) expect((await install()).stdout).toContain(`installed credsyncd ${await version()}: `);
      const { stdout } = await run(join(prefix, "bin", "credsyncd"), ["--version"]);
      expect(stdout.trim()).toBe(await version());
      const shared = [
        "bash-completion/completions/credsyncd",
        "zsh/site-functions/_credsyncd",
        "fish/vendor_completions.d/credsyncd.fish",
      ];
      for (const file of [...shared, "man/man1/credsyncd.1"]) expect(existsSync(join(prefix, "share", file)), file).toBe(true);

      await run("sh", [deploy("uninstall.sh"), "--prefix", prefix]);
      const left = await readdir(prefix, { recursive: true, withFileTypes: true });
      expect(left.filter((entry) => !entry.isDirectory()).map(({ name }) => name)).toEqual(["mine"]);
    },
    PACKING_TIMEOUT_MS,
  );

  test("says what is wrong with its arguments", async () => {
    await expect(run("sh", [deploy("install.sh"), "--perfix", "/x"])).rejects.toMatchObject({
      stderr: expect.stringContaining("unknown argument --perfix") as string,
    });
    expect((await run("sh", [deploy("install.sh"), "--help"])).stdout).toMatch(/^Puts credsyncd below a prefix/);
  });
});

describe.skipIf(spawnSync("dpkg-deb", ["--version"]).status !== 0)("the Debian package", () => {
  let debian = "";
  const inFreshRoot = async (script: string): Promise<string> => {
    const root = fileURLToPath(new URL("./in-fresh-root", import.meta.url));
    const { stdout, stderr } = await run(root, [
      debian,
      "sh",
      "-ec",
      `dpkg --force-depends -i /tmp/package >/dev/null 2>&1\n${script}`,
    ]);
    return `${stdout}${stderr}`;
  };

  beforeAll(async () => {
    const output = join(ROOT, "node_modules", ".cache", "credsyncd-deb");
    await run("rm", ["-rf", output]);
    await run("sh", [deploy("build-deb.sh"), "--output", output]);
    const [name] = await readdir(output);
    debian = join(output, name ?? "");
  }, PACKING_TIMEOUT_MS);

  test("runs from where it is installed", async () => {
    const told = await inFreshRoot("credsyncd --version; credsyncd demo");
    expect(told).toContain(`${await version()}\n`);
    expect(told).toMatch(/research +generation 2\n/);
  });

  test("has units that systemd has nothing to say about, with the manual that they name", async () => {
    const told = await inFreshRoot(`
      systemd-analyze verify --user /usr/lib/systemd/user/credsyncd.service
      systemd-analyze verify /usr/lib/systemd/system/credsyncd@.service
      man --where credsyncd`);
    expect(told).toBe("/usr/share/man/man1/credsyncd.1.gz\n");
  });

  test("has completions where the shells look", async () => {
    const files =
      "bash-completion/completions/credsyncd zsh/vendor-completions/_credsyncd fish/vendor_completions.d/credsyncd.fish";
    const told = await inFreshRoot(`cd /usr/share; for file in ${files}; do test -s $file; done
      bash -c 'source bash-completion/completions/credsyncd; complete -p credsyncd'`);
    expect(told).toBe("complete -o default -F _credsyncd credsyncd\n");
  });

  test("is removed without a trace", async () => {
    const told = await inFreshRoot(`dpkg --purge credsyncd >/dev/null
      find /usr /etc /lib/systemd -name '*credsyncd*' -not -path '*/node_modules/*'`);
    expect(told).toBe("");
  });

  test("belongs to root, and may be read by everyone and written by no one else", async () => {
    const { stdout } = await run("dpkg-deb", ["--contents", debian], { maxBuffer: 16 * 1024 * 1024 });
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.filter((line) => /^[d-](?:.{4}w|.{7}w)/.test(line))).toEqual([]);
    expect(lines.filter((line) => !line.includes(" root/root "))).toEqual([]);
  });
});

test.skipIf(spawnSync("shellcheck", ["--version"]).status !== 0)("shellcheck has nothing to say about the scripts", async () => {
  const scripts = ["install.sh", "uninstall.sh", "build-deb.sh"].map(deploy);
  const own = ["in-systemd", "in-fresh-root"].map((name) => fileURLToPath(new URL(name, import.meta.url)));
  expect((await run("shellcheck", [...scripts, ...own])).stdout).toBe("");
});
