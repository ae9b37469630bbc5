import { findNodeAtLocation, parseTree } from "jsonc-parser";
import * as z from "zod/mini";
import type { AuthPreferences } from "../../domain/choice.js";
import { isPresentable } from "../../domain/presentable.js";
import { isTooDeep } from "../../io/json-document.js";
import type { Environment } from "../environment.js";
import { partOf, readOpenclawConfig } from "./config.js";

const text = z.catch(z.nullable(z.string().check(z.refine(isPresentable))), null);
const authShape = z.object({
  order: z.catch(z.record(z.string(), z.catch(z.array(z.string()), [])), {}),
  profiles: z.catch(z.record(z.string(), z.catch(z.object({ provider: text, mode: text }), { provider: null, mode: null })), {}),
});

/**
 * Reads the settings in `openclaw.json` for the use of profiles; credsyncd never writes them.
 *
 * @throws StoreError if it cannot be understood
 */
export async function readAuthPreferences(stateDirectory: string, environment: Environment): Promise<AuthPreferences> {
  const config = await readOpenclawConfig(environment, stateDirectory);
  if (config.problem !== null) throw config.problem.error;
  const { path, text: source } = config;
  const parsed = authShape.safeParse(partOf(config, "auth") ?? {});
  const { order, profiles } = parsed.success ? parsed.data : { order: {}, profiles: {} };
  const orders = Object.fromEntries(
    Object.entries(order).filter(([provider, ids]) => ids.length > 0 && [provider, ...ids].every(isPresentable)),
  );
  const named = Object.fromEntries(Object.entries(profiles).filter(([id]) => isPresentable(id)));
  return { path, order: orders, profiles: named, lineOf: (keys) => (source === null ? null : lineOf(source, keys)) };
}

/** Null too where the file is written in a way that only JSON5 allows, or too deeply for its parser. */
function lineOf(source: string, keys: readonly string[]): number | null {
  if (isTooDeep(source)) return null;
  const root = parseTree(source, [], { allowTrailingComma: true });
  const node = root === undefined ? undefined : findNodeAtLocation(root, [...keys]);
  return node === undefined ? null : source.slice(0, node.offset).split("\n").length;
}
