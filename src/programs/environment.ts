import { isAbsolute, join } from "node:path";
import type { FileReader } from "../io/regular-file.js";
import type { SqliteReaders } from "../io/sqlite-database.js";
import type { Predecessors, SharedOwnerLocks } from "../io/owner-lock.js";
import type { Clock } from "../domain/clock.js";
import type { StoreError } from "../domain/errors.js";

/** The directory of an OpenClaw agent's credentials, and the reason why credsyncd does not read it, or null. */
export interface AgentPlace {
  readonly id: string;
  readonly directory: string;
  readonly refusal: StoreError | null;
}

/** The system around the stores; fixed at the start. */
export interface Environment {
  /** The user's home directory. */
  readonly home: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** OpenClaw's locks on refreshes, which guard a login in every agent at once. */
  readonly refreshLocks: SharedOwnerLocks;
  /** Killed credsyncds, whose locks need no waiting for. */
  readonly predecessors: Predecessors;
  readonly databases: SqliteReaders;
  /** The agents that each `openclaw.json` named when it was last understood: another may be in the middle of writing it. */
  readonly lastAgents: Map<string, readonly AgentPlace[]>;
  /** For a scan; a writer reads the file itself. */
  readonly files: FileReader;
  /** True if a scan waits until a half-written file is whole or counts as broken; the daemon scans again instead. */
  readonly waitsForWriters: boolean;
}

/** Expands a leading `~`, as the owning programs do. */
export function expandHome(path: string, home: string): string {
  if (path === "~") return home;
  return path.startsWith("~/") ? `${home}/${path.slice(2)}` : path;
}

/** A variable's value, where an unset and an empty one mean the same. */
export function variable(environment: Environment, name: string): string | null {
  const value = environment.variables[name]?.trim();
  return value === undefined || value === "" ? null : value;
}

/**
 * A user's directory as the XDG Base Directory Specification names it: a variable's, unless that is a relative path, which
 * the specification has programs ignore.
 *
 * @param usual below the home, by its parts
 */
export function baseDirectory(
  environment: Environment,
  name: "XDG_CONFIG_HOME" | "XDG_STATE_HOME",
  ...usual: readonly string[]
): string {
  const named = variable(environment, name);
  return named !== null && isAbsolute(named) ? named : join(environment.home, ...usual);
}
