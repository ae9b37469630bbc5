import * as z from "zod/mini";
import type { Account, Credential } from "../domain/credential.js";
import { StoreError } from "../domain/errors.js";
import { Secret, SecretReference } from "../domain/secret.js";
import type { ProfileContent, ProfileId, ProfilePatch, StoredProfile } from "../domain/store.js";
import { parseJson, textAt, type JsonChange, type JsonValue } from "../io/json-document.js";
import { isFenced, readFence } from "./openclaw-fence.js";

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

/** OpenClaw 2026.5.12 to 5.14 kept tokens of provider openai-codex in encrypted files of their own. */
const IN_SIDECAR = "its tokens are in an encrypted sidecar, which is not supported";

const secretText = (missing: string) => z.string({ error: missing }).check(z.minLength(1, { error: missing }));
/** An expiry that is no positive number of ms makes OpenClaw refuse the profile; it counts as not stated. */
const expiry = z.catch(z.nullable(z.number().check(z.positive())), null);
const oauthShape = z.object({
  oauthRef: z.optional(z.undefined({ error: IN_SIDECAR })),
  access: secretText("it has no access token"),
  // OpenClaw takes a blank refresh token for none.
  refresh: z.catch(z.nullable(z.string().check(z.minLength(1))), null),
  expires: expiry,
});
const tokenShape = z.object({ token: secretText("it has no token of its own"), expires: expiry });
const keyShape = z.object({ key: secretText("it has no key of its own") });
/** Where OpenClaw finds a secret that is not in the store; it drops a literal beside it at its next save. */
const referenceShape = z.looseObject({ source: z.string(), id: z.string() });
const identityShape = z.object({
  accountId: z.catch(z.nullable(z.string()), null),
  email: z.catch(z.nullable(z.string()), null),
});

/** The profiles of a set as OpenClaw keeps it, in a file or in a row. @throws StoreError */
export function readProfiles(root: unknown, text: string, place: string): StoredProfile[] {
  return Object.entries(profilesIn(root, place)).map(([id, entry]) => toProfile(id, entry, text, place));
}

/** What a profile's own text holds. @throws StoreError */
export function readImage(profile: ProfileId, image: Secret): ProfileContent {
  const entry = entryShape.safeParse(parseJson(image.reveal(), "a backup"));
  if (!entry.success) throw new StoreError("malformed", "a backup holds no profile", "it is left alone");
  return readContent(profile, providerOf(entry.data), entry.data);
}

export function profilesIn(root: unknown, place: string): Record<string, Entry> {
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
  const provider = providerOf(entry);
  return {
    id,
    provider,
    content: readContent(id, provider, entry),
    account: readAccount(entry),
    accountInCredential: true,
    surroundings: () => new Secret(JSON.stringify({ ...entry, ...blanks })),
    image: () => new Secret(textAt(text, ["profiles", id], place) ?? "null"),
  };
}

function providerOf(entry: Entry): string | null {
  return typeof entry["provider"] === "string" ? entry["provider"] : null;
}

/** In the place of everything that is of the credential itself. */
const blanks = { access: 0, refresh: 0, expires: 0, token: 0, tokenRef: 0, key: 0, keyRef: 0, apiKey: 0 };

function readContent(profile: ProfileId, provider: string | null, entry: Entry): ProfileContent {
  switch (typeOf(entry)) {
    case "oauth": {
      const login = oauthShape.safeParse(entry);
      if (!login.success) return incomplete(login.error);
      const { access, refresh, expires } = login.data;
      const fields = { profile, provider, access, refresh };
      if (isFenced(fields)) {
        return readFence(fields) ?? { kind: "incomplete", reason: "it holds a refresh marker in a form that is not known" };
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
      const reference = readReference(entry["tokenRef"]);
      if (reference !== null) return complete({ type: "token", token: reference, expiresAt: expiry.parse(entry["expires"]) });
      const login = tokenShape.safeParse(entry);
      if (!login.success) return incomplete(login.error);
      return complete({ type: "token", token: new Secret(login.data.token), expiresAt: login.data.expires });
    }
    case "api_key": {
      const reference = readReference(entry["keyRef"]);
      if (reference !== null) return complete({ type: "api_key", key: reference });
      const login = keyShape.safeParse({ key: entry["key"] ?? entry["apiKey"] });
      if (!login.success) return incomplete(login.error);
      return complete({ type: "api_key", key: new Secret(login.data.key) });
    }
    case null:
      return { kind: "incomplete", reason: "its type is not known" };
  }
}

function readReference(value: unknown): SecretReference | null {
  const reference = referenceShape.safeParse(value);
  if (!reference.success) return null;
  const names = Object.keys(reference.data).sort();
  return new SecretReference(JSON.stringify(Object.fromEntries(names.map((name) => [name, reference.data[name]]))));
}

function complete(credential: Credential): ProfileContent {
  return { kind: "credential", credential };
}

function incomplete({ issues }: z.core.$ZodError): ProfileContent {
  return { kind: "incomplete", reason: issues[0]?.message ?? "it is not complete" };
}

/** OpenClaw also reads `mode` for `type`, and late versions `apiKey` for `api_key`. */
export function typeOf(entry: Entry): Credential["type"] | null {
  const type = entry["type"] ?? entry["mode"];
  if (type === "oauth" || type === "token" || type === "api_key") return type;
  return type === "apiKey" ? "api_key" : null;
}

function readAccount(entry: Entry): Account | null {
  const { accountId, email } = identityShape.parse(entry);
  return accountId === null && email === null ? null : { uuid: accountId, email };
}

/**
 * The changes that put credentials into a set's profiles; one that is not there is made where the patch says so.
 *
 * @throws StoreError `conflict` for a profile that is not there any more, `unsupported` for one of another type
 */
export function profileChanges(patches: readonly ProfilePatch[], root: unknown, place: string): JsonChange[] {
  const entries = profilesIn(root, place);
  return patches.flatMap((patch) => {
    const entry = Object.hasOwn(entries, patch.profile) ? entries[patch.profile] : undefined;
    if (entry === undefined && patch.create) return [{ path: ["profiles", patch.profile], value: newEntry(patch, place) }];
    if (entry === undefined)
      throw new StoreError("conflict", `${place} lost the profile ${patch.profile}`, "it is looked at again by itself");
    if (entry["oauthRef"] !== undefined)
      throw new StoreError("unsupported", `the profile ${patch.profile} in ${place}: ${IN_SIDECAR}`, "sign in there again");
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

/** A profile made after the source's, or with no more than OpenClaw needs. */
function newEntry({ provider, credential, template }: ProfilePatch, place: string): JsonValue {
  const entry = entryShape.parse(template === undefined ? {} : parseJson(template.reveal(), place)) as Record<string, JsonValue>;
  const fields = new Map<string, JsonValue>([
    ["type", credential.type],
    ...(provider === null ? [] : [["provider", provider] as const]),
    ...Object.entries(entry),
  ]);
  for (const { path, value } of credentialChanges(credential, entry, (key) => [key])) {
    const key = path[0] ?? "";
    if (value === undefined) fields.delete(key);
    else fields.set(key, value);
  }
  return Object.fromEntries(fields);
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
        ...secretChanges(credential.token, { literals: ["token"], reference: "tokenRef" }, entry, at),
        { path: at("expires"), value: credential.expiresAt ?? undefined },
      ];
    case "api_key": {
      const literals = "apiKey" in entry && !("key" in entry) ? ["apiKey"] : ["key", "apiKey"];
      return secretChanges(credential.key, { literals, reference: "keyRef" }, entry, at);
    }
  }
}

interface SecretFields {
  /** The first is written; the others say the same to some versions. */
  readonly literals: readonly string[];
  readonly reference: string;
}

/** A literal and a reference exclude each other: what is written takes the place of the other. */
function secretChanges(
  secret: Secret | SecretReference,
  { literals, reference }: SecretFields,
  entry: Entry,
  at: (key: string) => readonly string[],
): JsonChange[] {
  const [literal = "", ...aliases] = literals;
  const set: JsonChange =
    secret instanceof SecretReference
      ? { path: at(reference), value: JSON.parse(secret.json) as JsonValue }
      : { path: at(literal), value: secret.reveal() };
  const others = secret instanceof SecretReference ? literals : [reference, ...aliases];
  return [set, ...others.filter((key) => key in entry).map((key) => ({ path: at(key), value: undefined }))];
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
