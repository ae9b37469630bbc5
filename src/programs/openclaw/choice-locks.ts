import * as z from "zod/mini";
import type { FieldChange } from "../../domain/choice.js";
import { parseJson } from "../../io/json-document.js";
import type { Environment } from "../environment.js";
import { withRefreshLocks, type RefreshedProfile } from "./refresh-lock.js";

const loginShape = z.object({ type: z.literal("oauth"), provider: z.string() });

/** The logins that come or go with these changes, and that a program may be refreshing. */
export function refreshedByChanges(changes: readonly FieldChange[], path: string): RefreshedProfile[] {
  return changes.flatMap((change) => {
    const [place, profile] = change.path;
    const image = change.before ?? change.after;
    if (place !== "profiles" || profile === undefined || image === null) return [];
    const login = loginShape.safeParse(parseJson(image.reveal(), path));
    return login.success ? [{ profile, provider: login.data.provider }] : [];
  });
}

/**
 * Takes the locks on some logins' refresh and keeps them.
 *
 * @returns what releases them, once they are had
 * @throws StoreError `locked` while a refresh is under way
 */
export function holdRefreshLocks(
  stateDirectory: string,
  profiles: readonly RefreshedProfile[],
  environment: Environment,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  return new Promise((resolve, reject) => {
    const ended = withRefreshLocks(
      stateDirectory,
      profiles,
      environment,
      signal,
      () =>
        new Promise<void>((end) => {
          resolve(async () => {
            end();
            await ended;
          });
        }),
    );
    ended.catch(reject);
  });
}
