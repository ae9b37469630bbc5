import { isJsonObject } from "../../io/json-document.js";

/** The variables of one OpenClaw process. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** A parsed configuration that is nested more deeply is no configuration. */
export const MAX_CONFIG_DEPTH = 500;

/** The result of replacing each `${NAME}` in a text. */
export interface Substitution {
  readonly text: string;
  /** Variables in it that are not set, whose `${NAME}` stays. */
  readonly missing: readonly string[];
  /** Variables in it that are set. */
  readonly used: readonly string[];
}

const REFERENCE = /(\$?)\$\{([A-Z_][A-Z0-9_]*)\}/g;

/**
 * Puts variables into a text as OpenClaw does: capitals only, an unset or empty one stays as it is written, `$${NAME}` is
 * a literal `${NAME}` (openclaw/openclaw, src/config/env-substitution.ts).
 */
export function substituted(text: string, variables: Variables): Substitution {
  if (!text.includes("$")) return { text, missing: [], used: [] };
  const missing: string[] = [];
  const used: string[] = [];
  const result = text.replaceAll(REFERENCE, (reference: string, escape: string, name: string) => {
    if (escape !== "") return reference.slice(1);
    const value = variables[name];
    if (value === undefined || value === "") {
      missing.push(name);
      return reference;
    }
    used.push(name);
    return value;
  });
  return { text: result, missing, used };
}

/** Keys of `env` that are no variables. */
const NO_VARIABLES = new Set(["vars", "shellEnv"]);
/** OpenClaw takes these from its environment alone. */
const FROM_ENVIRONMENT = new Set(["HOME", "OPENCLAW_INCLUDE_ROOTS"]);

/** Checks whether a process can have such a variable. */
export function isVariable(name: string, value: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !value.includes("\0");
}

/**
 * The variables that the `env` block of a configuration sets for OpenClaw itself: `env.vars`, and up to 2026.8 the names
 * beside it. They count where the environment has none, and never with another variable in them.
 */
export function variablesIn(config: unknown): ReadonlyMap<string, string> {
  const env = isJsonObject(config) ? config["env"] : undefined;
  if (!isJsonObject(env)) return new Map();
  const { vars } = env;
  const written = [
    ...(isJsonObject(vars) ? Object.entries(vars) : []),
    ...Object.entries(env).filter(([name]) => !NO_VARIABLES.has(name)),
  ];
  const variables = new Map<string, string>();
  for (const [written_, value] of written) {
    const name = written_.trim();
    if (typeof value !== "string" || value.trim() === "" || !isVariable(name, value)) continue;
    if (FROM_ENVIRONMENT.has(name.toUpperCase()) || hasReference(value)) continue;
    variables.set(name, value);
  }
  return variables;
}

function hasReference(text: string): boolean {
  return [...text.matchAll(REFERENCE)].some(([, escape]) => escape === "");
}
