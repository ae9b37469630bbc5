import { FIRST_EXPIRY_MS, LAST_EXPIRY_MS, type Account, type Credential } from "../../domain/credential.js";
import { StoreError } from "../../domain/errors.js";
import { isPresentable } from "../../domain/presentable.js";
import { Secret, SecretReference } from "../../domain/secret.js";
import type { ProfileContent, ProfileId, ProfilePatch, StoredProfile } from "../../domain/store.js";
import { namedValues, parseJson, textsOf, type JsonChange, type JsonValue } from "../../io/json-document.js";
import { isFenced, readFence } from "./fence.js";

/** The only version that OpenClaw's set of profiles ever had, in files and in rows. */
const KNOWN_VERSION = 1;

/** OpenClaw's agents have a few; each takes time in every scan, and a pair of locks at every rotation. */
export const MOST_PROFILES = 300;

/** A profile's own values. Only objects are profiles: OpenClaw passes over everything else. */
type Entry = Readonly<Record<string, unknown>>;

/** OpenClaw 2026.5.12 to 5.14 kept tokens of provider openai-codex in encrypted files of their own. */
const IN_SIDECAR = "its tokens are in an encrypted sidecar, which is not supported";

/** The profiles of a set as OpenClaw keeps it, in a file or in a row. @throws StoreError */
export function readProfiles(root: unknown, text: string, place: string): StoredProfile[] {
  const textAt = textsOf(text, place);
  return Object.entries(profilesIn(root, place)).map(([id, entry]) => toProfile(id, entry, textAt));
}

/** Reads the content of a profile's own text. @throws StoreError */
export function readImage(profile: ProfileId, image: Secret): ProfileContent {
  const entry = namedValues(parseJson(image.reveal(), "a backup"));
  if (entry === null) throw new StoreError("malformed", "a backup holds no profile", "it is left alone");
  return readContent(profile, providerOf(entry), entry);
}

export function profilesIn(root: unknown, place: string): Record<string, Entry> {
  const set = namedValues(root);
  const profiles = namedValues(set?.["profiles"]);
  if (profiles === null) {
    throw new StoreError("malformed", `${place} holds no set of profiles`, "let OpenClaw repair it: openclaw doctor --fix");
  }
  const version = set?.["version"];
  if (version !== undefined && version !== KNOWN_VERSION) {
    throw new StoreError(
      "unsupported",
      `${place} has a format version that is not known`,
      "update credsyncd; the store is left alone",
    );
  }
  const all = Object.entries(profiles);
  if (all.length > MOST_PROFILES) {
    throw new StoreError(
      "too-large",
      `${place} holds ${String(all.length)} profiles, and more than ${String(MOST_PROFILES)} are not served`,
      "remove those that nobody uses with its own program; the store is left alone until then",
    );
  }
  return Object.fromEntries(
    all.flatMap(([id, value]) => {
      const entry = namedValues(value);
      if (entry === null) return [];
      refuseUnpresentable([id, entry["provider"]], place);
      return [[id, entry]];
    }),
  );
}

/**
 * Refuses names that must not get into a log: every report on a store uses these names.
 *
 * @throws StoreError `malformed`
 */
export function refuseUnpresentable(names: readonly unknown[], place: string): void {
  if (names.every((name) => typeof name !== "string" || isPresentable(name))) return;
  throw new StoreError(
    "malformed",
    `${place} has a profile or a provider whose name must not be shown: it is built like a token, or holds control characters`,
    "give it another name with its own program; the store is left alone until then",
  );
}

function toProfile(id: ProfileId, entry: Entry, textAt: ReturnType<typeof textsOf>): StoredProfile {
  const provider = providerOf(entry);
  return {
    id,
    provider,
    content: readContent(id, provider, entry),
    account: readAccount(entry),
    accountInCredential: true,
    surroundings: () => new Secret(JSON.stringify({ ...entry, ...blanks })),
    image: () => new Secret(textAt(["profiles", id]) ?? "null"),
  };
}

function providerOf(entry: Entry): string | null {
  return typeof entry["provider"] === "string" ? entry["provider"] : null;
}

/** Replace every field of the credential itself. */
const blanks = { access: 0, refresh: 0, idToken: 0, expires: 0, token: 0, tokenRef: 0, key: 0, keyRef: 0, apiKey: 0 };

function readContent(profile: ProfileId, provider: string | null, entry: Entry): ProfileContent {
  switch (typeOf(entry)) {
    case "oauth": {
      if (entry["oauthRef"] !== undefined) return incomplete(IN_SIDECAR);
      const access = secretText(entry["access"]);
      if (access === null) return incomplete("it has no access token");
      // OpenClaw takes a blank refresh token for none.
      const refresh = secretText(entry["refresh"]);
      const idToken = secretText(entry["idToken"]);
      const fields = { profile, provider, access, refresh };
      if (isFenced(fields)) {
        return readFence(fields) ?? incomplete("it holds a refresh marker in a form that is not known");
      }
      return complete({
        type: "oauth",
        access: new Secret(access),
        refresh: refresh === null ? null : new Secret(refresh),
        expiresAt: readExpiry(entry["expires"]),
        signInEndsAt: null,
        idToken: idToken === null ? null : new Secret(idToken),
        grant: null,
      });
    }
    case "token": {
      const token = readReference(entry["tokenRef"]) ?? literal(entry["token"]);
      if (token === null) return incomplete("it has no token of its own");
      return complete({ type: "token", token, expiresAt: readExpiry(entry["expires"]) });
    }
    case "api_key": {
      const key = readReference(entry["keyRef"]) ?? literal(entry["key"] ?? entry["apiKey"]);
      return key === null ? incomplete("it has no key of its own") : complete({ type: "api_key", key });
    }
    case null:
      return incomplete("its type is not known");
  }
}

/** A text that is not empty. */
function secretText(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function literal(value: unknown): Secret | null {
  const text = secretText(value);
  return text === null ? null : new Secret(text);
}

/**
 * An expiry that is no positive number of ms makes OpenClaw refuse the profile; it counts as not stated, and so does one in
 * seconds. One that no date can name is the last that one can.
 */
function readExpiry(value: unknown): number | null {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= FIRST_EXPIRY_MS) return null;
  return Math.min(value, LAST_EXPIRY_MS);
}

/** Reads OpenClaw's reference to a secret outside the store. OpenClaw drops a literal beside it at its next save. */
function readReference(value: unknown): SecretReference | null {
  const reference = namedValues(value);
  if (typeof reference?.["source"] !== "string" || typeof reference["id"] !== "string") return null;
  const names = Object.keys(reference).sort();
  return new SecretReference(JSON.stringify(Object.fromEntries(names.map((name) => [name, reference[name]]))));
}

function complete(credential: Credential): ProfileContent {
  return { kind: "credential", credential };
}

function incomplete(reason: string): ProfileContent {
  return { kind: "incomplete", reason };
}

/** OpenClaw also reads `mode` for `type`, and late versions `apiKey` for `api_key`. */
export function typeOf(entry: Entry): Credential["type"] | null {
  const type = entry["type"] ?? entry["mode"];
  if (type === "oauth" || type === "token" || type === "api_key") return type;
  return type === "apiKey" ? "api_key" : null;
}

function readAccount(entry: Entry): Account | null {
  const [uuid, email] = [entry["accountId"], entry["email"]].map((value) => (typeof value === "string" ? value : null));
  return uuid == null && email == null ? null : { uuid: uuid ?? null, email: email ?? null };
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
function newEntry({ provider, credential, template, account }: ProfilePatch, place: string): JsonValue {
  const entry = (template === undefined ? {} : (namedValues(parseJson(template.reveal(), place)) ?? {})) as Record<
    string,
    JsonValue
  >;
  const fields = new Map<string, JsonValue>([
    ["type", credential.type],
    ...(provider === null ? [] : [["provider", provider] as const]),
    ...(account?.email == null ? [] : [["email", account.email] as const]),
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
        // One of another generation says nothing of this one.
        ...(credential.idToken !== null || "idToken" in entry
          ? [{ path: at("idToken"), value: credential.idToken?.reveal() }]
          : []),
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

/** The profile in use for each provider: the first of its stored order, else the one that last worked. */
export function activeProfiles(text: string, place: string): Record<string, ProfileId> {
  const preferences = namedValues(parseJson(text, place));
  const lastGood = namedValues(preferences?.["lastGood"]) ?? {};
  const order = namedValues(preferences?.["order"]) ?? {};
  const firsts = Object.entries(order).map(([provider, ids]) => [
    provider,
    Array.isArray(ids) ? (ids as unknown[])[0] : undefined,
  ]);
  return Object.fromEntries(
    [...Object.entries(lastGood), ...firsts].filter((names) =>
      names.every((name) => typeof name === "string" && isPresentable(name)),
    ),
  ) as Record<string, ProfileId>;
}
