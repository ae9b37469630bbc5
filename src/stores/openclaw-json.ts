import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Account, Credential } from "../domain/credential.js";
import { StoreError } from "../domain/errors.js";
import { Secret } from "../domain/secret.js";
import type {
  CredentialStore,
  ProfileContent,
  ProfileId,
  ProfilePatch,
  Revision,
  StoredProfile,
  StoreName,
  StoreSnapshot,
} from "../domain/store.js";
import { replaceFile } from "../io/atomic-file.js";
import { changeJson, parseJson, textAt, type JsonChange, type JsonValue } from "../io/json-document.js";
import { withOwnerLock } from "../io/owner-lock.js";
import { readRegularFile } from "../io/regular-file.js";
import { ABSENT, revisionOf } from "../io/revision.js";
import { toStoreError } from "../io/system-error.js";
import type { Environment } from "./environment.js";
import { parseOrTorn } from "./torn.js";

/** The file's name in an agent's directory. */
export const PROFILES_FILE = "auth-profiles.json";
const STATE_FILE = "auth-state.json";
/** The only format version that OpenClaw's JSON era ever had. */
const KNOWN_VERSION = 1;
/** OpenClaw's versions break a store lock after 30 s at the earliest. */
const LOCK_STALE_MS = 30_000;
const LOCK_WAIT_MS = 1000;

type Fields = Readonly<Record<string, unknown>>;

/** An agent's `auth-profiles.json`, as OpenClaw keeps it up to 2026.6.1. */
export class OpenclawJsonStore implements CredentialStore {
  readonly format = "openclaw-json";
  readonly name: StoreName;
  readonly path: string;
  readonly #environment: Environment;

  constructor(name: StoreName, agentDirectory: string, environment: Environment) {
    this.name = name;
    this.path = join(agentDirectory, PROFILES_FILE);
    this.#environment = environment;
  }

  async read(): Promise<StoreSnapshot> {
    const file = await readRegularFile(this.path);
    if (file === null) return { revision: ABSENT, identity: null, changedAt: null, files: [this.path], profiles: [] };
    const profiles = profilesOf(parseOrTorn(file, this.path, this.#environment.clock), this.path);
    return {
      revision: revisionOf(file.text),
      identity: file.identity,
      changedAt: file.changedAt,
      files: file.realPath === this.path ? [this.path] : [this.path, file.realPath],
      profiles: Object.entries(profiles).flatMap(([id, fields]) =>
        isObject(fields) ? [this.#toProfile(id, fields, file.text)] : [],
      ),
    };
  }

  write(patches: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<StoreSnapshot> {
    return this.#replace(expected, signal, (text) => {
      const profiles = profilesOf(parseJson(text, this.path), this.path);
      return patches.flatMap((patch) => changesOf(patch, profiles, this.path));
    });
  }

  restore(profile: ProfileId, image: Secret, expected: Revision, signal: AbortSignal): Promise<StoreSnapshot> {
    const entry = parseJson(image.reveal(), "the backup") as JsonValue;
    return this.#replace(expected, signal, () => [{ path: ["profiles", profile], value: entry }]);
  }

  async #replace(
    expected: Revision,
    signal: AbortSignal,
    change: (text: string) => readonly JsonChange[],
  ): Promise<StoreSnapshot> {
    try {
      const lock = join(await realpath(dirname(this.path)), `${PROFILES_FILE}.lock`);
      const options = { staleMs: LOCK_STALE_MS, waitMs: LOCK_WAIT_MS, clock: this.#environment.clock };
      return await withOwnerLock(lock, options, signal, () => this.#replaceLocked(expected, change));
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  async readActive(): Promise<Readonly<Record<string, ProfileId>>> {
    const state = await readRegularFile(join(dirname(this.path), STATE_FILE));
    const profiles = await readRegularFile(this.path);
    // Where both name a profile, the state file counts: OpenClaw moves the keys there at its next save.
    return {
      ...(profiles === null ? {} : activeIn(profiles.text, this.path)),
      ...(state === null ? {} : activeIn(state.text, state.realPath)),
    };
  }

  #toProfile(id: ProfileId, fields: Fields, text: string): StoredProfile {
    return {
      id,
      provider: typeof fields["provider"] === "string" ? fields["provider"] : null,
      content: readProfile(fields),
      account: readAccount(fields),
      accountInCredential: false,
      surroundings: () =>
        new Secret(JSON.stringify({ ...fields, access: 0, refresh: 0, expires: 0, token: 0, key: 0, apiKey: 0 })),
      image: () => new Secret(textAt(text, ["profiles", id], this.path) ?? "null"),
    };
  }

  async #replaceLocked(expected: Revision, change: (text: string) => readonly JsonChange[]): Promise<StoreSnapshot> {
    const file = await readRegularFile(this.path);
    if (file === null || revisionOf(file.text) !== expected) throw this.#conflict();
    const text = changeJson(file.text, change(file.text), this.path);
    await replaceFile(file.realPath, text);
    const snapshot = await this.read();
    if (snapshot.revision !== revisionOf(text)) throw this.#conflict();
    return snapshot;
  }

  #conflict(): StoreError {
    return new StoreError(
      "conflict",
      `${basename(this.path)} of ${this.name} changed while it was about to be written`,
      "it is looked at again by itself",
    );
  }
}

function profilesOf(root: unknown, path: string): Fields {
  if (!isObject(root))
    throw new StoreError("malformed", `${path} is not a JSON object`, "let OpenClaw repair it: openclaw doctor --fix");
  const { version, profiles } = root;
  if (version !== undefined && (typeof version !== "number" || version > KNOWN_VERSION)) {
    throw new StoreError(
      "unsupported",
      `${path} has a format version that is not known`,
      "update credsyncd; the store is left alone",
    );
  }
  if (!isObject(profiles))
    throw new StoreError("malformed", `${path} has no object named profiles`, "let OpenClaw repair it: openclaw doctor --fix");
  return profiles;
}

function readProfile(fields: Fields): ProfileContent {
  const incomplete = (reason: string): ProfileContent => ({ kind: "incomplete", reason });
  switch (typeOf(fields)) {
    case "oauth": {
      const { access, refresh } = fields;
      if (isObject(fields["oauthRef"])) return incomplete("its tokens are in an encrypted sidecar, which is not supported");
      if (typeof access !== "string" || access === "") return incomplete("it has no access token");
      const hasRefresh = typeof refresh === "string" && refresh !== "";
      const credential: Credential = {
        type: "oauth",
        access: new Secret(access),
        refresh: hasRefresh ? new Secret(refresh) : null,
        expiresAt: readExpiry(fields["expires"]),
        signInEndsAt: null,
        grant: null,
      };
      return { kind: "credential", credential };
    }
    case "token": {
      const { token } = fields;
      if (typeof token !== "string" || token === "") return incomplete("it has no token of its own");
      return {
        kind: "credential",
        credential: { type: "token", token: new Secret(token), expiresAt: readExpiry(fields["expires"]) },
      };
    }
    case "api_key": {
      const key = fields["key"] ?? fields["apiKey"];
      if (typeof key !== "string" || key === "") return incomplete("it has no key of its own");
      return { kind: "credential", credential: { type: "api_key", key: new Secret(key) } };
    }
    case null:
      return incomplete("its type is not known");
  }
}

/** OpenClaw also reads `mode` for `type`, and late versions `apiKey` for `api_key`. */
function typeOf(fields: Fields): Credential["type"] | null {
  const type = fields["type"] ?? fields["mode"];
  if (type === "oauth" || type === "token" || type === "api_key") return type;
  return type === "apiKey" ? "api_key" : null;
}

/** An expiry that is no positive number of ms makes OpenClaw refuse the profile; it counts as not stated. */
function readExpiry(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : null;
}

function readAccount(fields: Fields): Account | null {
  const uuid = typeof fields["accountId"] === "string" ? fields["accountId"] : null;
  const email = typeof fields["email"] === "string" ? fields["email"] : null;
  return uuid === null && email === null ? null : { uuid, email };
}

/** @throws StoreError `conflict` for a profile that is not there any more, `unsupported` for one of another type */
function changesOf({ profile, credential, account }: ProfilePatch, profiles: Fields, path: string): JsonChange[] {
  const fields = profiles[profile];
  if (!isObject(fields))
    throw new StoreError("conflict", `${path} lost the profile ${profile}`, "it is looked at again by itself");
  if (typeOf(fields) !== credential.type) {
    throw new StoreError(
      "unsupported",
      `the profile ${profile} in ${path} is of another type`,
      "sign in there with the same kind of login, or set the agent to pinned",
    );
  }
  const at = (key: string): readonly string[] => ["profiles", profile, key];
  const changes = credentialChanges(credential, fields, at);
  if (account !== null) {
    if (account.email !== null && "email" in fields) changes.push({ path: at("email"), value: account.email });
    if (account.uuid !== null && "accountId" in fields) changes.push({ path: at("accountId"), value: account.uuid });
  }
  return changes;
}

function credentialChanges(credential: Credential, fields: Fields, at: (key: string) => readonly string[]): JsonChange[] {
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
      return [{ path: at("apiKey" in fields && !("key" in fields) ? "apiKey" : "key"), value: credential.key.reveal() }];
  }
}

/** The first of a provider's stored order, else the one that last worked. */
function activeIn(text: string, path: string): Record<string, ProfileId> {
  const root = parseJson(text, path);
  if (!isObject(root)) return {};
  const active: Record<string, ProfileId> = {};
  const { lastGood, order } = root;
  for (const [provider, id] of Object.entries(isObject(lastGood) ? lastGood : {}))
    if (typeof id === "string") active[provider] = id;
  for (const [provider, ids] of Object.entries(isObject(order) ? order : {})) {
    const first: unknown = Array.isArray(ids) ? ids[0] : undefined;
    if (typeof first === "string") active[provider] = first;
  }
  return active;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
