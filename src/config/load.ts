import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import JSON5 from "json5";
import picomatch from "picomatch";
import type * as z from "zod/mini";
import { Failure } from "../domain/errors.js";
import type { Binding, Policy } from "../domain/observation.js";
import type { ProfileId, Share } from "../domain/store.js";
import { errnoOf, isAbsent } from "../io/system-error.js";
import { expandHome, variable, type Environment } from "../stores/environment.js";
import type { TargetSpec } from "../stores/registry.js";
import { parseDurationMs } from "./duration.js";
import { nearest } from "./nearest.js";
import { configShape, type ConfigFile } from "./schema.js";

/** A target and how much of the login it is given. */
export interface Target {
  readonly spec: TargetSpec;
  readonly share: Share;
  readonly expiryMarginMs: number;
}

/** The configuration as the program uses it: units are in the names, patterns are functions. */
export interface Config {
  /** The file it came from, or null for the defaults. */
  readonly path: string | null;
  readonly targets: readonly Target[];
  readonly profiles: readonly ProfileId[];
  readonly policy: Policy;
  /** What the user decided for an agent. */
  readonly bindingOf: (agent: string) => Binding;
  readonly settle: { readonly quietMs: number; readonly capMs: number };
  readonly resync: string;
  readonly alerts: { readonly expiringWithinMs: number; readonly signInWithinMs: number };
  /** How a running gateway is told to use what was written: by OpenClaw's own command, another one, or not at all. */
  readonly reload: ConfigFile["reload"]["openclaw"];
  readonly log: ConfigFile["log"];
  /** The file's content with the defaults filled in, for `config show`. */
  readonly file: ConfigFile;
}

/** Where the configuration is looked for: `--config`, else `$CREDSYNCD_CONFIG`, else the XDG place. */
export function configPath(option: string | null, environment: Environment): { readonly path: string; readonly named: boolean } {
  const named = option ?? variable(environment, "CREDSYNCD_CONFIG");
  if (named !== null) return { path: resolve(expandHome(named, environment.home)), named: true };
  const base = variable(environment, "XDG_CONFIG_HOME") ?? join(environment.home, ".config");
  return { path: join(base, "credsyncd", "config.json5"), named: false };
}

/**
 * Reads the configuration; without a file the defaults hold, unless the user named one.
 *
 * @throws Failure `config` that names the key, its place and what is expected there
 */
export async function loadConfig(option: string | null, environment: Environment): Promise<Config> {
  const { path, named } = configPath(option, environment);
  const text = await readConfig(path, named);
  return text === null ? toConfig(null, configShape.parse({})) : parseConfig(text, path);
}

/** @throws Failure `config` */
export function parseConfig(text: string, path: string): Config {
  const parsed = configShape.safeParse(parseJson5(text, path));
  if (parsed.success) return toConfig(path, parsed.data);
  const { issues } = parsed.error;
  // A mistyped key also makes the one that was meant missing, so that the key is the thing to name.
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  throw issue === undefined ? new Failure("config", `${path} is not a configuration`, null) : explain(issue, path);
}

async function readConfig(path: string, named: boolean): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error) && !named) return null;
    const reason = isAbsent(error) ? "there is no such file" : (errnoOf(error) ?? "failed");
    throw new Failure(
      "config",
      `cannot read the configuration ${path}: ${reason}`,
      "name another with --config, or write one: credsyncd config init",
      error,
    );
  }
}

function parseJson5(text: string, path: string): unknown {
  try {
    return JSON5.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { lineNumber, columnNumber } = error as { lineNumber?: number; columnNumber?: number };
    const place = lineNumber === undefined ? "" : ` at line ${String(lineNumber)}, column ${String(columnNumber)}`;
    throw new Failure("config", `${path} is not JSON5${place}`, "look for a missing comma, quote or bracket there");
  }
}

type Issue = z.core.$ZodIssue;

function explain(issue: Issue, path: string): Failure {
  const place = issue.path.length === 0 ? "the top level" : issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const suggestion = nearest(key, knownKeysAt(issue.path));
    return new Failure(
      "config",
      `${path}: unknown key "${key}" at ${place}`,
      suggestion === null ? "remove it" : `did you mean "${suggestion}"?`,
    );
  }
  return new Failure("config", `${path}: ${place} must be ${expectation(issue)}`, "see: credsyncd config schema");
}

/** The schema's own words, else zod's finding; without a locale it says "Invalid input" to everything. */
function expectation(issue: Issue): string {
  if (issue.message !== "Invalid input") return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `of type ${issue.expected}`;
    case "too_small":
      return `at least ${String(issue.minimum)}`;
    case "too_big":
      return `at most ${String(issue.maximum)}`;
    default:
      return "something else";
  }
}

/** The keys that the schema knows at a place in the file. */
function knownKeysAt(path: readonly PropertyKey[]): string[] {
  let value: unknown = configShape.parse({ targets: [{ kind: "openclaw", stateDir: "x" }] });
  for (const key of path)
    value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;
  const atTarget = path[0] === "targets" ? ["kind", "stateDir", "dir", "share"] : [];
  return [...(typeof value === "object" && value !== null ? Object.keys(value) : []), ...atTarget];
}

function toConfig(path: string | null, file: ConfigFile): Config {
  const { bind, onAgentRotation, onAccountChange } = file;
  return {
    path,
    targets: file.targets.map(toTarget),
    profiles: file.profiles,
    policy: { bind, onAgentRotation, onAccountChange },
    bindingOf: bindingsOf(file.agents),
    settle: file.settle,
    resync: file.resync,
    alerts: {
      expiringWithinMs: parseDurationMs(file.alerts.expiringWithin) ?? 0,
      signInWithinMs: parseDurationMs(file.alerts.signInWithin) ?? 0,
    },
    reload: file.reload.openclaw,
    log: file.log,
    file,
  };
}

function toTarget(target: ConfigFile["targets"][number]): Target {
  switch (target.kind) {
    case "openclaw":
      return { spec: { kind: "openclaw", stateDir: target.stateDir ?? null }, share: "full", expiryMarginMs: 0 };
    case "claude-code":
      return { spec: { kind: "claude-code", dir: target.dir }, share: target.share, expiryMarginMs: 0 };
  }
}

/** An exact name beats a pattern; among patterns the first in the file counts. */
function bindingsOf(agents: ConfigFile["agents"]): (agent: string) => Binding {
  const patterns = Object.entries(agents).map(([pattern, binding]) => ({ matches: picomatch(pattern), binding }));
  return (agent) => {
    const exact = Object.hasOwn(agents, agent) ? agents[agent] : undefined;
    return exact ?? patterns.find(({ matches }) => matches(agent))?.binding ?? "follow";
  };
}
