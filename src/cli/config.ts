import type { Config } from "../config/config.js";
import { configPath, loadConfig } from "../config/load.js";
import { configJsonSchema } from "../config/schema.js";
import { compose } from "../app/compose.js";
import { keepWarmAdvice, type KeepWarmAdvice } from "../app/keep-warm-advice.js";
import { systemEnvironment } from "../app/system.js";
import type { Environment } from "../programs/environment.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode, type Output } from "./output.js";
import { warnOfUnmatched } from "./unmatched.js";

/** `credsyncd config check`. */
export async function checkConfig(options: CommonOptions): Promise<ExitCode> {
  const environment = systemEnvironment();
  const config = await loadConfig(options.config ?? null, environment);
  const { path } = config;
  const output = openOutput(options);
  const unmatchedAgents = await warnOfUnmatched(await compose(config, environment, "look"), output);
  const keepWarm = warnOfKeepWarm(config, environment.variables, output);
  const text = path === null ? "no configuration file: the defaults hold" : `${path} is good`;
  output.result(text, { schemaVersion: 1, path, valid: true, unmatchedAgents, keepWarm });
  return exitCodes.done;
}

/** Warns of what keeps keepWarm from renewing the login. @returns the same for the command's JSON */
function warnOfKeepWarm(
  config: Config,
  variables: Environment["variables"],
  output: Output,
): readonly Pick<KeepWarmAdvice, "what" | "why" | "fix">[] {
  return keepWarmAdvice(config, variables).map(({ what, why, fix }) => {
    output.say(`credsyncd: warning: ${what}: ${why}`);
    output.say(`credsyncd: hint: ${fix}`);
    return { what, why, fix };
  });
}

/** `credsyncd config path`: where the configuration is, or would be. */
export function printConfigPath(options: CommonOptions): Promise<ExitCode> {
  const { path } = configPath(options.config ?? null, systemEnvironment());
  openOutput(options).result(path, { schemaVersion: 1, path });
  return Promise.resolve(exitCodes.done);
}

/** `credsyncd config show`: what holds, defaults filled in. */
export async function showConfig(options: CommonOptions): Promise<ExitCode> {
  const { file } = await loadConfig(options.config ?? null, systemEnvironment());
  openOutput(options).result(JSON.stringify(file, null, 2), file);
  return exitCodes.done;
}

/** `credsyncd config schema`: the JSON Schema of the file. */
export function printConfigSchema(options: CommonOptions): Promise<ExitCode> {
  const schema = configJsonSchema();
  openOutput(options).result(JSON.stringify(schema, null, 2), schema);
  return Promise.resolve(exitCodes.done);
}
