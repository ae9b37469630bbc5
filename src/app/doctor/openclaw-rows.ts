import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { placementKey } from "../../domain/ledger.js";
import type { HeldCredential, ObservedTarget } from "../../domain/observation.js";
import { errnoOf, isAbsent } from "../../io/system-error.js";
import { AGENT_DATABASE } from "../../programs/openclaw/sqlite.js";
import { PROFILES_FILE } from "../../programs/openclaw/json.js";
import { found, type Check, type Patient } from "./finding.js";

/** A profile of an agent's own, beside the one of that id in the store that the agent inherits from. */
interface Pair {
  readonly target: ObservedTarget;
  readonly own: HeldCredential;
  readonly shared: HeldCredential;
  readonly from: string;
  /** The agent's OpenClaw is 2026.8.1 or later. */
  readonly isLate: boolean;
  readonly follows: boolean;
}

function pairsIn({ result }: Patient): Pair[] {
  const { reports } = result.plan;
  const heldAt = new Map(reports.map(({ target }) => [placementKey(target.store, target.profile), target.held]));
  const stores = new Map(result.observation.reads.map(({ target }) => [target.store.name, target]));
  return reports.flatMap(({ target, verdict }): Pair[] => {
    const store = stores.get(target.store);
    const from = store?.origin.inheritsFrom ?? null;
    if (store === undefined || from === null) return [];
    const [own, shared] = [target.held, heldAt.get(placementKey(from, target.profile))];
    if (!isOauth(own) || !isOauth(shared)) return [];
    const follows = verdict?.kind === "write" || verdict?.kind === "drift" || verdict?.kind === "in-sync";
    return [{ target, own, shared, from, isLate: (store.unused?.size ?? 0) > 0, follows }];
  });
}

function isOauth(held: ObservedTarget["held"] | undefined): held is HeldCredential {
  return held?.kind === "credential" && held.credential.type === "oauth";
}

/** Own copies of a shared login: OpenClaw's own doctor takes them for stale, and deletes them. */
export const deleted: Check = (patient) =>
  Promise.resolve(
    pairsIn(patient).flatMap(({ target: { store, profile }, own, shared, from, isLate }) => {
      if (!isLate || own.issue !== shared.issue || own.generation !== shared.generation) return [];
      const what = `${store} ${profile} is the same login as the one in ${from}: openclaw doctor --fix deletes it`;
      const why = "its agent inherits the other one then, which is the same";
      return [found("own-copies", "info", { what, why, fix: null })];
    }),
  );

/** An expired access token keeps its agent from a valid login, since without a refresh token nothing renews it. */
export const expiredOwn: Check = (patient) =>
  Promise.resolve(
    pairsIn(patient).flatMap(({ target: { store, profile }, own, shared, from, follows }) => {
      if (own.generation !== null || !isOver(own, patient.now) || isOver(shared, patient.now)) return [];
      const what = `${store} ${profile} has expired, has no refresh token, and hides the valid login in ${from}`;
      const why = "its agent sends no login at all";
      const removal = "remove this profile in OpenClaw: then the agent inherits the valid one";
      const fix = follows ? "credsyncd sync" : `sign in to that agent again, or ${removal}`;
      return [found("hidden-login", "warning", { what, why, fix })];
    }),
  );

function isOver({ expiresAt }: HeldCredential, now: number): boolean {
  return expiresAt !== null && expiresAt <= now;
}

/** OpenClaw moves the directory of a deleted agent to the trash, with all of its tokens. */
export const trash: Check = async ({ composition: { environment } }) => {
  const root = join(environment.home, ".Trash");
  const places: string[] = [];
  for (const moved of await directoriesIn(root)) {
    for (const directory of [moved, ...(await directoriesIn(moved))]) if (await hasLogins(directory)) places.push(directory);
  }
  return places.map((directory) =>
    found("trash", "warning", {
      what: `${directory} has the logins of an agent that was deleted`,
      why: "its tokens still work for whoever reads them, and nobody rotates them",
      fix: "put the agent back if it is still needed; if not, empty this part of the trash",
    }),
  );
};

async function directoriesIn(directory: string): Promise<string[]> {
  return (await entriesOf(directory)).flatMap((entry) => (entry.isDirectory() ? [join(directory, entry.name)] : []));
}

async function hasLogins(directory: string): Promise<boolean> {
  const names = [AGENT_DATABASE, PROFILES_FILE];
  return (await entriesOf(directory)).some((entry) => entry.isFile() && names.includes(entry.name));
}

/** A trash that this user cannot read has nothing of this user's. */
async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error) || errnoOf(error) === "EACCES" || errnoOf(error) === "EPERM") return [];
    throw error;
  }
}
