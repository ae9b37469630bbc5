import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** The Claude Codes that are tried; the first is the one beside OpenClaw. */
export const CLAUDE_VERSIONS = ["2.1.332", "2.1.329"] as const;
export const CLAUDE_VERSION = CLAUDE_VERSIONS[0];
/** Every OpenClaw that is tried needs a Node with `node:sqlite`; they run on this one, whatever runs the tests. */
const NODE_VERSION = "24";

/** The differences between versions before and after a change. */
interface Peculiarity {
  /** A gateway that was not told writes its old snapshot over the stores (up to 2026.3.22). */
  readonly reverts?: true;
  /** A gateway refuses the reload to a device that spoke to it with less rights before. */
  readonly wantsPairing?: true;
  /** An agent's own login gives way to a later one of main's, whosever it is (seen up to 2026.4.15). */
  readonly comparesNoAccounts?: true;
  /** It even writes main's over the agent's own in its file. */
  readonly overwritesOwn?: true;
  /** A gateway's turn may fail in the last five minutes: it asks no server, and cannot store a "new" login that is the old one. */
  readonly failsEarly?: true;
  /** A gateway does not read its stores again when its login has ended, so that the command line makes the turn itself. */
  readonly keepsEnded?: true;
  /** A refresh that fails leaves a marker instead of the tokens (from 2026.9.4). */
  readonly fences?: true;
}

/** One OpenClaw of each era; the first eras keep logins in the same way. */
export const OPENCLAWS = [
  { version: "2026.2.26", era: "json", has: { reverts: true, keepsEnded: true, comparesNoAccounts: true } },
  { version: "2026.4.15", era: "json", has: { comparesNoAccounts: true, overwritesOwn: true } },
  { version: "2026.6.11", era: "sqlite", has: { wantsPairing: true, failsEarly: true } },
  { version: "2026.8.2", era: "sqlite-shared", has: {} },
  { version: "2026.9.6", era: "sqlite-fenced", has: { fences: true } },
] as const satisfies readonly { readonly version: string; readonly era: string; readonly has: Peculiarity }[];
export type OpenclawRelease = (typeof OPENCLAWS)[number] & { readonly has: Peculiarity };

/** A program that is there, or why it is not. */
export type Found<Program> = Program | { readonly missing: string };

/** An OpenClaw, and the node that it runs on. */
export interface OpenclawProgram {
  readonly node: string;
  readonly script: string;
}

/** The paths of the real programs. */
export interface Clients {
  readonly claude: Readonly<Record<(typeof CLAUDE_VERSIONS)[number], Found<{ readonly binary: string }>>>;
  readonly openclaw: Readonly<Record<OpenclawRelease["version"], Found<OpenclawProgram>>>;
}

/** Kept between runs: the programs take about 4 GB. */
const CACHE = process.env["CREDSYNCD_REAL_CLIENTS"] ?? join(homedir(), ".cache", "credsyncd-real-clients");
const PLATFORM = `${process.platform}-${process.arch}`;
/** The packages that hold the programs themselves; their parents fetch them in install scripts, which are not run. */
const NODE_PACKAGE = `node-${PLATFORM}`;
const CLAUDE_PACKAGE = `@anthropic-ai/claude-code-${PLATFORM}`;

/** Installs the real programs, each into a folder of its own in the cache, unless they are there. */
export async function installClients(): Promise<Clients> {
  const claude: Record<string, Found<{ readonly binary: string }>> = {};
  for (const version of CLAUDE_VERSIONS) {
    claude[version] = await found(async () => {
      const directory = await install("claude", version, `${CLAUDE_PACKAGE}@${version}`);
      return { binary: join(directory, "node_modules", CLAUDE_PACKAGE, "claude") };
    });
  }
  const openclaw: Record<string, Found<OpenclawProgram>> = {};
  for (const { version } of OPENCLAWS) openclaw[version] = await found(() => installOpenclaw(version));
  return { claude: claude as Clients["claude"], openclaw: openclaw as Clients["openclaw"] };
}

async function found<Program>(installation: () => Promise<Program>): Promise<Found<Program>> {
  try {
    return await installation();
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

async function installOpenclaw(version: string): Promise<OpenclawProgram> {
  const node = await install("node", NODE_VERSION, `${NODE_PACKAGE}@${NODE_VERSION}`);
  const directory = await install("openclaw", version, `openclaw@${version}`, await replacements());
  return {
    node: join(node, "node_modules", NODE_PACKAGE, "bin", "node"),
    script: join(directory, "node_modules", "openclaw", "openclaw.mjs"),
  };
}

/** @throws Error where npm cannot install it; its message says which and why */
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
    // Another run was faster.
    if (existsSync(directory)) return directory;
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
