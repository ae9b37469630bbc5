import { Failure } from "../domain/errors.js";
import type { Binding, Policy } from "../domain/observation.js";
import { normalizeAgentId } from "../programs/openclaw/discovery.js";
import { placeKey, type ConfiguredSource, type ConfiguredTarget, type Program } from "../programs/program.js";
import { defaultSource, defaultTargets, programNamed } from "../programs/registry.js";
import { parseDurationMs } from "../domain/duration.js";
import type { ConfigFile } from "./schema.js";

/** A program and its arguments, run without a shell. */
type Command = readonly [string, ...string[]];

/** The configuration as the program uses it: units are in the names, patterns are functions. */
export interface Config {
  /** The file it came from, or null for the defaults. */
  readonly path: string | null;
  readonly source: ConfiguredSource;
  readonly targets: readonly ConfiguredTarget[];
  /** Decides whether an agent receives a profile that it lacks. */
  readonly create: ConfigFile["create"];
  readonly policy: Policy;
  /** The user's choice for an agent, by its id as OpenClaw normalises it. */
  readonly bindingOf: (agent: string) => Binding;
  /** Every name and pattern in `agents`, as the user wrote it. */
  readonly agentPatterns: readonly AgentPattern[];
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
  /** The way to make a running gateway use a written login: OpenClaw's own command, another one, or none. */
  readonly reload: ConfigFile["reload"]["openclaw"];
  readonly log: ConfigFile["log"];
  /** The file's content with the defaults filled in, for `config show`. */
  readonly file: ConfigFile;
}

/** A name or a pattern in `agents`, and what the user decided for whom it matches. */
export interface AgentPattern {
  readonly pattern: string;
  readonly binding: Binding;
  readonly matches: (agent: string) => boolean;
}

/** The configuration of an empty file. */
export const defaults: ConfigFile = {
  source: defaultSource,
  targets: defaultTargets,
  bind: "matching",
  create: "never",
  agentDirs: [],
  agents: {},
  onAgentRotation: "adopt",
  onAccountChange: "hold",
  settle: { quietMs: 100, capMs: 2000 },
  resync: "*/5 * * * *",
  alerts: { expiringWithin: "1h", signInWithin: "3d", repeatEvery: "6h" },
  reload: { openclaw: "auto" },
  log: { level: "info", format: "auto" },
};

/** Understands a pattern that names agents, or profiles; those of agents match ids as OpenClaw normalises them. */
export type CompileGlob = (
  pattern: string,
  of: "agents" | "profiles",
) => { readonly matches: (name: string) => boolean; readonly isGlob: boolean };

/** The defaults have no patterns. */
export const noGlobs: CompileGlob = () => ({ matches: () => false, isGlob: false });

/** @param path null for the defaults */
export function toConfig(path: string | null, written: ConfigFile, compileGlob: CompileGlob, known: readonly Program[]): Config {
  const { source, targets: entries, profiles: named, ...others } = written;
  const { source: kind } = programNamed(source, known);
  const surroundings = { entries: [source, ...entries], agentDirs: written.agentDirs };
  const targets = entries.map((entry) => programNamed(entry, known).target.configure(entry, surroundings));
  refuseTwins(targets, path);
  const profiles = kind.withProfiles(source, named, path ?? "the configuration");
  const file: ConfigFile = {
    source,
    targets: entries,
    ...(profiles === undefined ? {} : { profiles: [...profiles] }),
    ...others,
  };
  const { bind, onAgentRotation, onAccountChange } = file;
  const compileProfile = (pattern: string): ReturnType<CompileGlob> => compileGlob(pattern, "profiles");
  const decisions = decisionsOf(file.agents, compileGlob);
  refuseContradictions(decisions, path);
  return {
    path,
    source: kind.configure(source, { ...surroundings, profiles: profiles ?? [], compileGlob: compileProfile }),
    targets,
    create: file.create,
    policy: { bind, onAgentRotation, onAccountChange },
    bindingOf: bindingsOf(decisions),
    agentPatterns: decisions,
    settle: file.settle,
    resync: file.resync,
    alerts: {
      expiringWithinMs: parseDurationMs(file.alerts.expiringWithin) ?? 0,
      signInWithinMs: parseDurationMs(file.alerts.signInWithin) ?? 0,
      repeatEveryMs: parseDurationMs(file.alerts.repeatEvery) ?? 0,
      command: file.alerts.command ?? null,
    },
    keepWarm: file.keepWarm === undefined ? null : { command: file.keepWarm.command, beforeMs: warmthMs(file.keepWarm, known) },
    metricsFile: file.metrics?.textfile ?? null,
    reload: file.reload.openclaw,
    log: file.log,
    file,
  };
}

/** A program's own command changes nothing before the last minutes, and its runs would be used up by then. */
function warmthMs({ command, before }: NonNullable<ConfigFile["keepWarm"]>, known: readonly Program[]): number {
  const limits = known.flatMap(({ renewal }) => (renewal?.isRunBy(command) === true ? [renewal.withinMs] : []));
  return Math.min(parseDurationMs(before) ?? 0, ...limits);
}

/** Refuses a store that would receive a login in two ways: credsyncd would write it forever. */
function refuseTwins(targets: readonly ConfiguredTarget[], path: string | null): void {
  const places = targets.map(placeKey);
  const index = places.findIndex((place, at) => places.indexOf(place) < at);
  if (index === -1) return;
  const first = places.indexOf(places[index] ?? "");
  throw new Failure(
    "config",
    `${path ?? "the configuration"}: targets.${String(index)} is the same as targets.${String(first)}`,
    "take one of them out: what is shared with its stores can be said once",
  );
}

/** A decision as it is matched: by the id that a name stands for, or by a pattern. */
interface Decision extends AgentPattern {
  /** Null for a pattern. */
  readonly id: string | null;
}

function decisionsOf(agents: ConfigFile["agents"], compileGlob: CompileGlob): Decision[] {
  return Object.entries(agents).map(([pattern, binding]) => {
    const { matches, isGlob } = compileGlob(pattern, "agents");
    return { pattern, binding, matches, id: isGlob ? null : normalizeAgentId(pattern) };
  });
}

/** An exact name beats a pattern; among patterns the first in the file counts. */
function bindingsOf(decisions: readonly Decision[]): (agent: string) => Binding {
  const exact = new Map(decisions.flatMap(({ id, binding }) => (id === null ? [] : [[id, binding]])));
  const patterns = decisions.filter(({ id }) => id === null);
  return (agent) => exact.get(agent) ?? patterns.find(({ matches }) => matches(agent))?.binding ?? "follow";
}

/** Two spellings of one agent's id that say different things: nobody can know which one the user meant to hold. */
function refuseContradictions(decisions: readonly Decision[], path: string | null): void {
  for (const { id, pattern, binding } of decisions) {
    const other = decisions.find((each) => id !== null && each.id === id && each.binding !== binding);
    if (other === undefined) continue;
    throw new Failure(
      "config",
      `${path ?? "the configuration"}: agents names one agent twice, "${pattern}" as ${binding} and "${other.pattern}" as ${other.binding}`,
      `OpenClaw takes both names for ${String(id)}: keep one of them`,
    );
  }
}
