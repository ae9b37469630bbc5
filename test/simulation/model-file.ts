import type { StoreErrorCode } from "../../src/domain/errors.js";
import type { StoredProfile } from "../../src/domain/store.js";

/** Claude Code's file, as far as the model needs it. */
export interface ClaudeContent {
  readonly claudeAiOauth?: ClaudeLogin;
  /** Stands for every field that is not the login's. */
  readonly mcpOAuth: number;
}

export interface ClaudeLogin {
  readonly accessToken: string;
  readonly refreshToken?: string;
  readonly expiresAt?: number;
  readonly refreshTokenExpiresAt?: number;
  readonly accountUuid?: string;
  readonly loginEnded?: "time_limit";
  /** Stands for the inner fields that a refresh keeps. */
  readonly tier: number;
}

/** An agent's `auth-profiles.json`. */
export interface AgentContent {
  readonly profiles: Readonly<Record<string, AgentProfile>>;
  /** Stands for the order and the usage statistics. */
  readonly usage: number;
}

export interface AgentProfile {
  readonly type: "oauth" | "token" | "api_key";
  readonly provider: string;
  readonly access?: string;
  readonly refresh?: string;
  readonly expires?: number | undefined;
  readonly token?: string;
  readonly key?: string;
  readonly email?: string;
  /** Stands for the fields that credsyncd does not know. */
  readonly note: number;
}

export type FileContent = ClaudeContent | AgentContent;

/** The holder of the owner's lock of a file, and the time since. */
export interface OwnerLock {
  readonly by: string;
  readonly since: number;
  readonly staleMs: number;
}

interface Fault {
  readonly code: StoreErrorCode;
  left: number;
}

const KEPT_VERSIONS = 12;

/** A file that several programs share; every version of it is remembered, as a user's backups are. */
export class ModelFile<Content extends FileContent = FileContent> {
  readonly name: string;
  readonly identity: string;
  content: Content | null;
  text: string;
  changedAt: number;
  lock: OwnerLock | null = null;
  readonly versions: (Content | null)[];
  readFault: Fault | null = null;
  writeFault: Fault | null = null;
  /** The profiles that the store read from this content, for speed alone. */
  parsed: { readonly key: unknown; readonly profiles: readonly StoredProfile[] } | null = null;

  constructor(name: string, content: Content | null, now: number) {
    this.name = name;
    this.identity = `inode of ${name}`;
    this.content = content;
    this.text = textOf(content);
    this.changedAt = now;
    this.versions = [content];
  }

  /** Replaces the whole content at once, as a rename does. */
  replace(content: Content | null, now: number): void {
    this.content = content;
    this.text = textOf(content);
    this.changedAt = now;
    this.parsed = null;
    this.versions.push(content);
    if (this.versions.length > KEPT_VERSIONS) this.versions.shift();
  }

  /** Takes the owner's lock; a stale one is broken, as every program does. */
  tryLock(by: string, now: number, staleMs: number): boolean {
    if (this.lock !== null && now < this.lock.since + this.lock.staleMs) return false;
    this.lock = { by, since: now, staleMs };
    return true;
  }

  unlock(by: string): void {
    if (this.lock?.by === by) this.lock = null;
  }
}

function textOf(content: FileContent | null): string {
  return content === null ? "absent" : JSON.stringify(content);
}

export function isClaude(file: ModelFile): file is ModelFile<ClaudeContent> {
  return file.name.startsWith("claude");
}

/** A full or access-only credential in a profile of a file. */
export interface Slot {
  readonly profile: string;
  readonly access: string | undefined;
  readonly refresh: string | undefined;
  readonly expiresAt: number | undefined;
}

/** Every credential in a content. */
export function slotsOf(content: FileContent | null): Slot[] {
  if (content === null) return [];
  if ("profiles" in content) {
    return Object.entries(content.profiles).map(([profile, { access, refresh, expires }]) => {
      return { profile, access, refresh, expiresAt: expires };
    });
  }
  const login = content.claudeAiOauth;
  if (login === undefined) return [];
  return [{ profile: "claudeAiOauth", access: login.accessToken, refresh: login.refreshToken, expiresAt: login.expiresAt }];
}
