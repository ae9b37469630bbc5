import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { customGateway, UNKNOWN_LISTENER } from "../../../src/programs/gateway.js";
import { environmentIn } from "../../support/environment.js";
import { leaveFile } from "../../support/store-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { listenerOf, openclawGateway } from "../../../src/programs/openclaw/gateway.js";

const signal = new AbortController().signal;

async function listenOn(port: number, host: string): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer();
  server.listen(port, host);
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
}

/** A home with a program `openclaw` on its PATH, which notes how it was called. */
async function homeWithProgram(script: string) {
  const home = await temporaryDirectory();
  const bin = join(home, "bin");
  await mkdir(bin);
  const note = join(home, "note");
  await writeFile(join(bin, "openclaw"), `#!/bin/sh\necho "$# $* in $OPENCLAW_STATE_DIR" > '${note}'\n${script}\n`);
  await chmod(join(bin, "openclaw"), 0o700);
  return { home, variables: { HOME: home, PATH: `${bin}:/usr/bin:/bin` }, note: () => readFile(note, "utf8") };
}

describe("who listens on a port", () => {
  test.each(["127.0.0.1", "0.0.0.0", "::1"])("is known on %s, and another after a restart", async (host) => {
    const { server, port } = await listenOn(0, host);
    const first = await listenerOf(port);
    expect(first).toMatch(/^\d+$/);
    expect(await listenerOf(port)).toBe(first);
    await closed(server);
    expect(await listenerOf(port)).toBeNull();
    await listenOn(port, host);
    const second = await listenerOf(port);
    expect(second).toMatch(/^\d+$/);
    expect(second).not.toBe(first);
  });

  test("is nobody on a port that is only connected to", async () => {
    const { server, port } = await listenOn(0, "127.0.0.1");
    const { connect } = await import("node:net");
    const client = connect(port, "127.0.0.1");
    await once(client, "connect");
    onTestFinished(() => {
      client.destroy();
    });
    expect(await listenerOf(client.localPort ?? 0)).toBeNull();
    server.unref();
  });
});

/** The lock that a gateway of the usual OpenClaw takes. */
async function leaveLock(home: string, payload: object | string): Promise<void> {
  const state = join(home, ".openclaw");
  const hash = createHash("sha256").update(join(state, "openclaw.json")).digest("hex").slice(0, 8);
  const directory = join(state, "tmp", `openclaw-${String(process.getuid?.())}`);
  await mkdir(directory, { recursive: true });
  await leaveFile(join(directory, `gateway.${hash}.lock`), typeof payload === "string" ? payload : JSON.stringify(payload));
}

describe("the gateway of an OpenClaw", () => {
  test("is looked for on the port of its config, else of the variable before that", async () => {
    const { home, variables } = await homeWithProgram("");
    const [configured, named] = [await listenOn(0, "127.0.0.1"), await listenOn(0, "127.0.0.1")];
    const config = JSON.stringify({ gateway: { port: configured.port } });
    await leaveFile(join(home, ".openclaw", "openclaw.json"), config);
    const gateway = openclawGateway(null, true, environmentIn(home, variables));
    expect(await gateway.listener()).toBe(await listenerOf(configured.port));
    const moved = environmentIn(home, { ...variables, OPENCLAW_GATEWAY_PORT: String(named.port) });
    expect(await openclawGateway(null, true, moved).listener()).toBe(await listenerOf(named.port));
    await closed(configured.server);
    expect(await gateway.listener()).toBeNull();
  });

  test.each(["{", "[]", `{"gateway":5}`, `{"gateway":{"port":"1"}}`])(
    "is looked for on its usual port where the config is %s",
    async (text) => {
      const { home, variables } = await homeWithProgram("");
      await leaveFile(join(home, ".openclaw", "openclaw.json"), text);
      expect(await openclawGateway(null, true, environmentIn(home, variables)).listener()).toBe(await listenerOf(18789));
    },
  );

  test("that was started on another port than its files name is found by its lock, and reloaded there", async () => {
    const { home, variables } = await homeWithProgram('echo "$OPENCLAW_GATEWAY_PORT"');
    const named = await listenOn(0, "127.0.0.1");
    await leaveFile(join(home, ".openclaw", "openclaw.json"), JSON.stringify({ gateway: { port: 1 } }));
    const gateway = openclawGateway(null, true, environmentIn(home, variables));
    expect(await gateway.expected?.()).toEqual({ port: 1, because: "configured" });
    await leaveLock(home, { pid: process.pid, port: named.port });
    expect(await gateway.listener()).toBe(await listenerOf(named.port));
    expect(await gateway.reload?.(signal)).toEqual({ kind: "done", output: `${String(named.port)}\n` });

    await closed(named.server);
    expect(await gateway.listener()).toBeNull();
    expect(await gateway.expected?.()).toEqual({ port: named.port, because: "ran" });
    expect(await gateway.reload?.(signal)).toEqual({ kind: "done", output: "\n" });
  });

  test.each([
    ["no more lives", { pid: 2 ** 30, port: 0 }],
    ["is another program of OpenClaw", { pid: process.pid, port: 0, role: "embedded" }],
  ])("is not taken for one that %s, whoever listens on that port now", async (_who, payload) => {
    const { home, variables } = await homeWithProgram("");
    const other = await listenOn(0, "127.0.0.1");
    await leaveFile(join(home, ".openclaw", "openclaw.json"), JSON.stringify({ gateway: { port: 1 } }));
    await leaveLock(home, { ...payload, port: other.port });
    expect(await openclawGateway(null, true, environmentIn(home, variables)).listener()).toBeNull();
  });

  test.each(["", "{", "[]", `{"pid":"1","port":1}`, `{"pid":1,"port":65536}`])(
    "is expected where its config has it, whatever its lock says (%s)",
    async (text) => {
      const { home, variables } = await homeWithProgram("");
      await leaveLock(home, text);
      const gateway = openclawGateway(null, true, environmentIn(home, variables));
      expect(await gateway.expected?.()).toBeNull();
      await leaveFile(join(home, ".openclaw", ".env"), "OPENCLAW_GATEWAY_PORT=127.0.0.1:18999\n");
      expect(await gateway.expected?.()).toEqual({ port: 18999, because: "configured" });
    },
  );

  test("is not expected on this host where OpenClaw uses one elsewhere", async () => {
    const { home, variables } = await homeWithProgram("");
    await leaveFile(join(home, ".openclaw", "openclaw.json"), JSON.stringify({ gateway: { mode: "remote" } }));
    expect(await openclawGateway(null, true, environmentIn(home, variables)).expected?.()).toBeNull();
  });

  test("is reloaded by the program on the PATH, for its own state directory", async () => {
    const { home, variables, note } = await homeWithProgram("echo reloaded");
    const usual = openclawGateway(null, true, environmentIn(home, variables));
    expect(await usual.reload?.(signal)).toEqual({ kind: "done", output: "reloaded\n" });
    expect(await note()).toBe("2 secrets reload in \n");
    const other = openclawGateway("~/other", true, environmentIn(home, variables));
    await other.reload?.(signal);
    expect(await note()).toBe(`2 secrets reload in ${home}/other\n`);
    expect([usual.name, other.name]).toEqual(["the gateway of ~/.openclaw", "the gateway of ~/other"]);
  });

  test("of a profile is reloaded as one, without what the environment says of the usual one", async () => {
    const { home, variables } = await homeWithProgram('echo "$OPENCLAW_PROFILE $OPENCLAW_CONFIG_PATH $OPENCLAW_GATEWAY_PORT"');
    const moved = { ...variables, OPENCLAW_CONFIG_PATH: "/etc/o.json", OPENCLAW_GATEWAY_PORT: "1" };
    const environment = environmentIn(home, moved);
    const outputOf = async (stateDir: string | null): Promise<unknown> =>
      openclawGateway(stateDir, true, environment).reload?.(signal);
    expect(await outputOf("~/.openclaw-team")).toEqual({ kind: "done", output: "team  \n" });
    expect(await outputOf("~/elsewhere")).toEqual({ kind: "done", output: "  \n" });
    for (const usual of [null, "~/.openclaw"])
      expect(await outputOf(usual)).toEqual({ kind: "done", output: " /etc/o.json 1\n" });
  });

  test("that cannot be reloaded says how it failed", async () => {
    const { home, variables } = await homeWithProgram("echo pairing required >&2; exit 7");
    const gateway = openclawGateway(null, true, environmentIn(home, variables));
    expect(await gateway.reload?.(signal)).toEqual({ kind: "failed", exitCode: 7, output: "pairing required\n" });
    const bare = openclawGateway(null, true, environmentIn(home, { PATH: "/nowhere" }));
    expect(await bare.reload?.(signal)).toEqual({ kind: "not-found" });
  });

  test("is not reloaded where the user wants it so", () => {
    expect(openclawGateway(null, false, environmentIn("/home/me")).reload).toBeNull();
  });
});

describe("a command of the user's own", () => {
  test("runs as it stands, whoever listens", async () => {
    const { home, variables, note } = await homeWithProgram("");
    const gateway = customGateway(["openclaw", "a b", "$HOME"], environmentIn(home, variables));
    expect([gateway.name, await gateway.listener()]).toEqual(["the gateway that openclaw reloads", UNKNOWN_LISTENER]);
    expect(await gateway.reload?.(signal)).toMatchObject({ kind: "done" });
    expect(await note()).toBe("2 a b $HOME in \n");
  });
});
