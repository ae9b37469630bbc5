import { writtenAs, type EndForm } from "./model-end.js";
import { CLAUDE_PROFILE } from "./model-stores.js";
import type { AccountFile } from "./model-stores.js";
import type { AgentContent, AgentProfile, ClaudeContent, ClaudeLogin, ModelFile } from "./model-file.js";
import type { Grant, ModelServer, RefreshAnswer } from "./model-server.js";

/** Programs refresh this long before the end of an access token. */
const MARGIN_MS = 5 * 60_000;
const CLAUDE_STALE_MS = 60_000;
const AGENT_STALE_MS = 30_000;

/** Every program's view of the world. */
export interface ActorWorld {
  readonly server: ModelServer;
  /** True time. */
  readonly now: () => number;
  readonly lifetimeMs: () => number;
  /** The e-mail of an account, which may change. */
  readonly emailOf: (account: string) => string;
  /** Checks whether the server refuses an access token, which makes a program refresh whatever end it wrote down. */
  readonly refuses: (access: string) => boolean;
}

export interface RefreshChoice {
  /** A 401 makes a program refresh early. */
  readonly forced: boolean;
  /** The server answers with a new access token under the same refresh token. */
  readonly reissue: boolean;
  /** The fate of the request; `answer-lost`: the token is spent nevertheless. Only fencing agents suffer from it. */
  readonly network?: Network;
}

export type Network = "up" | "down" | "answer-lost";

interface Pending {
  readonly profile: string;
  readonly spent: string;
  readonly accessBefore: string;
  readonly answer: RefreshAnswer;
}

export interface ClaudeSetting {
  /** `cas`: 2.1.231 and later, which save by compare-and-swap; `blind`: earlier ones, which overwrite. */
  readonly era: "cas" | "blind";
  readonly writesSignInEnd: boolean;
  readonly writesUuid: boolean;
  readonly writesAccountFile: boolean;
  readonly skewMs: number;
  /** Every refresh writes the end of the sign-in down as it computes it then: a little earlier, never later. */
  readonly signInEndSlips?: boolean;
}

/** By how much (ms), one refresh after the other. */
const SLIPS_MS = [1700, 0, 40, 900, 3, 2500];

/** A model of Claude Code: one program over one credentials file. */
export class ModelClaude {
  readonly file: ModelFile<ClaudeContent>;
  readonly accountFile: AccountFile = { account: null };
  readonly setting: ClaudeSetting;
  readonly #world: ActorWorld;
  readonly #dead = new Set<string>();
  #pending: Pending | null = null;
  /** The account still to be written into its file. */
  #account: string | null = null;
  #slips = 0;
  endForm: EndForm = "ms";
  /** How far the clock of its computer runs ahead for a while. */
  aheadMs = 0;

  constructor(file: ModelFile<ClaudeContent>, setting: ClaudeSetting, world: ActorWorld) {
    this.file = file;
    this.setting = setting;
    this.#world = world;
  }

  /** Takes its lock, reads again, and spends the refresh token; the answer is saved by a later step. */
  beginRefresh({ forced, reissue }: RefreshChoice): string {
    const { now, server, lifetimeMs } = this.#world;
    if (this.#pending !== null) return "is refreshing already";
    const login = this.file.content?.claudeAiOauth;
    if (!login?.refreshToken || login.accessToken === "") return "has nothing to refresh";
    if (this.#dead.has(login.refreshToken)) return "knows that its refresh token is dead";
    const isRefused = this.#world.refuses(login.accessToken);
    if (!forced && !isRefused && this.#clock() + MARGIN_MS < (login.expiresAt ?? Infinity)) return "needs no refresh yet";
    if (!this.file.tryLock(this.#name, now(), CLAUDE_STALE_MS)) return "finds its lock busy";
    const answer = server.refresh(login.refreshToken, now(), { clientNow: this.#clock(), lifetimeMs: lifetimeMs(), reissue });
    this.#pending = { profile: CLAUDE_PROFILE, spent: login.refreshToken, accessBefore: login.accessToken, answer };
    return `spends ${login.refreshToken}: ${wordsOf(answer)}`;
  }

  finishRefresh(): string {
    const pending = this.#pending;
    if (pending === null) return "has nothing to save";
    this.#pending = null;
    const words = this.#save(pending);
    this.file.unlock(this.#name);
    return words;
  }

  /** Dies; its lock stays behind until it is stale. */
  crash(): string {
    this.#pending = null;
    this.#account = null;
    this.#dead.clear();
    return "is killed";
  }

  signIn(account: string, signInEndsAt: number): string {
    const { server, now, lifetimeMs } = this.#world;
    const grant = server.signIn(account, signInEndsAt, this.#clock(), lifetimeMs(), now());
    const { writesSignInEnd, writesUuid, writesAccountFile } = this.setting;
    const login: ClaudeLogin = {
      accessToken: grant.access,
      refreshToken: grant.refresh,
      ...this.#endOf(grant),
      ...(writesSignInEnd ? { refreshTokenExpiresAt: signInEndsAt } : {}),
      ...(writesUuid ? { accountUuid: `uuid-${account}` } : {}),
      tier: 1,
    };
    this.file.replace({ mcpOAuth: this.file.content?.mcpOAuth ?? 0, claudeAiOauth: login }, now());
    if (writesAccountFile) this.#account = account;
    return `signs in as ${account}: ${grant.refresh}`;
  }

  /** Writes its account file, which it does some time after the login. */
  writeAccount(): string {
    if (this.#account === null) return "has no account to write";
    const account = this.#account;
    this.accountFile.account = { uuid: `uuid-${account}`, email: this.#world.emailOf(account) };
    this.#account = null;
    return `writes ${account} into its account file`;
  }

  logOut(): string {
    this.#world.server.revoke(this.file.content?.claudeAiOauth?.refreshToken);
    this.file.replace(null, this.#world.now());
    return "logs out: its file is gone";
  }

  #save({ spent, accessBefore, answer }: Pending): string {
    const { content } = this.file;
    const login = content?.claudeAiOauth;
    if (typeof answer === "string") {
      this.#dead.add(spent);
      if (login === undefined || login.refreshToken !== spent || login.accessToken !== accessBefore)
        return "finds another login and takes it";
      const truth = this.#world.server.truthOf(spent);
      if (truth !== null) truth.chain.rejected = Math.max(truth.chain.rejected, truth.generation);
      const ended = answer === "sign_in_ended" && this.setting.era === "cas" ? { loginEnded: "time_limit" as const } : {};
      this.#write({ ...login, accessToken: "", refreshToken: "", expiresAt: 0, ...ended });
      return "writes a stub";
    }
    if (this.setting.era === "cas" && login?.refreshToken !== spent) return "finds another login and drops its own new pair";
    const { refreshTokenExpiresAt, accountUuid } = login ?? {};
    this.#write({
      accessToken: answer.access,
      refreshToken: answer.refresh,
      ...this.#endOf(answer),
      ...(refreshTokenExpiresAt === undefined ? {} : { refreshTokenExpiresAt: refreshTokenExpiresAt - this.#slip() }),
      ...(accountUuid === undefined ? {} : { accountUuid }),
      tier: login?.tier ?? 1,
    });
    return `saves ${answer.access}`;
  }

  #write(login: ClaudeLogin): void {
    this.file.replace({ mcpOAuth: this.file.content?.mcpOAuth ?? 0, claudeAiOauth: login }, this.#world.now());
  }

  #slip(): number {
    this.#slips += 1;
    return this.setting.signInEndSlips === true ? (SLIPS_MS[this.#slips % SLIPS_MS.length] ?? 0) : 0;
  }

  #endOf({ access, expiresAt }: Grant): Pick<ClaudeLogin, "expiresAt"> {
    const written = writtenAs(this.endForm, expiresAt);
    this.#world.server.noteWritten(access, written);
    return written === undefined ? {} : { expiresAt: written };
  }

  #clock(): number {
    return this.#world.now() + this.setting.skewMs + this.aheadMs;
  }

  get #name(): string {
    return `owner of ${this.file.name}`;
  }
}

export interface AgentSetting {
  /** `J1`: writes its snapshot in memory back; `J2`: reads again under the lock; `S3`: so, and fences what it refreshes. */
  readonly era: "J1" | "J2" | "S3";
  /** Refreshes five minutes early, as later versions do. */
  readonly early: boolean;
  /** Copies what it refreshed to the main agent's store. */
  readonly mirrors: boolean;
  readonly skewMs: number;
}

/** A model of one OpenClaw agent of the JSON eras. */
export class ModelAgent {
  readonly file: ModelFile<AgentContent>;
  readonly setting: AgentSetting;
  protected readonly world: ActorWorld;
  protected readonly main: ModelFile<AgentContent> | null;
  #memory: AgentContent | null = null;
  #pending: Pending | null = null;
  endForm: EndForm = "ms";
  /** How far the clock of its computer runs ahead for a while. */
  aheadMs = 0;

  /** @param main the main agent's file, or null for the main agent itself */
  constructor(file: ModelFile<AgentContent>, setting: AgentSetting, main: ModelFile<AgentContent> | null, world: ActorWorld) {
    this.file = file;
    this.setting = setting;
    this.main = main;
    this.world = world;
  }

  /** Loads its store; an agent without one is given a copy of main's. */
  load(): string {
    const copies = this.file.content === null && this.main !== null && this.main.content !== null;
    if (copies) this.file.replace(this.main.content, this.world.now());
    this.#memory = this.file.content;
    return copies ? "copies main's store" : "loads its store";
  }

  /** Saves something unrelated; J1 thereby puts its snapshot back over whatever is there. */
  save(): string {
    const { now } = this.world;
    const base = this.setting.era === "J1" ? (this.#memory ?? this.file.content) : this.file.content;
    if (base === null) return "has no store to save";
    if (!this.file.tryLock(this.name, now(), AGENT_STALE_MS)) return "finds its lock busy";
    this.#replace({ ...base, usage: base.usage + 1 });
    this.file.unlock(this.name);
    return this.setting.era === "J1" ? "saves its snapshot over the file" : "saves its statistics";
  }

  beginRefresh(profile: string, { forced, reissue }: RefreshChoice): string {
    const { now, server, lifetimeMs } = this.world;
    if (this.#pending !== null) return "is refreshing already";
    const base = this.setting.era === "J1" ? (this.#memory ?? this.file.content) : this.file.content;
    const fields = base?.profiles[profile];
    if (fields?.type !== "oauth" || fields.refresh === undefined) return "has nothing to refresh there";
    const due = this.clock() + (this.setting.early ? MARGIN_MS : 0) >= (fields.expires ?? Infinity);
    if (!forced && !due && !this.world.refuses(fields.access ?? "")) return "needs no refresh yet";
    if (!this.file.tryLock(this.name, now(), AGENT_STALE_MS)) return "finds its lock busy";
    const inherited = this.fresherInMain(profile, fields);
    if (inherited !== null) {
      this.#patch(profile, inherited);
      this.file.unlock(this.name);
      return `takes main's ${inherited.access ?? "?"} instead of refreshing`;
    }
    const answer = server.refresh(fields.refresh, now(), { clientNow: this.clock(), lifetimeMs: lifetimeMs(), reissue });
    this.#pending = { profile, spent: fields.refresh, accessBefore: fields.access ?? "", answer };
    return `spends ${fields.refresh}: ${wordsOf(answer)}`;
  }

  finishRefresh(): string {
    const pending = this.#pending;
    if (pending === null) return "has nothing to save";
    this.#pending = null;
    const { answer, profile } = pending;
    if (typeof answer === "string") {
      this.file.unlock(this.name);
      return "goes on with what it has";
    }
    this.#patch(profile, { access: answer.access, refresh: answer.refresh, expires: this.endOf(answer) });
    this.file.unlock(this.name);
    if (this.setting.mirrors) this.#mirror(profile, answer);
    return `saves ${answer.access}`;
  }

  /** Takes a full login of Claude Code into a profile that it cannot use any more. */
  importFrom(claude: ClaudeContent | null): string {
    const fields = this.file.content?.profiles["anthropic:claude-cli"];
    const login = claude?.claudeAiOauth;
    if (fields?.type !== "oauth" || !login?.refreshToken || login.accessToken === "") return "has nothing to import";
    if (this.clock() < (fields.expires ?? Infinity)) return "can still use what it has";
    this.#patch("anthropic:claude-cli", {
      access: login.accessToken,
      refresh: login.refreshToken,
      expires: login.expiresAt ?? 0,
    });
    return `imports ${login.accessToken} from Claude Code`;
  }

  signIn(
    profile: string,
    account: string,
    { email, signInEndsAt }: { readonly email: boolean; readonly signInEndsAt: number },
  ): string {
    const { server, lifetimeMs, now, emailOf } = this.world;
    const grant = server.signIn(account, signInEndsAt, this.clock(), lifetimeMs(), now());
    const content = this.file.content ?? { profiles: {}, usage: 0 };
    const before = content.profiles[profile];
    const fields: AgentProfile = {
      type: "oauth",
      provider: "anthropic",
      access: grant.access,
      refresh: grant.refresh,
      expires: this.endOf(grant),
      note: before?.note ?? 0,
      ...(email ? { email: emailOf(account) } : {}),
    };
    this.#replace({ ...content, profiles: { ...content.profiles, [profile]: fields } });
    return `signs in as ${account} in ${profile}: ${grant.refresh}`;
  }

  deleteProfile(profile: string): string {
    const { content } = this.file;
    if (content?.profiles[profile] === undefined) return `has no ${profile}`;
    const kept = Object.entries(content.profiles).filter(([id]) => id !== profile);
    this.#replace({ ...content, profiles: Object.fromEntries(kept) });
    return `loses ${profile}`;
  }

  /** A user pastes Claude Code's login into a profile. */
  copyByHand(profile: string, claude: ClaudeContent | null): string {
    const login = claude?.claudeAiOauth;
    const { content } = this.file;
    if (content === null || !login?.refreshToken || login.accessToken === "") return "is given nothing";
    const { accessToken: access, refreshToken: refresh, expiresAt: expires = 0 } = login;
    const fields: AgentProfile = { type: "oauth", provider: "anthropic", access, refresh, expires, note: 0 };
    this.#replace({ ...content, profiles: { ...content.profiles, [profile]: fields } });
    return `is given ${access} in ${profile} by hand`;
  }

  crash(): string {
    this.#memory = null;
    this.#pending = null;
    return "is killed";
  }

  protected fresherInMain(profile: string, fields: AgentProfile): Partial<AgentProfile> | null {
    const shared = this.main?.content?.profiles[profile];
    if (shared?.type !== "oauth" || shared.access === undefined || shared.refresh === undefined) return null;
    if ((shared.expires ?? 0) <= (fields.expires ?? 0)) return null;
    if (fields.email !== undefined && fields.email !== shared.email) return null;
    return {
      access: shared.access,
      refresh: shared.refresh,
      ...(shared.expires === undefined ? {} : { expires: shared.expires }),
    };
  }

  #mirror(profile: string, grant: Grant): void {
    const main = this.main;
    const content = main?.content;
    const shared = content?.profiles[profile];
    if (main === null || content == null || shared?.type !== "oauth" || (shared.expires ?? 0) >= grant.expiresAt) return;
    const own = this.file.content?.profiles[profile];
    if (shared.email !== own?.email) return;
    const renewed = { ...shared, access: grant.access, refresh: grant.refresh, expires: this.endOf(grant) };
    main.replace({ ...content, profiles: { ...content.profiles, [profile]: renewed } }, this.world.now());
  }

  #patch(profile: string, fields: Partial<AgentProfile>): void {
    const base = (this.setting.era === "J1" ? this.#memory : null) ?? this.file.content;
    const before = base?.profiles[profile];
    if (base == null || before === undefined) return;
    this.#replace({ ...base, profiles: { ...base.profiles, [profile]: { ...before, ...fields } } });
  }

  #replace(content: AgentContent): void {
    this.file.replace(content, this.world.now());
    this.#memory = content;
  }

  protected endOf({ access, expiresAt }: Grant): number | undefined {
    const written = writtenAs(this.endForm, expiresAt);
    this.world.server.noteWritten(access, written);
    return written;
  }

  protected clock(): number {
    return this.world.now() + this.setting.skewMs + this.aheadMs;
  }

  protected get name(): string {
    return `owner of ${this.file.name}`;
  }
}

/** A server's answer, for a trace. */
export function wordsOf(answer: RefreshAnswer): string {
  return typeof answer === "string" ? answer : `gets ${answer.access}`;
}
