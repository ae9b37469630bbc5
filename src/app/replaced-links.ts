import { basename, dirname } from "node:path";
import { shellWord } from "../domain/shell-word.js";
import type { StoreName } from "../domain/store.js";
import type { Observation } from "../reconcile/observe.js";
import type { ReplacedLink } from "./known-places.js";

/** The targets whose file is the one that a link led to. */
export function storesAt(path: string, { reads }: Pick<Observation, "reads">): StoreName[] {
  return reads.flatMap(({ target: { store } }) => (store.places().some(({ realPath }) => realPath === path) ? [store.name] : []));
}

/**
 * Says who is left behind by a link that was replaced.
 *
 * @param served the targets that are the file it led to, which credsyncd keeps up to date
 */
export function replacedLinkText(
  { path, target }: ReplacedLink,
  served: readonly StoreName[],
): { readonly what: string; readonly why: string; readonly fix: string } {
  const what = `${path} was a link to ${target}, and is a file of its own since its program replaced it`;
  if (served.length > 0) {
    const why = `credsyncd follows the new file, and keeps the other one in sync as ${served.join(", ")}`;
    return { what, why, fix: `nothing; link whole directories instead of the file: ${shellWord(dirname(path))}` };
  }
  const why =
    "credsyncd follows the new file; a program that uses the other one keeps the login from before, which a refresh has spent";
  const fix =
    basename(target) === ".credentials.json"
      ? `if a program uses it, name its directory as a target in the config: { kind: "claude-code", dir: ${JSON.stringify(dirname(target))} }`
      : `if a program uses it, let it read ${shellWord(path)} instead`;
  return { what, why, fix };
}
