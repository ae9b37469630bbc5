import JSON5 from "json5";
import picomatch from "picomatch";
import type * as z from "zod/mini";
import { Failure } from "../domain/errors.js";
import { nearest } from "../domain/nearest.js";
import { isPresentable } from "../domain/presentable.js";
import { toConfig, type CompileGlob, type Config } from "./config.js";
import { agentMatcher } from "./agent-pattern.js";
import type { Program } from "../programs/program.js";
import { programs } from "../programs/registry.js";
import { configShapeOf } from "./schema.js";

/** @throws Failure `config` */
export function parseConfig(text: string, path: string, known: readonly Program[] = programs): Config {
  const parsed = configShapeOf(known).safeParse(parseJson5(text, path));
  if (parsed.success) return toConfig(path, parsed.data, compileGlob, known);
  const { issues } = parsed.error;
  // A mistyped key also makes the one that was meant missing, so that the key is the thing to name.
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  throw issue === undefined ? new Failure("config", `${path} is not a configuration`, null) : explain(issue, path, known);
}

const compileGlob: CompileGlob = (pattern, of) => {
  if (of === "agents") return agentMatcher(pattern);
  // An id may have a slash or a dot in it, which are nothing special there.
  return { matches: picomatch(pattern, { bash: true, dot: true }), isGlob: picomatch.scan(pattern).isGlob };
};

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

function explain(issue: Issue, path: string, known: readonly Program[]): Failure {
  const place = issue.path.length === 0 ? "the top level" : issue.path.map(String).map(shown).join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const suggestion = nearest(key, knownKeysAt(issue.path, known));
    return new Failure(
      "config",
      `${path}: unknown key "${shown(key)}" at ${place}`,
      suggestion === null ? "remove it" : `did you mean "${suggestion}"?`,
    );
  }
  return new Failure("config", `${path}: ${place} must be ${expectation(issue)}`, "see: credsyncd config schema");
}

/** Returns a key in a form that is safe to show: someone may have put a token in the wrong place. */
function shown(key: string): string {
  return isPresentable(key) ? key : "(not shown)";
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
function knownKeysAt(path: readonly PropertyKey[], known: readonly Program[]): string[] {
  let value: unknown = configShapeOf(known).parse({
    alerts: { command: ["x"] },
    keepWarm: { command: ["x"] },
    metrics: { textfile: "/x.prom" },
  });
  for (const key of path)
    value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined;
  return [...(typeof value === "object" && value !== null ? Object.keys(value) : []), ...optionalKeysAt(path[0], known)];
}

/** Keys that a value with the defaults does not show. */
function optionalKeysAt(key: PropertyKey | undefined, known: readonly Program[]): string[] {
  switch (key) {
    case undefined:
      return ["profiles"];
    case "targets":
      return known.flatMap(({ target }) => Object.keys(target.shape.def.shape));
    case "source":
      return known.flatMap(({ source }) => Object.keys(source.shape.def.shape));
    default:
      return [];
  }
}
