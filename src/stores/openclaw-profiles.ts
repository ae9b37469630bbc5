import * as z from "zod/mini";
import type { Account, Credential } from "../domain/credential.js";
import { StoreError } from "../domain/errors.js";
import { Secret } from "../domain/secret.js";
import type { ProfileContent, ProfileId, ProfilePatch, StoredProfile } from "../domain/store.js";
import { parseJson, textAt, type JsonChange } from "../io/json-document.js";

/** The only version that OpenClaw's set of profiles ever had, in files and in rows. */
const KNOWN_VERSION = 1;

/** Only objects are profiles: OpenClaw passes over everything else. */
const profilesShape = z.record(z.string(), z.unknown());
const setShape = z.looseObject({
  version: z.optional(z.unknown()),
  profiles: profilesShape,
});
const entryShape = z.record(z.string(), z.unknown());
type Entry = z.infer<typeof entryShape>;

const secretText = (missing: string) => z.string({ error: missing }).check(z.minLength(1, { error: missing }));
/** An expiry that is no positive number of ms makes OpenClaw refuse the profile; it counts as not stated. */
const expiry = z.catch(z.nullable(z.number().check(z.positive())), null);
const oauthShape = z.object({
  oauthRef: z.optional(z.undefined({ error: "its tokens are in an encrypted sidecar, which is not supported" })),
  access: secretText("it has no access token"),
  // OpenClaw takes a blank refresh token for none.
  refresh: z.catch(z.nullable(z.string().check(z.minLength(1))), null),
  expires: expiry,
});
const tokenShape = z.object({ token: secretText("it has no token of its own"), expires: expiry });
const keyShape = z.object({ key: secretText("it has no key of its own") });
const identityShape = z.object({
  accountId: z.catch(z.nullable(z.string()), null),
  email: z.catch(z.nullable(z.string()), null),
});

/** OpenClaw from 2026.9.4 puts a marker in the place of the tokens while it refreshes, and leaves it where that failed. */
const FENCE = "openclaw-oauth-refresh-fence:";

/** The profiles of a set as OpenClaw keeps it, in a file or in a row. @throws StoreError */
export function readProfiles(root: unknown, text: string, place: string): StoredProfile[] {
  return Object.entries(profilesIn(root, place)).map(([id, entry]) => toProfile(id, entry, text, place));
}

function profilesIn(root: unknown, place: string): Record<string, Entry> {
  const set = setShape.safeParse(root);
  if (!set.success) {
    throw new StoreError("malformed", `${place} holds no set of profiles`, "let OpenClaw repair it: openclaw doctor --fix");
  }
  const { version, profiles } = set.data;
  if (version !== undefined && version !== KNOWN_VERSION) {
    throw new StoreError(
      "unsupported",
      `${place} has a format version that is not known`,
      "update credsyncd; the store is left alone",
    );
  }
  return Object.fromEntries(
    Object.entries(profiles).flatMap(([id, value]) => {
      const entry = entryShape.safeParse(value);
      return entry.success ? [[id, entry.data]] : [];
    }),
  );
}

function toProfile(id: ProfileId, entry: Entry, text: string, place: string): StoredProfile {
  return {
    id,
    provider: typeof entry["provider"] === "string" ? entry["provider"] : null,
    content: readContent(entry),
    account: readAccount(entry),
    accountInCredential: false,
    surroundings: () => new Secret(JSON.stringify({ ...entry, access: 0, refresh: 0, expires: 0, token: 0, key: 0, apiKey: 0 })),
    image: () => new Secret(textAt(text, ["profiles", id], place) ?? "null"),
  };
}

function readContent(entry: Entry): ProfileContent {
  switch (typeOf(entry)) {
    case "oauth": {
      const login = oauthShape.safeParse(entry);
      if (!login.success) return incomplete(login.error);
      const { access, refresh, expires } = login.data;
      if (access.startsWith(FENCE)) {
        const failed = /:failed:/.test(access);
        return {
          kind: "incomplete",
          reason: failed ? "a refresh failed there, and its tokens are gone" : "its program is refreshing it",
        };
      }
      return complete({
        type: "oauth",
        access: new Secret(access),
        refresh: refresh === null ? null : new Secret(refresh),
        expiresAt: expires,
        signInEndsAt: null,
        grant: null,
      });
    }
    case "token": {
      const login = tokenShape.safeParse(entry);
      if (!login.success) return incomplete(login.error);
      return complete({ type: "token", token: new Secret(login.data.token), expiresAt: login.data.expires });
    }
    case "api_key": {
      const login = keyShape.safeParse({ key: entry["key"] ?? entry["apiKey"] });
      if (!login.success) return incomplete(login.error);
      return complete({ type: "api_key", key: new Secret(login.data.key) });
    }
    case null:
      return { kind: "incomplete", reason: "its type is not known" };
  }
}

function complete(credential: Credential): ProfileContent {
  return { kind: "credential", credential };
}

function incomplete({ issues }: z.core.$ZodError): ProfileContent {
  return { kind: "incomplete", reason: issues[0]?.message ?? "it is not complete" };
}

/** OpenClaw also reads `mode` for `type`, and late versions `apiKey` for `api_key`. */
function typeOf(entry: Entry): Credential["type"] | null {
  const type = entry["type"] ?? entry["mode"];
  if (type === "oauth" || type === "token" || type === "api_key") return type;
  return type === "apiKey" ? "api_key" : null;
}

function readAccount(entry: Entry): Account | null {
  const { accountId, email } = identityShape.parse(entry);
  return accountId === null && email === null ? null : { uuid: accountId, email };
}

/**
 * The changes that put credentials into a set's existing profiles.
 *
 * @throws StoreError `conflict` for a profile that is not there any more, `unsupported` for one of another type
 */
export function profileChanges(patches: readonly ProfilePatch[], root: unknown, place: string): JsonChange[] {
  const entries = profilesIn(root, place);
  return patches.flatMap((patch) => {
    const entry = Object.hasOwn(entries, patch.profile) ? entries[patch.profile] : undefined;
    if (entry === undefined)
      throw new StoreError("conflict", `${place} lost the profile ${patch.profile}`, "it is looked at again by itself");
    if (typeOf(entry) === patch.credential.type) return changesOf(patch, entry);
    const hint = "sign in there with the same kind of login, or set the agent to pinned";
    throw new StoreError("unsupported", `the profile ${patch.profile} in ${place} is of another type`, hint);
  });
}

function changesOf({ profile, credential, account }: ProfilePatch, entry: Entry): JsonChange[] {
  const at = (key: string): readonly string[] => ["profiles", profile, key];
  const changes = credentialChanges(credential, entry, at);
  if (account?.email != null && "email" in entry) changes.push({ path: at("email"), value: account.email });
  if (account?.uuid != null && "accountId" in entry) changes.push({ path: at("accountId"), value: account.uuid });
  return changes;
}

function credentialChanges(credential: Credential, entry: Entry, at: (key: string) => readonly string[]): JsonChange[] {
  switch (credential.type) {
    case "oauth":
      return [
        { path: at("access"), value: credential.access.reveal() },
        { path: at("refresh"), value: credential.refresh?.reveal() },
        { path: at("expires"), value: credential.expiresAt ?? undefined },
      ];
    case "token":
      return [
        { path: at("token"), value: credential.token.reveal() },
        { path: at("expires"), value: credential.expiresAt ?? undefined },
      ];
    case "api_key":
      return [{ path: at("apiKey" in entry && !("key" in entry) ? "apiKey" : "key"), value: credential.key.reveal() }];
  }
}

const preferencesShape = z.object({
  lastGood: z.catch(z.record(z.string(), z.unknown()), {}),
  order: z.catch(z.record(z.string(), z.unknown()), {}),
});

/** The profile in use for each provider: the first of its stored order, else the one that last worked. */
export function activeProfiles(text: string, place: string): Record<string, ProfileId> {
  const preferences = preferencesShape.safeParse(parseJson(text, place));
  if (!preferences.success) return {};
  const { lastGood, order } = preferences.data;
  const firsts = Object.entries(order).map(([provider, ids]) => [
    provider,
    Array.isArray(ids) ? (ids as unknown[])[0] : undefined,
  ]);
  return Object.fromEntries([...Object.entries(lastGood), ...firsts].filter(([, id]) => typeof id === "string")) as Record<
    string,
    ProfileId
  >;
}
