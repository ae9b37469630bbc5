import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { delimiter } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { expect, onTestFinished } from "vitest";
import type { TemporaryHome } from "../support/temporary-home.js";
import type { OpenclawProgram } from "./clients.js";
import type { StandIn } from "./stand-in.js";

/** OpenClaw takes several seconds to start, some versions a minute for a turn, more on a busy machine. */
const PATIENCE_MS = 240_000;
/** A gateway drains its work before it goes. */
const FAREWELL_MS = 20_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** OpenClaw's report on an OAuth profile; it never shows the tokens. */
export interface OpenclawProfile {
  readonly profileId: string;
  readonly status: string;
  readonly expiresAt?: number;
}

/** The maker of a turn: a process of its own, the running gateway, or the first if the second fails. */
export type TurnBy = "itself" | "gateway" | "either";

/** A real OpenClaw in a home. Whatever it asks of the network goes to the stand-in, or nowhere. */
export class RealOpenclaw {
  /** Its environment, beside the home's own. */
  readonly variables: Readonly<Record<string, string>>;
  readonly #program: OpenclawProgram;
  readonly #home: TemporaryHome;

  constructor(program: OpenclawProgram, home: TemporaryHome, standIn: StandIn | null) {
    this.#program = program;
    this.#home = home;
    this.variables = {
      LANG: "C.UTF-8",
      NO_COLOR: "1",
      TMPDIR: home.at("tmp"),
      // A wrapper of this name is what a daemon in this home finds.
      PATH: [home.at("bin"), process.env["PATH"] ?? ""].join(delimiter),
      AWS_EC2_METADATA_DISABLED: "true",
      OPENCLAW_OFFLINE: "1",
      OPENCLAW_NO_RESPAWN: "1",
      OPENCLAW_NO_AUTO_UPDATE: "1",
      OPENCLAW_SKIP_CHANNELS: "1",
      OPENCLAW_DISABLE_BONJOUR: "1",
      ...networkBy(standIn?.proxyUrl ?? NOWHERE),
      ...(standIn === null ? {} : { NODE_EXTRA_CA_CERTS: standIn.certificateAuthority }),
    };
  }

  /** Puts it on the home's own PATH, as an installation does. */
  async putOnPath(): Promise<void> {
    const { node, script } = this.#program;
    await mkdir(this.#home.at("bin"), { recursive: true });
    await mkdir(this.#home.at("tmp"), { recursive: true });
    await writeFile(this.#home.at("bin", "openclaw"), `#!/bin/sh\nexec "${node}" "${script}" "$@"\n`);
    await chmod(this.#home.at("bin", "openclaw"), 0o755);
  }

  /** @throws Error where it does not end well */
  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await ended(this.spawn(args));
    if (code !== 0) throw new Error(`openclaw ${args.join(" ")} ended with ${String(code)}: ${stderr}${stdout}`);
    return stdout;
  }

  async addAgent(id: string): Promise<void> {
    await this.run("agents", "add", id, "--non-interactive", "--workspace", this.#home.at(`workspace-${id}`), "--json");
  }

  /** Returns the entry of an agent's OAuth profile in `models status`; null if there is none. */
  async profile(agent: string, id: string): Promise<OpenclawProfile | null> {
    return (await this.profiles(agent)).find(({ profileId }) => profileId === id) ?? null;
  }

  /** Returns the entries in `models status` of the OAuth profiles that an agent has or inherits. */
  async profiles(agent: string): Promise<OpenclawProfile[]> {
    const stdout = await this.run("models", "status", "--agent", agent, "--json");
    // Lines of the log may stand before the JSON.
    const status = JSON.parse(stdout.slice(stdout.search(/^\{/m))) as { auth: { oauth: { profiles: OpenclawProfile[] } } };
    return status.auth.oauth.profiles;
  }

  /** One turn of an agent; it may fail. @returns what it said: 2026.4.15 gives its answer on stderr */
  async turn(agent: string, by: TurnBy, network: "online" | "offline" = "online"): Promise<string> {
    const how = by === "itself" ? ["--local"] : [];
    const variables = network === "online" ? {} : networkBy(NOWHERE);
    const args = ["agent", ...how, "--agent", agent, "--message", "hi", "--json"];
    const { stdout, stderr } = await ended(this.spawn(args, variables));
    const said = `${stdout}${stderr}`;
    // It says so where it could not reach the gateway and made the turn itself: then nothing is shown of the gateway.
    if (by === "gateway") expect(said).not.toMatch(/embedded fallback|falling back to embedded/i);
    return said;
  }

  spawn(args: readonly string[], variables: Readonly<Record<string, string>> = {}): ChildProcessWithoutNullStreams {
    const env = this.#home.environment({ ...this.variables, ...variables });
    return spawn(this.#program.node, [this.#program.script, ...args], { env, cwd: this.#home.path });
  }
}

/** Nobody listens on the discard port. */
const NOWHERE = "http://127.0.0.1:9";

/** Returns the variables that make a program, and Node's own `fetch`, ask a proxy for everything but the loopback. */
function networkBy(proxy: string): Record<string, string> {
  return { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: "127.0.0.1,localhost,::1" };
}

/** How a gateway is started: what stands before `gateway run`, and more variables. */
interface GatewayStart {
  readonly before?: readonly string[];
  readonly variables?: Readonly<Record<string, string>>;
  /** The port on its command line; null where its files or variables say it. */
  readonly port?: number | null;
}

/** A real gateway on the loopback; it is ended with the test. */
export class RunningGateway {
  readonly #process: ChildProcessWithoutNullStreams;
  #output = "";

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        this.#output += chunk;
      });
    }
    child.stdin.end();
    onTestFinished(() => this.stop());
  }

  /** Starts it and waits until it listens. @param port the one that it is to listen on */
  static async start(openclaw: RealOpenclaw, port: number, start: GatewayStart = {}): Promise<RunningGateway> {
    const { before = [], variables = {}, port: named = port } = start;
    const place = named === null ? [] : ["--port", String(named)];
    const args = [...before, "gateway", "run", ...place, "--bind", "loopback"];
    const gateway = new RunningGateway(openclaw.spawn(args, variables));
    await expect.poll(() => gateway.#isListening(port), { timeout: PATIENCE_MS, interval: 100 }).toBe(true);
    return gateway;
  }

  async #isListening(port: number): Promise<boolean> {
    if (this.#isOver) throw new Error(`the gateway ended: ${this.#output}`);
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }

  get #isOver(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async stop(): Promise<void> {
    if (this.#isOver) return;
    const closed = once(this.#process, "close");
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => {
      this.#process.kill("SIGKILL");
    }, FAREWELL_MS);
    await closed;
    clearTimeout(timer);
  }
}

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A real Claude Code in a home, whose every request goes to the stand-in. */
export class RealClaude {
  readonly binary: string;
  /** Its environment, beside the home's own. */
  readonly variables: Readonly<Record<string, string>>;
  readonly #home: TemporaryHome;
  readonly #standIn: StandIn;

  constructor(binary: string, home: TemporaryHome, standIn: StandIn) {
    this.binary = binary;
    this.#home = home;
    this.#standIn = standIn;
    this.variables = {
      LANG: "C.UTF-8",
      TERM: "dumb",
      DISABLE_AUTOUPDATER: "1",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      HTTPS_PROXY: standIn.proxyUrl,
      NODE_EXTRA_CA_CERTS: standIn.certificateAuthority,
    };
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

  /** `claude mcp list`, which renews a login that is near its end. */
  async mcpList(): Promise<Ended> {
    return ended(this.#spawn(["mcp", "list"]));
  }

  /** The same, killed as soon as a condition holds. */
  async mcpListKilledWhen(condition: () => boolean): Promise<void> {
    const child = this.#spawn(["mcp", "list"]);
    child.stdin.end();
    const closed = once(child, "close");
    await expect.poll(condition, { timeout: PATIENCE_MS, interval: 15 }).toBe(true);
    child.kill("SIGKILL");
    await closed;
  }

  /** A session that stays open; it is ended with the test. */
  session(): ClaudeSession {
    const streams = ["--input-format", "stream-json", "--output-format", "stream-json", "--verbose"];
    return new ClaudeSession(this.#spawn(["-p", ...streams, "--model", "claude-sonnet-4-5"]));
  }

  #spawn(args: readonly string[], variables: Readonly<Record<string, string>> = {}): ChildProcessWithoutNullStreams {
    const env = this.#home.environment({ ...this.variables, ...variables });
    return spawn(this.binary, args, { env, cwd: this.#home.path });
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
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
  }, PATIENCE_MS);
  const closed = once(child, "close") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  clearTimeout(timer);
  return { code, stdout, stderr };
}
