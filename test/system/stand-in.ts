import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";
import type { AtEnd } from "../support/temporary-home.js";

const TOKEN_PATH = "/v1/oauth/token";
const SCOPES = "user:inference user:profile user:sessions:claude_code user:mcp_servers user:file_upload";

export const ACCOUNT = { uuid: "00000000-0000-4000-8000-0000000000aa", email: "test@example.invalid" } as const;
const ORGANIZATION = { uuid: "00000000-0000-4000-8000-0000000000bb", name: "Test Org" } as const;

/** One request, as the server saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly bearer: string;
  readonly status: number;
}

/** An access token and the refresh token that belongs to it. */
export interface Pair {
  readonly access: string;
  readonly refresh: string;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** Makes up the token of a generation, from 1. */
export type MakeToken = (kind: "access" | "refresh", generation: number) => string;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * A stand-in for Anthropic's servers on the loopback; it forwards nothing anywhere. It is an honest OAuth server: a refresh
 * token works once, and spending it ends the access token that came with it. Each turn is answered with the bearer that it
 * was asked with.
 */
export class StandIn {
  /** How long the next access tokens live. */
  lifetimeSeconds = 28_800;
  /** How long the token endpoint takes to answer; a refresh token is spent when it is asked. */
  tokenAnswerMs = 0;
  /** True if the token endpoint spends the refresh token and drops the connection without an answer. */
  losesAnswers = false;
  readonly requests: SeenRequest[] = [];
  /** The refresh token that a sign-in can be made with, once. */
  readonly invitation = "sk-ant-ort01-TEST-INVITATION";
  /** Speaks plain HTTP. */
  readonly url: string;
  /** Ends the TLS of every host that is asked for. */
  readonly proxyUrl: string;
  readonly certificateAuthority: string;
  readonly #makeToken: MakeToken;
  readonly #unspent = new Map<string, Pair | null>([[this.invitation, null]]);
  readonly #valid = new Map<string, Pair>();
  #issued = 0;

  private constructor(url: string, proxyUrl: string, certificateAuthority: string, makeToken: MakeToken) {
    this.#makeToken = makeToken;
    this.url = url;
    this.proxyUrl = proxyUrl;
    this.certificateAuthority = certificateAuthority;
  }

  /** Starts a stand-in, which is ended with the test unless told otherwise. */
  static async start(makeToken: MakeToken, atEnd: AtEnd = onTestFinished): Promise<StandIn> {
    const directory = await mkdtemp(join(tmpdir(), "credsyncd-stand-in-"));
    const tls = await makeCertificates(directory);
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      void standIn.#serve(request, response);
    };
    const inner = createTlsServer(tls, serve);
    const plain = createServer(serve);
    const proxy = createServer(serve);
    proxy.on("connect", (_request, socket, head: Buffer) => {
      // A client that is killed drops its connection.
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      if (head.length > 0) socket.unshift(head);
      inner.emit("connection", socket);
    });
    const standIn = new StandIn(await listen(plain), await listen(proxy), join(directory, "ca.pem"), makeToken);
    atEnd(async () => {
      for (const server of [plain, proxy, inner]) {
        server.closeAllConnections();
        server.close();
      }
      await rm(directory, { recursive: true, force: true });
    });
    return standIn;
  }

  /** How often the token endpoint was asked. */
  get tokenRequests(): number {
    return this.requests.filter(({ path }) => path === TOKEN_PATH).length;
  }

  /** How many refreshes were granted, each of which spent a refresh token. */
  get grants(): number {
    return this.#issued;
  }

  /** The bearers that turns were asked for with, from the first; refused ones too. */
  get bearers(): string[] {
    return this.requests.filter(({ path }) => path === "/v1/messages").map(({ bearer }) => bearer);
  }

  /** The requests that were refused for their bearer. */
  get refused(): SeenRequest[] {
    return this.requests.filter(({ status }) => status === 401);
  }

  /** The pair that is good at this moment. */
  get current(): Pair {
    const pair = [...this.#unspent.values()].findLast((unspent) => unspent !== null);
    if (pair == null) throw new Error("nobody signed in yet");
    return pair;
  }

  /** A login of another account, made elsewhere: turns are answered with it, and nobody may refresh it. */
  another(lifetimeSeconds: number): Pair {
    const pair = this.#newPair(lifetimeSeconds);
    this.#valid.set(pair.access, pair);
    return pair;
  }

  /** Lets every token end sooner. */
  age(byMs: number): void {
    for (const [refresh, pair] of this.#unspent) {
      if (pair === null) continue;
      const aged = { ...pair, expiresAt: pair.expiresAt - byMs };
      this.#unspent.set(refresh, aged);
      this.#valid.set(aged.access, aged);
    }
  }

  /** Spends a refresh token over the wire, as a program does. */
  async refresh(refreshToken: string): Promise<Pair> {
    const body = JSON.stringify({ grant_type: "refresh_token", refresh_token: refreshToken });
    const response = await fetch(`${this.url}${TOKEN_PATH}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    if (!response.ok) throw new Error(`the refresh was refused: ${response.status}`);
    return this.current;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://stand-in").pathname;
    const bearer = (request.headers.authorization ?? "").replace(/^Bearer /, "");
    const body = await bodyOf(request);
    const { status, body: answer } = this.#answer(request.method ?? "", path, bearer, body);
    this.requests.push({ method: request.method ?? "", path, bearer, status });
    if (path === TOKEN_PATH && this.tokenAnswerMs > 0) await setTimeout(this.tokenAnswerMs);
    if (path === TOKEN_PATH && this.losesAnswers) {
      request.socket.destroy();
      return;
    }
    if (status === 200 && body["stream"] === true) {
      streamTurn(response, answer);
      return;
    }
    response.writeHead(status, { "content-type": "application/json", "request-id": "req_test" });
    response.end(JSON.stringify(answer));
  }

  #answer(method: string, path: string, bearer: string, body: Body): Answer {
    if (path === TOKEN_PATH) return this.#exchange(body["refresh_token"]);
    if (path === "/api/oauth/profile") return { status: 200, body: PROFILE };
    if (path.startsWith("/v1/messages") && method === "POST") {
      if (!this.#isValid(bearer)) return { status: 401, body: refused("authentication_error", "OAuth token has been revoked.") };
      if (path.endsWith("/count_tokens")) return { status: 200, body: { input_tokens: 1 } };
      return { status: 200, body: turn(bearer, body["model"]) };
    }
    return { status: 404, body: refused("not_found_error", "not found") };
  }

  #exchange(refreshToken: unknown): Answer {
    const parent = typeof refreshToken === "string" ? this.#unspent.get(refreshToken) : undefined;
    if (parent === undefined || typeof refreshToken !== "string") {
      return { status: 400, body: { error: "invalid_grant", error_description: "Refresh token not found or invalid" } };
    }
    this.#unspent.delete(refreshToken);
    if (parent !== null) this.#valid.delete(parent.access);
    // A lifetime of its own tells each generation by its expiry, which is all that OpenClaw shows of it.
    const lifetimeSeconds = this.lifetimeSeconds + this.#issued + 1;
    const pair = this.#newPair(lifetimeSeconds);
    this.#unspent.set(pair.refresh, pair);
    this.#valid.set(pair.access, pair);
    return {
      status: 200,
      body: {
        token_type: "Bearer",
        access_token: pair.access,
        refresh_token: pair.refresh,
        expires_in: lifetimeSeconds,
        refresh_token_expires_in: 2_419_200,
        scope: SCOPES,
        account: { uuid: ACCOUNT.uuid, email_address: ACCOUNT.email },
        organization: ORGANIZATION,
      },
    };
  }

  #newPair(lifetimeSeconds: number): Pair {
    this.#issued += 1;
    return {
      access: `sk-ant-oat01-${this.#makeToken("access", this.#issued)}`,
      refresh: `sk-ant-ort01-${this.#makeToken("refresh", this.#issued)}`,
      expiresAt: Date.now() + lifetimeSeconds * 1000,
    };
  }

  #isValid(access: string): boolean {
    return (this.#valid.get(access)?.expiresAt ?? 0) > Date.now();
  }
}

const PROFILE = {
  account: {
    ...ACCOUNT,
    full_name: "Test",
    display_name: "Test",
    has_claude_max: true,
    has_claude_pro: false,
    created_at: "2025-01-01T00:00:00Z",
  },
  organization: {
    ...ORGANIZATION,
    organization_type: "claude_max",
    billing_type: "stripe_subscription",
    rate_limit_tier: "default_claude_max_20x",
    has_extra_usage_enabled: false,
    subscription_created_at: "2025-01-01T00:00:00Z",
  },
};

type Body = Readonly<Record<string, unknown>>;

async function bodyOf(request: IncomingMessage): Promise<Body> {
  try {
    const body: unknown = await json(request);
    return typeof body === "object" && body !== null ? (body as Body) : {};
  } catch {
    // A request without a body, or with one that is not JSON, is answered by its path alone.
    return {};
  }
}

interface Turn {
  readonly content: readonly { readonly type: "text"; readonly text: string }[];
}

function turn(bearer: string, model: unknown): Turn {
  const message = {
    id: "msg_test",
    type: "message",
    role: "assistant",
    model: typeof model === "string" ? model : "claude-sonnet-4-5",
    content: [{ type: "text" as const, text: `AUTH=${bearer}` }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  };
  return message;
}

function refused(type: string, message: string): unknown {
  return { type: "error", error: { type, message } };
}

/** The same turn as the events that a client asks for with `stream`. */
function streamTurn(response: ServerResponse, answer: unknown): void {
  const message = answer as Turn;
  response.writeHead(200, { "content-type": "text/event-stream", "request-id": "req_test" });
  const send = (type: string, value: object): void => {
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...value })}\n\n`);
  };
  send("message_start", { message: { ...message, content: [], stop_reason: null } });
  send("content_block_start", { index: 0, content_block: { type: "text", text: "" } });
  send("content_block_delta", { index: 0, delta: { type: "text_delta", text: message.content[0]?.text ?? "" } });
  send("content_block_stop", { index: 0 });
  send("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 1 } });
  send("message_stop", {});
  response.end();
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

async function makeCertificates(directory: string): Promise<{ readonly key: Buffer; readonly cert: Buffer }> {
  const openssl = (...args: readonly string[]): Promise<unknown> => promisify(execFile)("openssl", args, { cwd: directory });
  const hosts = ["anthropic.com", "claude.com", "claude.ai"].flatMap((host) => [`DNS:${host}`, `DNS:*.${host}`]);
  await writeFile(join(directory, "names"), `subjectAltName=${hosts.join(",")}\n`);
  const fresh = ["-newkey", "rsa:2048", "-nodes"];
  await openssl("req", "-x509", ...fresh, "-days", "2", "-subj", "/CN=stand-in", "-keyout", "ca.key", "-out", "ca.pem");
  await openssl("req", ...fresh, "-subj", "/CN=anthropic.com", "-keyout", "server.key", "-out", "server.csr");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
  await openssl("x509", "-req", "-in", "server.csr", ...signed, "-out", "server.pem");
  return { key: await readFile(join(directory, "server.key")), cert: await readFile(join(directory, "server.pem")) };
}
