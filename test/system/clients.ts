import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** The versions that the real programs are tried with. */
export const VERSIONS = { node: "24", openclaw: "2026.4.15", claude: "2.1.329" } as const;

/** Where the real programs are. */
export interface Clients {
  /** A node that this OpenClaw runs on. */
  readonly node: string;
  readonly openclaw: string;
  readonly claude: string;
}

/** Kept between runs: the programs take about 900 MB. */
const CACHE = process.env["CREDSYNCD_REAL_CLIENTS"] ?? join(homedir(), ".cache", "credsyncd-real-clients");
const PLATFORM = `${process.platform}-${process.arch}`;
/** The packages that hold the programs themselves; their parents fetch them in install scripts, which are not run. */
const NODE_PACKAGE = `node-${PLATFORM}`;
const CLAUDE_PACKAGE = `@anthropic-ai/claude-code-${PLATFORM}`;

/**
 * Installs the real programs, each into a folder of its own in the cache, unless they are there.
 *
 * @throws Error where npm cannot install one; its message says which and why
 */
export async function installClients(): Promise<Clients> {
  const node = await install("node", VERSIONS.node, `${NODE_PACKAGE}@${VERSIONS.node}`);
  const claude = await install("claude", VERSIONS.claude, `${CLAUDE_PACKAGE}@${VERSIONS.claude}`);
  const openclaw = await install("openclaw", VERSIONS.openclaw, `openclaw@${VERSIONS.openclaw}`, await replacements());
  return {
    node: join(node, "node_modules", NODE_PACKAGE, "bin", "node"),
    claude: join(claude, "node_modules", CLAUDE_PACKAGE, "claude"),
    openclaw: join(openclaw, "node_modules", "openclaw", "openclaw.mjs"),
  };
}

async function install(
  name: string,
  version: string,
  specifier: string,
  overrides: Readonly<Record<string, string>> = {},
): Promise<string> {
  const directory = join(CACHE, `${name}-${version}-${PLATFORM}`);
  if (existsSync(directory)) return directory;
  await mkdir(CACHE, { recursive: true });
  const part = await mkdtemp(`${directory}.part-`);
  try {
    await writeFile(join(part, "package.json"), JSON.stringify({ name: "real-client", private: true, overrides }));
    const quietly = ["--no-audit", "--no-fund", "--ignore-scripts"];
    await promisify(execFile)("npm", ["install", ...quietly, "--save-exact", specifier], { cwd: part });
    await rename(part, directory);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    const told = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
    const reason = told.split("\n").find((line) => line.startsWith("npm error")) ?? told.split("\n")[0] ?? "";
    throw new Error(`${name} ${version} cannot be installed: ${reason}`, { cause: error });
  }
  return directory;
}

/** Two of OpenClaw's dependencies are not in the registry: one lives in git, one was taken down. Neither touches logins. */
async function replacements(): Promise<Record<string, string>> {
  const stub = join(CACHE, "libsignal-stub");
  await mkdir(join(stub, "src"), { recursive: true });
  await writeFile(join(stub, "package.json"), JSON.stringify({ name: "libsignal", version: "2.0.1", main: "index.js" }));
  await writeFile(join(stub, "index.js"), "module.exports = {};\n");
  const names = [
    "calculateSignature",
    "verifySignature",
    "generateKeyPair",
    "calculateMAC",
    "decrypt",
    "encrypt",
    "deriveSecrets",
  ];
  const functions = names.map((name) => `exports.${name} = () => { throw new Error("left out"); };\n`).join("");
  for (const file of ["curve.js", "crypto.js"]) await writeFile(join(stub, "src", file), functions);
  return { libsignal: `file:${stub}`, "@whiskeysockets/libsignal-node": `file:${stub}`, cssomnom: "npm:cssom@0.5.0" };
}
