import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import JSON5 from "json5";
import picomatch from "picomatch";
import type * as z from "zod/mini";
import { Failure } from "../domain/errors.js";
import type { Binding, Policy } from "../domain/observation.js";
import type { Share } from "../domain/store.js";
import { errnoOf, isAbsent } from "../io/system-error.js";
import { expandHome, variable, type Environment } from "../stores/environment.js";
import type { OpenclawSpec } from "../stores/openclaw.js";
import type { SourceSpec, TargetSpec } from "../stores/registry.js";
import { parseDurationMs } from "./duration.js";
import { nearest } from "../domain/nearest.js";
import { configShape, type ConfigFile } from "./schema.js";

/** OpenClaw's own name for a copy of Claude Code's login. */
const CLAUDE_COPIES = ["anthropic:claude-cli"];
/** OpenClaw stops using a token five minutes before the end that it reads, which is made up for where it cannot refresh. */
const DEFAULT_MARGIN: Readonly<Record<Share, string>> = { full: "0s", "access-only": "5m" };

/** A target and how much of the login it is given. */
export interface Target {
  readonly spec: TargetSpec;
  readonly share: Share;
  readonly expiryMarginMs: number;
}

/** A program and its arguments, run without a shell. */
type Command = readonly [string, ...string[]];

/** The configuration as the program uses it: units are in the names, patterns are functions. */
export interface Config {
  /** The file it came from, or null for the defaults. */
  readonly path: string | null;
  readonly source: SourceSpec;
  readonly targets: readonly Target[];
  /** Whether an agent is given a profile that it does not have. */
  readonly create: ConfigFile["create"];
  readonly policy: Policy;
  /** What the user decided for an agent. */
  readonly bindingOf: (agent: string) => Binding;
  readonly settle: { readonly quietMs: number; readonly capMs: number };
  readonly resync: string;
  readonly alerts: {
    readonly expiringWithinMs: number;
    readonly signInWithinMs: number;
    readonly repeatEveryMs: number;
    readonly command: Command | null;
  };
  /** The owner's own command that renews the login, and how long before its end it is run; null for off. */
  readonly keepWarm: { readonly command: Command; readonly beforeMs: number } | null;
  /** The file for Prometheus, or null. */
  readonly metricsFile: string | null;
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
  let value: unknown = configShape.parse({
    targets: [{ kind: "openclaw", stateDir: "x" }],
    alerts: { command: ["x"] },
    keepWarm: { command: ["x"] },
    metrics: { textfile: "/x.prom" },
  });
  for (const key of path)
    value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;
  return [...(typeof value === "object" && value !== null ? Object.keys(value) : []), ...optionalKeysAt(path[0])];
}

/** Keys that a value with the defaults does not show. */
function optionalKeysAt(key: PropertyKey | undefined): string[] {
  switch (key) {
    case undefined:
      return ["profiles"];
    case "targets":
      return ["kind", "stateDir", "dir", "share", "expiryMargin"];
    case "source":
      return ["kind", "agent", "profile", "stateDir"];
    default:
      return [];
  }
}

function toConfig(path: string | null, written: ConfigFile): Config {
  const file = withProfiles(written, path);
  const { bind, onAgentRotation, onAccountChange } = file;
  return {
    path,
    source: toSource(file),
    targets: file.targets.map((target) => toTarget(target, labelsOf(file))),
    create: file.create,
    policy: { bind, onAgentRotation, onAccountChange },
    bindingOf: bindingsOf(file.agents),
    settle: file.settle,
    resync: file.resync,
    alerts: {
      expiringWithinMs: parseDurationMs(file.alerts.expiringWithin) ?? 0,
      signInWithinMs: parseDurationMs(file.alerts.signInWithin) ?? 0,
      repeatEveryMs: parseDurationMs(file.alerts.repeatEvery) ?? 0,
      command: file.alerts.command ?? null,
    },
    keepWarm:
      file.keepWarm === undefined
        ? null
        : { command: file.keepWarm.command, beforeMs: parseDurationMs(file.keepWarm.before) ?? 0 },
    metricsFile: file.metrics?.textfile ?? null,
    reload: file.reload.openclaw,
    log: file.log,
    file,
  };
}

/** The default depends on the source; an OpenClaw source has profiles of every kind, so that the user names them. */
function withProfiles(file: ConfigFile, path: string | null): ConfigFile {
  const { source, targets, profiles, ...others } = file;
  if (source.kind === "claude-code") return { source, targets, profiles: profiles ?? CLAUDE_COPIES, ...others };
  const place = path ?? "the configuration";
  if (source.profile !== undefined && profiles !== undefined) {
    const hint = "take one of them out: source.profile follows one profile, profiles follows each that matches";
    throw new Failure("config", `${place}: source.profile and profiles both say what is followed`, hint);
  }
  if (source.profile === undefined && (profiles ?? []).length === 0) {
    const hint = 'for example: source: { kind: "openclaw", profile: "anthropic:default" }, or profiles: ["openai:*"]';
    throw new Failure("config", `${place}: nothing says which profiles of the openclaw source are followed`, hint);
  }
  return file;
}

function toSource(file: ConfigFile): SourceSpec {
  const { source, profiles = [] } = file;
  if (source.kind === "claude-code") return { kind: "claude-code", followers: profiles };
  const patterns = source.profile === undefined ? profiles : [source.profile];
  // An id may have a slash or a dot in it, which are nothing special here.
  const matchers = patterns.map((pattern) => picomatch(pattern, { bash: true, dot: true }));
  const isExact = (pattern: string): boolean => source.profile !== undefined || !picomatch.scan(pattern).isGlob;
  return {
    kind: "openclaw",
    openclaw: openclawOf(source.stateDir, labelsOf(file)),
    agent: source.agent,
    named: patterns.filter(isExact),
    matches: (profile) =>
      patterns.includes(profile) || (source.profile === undefined && matchers.some((matches) => matches(profile))),
    text: patterns.join(", "),
  };
}

/** Where several OpenClaws are served, the names of their stores are told apart by their directories. */
function labelsOf({ source, targets }: ConfigFile): boolean {
  const places = [source, ...targets].flatMap((place) => (place.kind === "openclaw" ? [place.stateDir ?? null] : []));
  return new Set(places).size > 1;
}

function openclawOf(stateDir: string | undefined, isLabelled: boolean): OpenclawSpec {
  return { stateDir: stateDir ?? null, label: isLabelled ? (stateDir ?? null) : null };
}

function toTarget(target: ConfigFile["targets"][number], isLabelled: boolean): Target {
  switch (target.kind) {
    case "openclaw":
      return {
        spec: { kind: "openclaw", openclaw: openclawOf(target.stateDir, isLabelled) },
        share: target.share,
        expiryMarginMs: parseDurationMs(target.expiryMargin ?? DEFAULT_MARGIN[target.share]) ?? 0,
      };
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
