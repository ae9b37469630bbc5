import { LAST_EXPIRY_MS, type Account, type Credential } from "../../src/domain/credential.js";
import { StoreError } from "../../src/domain/errors.js";
import { Secret, SecretReference } from "../../src/domain/secret.js";
import type {
  CredentialStore,
  ProfileContent,
  ProfileId,
  ProfilePatch,
  Revision,
  StoredProfile,
  StoreName,
  StoreSnapshot,
} from "../../src/domain/store.js";
import { fenceIn } from "./model-fence.js";
import type { Judge } from "./judge.js";
import type { AgentContent, AgentProfile, ClaudeContent, ClaudeLogin, FileContent, ModelFile } from "./model-file.js";
import type { ModelProcess } from "./model-process.js";
import type { Names } from "./names.js";

export const CLAUDE_PROFILE = "claudeAiOauth";
const GRANT = { scopes: ["user:inference"], subscriptionType: null, rateLimitTier: null };

export interface StoreWorld {
  readonly names: Names;
  readonly judge: Judge;
  readonly now: () => number;
  readonly note: (words: string) => void;
}

/** The common part of every model store: faults, the owner's lock, compare-and-swap, read back. */
abstract class ModelStore<Content extends FileContent> implements CredentialStore {
  abstract readonly format: string;
  readonly name: StoreName;
  readonly path: string;
  protected readonly file: ModelFile<Content>;
  readonly #process: ModelProcess;
  readonly #world: StoreWorld;
  #seen: readonly StoredProfile[] = [];

  constructor(name: StoreName, file: ModelFile<Content>, process: ModelProcess, world: StoreWorld) {
    this.name = name;
    this.path = `/model/${file.name}`;
    this.file = file;
    this.#process = process;
    this.#world = world;
  }

  places(): readonly [] {
    return [];
  }

  async read(): Promise<StoreSnapshot> {
    await this.#process.pass(`reading ${this.name}`);
    this.#fail("readFault");
    const snapshot = this.#snapshot();
    this.#seen = snapshot.profiles;
    this.#world.judge.noteRead(this.file);
    return snapshot;
  }

  async write(patches: readonly ProfilePatch[], expected: Revision): Promise<void> {
    const { judge, note, now } = this.#world;
    await this.#process.pass(`writing ${this.name}`);
    if (!this.file.tryLock(this.#process.name, now(), this.ownerStaleMs)) {
      throw new StoreError("locked", `${this.path} is locked`, "it is tried again by itself");
    }
    try {
      this.#fail("writeFault");
      if (this.#revision() !== expected) throw this.conflict();
      const before = this.file.content;
      const after = this.patched(before, patches);
      this.file.replace(after, now());
      note(`    ${this.#process.name} wrote ${this.name}: ${patches.map(({ profile }) => profile).join(", ")}`);
      judge.noteWrite(before, after, { patches, store: this.name, orders: this.#process.orders, seen: this.#seen });
      await this.#process.pass(`having written ${this.name}`);
      if (this.file.content !== after) throw this.conflict();
    } finally {
      if (this.#process.alive) this.file.unlock(this.#process.name);
    }
  }

  /** `credsyncd restore` is not in the model: it goes back on purpose, and asks first. */
  restore(): Promise<void> {
    return Promise.reject(new StoreError("unsupported", "the model restores nothing", "none"));
  }

  readActive(): Promise<Readonly<Record<string, ProfileId>>> {
    return Promise.resolve({});
  }

  protected abstract readonly ownerStaleMs: number;
  protected abstract cacheKey(): unknown;
  protected abstract profilesOf(content: Content): StoredProfile[];
  protected abstract patched(content: Content | null, patches: readonly ProfilePatch[]): Content;

  protected conflict(): StoreError {
    return new StoreError("conflict", `${this.path} changed while it was about to be written`, "it is looked at again by itself");
  }

  #revision(): Revision {
    return this.file.content === null ? "absent" : this.#world.names.of(this.file.text);
  }

  #snapshot(): StoreSnapshot {
    const { content, identity, changedAt } = this.file;
    if (content === null) return { revision: "absent", identity: null, changedAt: null, files: [this.path], profiles: [] };
    const key = this.cacheKey();
    const known = this.file.parsed;
    const parsed = known !== null && known.key === key ? known : { key, profiles: this.profilesOf(content) };
    this.file.parsed = parsed;
    return { revision: this.#revision(), identity, changedAt, files: [this.path], profiles: parsed.profiles };
  }

  #fail(which: "readFault" | "writeFault"): void {
    const fault = this.file[which];
    if (fault === null || fault.left <= 0) return;
    fault.left -= 1;
    throw new StoreError(fault.code, `${this.path}: ${fault.code}`, "a fault of the model");
  }
}

/** The account that Claude Code keeps in a file of its own. */
export interface AccountFile {
  account: { readonly uuid: string; readonly email: string } | null;
}

export class ModelClaudeStore extends ModelStore<ClaudeContent> {
  readonly format = "claude-code";
  protected readonly ownerStaleMs = 60_000;
  readonly #accountFile: AccountFile;

  constructor(
    name: StoreName,
    file: ModelFile<ClaudeContent>,
    process: ModelProcess,
    { world, accountFile }: { readonly world: StoreWorld; readonly accountFile: AccountFile },
  ) {
    super(name, file, process, world);
    this.#accountFile = accountFile;
  }

  protected cacheKey(): unknown {
    return this.#accountFile.account;
  }

  protected profilesOf({ claudeAiOauth: login }: ClaudeContent): StoredProfile[] {
    if (login === undefined) return [];
    const own = login.accountUuid ?? null;
    const beside = this.#accountFile.account;
    const account: Account | null = own === null ? beside : { uuid: own, email: beside?.uuid === own ? beside.email : null };
    return [
      {
        id: CLAUDE_PROFILE,
        provider: null,
        content: readLogin(login),
        account,
        accountInCredential: own !== null,
        surroundings: () => new Secret(JSON.stringify({ ...login, accessToken: 0, refreshToken: 0, expiresAt: 0 })),
        image: () => new Secret(JSON.stringify(login)),
      },
    ];
  }

  protected patched(content: ClaudeContent | null, patches: readonly ProfilePatch[]): ClaudeContent {
    const patch = patches[0];
    if (patch === undefined || patches.length > 1) throw new Error("Claude Code's file holds one profile");
    const { credential } = patch;
    if (credential.type !== "oauth") throw new StoreError("unsupported", "the model writes OAuth here only", "none");
    if (content?.claudeAiOauth === undefined && !patch.create) throw this.conflict();
    const kept = content?.claudeAiOauth;
    const login: ClaudeLogin = {
      ...(kept?.refreshTokenExpiresAt === undefined ? {} : { refreshTokenExpiresAt: kept.refreshTokenExpiresAt }),
      ...(kept?.accountUuid === undefined ? {} : { accountUuid: patch.account?.uuid ?? kept.accountUuid }),
      accessToken: credential.access.reveal(),
      ...(credential.refresh === null ? {} : { refreshToken: credential.refresh.reveal() }),
      ...(credential.expiresAt === null ? {} : { expiresAt: credential.expiresAt }),
      tier: kept?.tier ?? 0,
    };
    return { mcpOAuth: content?.mcpOAuth ?? 0, claudeAiOauth: login };
  }
}

/** As the real store reads it: a time in seconds is none. */
const isTime = (endsAt: number): boolean => endsAt > 100_000_000_000 && endsAt <= LAST_EXPIRY_MS;
const noTime: ProfileContent = { kind: "incomplete", reason: "expiresAt is not a time in milliseconds" };

function readLogin(login: ClaudeLogin): ProfileContent {
  if (login.accessToken === "") return { kind: "stub", timeLimit: login.loginEnded === "time_limit" };
  const access = new Secret(login.accessToken);
  const { refreshToken, expiresAt = null, refreshTokenExpiresAt = null } = login;
  if (refreshToken === undefined) {
    if (expiresAt === null) return { kind: "credential", credential: { type: "token", token: access, expiresAt: null } };
    if (!isTime(expiresAt)) return noTime;
    const credential: Credential = {
      type: "oauth",
      access,
      refresh: null,
      expiresAt,
      signInEndsAt: null,
      idToken: null,
      grant: GRANT,
    };
    return { kind: "credential", credential };
  }
  if (expiresAt === null) return { kind: "incomplete", reason: "the login has no expiresAt" };
  if (!isTime(expiresAt)) return noTime;
  const refresh = new Secret(refreshToken);
  const credential: Credential = {
    type: "oauth",
    access,
    refresh,
    expiresAt,
    signInEndsAt: refreshTokenExpiresAt,
    idToken: null,
    grant: GRANT,
  };
  return { kind: "credential", credential };
}

export class ModelAgentStore extends ModelStore<AgentContent> {
  readonly marksWith = "the model OpenClaw";
  readonly format = "openclaw-json";
  protected readonly ownerStaleMs = 30_000;

  protected cacheKey(): unknown {
    return null;
  }

  protected profilesOf({ profiles }: AgentContent): StoredProfile[] {
    return Object.entries(profiles).map(([id, fields]) => ({
      id,
      provider: fields.provider,
      content: readProfile(id, fields),
      account: fields.email === undefined ? null : { uuid: null, email: fields.email },
      accountInCredential: false,
      surroundings: () => new Secret(JSON.stringify({ ...fields, access: 0, refresh: 0, expires: 0, token: 0, key: 0 })),
      image: () => new Secret(JSON.stringify(fields)),
    }));
  }

  protected patched(content: AgentContent | null, patches: readonly ProfilePatch[]): AgentContent {
    if (content === null) throw this.conflict();
    const profiles: Record<string, { -readonly [Key in keyof AgentProfile]: AgentProfile[Key] }> = { ...content.profiles };
    for (const { profile, credential, account } of patches) {
      const fields = profiles[profile];
      if (fields === undefined) throw this.conflict();
      if (fields.type !== credential.type) throw new StoreError("unsupported", "the profile is of another type", "none");
      const renamed = account?.email != null && fields.email !== undefined ? { email: account.email } : {};
      profiles[profile] = { ...fields, ...renamed, ...credentialFields(credential) };
      if (credential.type === "oauth" && credential.refresh === null) delete profiles[profile].refresh;
      if (credential.type === "oauth" && credential.expiresAt === null) delete profiles[profile].expires;
    }
    return { ...content, profiles };
  }
}

function credentialFields(credential: Credential): Partial<AgentProfile> {
  switch (credential.type) {
    case "oauth":
      return {
        access: credential.access.reveal(),
        ...(credential.refresh === null ? {} : { refresh: credential.refresh.reveal() }),
        ...(credential.expiresAt === null ? {} : { expires: credential.expiresAt }),
      };
    case "token":
      return { token: textOf(credential.token) };
    case "api_key":
      return { key: textOf(credential.key) };
  }
}

/** Reads the content of a profile's own text. */
export function readImage(id: ProfileId, image: Secret): ProfileContent {
  return readProfile(id, JSON.parse(image.reveal()) as AgentProfile);
}

function readProfile(id: ProfileId, fields: AgentProfile): ProfileContent {
  const { access, refresh } = fields;
  const expires = fields.expires !== undefined && fields.expires > 0 ? Math.min(fields.expires, LAST_EXPIRY_MS) : null;
  switch (fields.type) {
    case "oauth": {
      if (access === undefined || access === "") return { kind: "incomplete", reason: "it has no access token" };
      const fence = fenceIn(id, fields);
      if (fence !== null) return fence;
      const credential: Credential = {
        type: "oauth",
        access: new Secret(access),
        refresh: refresh === undefined ? null : new Secret(refresh),
        expiresAt: expires,
        signInEndsAt: null,
        idToken: null,
        grant: null,
      };
      return { kind: "credential", credential };
    }
    case "token":
      return {
        kind: "credential",
        credential: { type: "token", token: new Secret(fields.token ?? "none"), expiresAt: expires },
      };
    case "api_key":
      return { kind: "credential", credential: { type: "api_key", key: new Secret(fields.key ?? "none") } };
  }
}

function textOf(secret: Secret | SecretReference): string {
  return secret instanceof SecretReference ? secret.json : secret.reveal();
}
