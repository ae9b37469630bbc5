import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isAbsent } from "../io/system-error.js";
import type { Environment } from "../programs/environment.js";
import { variablesOfAgents } from "../programs/openclaw/config.js";
import { programs } from "../programs/registry.js";

/** The program that a service starts, and the risks to it. */
export interface ServiceProgram {
  readonly node: string;
  readonly main: string;
  /** One for each path that will vanish sooner or later. */
  readonly warnings: readonly string[];
}

/** Variables that decide where the programs keep their logins, and where credsyncd keeps its own; none has a secret. */
const PLACES = [...programs.flatMap(({ variables }) => variables), "XDG_CONFIG_HOME", "XDG_STATE_HOME", "CREDSYNCD_CONFIG"];

/** The directories in which version managers keep programs, by a part of the path. */
const FLEETING: readonly (readonly [pattern: RegExp, owner: string])[] = [
  [/\/\.nvm\//, "nvm"],
  [/\/fnm_multishells\/|\/\.?fnm\/node-versions\//, "fnm"],
  [/\/\.volta\//, "Volta"],
  [/\/\.asdf\/installs\//, "asdf"],
  [/\/mise\/installs\//, "mise"],
  [/\/\.nodenv\/versions\//, "nodenv"],
  [/\/n\/versions\/node\//, "n"],
  [/\/Cellar\//, "Homebrew"],
  [/\/_npx\//, "npx, whose cache"],
  [/^\/(?:tmp|var\/tmp|private\/tmp)\//, "the temporary directory"],
];

/** Returns the manager whose version of a program at this path will vanish, or null if it stays. */
export function fleetingOwner(path: string): string | null {
  return FLEETING.find(([pattern]) => pattern.test(path))?.[1] ?? null;
}

/** The node that runs, by a path that stays if it has one, and this program. */
export async function serviceProgram(environment: Environment): Promise<ServiceProgram> {
  const node = await lastingPath(process.execPath, environment);
  // The bundle has this file beside main.js.
  const main = fileURLToPath(new URL("main.js", import.meta.url));
  const warnings = [node, main].flatMap((path) => {
    const owner = fleetingOwner(path);
    if (owner === null) return [];
    return [`${path} belongs to ${owner} and vanishes with the next version or clean-up; then run: credsyncd service install`];
  });
  return { node, main, warnings };
}

/** Homebrew and others have a link that outlives the version that it leads to. */
async function lastingPath(path: string, environment: Environment): Promise<string> {
  if (fleetingOwner(path) === null) return path;
  for (const directory of [...searchPath(environment), "/usr/local/bin", "/opt/homebrew/bin"]) {
    const candidate = join(directory, "node");
    if (fleetingOwner(candidate) === null && (await leadsTo(candidate, path))) return candidate;
  }
  return path;
}

async function leadsTo(link: string, path: string): Promise<boolean> {
  try {
    return (await realpath(link)) === (await realpath(path));
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

function searchPath({ variables }: Environment): string[] {
  return (variables["PATH"] ?? "").split(":").filter((directory) => directory.startsWith("/"));
}

/** The variables of the user's shell that a service needs too, which does not start from a shell. */
export async function serviceVariables(node: string, environment: Environment): Promise<Record<string, string>> {
  const places = PLACES.flatMap((name) => {
    const value = environment.variables[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const ofAgents = await variablesOfAgents(environment);
  return { ...ofAgents, ...Object.fromEntries(places), PATH: await servicePath(node, environment) };
}

/** Node, the programs that credsyncd may start, and where users put programs. */
async function servicePath(node: string, environment: Environment): Promise<string> {
  const found = await Promise.all(programs.map(({ executable }) => findProgram(executable, environment)));
  const { home } = environment;
  const directories = [
    dirname(node),
    ...found.flatMap((path) => (path === null ? [] : [dirname(path)])),
    join(home, ".local", "bin"),
    join(home, ".npm-global", "bin"),
    ...(process.platform === "darwin" ? ["/opt/homebrew/bin"] : []),
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
  ];
  return [...new Set(directories)].join(":");
}

async function findProgram(name: string, environment: Environment): Promise<string | null> {
  for (const directory of searchPath(environment)) {
    const path = join(directory, name);
    try {
      await realpath(path);
      return path;
    } catch (error) {
      if (!isAbsent(error)) continue;
    }
  }
  return null;
}
