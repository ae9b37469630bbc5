import { join } from "node:path";
import { findNodeAtLocation, parseTree } from "jsonc-parser";
import * as z from "zod/mini";
import type { AuthPreferences } from "../domain/choice.js";
import { isPresentable } from "../domain/presentable.js";
import { readRegularFile } from "../io/regular-file.js";
import { isTooDeep } from "../io/json-document.js";
import { parseJson5 } from "./openclaw-discovery.js";

const text = z.catch(z.nullable(z.string().check(z.refine(isPresentable))), null);
const authShape = z.object({
  auth: z.catch(
    z.object({
      order: z.catch(z.record(z.string(), z.catch(z.array(z.string()), [])), {}),
      profiles: z.catch(
        z.record(z.string(), z.catch(z.object({ provider: text, mode: text }), { provider: null, mode: null })),
        {},
      ),
    }),
    { order: {}, profiles: {} },
  ),
});

/**
 * What `openclaw.json` says of the use of profiles; it is never written here.
 *
 * @throws StoreError where it cannot be understood
 */
export async function readAuthPreferences(stateDirectory: string): Promise<AuthPreferences> {
  const path = join(stateDirectory, "openclaw.json");
  const file = await readRegularFile(path);
  const parsed = authShape.safeParse(file === null ? {} : await parseJson5(file.text, path));
  const { order, profiles } = parsed.success ? parsed.data.auth : { order: {}, profiles: {} };
  const orders = Object.fromEntries(
    Object.entries(order).filter(([provider, ids]) => ids.length > 0 && [provider, ...ids].every(isPresentable)),
  );
  const named = Object.fromEntries(Object.entries(profiles).filter(([id]) => isPresentable(id)));
  return { path, order: orders, profiles: named, lineOf: (keys) => (file === null ? null : lineOf(file.text, keys)) };
}

/** Null too where the file is written in a way that only JSON5 allows, or too deeply for its parser. */
function lineOf(source: string, keys: readonly string[]): number | null {
  if (isTooDeep(source)) return null;
  const root = parseTree(source, [], { allowTrailingComma: true });
  const node = root === undefined ? undefined : findNodeAtLocation(root, [...keys]);
  return node === undefined ? null : source.slice(0, node.offset).split("\n").length;
}
