import { join, resolve } from "node:path";
import { Failure, isTransient, StoreError } from "../domain/errors.js";
import { readRegularBytes } from "../io/regular-file.js";
import { baseDirectory, expandHome, variable, type Environment } from "../programs/environment.js";
import type { Program } from "../programs/program.js";
import { programs } from "../programs/registry.js";
import { refuseUntrusted } from "./trust.js";
import { defaults, noGlobs, toConfig, type Config } from "./config.js";

/** Far above any configuration. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Returns the path of the configuration: `--config`, else `$CREDSYNCD_CONFIG`, else the XDG place. */
export function configPath(option: string | null, environment: Environment): { readonly path: string; readonly named: boolean } {
  const named = option ?? variable(environment, "CREDSYNCD_CONFIG");
  if (named !== null) return { path: resolve(expandHome(named, environment.home)), named: true };
  const base = baseDirectory(environment, "XDG_CONFIG_HOME", ".config");
  return { path: join(base, "credsyncd", "config.json5"), named: false };
}

/**
 * Reads the configuration; without a file the defaults hold, unless the user named one.
 *
 * @throws Failure `config` that names the key, its place and what is expected there, or why the file is not trusted
 */
export async function loadConfig(
  option: string | null,
  environment: Environment,
  known: readonly Program[] = programs,
): Promise<Config> {
  const { path, named } = configPath(option, environment);
  const text = readConfig(path, named);
  // The parser loads only if there is a file: without it commands start earlier.
  return text === null ? toConfig(null, defaults, noGlobs, known) : (await import("./parse.js")).parseConfig(text, path, known);
}

function readConfig(path: string, named: boolean): string | null {
  const hint = "name another with --config, or write one: credsyncd config init";
  try {
    // It may well be root's, who made it for this user.
    const file = readRegularBytes(path, MAX_BYTES, (stat) => {
      refuseUntrusted(path, stat);
    });
    if (file !== null) return file.bytes.toString("utf8");
    if (!named) return null;
    throw new Failure("config", `cannot read the configuration ${path}: there is no such file`, hint);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const next = isTransient(error.code) ? error.hint : hint;
    throw new Failure("config", `the configuration cannot be used: ${error.message}`, next, error);
  }
}
