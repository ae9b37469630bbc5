import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const FIXTURES = fileURLToPath(new URL("../fixtures", import.meta.url));
/** The home that the real programs had. */
const ORIGINAL_HOME = "/home/user/";

/** The versions of OpenClaw whose state directories are kept. */
export type OpenclawVersion = "2026.3.11" | "2026.4.15" | "2026.5.28" | "2026.6.11" | "2026.9.6";

/** The text of a Claude Code file. */
export function readClaudeFixture(name: string): Promise<string> {
  return readFile(join(FIXTURES, "claude", `${name}.credentials.json`), "utf8");
}

/** Gives a home the OpenClaw of a version, with its paths pointing there, and returns the state directory. */
export async function copyOpenclaw(version: OpenclawVersion, home: string): Promise<string> {
  const stateDirectory = join(home, ".openclaw");
  await copyDirectory(join(FIXTURES, "openclaw", version, "dot-openclaw"), stateDirectory);
  const config = join(stateDirectory, "openclaw.json");
  const text = await readFile(config, "utf8");
  await writeFile(config, text.replaceAll(ORIGINAL_HOME, `${home}/`));
  return stateDirectory;
}

/** Copies files as their programs leave them: private, and databases unpacked. */
async function copyDirectory(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyDirectory(source, target);
    else if (entry.name.endsWith(".gz")) await unpack(source, target.slice(0, -".gz".length));
    else {
      await copyFile(source, target);
      await chmod(target, 0o600);
    }
  }
}

async function unpack(from: string, to: string): Promise<void> {
  await writeFile(to, gunzipSync(await readFile(from)), { mode: 0o600 });
}
