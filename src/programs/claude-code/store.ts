import { mkdir, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as z from "zod/mini";
import { FIRST_EXPIRY_MS, LAST_EXPIRY_MS, type Account, type Credential } from "../../domain/credential.js";
import { StoreError } from "../../domain/errors.js";
import { Secret, SecretReference } from "../../domain/secret.js";
import type { Place } from "../../domain/place.js";
import { shellWord } from "../../domain/shell-word.js";
import type {
  CredentialStore,
  ProfileContent,
  ProfileId,
  ProfilePatch,
  Revision,
  StoredProfile,
  StoreName,
  StoreSnapshot,
} from "../../domain/store.js";
import { replaceFile } from "../../io/atomic-file.js";
import { takeDirectoryLock, type HeldLock } from "../../io/directory-lock.js";
import { changeJson, parseJson, putJson, textAt, type JsonChange, type JsonValue } from "../../io/json-document.js";
import { isLink, linksTo } from "../../io/real-path.js";
import { isUnchanged, readRegularFile, refuseForeignDirectory, type RegularFile } from "../../io/regular-file.js";
import { ABSENT, revisionOf } from "../../io/revision.js";
import { errnoOf, isAbsent, toStoreError } from "../../io/system-error.js";
import { GuardedPath, unconfined, type Confinement } from "../confinement.js";
import { variable, type Environment } from "../environment.js";
import { parseOrTorn, readWhole } from "../torn.js";

/** The one profile of Claude Code's file, by its key there. */
export const CLAUDE_PROFILE = "claudeAiOauth";

/** Without this scope Claude Code takes a file for logged out, and never refreshes it. */
const REQUIRED_SCOPE = "user:inference";
/** The account file also holds the history of every project, so it grows large. */
const ACCOUNT_FILE_MAX_BYTES = 64 * 1024 * 1024;

const fileShape = z.looseObject({ claudeAiOauth: z.optional(z.unknown()) });
/** The login's fields, whatever they are. */
const fieldsShape = z.catch(z.record(z.string(), z.unknown()), {});
const lacksScope = `the login lacks the scope ${REQUIRED_SCOPE}, so that Claude Code takes it for logged out`;
const noTime = { error: "expiresAt is not a time in milliseconds" };
const time = z.number(noTime).check(z.gt(FIRST_EXPIRY_MS, noTime), z.lte(LAST_EXPIRY_MS, noTime));
/** A field that may be absent or null, which mean the same. */
const optional = <Shape extends z.ZodMiniType>(shape: Shape) => z._default(z.nullable(shape), null);
/** Logged out: the tokens are blank, the rest stays. */
const stubShape = z.object({ accessToken: z.literal(""), loginEnded: z.optional(z.unknown()) });
const loginShape = z.object(
  {
    accessToken: z.string({ error: "the login has no access token" }),
    refreshToken: optional(
      z
        .string({ error: "the refresh token is not text" })
        .check(z.minLength(1, { error: "the login has a blank refresh token" })),
    ),
    scopes: z
      .array(z.string(), { error: lacksScope })
      .check(z.refine((scopes) => scopes.includes(REQUIRED_SCOPE), { error: lacksScope })),
    expiresAt: optional(time),
    refreshTokenExpiresAt: z.catch(optional(time), null),
    subscriptionType: z.catch(optional(z.string()), null),
    rateLimitTier: z.catch(optional(z.string()), null),
  },
  { error: "claudeAiOauth is not an object" },
);
const accountFileShape = z.object({
  oauthAccount: z.optional(z.nullable(z.object({ accountUuid: z.optional(z.string()), emailAddress: z.optional(z.string()) }))),
});

/** The directories with Claude Code's login and account. */
export interface ClaudeDirectories {
  /** Holds `.credentials.json`. */
  readonly storage: string;
  /** The account file, `.claude.json`. */
  readonly accountFile: string;
  /** Limits the places of a login that a target names; a source's login may be anywhere. */
  readonly confinement?: Confinement;
}

/**
 * The directories by Claude Code's own rules: `CLAUDE_SECURESTORAGE_CONFIG_DIR` (set but empty: the default) moves the
 * login alone, `CLAUDE_CONFIG_DIR` moves everything.
 */
export function claudeDirectories(environment: Environment): ClaudeDirectories {
  const fallback = join(environment.home, ".claude");
  const config = variable(environment, "CLAUDE_CONFIG_DIR");
  const storage = environment.variables["CLAUDE_SECURESTORAGE_CONFIG_DIR"];
  return {
    storage: (storage === undefined ? (config ?? fallback) : storage.trim() || fallback).normalize("NFC"),
    accountFile: join(config ?? environment.home, ".claude.json").normalize("NFC"),
  };
}

/** Claude Code's `.credentials.json`. */
export class ClaudeCodeStore implements CredentialStore {
  readonly format = "claude-code";
  readonly name: StoreName;
  readonly path: string;
  readonly #accountFile: string;
  readonly #environment: Environment;
  readonly #confinement: Confinement;
  readonly #guard: GuardedPath;
  /** True for a source. A target's login must not be a link: its program would replace the link by a file. */
  readonly #followsLink: boolean;
  #account: { readonly revision: string; readonly account: Account | null } | null = null;

  constructor(name: StoreName, directories: ClaudeDirectories, environment: Environment) {
    this.name = name;
    this.path = join(directories.storage, ".credentials.json");
    this.#accountFile = directories.accountFile;
    this.#environment = environment;
    this.#confinement = directories.confinement ?? unconfined;
    this.#guard = new GuardedPath(this.path, this.#confinement);
    this.#followsLink = directories.confinement === undefined;
  }

  places(): readonly Place[] {
    return this.#confinement.placesAt(this.path);
  }

  async read(): Promise<StoreSnapshot> {
    const file = await readWhole(
      this.#environment,
      () => this.load(),
      (loaded) => loaded,
    );
    const watched = [this.path, ...this.watched()];
    if (file === null) return { revision: ABSENT, identity: null, changedAt: null, files: watched, profiles: [] };
    const root = parseOrTorn(file, this.path, this.#environment.clock);
    const profile = await this.#readProfile(file, root);
    return {
      revision: revisionOf(file.text),
      identity: file.identity,
      changedAt: file.changedAt,
      files: file.realPath === this.path ? watched : [...new Set([...watched, ...linksTo(this.path), file.realPath])],
      profiles: profile === null ? [] : [profile],
    };
  }

  async write(patches: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<void> {
    const patch = patches[0];
    if (patch === undefined || patches.length > 1) throw new Error("Claude Code's file holds one profile");
    if (expected === ABSENT && !patch.create) throw this.#conflict();
    await this.#replace(expected, signal, (text) => {
      if (text !== null && hasLogin(text, this.path)) return changedFile(text, patch, this.path);
      if (!patch.create) throw this.#conflict();
      return changeJson(text ?? "{}", [{ path: [CLAUDE_PROFILE], value: newLogin(patch, this.path) }], this.path);
    });
  }

  restore(profile: ProfileId, image: Secret, expected: Revision, signal: AbortSignal): Promise<void> {
    return this.#replace(expected, signal, (text) => putJson(text ?? "{}", [profile], image.reveal(), this.path));
  }

  readActive(): Promise<Readonly<Record<string, string>>> {
    return Promise.resolve({});
  }

  /** The login as it is now, wherever it is kept; null where there is none. */
  protected async load(): Promise<RegularFile | null> {
    const file = await readRegularFile(this.path);
    if (!this.#followsLink || file !== null) this.#guard.judge(file?.realPath ?? null);
    if (!this.#followsLink) this.#refuseSymlink();
    if (file !== null) refuseForeignDirectory(file.realPath);
    return file;
  }

  /**
   * Replaces the loaded text.
   *
   * @returns false if it has changed since, or nothing may replace it any more
   */
  protected save(text: string, before: RegularFile | null, isStillOurs: () => boolean): Promise<boolean> {
    return replaceFile(this.#guard.confirm(), text, {
      isStillWanted: () => isStillOurs() && this.#guard.isStill() && isUnchanged(this.path, before),
      discard: this.#environment.predecessors.leftovers.discard,
    });
  }

  /** Files that also change with the login, besides the login's own. */
  protected watched(): readonly string[] {
    return [];
  }

  async #replace(expected: Revision, signal: AbortSignal, change: (text: string | null) => string): Promise<void> {
    try {
      this.#refuseSymlink();
      this.#guard.confirm();
      if (expected === ABSENT) await this.#makeDirectory();
      await this.#underLocks(signal, async (locks) => {
        const file = await this.load();
        if ((file === null ? ABSENT : revisionOf(file.text)) !== expected) throw this.#conflict();
        const text = change(file?.text ?? null);
        this.#environment.predecessors.leftovers.discardAllIn(dirname(this.path));
        const isStillOurs = (): boolean => !locks.some(({ lost }) => lost.aborted);
        if (!(await this.save(text, file, isStillOurs))) throw this.#conflict();
        if ((await this.load())?.text !== text) throw this.#conflict();
      });
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  async #readProfile(file: RegularFile, root: unknown): Promise<StoredProfile | null> {
    const parsed = fileShape.safeParse(root);
    if (!parsed.success) {
      throw new StoreError("malformed", `${this.path} is not a JSON object`, "sign in again: claude auth login");
    }
    const login = parsed.data.claudeAiOauth;
    if (login === undefined || login === null) return null;
    const fields = fieldsShape.parse(login);
    const own = typeof fields["accountUuid"] === "string" ? fields["accountUuid"] : null;
    return {
      id: CLAUDE_PROFILE,
      provider: null,
      content: readLogin(login),
      account: mergeAccount(own, await this.#readAccount()),
      accountInCredential: own !== null,
      surroundings: () => new Secret(JSON.stringify({ ...fields, accessToken: 0, refreshToken: 0, expiresAt: 0 })),
      image: () => new Secret(textAt(file.text, [CLAUDE_PROFILE], this.path) ?? "null"),
    };
  }

  /** The account file changes all day, so it is parsed only when it did. An unreadable one tells nothing. */
  async #readAccount(): Promise<Account | null> {
    try {
      const file = await readRegularFile(this.#accountFile, ACCOUNT_FILE_MAX_BYTES);
      if (file === null) return null;
      const revision = revisionOf(file.text);
      if (this.#account?.revision !== revision) this.#account = { revision, account: parseAccount(file.text, this.#accountFile) };
      return this.#account.account;
    } catch (error) {
      if (error instanceof StoreError) return null;
      throw error;
    }
  }

  /** The directory alone: where even the one above it is missing, a mount may be missing. */
  async #makeDirectory(): Promise<void> {
    const directory = dirname(this.path);
    try {
      await mkdir(directory, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) === "EEXIST") {
        refuseForeignDirectory(this.path);
        return;
      }
      if (!isAbsent(error)) throw error;
      throw new StoreError(
        "permission",
        `cannot make ${directory}: the directory above it does not exist`,
        "make it, or take the target out of the config",
        error,
      );
    }
  }

  /** Claude Code's own write would replace the link and leave what it leads to behind, so a link is no place for a login. */
  #refuseSymlink(): void {
    if (!isLink(this.path)) return;
    throw new StoreError(
      "symlink",
      `${this.path} is a symbolic link, which Claude Code replaces at its next refresh`,
      `remove the link: rm ${shellWord(this.path)} - and put the file itself there, if you need what is in it`,
    );
  }

  /**
   * Holds Claude Code's locks in its own order. It holds the storage lock for the replacement alone: a client that waits for it
   * with a fresh pair of tokens gives up after seconds, and the login is lost.
   */
  async #underLocks<Result>(signal: AbortSignal, action: (locks: readonly HeldLock[]) => Promise<Result>): Promise<Result> {
    const directory = dirname(this.path);
    const legacy = `${await realpath(directory)}.lock`;
    const locks: HeldLock[] = [];
    const { clock } = this.#environment;
    const refresh = { staleMs: 60_000, touchMs: 5000, waitMs: 8000, clock };
    try {
      locks.push(await takeDirectoryLock(join(directory, ".oauth_refresh.lock"), refresh, signal));
      const second = await takeUnlessForbidden(legacy, refresh, signal);
      if (second !== null) locks.push(second);
      locks.push(await takeDirectoryLock(join(directory, ".storage-write.lock"), { ...refresh, staleMs: 15_000 }, signal));
      return await action(locks);
    } finally {
      for (const lock of locks.reverse()) await lock.release();
    }
  }

  #conflict(): StoreError {
    return new StoreError(
      "conflict",
      `${basename(this.path)} changed while it was about to be written`,
      "it is looked at again by itself",
    );
  }
}

/** Claude Code goes on where the lock beside its directory cannot be made, and so must its peers. */
async function takeUnlessForbidden(
  path: string,
  options: Parameters<typeof takeDirectoryLock>[1],
  signal: AbortSignal,
): Promise<HeldLock | null> {
  try {
    return await takeDirectoryLock(path, options, signal);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EACCES" || errno === "EROFS" || errno === "EPERM") return null;
    throw error;
  }
}

function readLogin(entry: unknown): ProfileContent {
  const stub = stubShape.safeParse(entry);
  if (stub.success) return { kind: "stub", timeLimit: stub.data.loginEnded === "time_limit" };
  const login = loginShape.safeParse(entry);
  if (!login.success) return { kind: "incomplete", reason: login.error.issues[0]?.message ?? "the login is not complete" };
  const { accessToken, refreshToken, expiresAt, refreshTokenExpiresAt, ...grant } = login.data;
  const access = new Secret(accessToken);
  if (refreshToken === null && expiresAt === null) {
    return { kind: "credential", credential: { type: "token", token: access, expiresAt: null } };
  }
  if (expiresAt === null) return { kind: "incomplete", reason: "the login has no expiresAt" };
  const refresh = refreshToken === null ? null : new Secret(refreshToken);
  return {
    kind: "credential",
    credential: { type: "oauth", access, refresh, expiresAt, signInEndsAt: refreshTokenExpiresAt, idToken: null, grant },
  };
}

/** The credential's own account wins; the file beside it adds the e-mail if it speaks of the same account. */
function mergeAccount(uuid: string | null, beside: Account | null): Account | null {
  if (uuid === null) return beside;
  return { uuid, email: beside?.uuid === uuid ? beside.email : null };
}

function parseAccount(text: string, path: string): Account | null {
  const parsed = accountFileShape.safeParse(parseJson(text, path));
  const account = parsed.success ? parsed.data.oauthAccount : null;
  if (!account || (account.accountUuid === undefined && account.emailAddress === undefined)) return null;
  return { uuid: account.accountUuid ?? null, email: account.emailAddress ?? null };
}

function hasLogin(text: string, path: string): boolean {
  const file = fileShape.safeParse(parseJson(text, path));
  return !file.success || (file.data.claudeAiOauth !== undefined && file.data.claudeAiOauth !== null);
}

function changedFile(text: string, { credential, account }: ProfilePatch, path: string): string {
  const changes: JsonChange[] = [];
  const set = (key: string, value: JsonValue | undefined): void => {
    changes.push({ path: [CLAUDE_PROFILE, key], value });
  };
  const fields = fieldsOf(credential);
  set("accessToken", fields.accessToken);
  set("refreshToken", fields.refreshToken);
  set("expiresAt", fields.expiresAt);
  set("loginEnded", undefined);
  if (account?.uuid != null && textAt(text, [CLAUDE_PROFILE, "accountUuid"], path) !== null) set("accountUuid", account.uuid);
  return changeJson(text, changes, path);
}

/** Creates a login with its grant: without scopes Claude Code treats it as logged out. */
function newLogin({ credential }: ProfilePatch, path: string): JsonValue {
  if (credential.type === "oauth" && credential.grant === null) {
    throw new StoreError(
      "unsupported",
      `cannot make ${path}: the source does not say which scopes were granted`,
      "sign in there once, or use a Claude Code source",
    );
  }
  const grant = credential.type === "oauth" && credential.grant !== null ? credential.grant : { scopes: [REQUIRED_SCOPE] };
  const { accessToken, refreshToken, expiresAt } = fieldsOf(credential);
  return {
    accessToken,
    ...(refreshToken === undefined ? {} : { refreshToken }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...grant,
  };
}

interface LoginFields {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  readonly expiresAt: number | undefined;
}

/** An access-only login has no refresh token key at all: a blank one marks a dead login. */
function fieldsOf(credential: Credential): LoginFields {
  switch (credential.type) {
    case "oauth":
      return {
        accessToken: credential.access.reveal(),
        refreshToken: credential.refresh?.reveal(),
        expiresAt: credential.expiresAt ?? undefined,
      };
    case "token":
      if (credential.token instanceof SecretReference) {
        const hint = "put the token itself into the source, or take this store out of the targets";
        throw new StoreError("unsupported", "Claude Code's file cannot hold a reference to a token", hint);
      }
      return { accessToken: credential.token.reveal(), refreshToken: undefined, expiresAt: credential.expiresAt ?? undefined };
    case "api_key":
      throw new StoreError("unsupported", "Claude Code's file cannot hold an API key", "take this store out of the targets");
  }
}
