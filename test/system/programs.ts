import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import type { TemporaryHome } from "../support/temporary-home.js";
import type { Clients } from "./clients.js";
import type { StandIn } from "./stand-in.js";

/** OpenClaw takes several seconds to start, more on a busy machine. */
const PATIENCE_MS = 90_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What OpenClaw says of an OAuth profile; it never shows the tokens. */
export interface OpenclawProfile {
  readonly profileId: string;
  readonly status: string;
  readonly expiresAt?: number;
}

/** A real OpenClaw in a home, cut off from the network. */
export class RealOpenclaw {
  readonly #clients: Clients;
  readonly #home: TemporaryHome;

  constructor(clients: Clients, home: TemporaryHome) {
    this.#clients = clients;
    this.#home = home;
  }

  async run(...args: readonly string[]): Promise<string> {
    const variables = {
      LANG: "C.UTF-8",
      NO_COLOR: "1",
      OPENCLAW_OFFLINE: "1",
      OPENCLAW_NO_RESPAWN: "1",
      OPENCLAW_NO_AUTO_UPDATE: "1",
      OPENCLAW_SKIP_CHANNELS: "1",
      OPENCLAW_DISABLE_BONJOUR: "1",
    };
    const { node, openclaw } = this.#clients;
    const child = spawn(node, [openclaw, ...args], { env: this.#home.environment(variables), cwd: this.#home.path });
    const { code, stdout, stderr } = await ended(child);
    if (code !== 0) throw new Error(`openclaw ${args.join(" ")} ended with ${String(code)}: ${stderr}${stdout}`);
    return stdout;
  }

  async addAgent(id: string): Promise<void> {
    await this.run("agents", "add", id, "--non-interactive", "--workspace", this.#home.at(`workspace-${id}`), "--json");
  }

  /** What `models status` shows of an agent's OAuth profile; null where it shows none. */
  async profile(agent: string, id: string): Promise<OpenclawProfile | null> {
    const stdout = await this.run("models", "status", "--agent", agent, "--json");
    // Lines of the log may stand before the JSON.
    const status = JSON.parse(stdout.slice(stdout.search(/^\{/m))) as { auth: { oauth: { profiles: OpenclawProfile[] } } };
    return status.auth.oauth.profiles.find(({ profileId }) => profileId === id) ?? null;
  }
}

/** A real Claude Code in a home, whose every request goes to the stand-in. */
export class RealClaude {
  readonly #clients: Clients;
  readonly #home: TemporaryHome;
  readonly #standIn: StandIn;

  constructor(clients: Clients, home: TemporaryHome, standIn: StandIn) {
    this.#clients = clients;
    this.#home = home;
    this.#standIn = standIn;
  }

  /** Signs in with the stand-in's invitation; Claude Code writes its whole login file. */
  async signIn(): Promise<void> {
    const { invitation } = this.#standIn;
    const scopes = "user:inference user:profile";
    const variables = { CLAUDE_CODE_OAUTH_REFRESH_TOKEN: invitation, CLAUDE_CODE_OAUTH_SCOPES: scopes };
    const { code, stdout, stderr } = await ended(this.#spawn(["auth", "login"], variables));
    if (code !== 0) throw new Error(`claude auth login ended with ${String(code)}: ${stdout}${stderr}`);
  }

  /** Makes a request of its own. */
  async ask(question = "hi"): Promise<Ended> {
    return ended(this.#spawn(["-p", question, "--model", "claude-sonnet-4-5"]));
  }

  /** `claude auth status`. */
  async status(): Promise<Ended> {
    return ended(this.#spawn(["auth", "status"]));
  }

  /** A session that stays open; it is ended with the test. */
  session(): ClaudeSession {
    const streams = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"];
    return new ClaudeSession(this.#spawn(["-p", ...streams, "--model", "claude-sonnet-4-5"]));
  }

  #spawn(args: readonly string[], variables: Readonly<Record<string, string>> = {}): ChildProcessWithoutNullStreams {
    const env = this.#home.environment({
      LANG: "C.UTF-8",
      TERM: "dumb",
      DISABLE_AUTOUPDATER: "1",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      HTTPS_PROXY: this.#standIn.proxyUrl,
      NODE_EXTRA_CA_CERTS: this.#standIn.certificateAuthority,
      ...variables,
    });
    return spawn(this.#clients.claude, args, { env, cwd: this.#home.path });
  }
}

/** A conversation with one running Claude Code. */
export class ClaudeSession {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#process = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    onTestFinished(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    });
  }

  /** Asks, and waits for the end of the turn. @returns what the turn said */
  async ask(question: string): Promise<string> {
    const message = { role: "user", content: [{ type: "text", text: question }] };
    this.#process.stdin.write(`${JSON.stringify({ type: "user", message })}\n`);
    for (;;) {
      const next = await this.#lines.next();
      if (next.done === true) throw new Error("the session ended in the middle of a turn");
      const line = JSON.parse(next.value) as { type: string; result?: string };
      if (line.type === "result") return line.result ?? "";
    }
  }
}

/** Waits for the end of a program that is not asked anything more. */
async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  child.stdin.end();
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  const closed = once(child, "close") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  clearTimeout(timer);
  return { code, stdout, stderr };
}
