import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Failure } from "../domain/errors.js";
import { errnoOf, isAbsent } from "../io/system-error.js";
import { expandHome, variable, type Environment } from "../stores/environment.js";
import { defaults, noGlobs, toConfig, type Config } from "./config.js";

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
  // What reads a file is loaded where there is one: without it commands start earlier.
  return text === null ? toConfig(null, defaults, noGlobs) : (await import("./parse.js")).parseConfig(text, path);
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
