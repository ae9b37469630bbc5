import { existsSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { leaksIn, secretPart } from "./marked-secret.js";

export const PROFILE = "anthropic:claude-cli";
export const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

export interface LoginOptions {
  readonly expiresAt?: number;
  readonly signInEndsAt?: number | null;
  /** Replaces single fields of the login. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

export interface ProfileOptions {
  readonly id?: string;
  readonly expiresAt?: number;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export interface HomeOptions {
  readonly agents?: readonly string[];
  /** The generation that the login and every agent hold at first; null: nothing is there. */
  readonly generation?: number | null;
  /** Takes the steps for the time when the home is not needed any more; by default that is at the end of the test. */
  readonly atEnd?: AtEnd;
  /** An existing directory for the home, instead of a new one. */
  readonly path?: string;
}

export type AtEnd = (cleanUp: () => Promise<void>) => void;

type Json = Record<string, unknown>;

/**
 * A home directory with a made-up Claude Code login and OpenClaw agents, removed when the test ends. Its tokens are
 * marked, and what commands and the daemon said in it is checked for them at the end.
 */
export class TemporaryHome {
  readonly path: string;
  /** Marked parts of everything secret that was ever in this home. */
  readonly secretParts = new Set<string>();
  /** Everything that a program said here. */
  readonly spoken: string[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  static async create({ agents = [], generation = 1, atEnd = onTestFinished, path }: HomeOptions = {}): Promise<TemporaryHome> {
    const home = new TemporaryHome(path ?? (await mkdtemp(join(tmpdir(), "credsyncd-test-"))));
    atEnd(async () => {
      const leaks = await home.leaks();
      await rm(home.path, { recursive: true, force: true });
      expect(leaks).toEqual([]);
    });
    if (generation !== null) await home.writeLogin(generation);
    if (agents.length > 0) await home.configureAgents(agents);
    for (const agent of agents) await home.writeProfile(agent, generation ?? 1);
    return home;
  }

  at(...parts: readonly string[]): string {
    return join(this.path, ...parts);
  }

  get loginFile(): string {
    return this.at(".claude", ".credentials.json");
  }

  get openclawConfig(): string {
    return this.at(".openclaw", "openclaw.json");
  }

  get configFile(): string {
    return this.at(".config", "credsyncd", "config.json5");
  }

  get stateDirectory(): string {
    return this.at(".local", "state", "credsyncd");
  }

  async makeDirectory(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o700 });
  }

  async remove(path: string): Promise<void> {
    await rm(path, { recursive: true });
  }

  /** Removes what is no file, so that a file may take its place by a rename. */
  async clear(path: string): Promise<void> {
    if (existsSync(path) && statSync(path).isDirectory()) await rm(path, { recursive: true });
  }

  agentDirectory(agent: string): string {
    return this.at(".openclaw", "agents", agent, "agent");
  }

  storeFile(agent: string): string {
    return join(this.agentDirectory(agent), "auth-profiles.json");
  }

  /** The environment of a program in this home; nothing of the caller's own set-up is in it. */
  environment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { HOME: this.path, PATH: process.env["PATH"] ?? "", ...extra };
  }

  /** A made-up token that tells its generation, and whose other part is marked. */
  token(kind: string, generation: number): string {
    const part = secretPart(`${kind} ${String(generation)}`);
    this.secretParts.add(part);
    return `made-up-${part}-${kind}-${String(generation)}`;
  }

  email(name: string): string {
    const part = secretPart(name);
    this.secretParts.add(part);
    return `${part}@example.com`;
  }

  login(generation: number, { expiresAt, signInEndsAt, fields }: LoginOptions = {}): string {
    const login = {
      accessToken: this.token("access", generation),
      refreshToken: this.token("refresh", generation),
      expiresAt: expiresAt ?? endOf(generation),
      refreshTokenExpiresAt: signInEndsAt === undefined ? endOf(1000) : signInEndsAt,
      scopes: ["user:inference", "user:profile"],
      subscriptionType: "max",
      rateLimitTier: "default_claude_max_20x",
      ...fields,
    };
    return JSON.stringify({ claudeAiOauth: login });
  }

  /** Refreshes as Claude Code does: a rename replaces the old login by the new one. */
  async writeLogin(generation: number, options: LoginOptions = {}): Promise<void> {
    await replace(this.loginFile, this.login(generation, options));
  }

  async configureAgents(agents: readonly string[]): Promise<void> {
    await replace(this.openclawConfig, JSON.stringify({ agents: { list: agents.map((id) => ({ id })) } }, null, 2));
  }

  profile(generation: number, { expiresAt, fields }: ProfileOptions = {}): Json {
    return {
      type: "oauth",
      provider: "claude-cli",
      access: this.token("access", generation),
      refresh: this.token("refresh", generation),
      expires: expiresAt ?? endOf(generation),
      ...fields,
    };
  }

  store(generation: number, options: ProfileOptions = {}): string {
    const profiles = { [options.id ?? PROFILE]: this.profile(generation, options) };
    return `${JSON.stringify({ version: 1, profiles }, null, 2)}\n`;
  }

  async writeProfile(agent: string, generation: number, options: ProfileOptions = {}): Promise<void> {
    await replace(this.storeFile(agent), this.store(generation, options));
  }

  async writeConfig(text: string): Promise<void> {
    await replace(this.configFile, text);
  }

  /** The profile of an agent, or null while there is none or the file is not whole. */
  async readProfile(agent: string, id = PROFILE): Promise<Json | null> {
    try {
      const file = JSON.parse(await readFile(this.storeFile(agent), "utf8")) as { profiles: Record<string, Json> };
      return file.profiles[id] ?? null;
    } catch {
      return null;
    }
  }

  /** The generation that an agent's profile holds whole (access and refresh token agree), or null. */
  async generationOf(agent: string, id = PROFILE): Promise<number | null> {
    const profile = await this.readProfile(agent, id);
    const [access, refresh] = [generationIn(profile?.["access"]), generationIn(profile?.["refresh"])];
    return access === refresh ? access : null;
  }

  /** The generation that a store anywhere holds, or null. */
  async fileGeneration(path: string): Promise<number | null> {
    try {
      const file = JSON.parse(await readFile(path, "utf8")) as { profiles: Record<string, Json> };
      return generationIn(file.profiles[PROFILE]?.["refresh"]);
    } catch {
      return null;
    }
  }

  /** Makes a file look old, so that no writer can be in the middle of it; one that is not there stays so. */
  async age(path: string): Promise<void> {
    const hourAgo = new Date(Date.now() - HOUR_MS);
    if (existsSync(path)) await utimes(path, hourAgo, hourAgo);
  }

  async generations(agents: readonly string[]): Promise<(number | null)[]> {
    return Promise.all(agents.map((agent) => this.generationOf(agent)));
  }

  /** When the daemon last looked, or null. */
  async lookedAt(): Promise<unknown> {
    const text = await readIfPresent(join(this.stateDirectory, "status.json"));
    return text === "" ? null : (JSON.parse(text) as Json)["lastReconcileAt"];
  }

  /** Marked parts in what was said here and in the files that people and programs may look at. */
  async leaks(): Promise<string[]> {
    const texts = [...this.spoken];
    for (const name of ["ledger.jsonl", "status.json", "run.lock"]) {
      const path = join(this.stateDirectory, name);
      // A pipe in its place would be waited for.
      if (existsSync(path) && statSync(path).isFile()) texts.push(await readIfPresent(path));
    }
    return leaksIn(texts.join("\n"), this.secretParts);
  }
}

/** Nothing of these tests expires while they run, and no login of Claude Code lasts longer than two days. */
const FIRST_END_MS = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + 8 * HOUR_MS;

/** When a generation expires: the same moment wherever one test file writes it. */
export function endOf(generation: number): number {
  return FIRST_END_MS + generation * 15 * MINUTE_MS;
}

/** Which generation a made-up token is of, or null. */
export function generationIn(token: unknown): number | null {
  const number = typeof token === "string" ? /-(\d+)$/.exec(token)?.[1] : undefined;
  return number === undefined ? null : Number(number);
}

/** Replaces a file by a rename, making its directory. */
export async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.tmp`, text, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

async function readIfPresent(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return "";
  }
}
