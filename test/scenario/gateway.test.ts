import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { readIfPresent } from "../support/store-file.js";
import { endOf, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work"];
const SECRET = "sk-ant-oat01-from-the-gateway";

async function listen(port = 0): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

/** A home with agents, something that listens as a gateway does, and a program `openclaw` that does as the test says. */
async function homeWithGateway(script: string) {
  const home = await TemporaryHome.create({ agents });
  home.secretParts.add(SECRET);
  const bin = home.at("bin");
  await mkdir(bin);
  const { server, port } = await listen();
  const variables = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, OPENCLAW_GATEWAY_PORT: String(port) };
  const behave = async (body: string): Promise<void> => {
    await writeFile(join(bin, "openclaw"), `#!/bin/sh\necho called >> '${home.at("calls")}'\necho ${SECRET}; ${body}\n`);
    await chmod(join(bin, "openclaw"), 0o700);
  };
  await behave(script);
  const calls = async (): Promise<number> => ((await readIfPresent(home.at("calls"))) ?? "").split("\n").length - 1;
  const gateways = async (): Promise<Record<string, unknown>[]> => {
    const { stdout } = await credsyncd(home, ["status", "--json"], variables);
    return (JSON.parse(stdout) as { gateways: Record<string, unknown>[] }).gateways;
  };
  return { home, server, port, variables, behave, calls, gateways };
}

describe("a running gateway", () => {
  test("reloads after a rotation, and status has nothing to say of it", async () => {
    const { home, variables, calls, gateways } = await homeWithGateway("exit 0");
    const daemon = await RunningDaemon.start(home, { variables });
    expect(await calls()).toBe(0);
    await home.writeLogin(2);
    await daemon.said("gateway reloaded");
    expect(await calls()).toBe(1);
    expect(await gateways()).toEqual([]);
  });

  test("that does not listen where it should is in status and doctor, with what to do", async () => {
    const { home, server, port, variables } = await homeWithGateway("exit 0");
    const absent = async (): Promise<unknown> =>
      (JSON.parse((await credsyncd(home, ["status", "--json"], variables)).stdout) as Record<string, unknown>)["absentGateways"];
    expect(await absent()).toEqual([]);
    server.close();
    await once(server, "close");
    expect(await absent()).toMatchObject([{ gateway: "the gateway of ~/.openclaw", port }]);
    for (const command of ["status", "doctor"]) {
      const { stdout } = await credsyncd(home, [command], variables);
      expect(stdout).toContain(`nothing listens on port ${String(port)}`);
      expect(stdout).toContain("gateway.port");
    }
  });

  test("that wants to be paired is in status: since when, until when, why, and what to do", async () => {
    const { home, variables, gateways } = await homeWithGateway(
      "echo scope upgrade pending approval: pairing required >&2; exit 1",
    );
    const daemon = await RunningDaemon.start(home, { variables });
    await home.writeLogin(2);
    const line = await daemon.said("gateway not reloaded");
    expect(line).toMatchObject({ level: "warn", reason: "it wants this device to be paired" });
    await becomes(async () => (await gateways())[0]?.["reason"], "pairing");
    const [gateway] = await gateways();
    expect(gateway).toMatchObject({
      gateway: "the gateway of ~/.openclaw",
      until: new Date(endOf(1)).toISOString(),
      explanation: "it wants this device to be paired",
      hint: expect.stringContaining("openclaw devices approve") as string,
    });
    expect(Date.parse(String(gateway?.["laggingSince"]))).toBeLessThanOrEqual(Date.now());
    const { stdout } = await credsyncd(home, ["status"], variables);
    expect(stdout).toMatch(
      /^the gateway of ~\/\.openclaw: may use the old login until its next turn, a reload or a restart, or for \d+h [^;]*; since .*ago: it wants/m,
    );
  });

  test("that was restarted since does not lag any more, whatever the daemon wrote", async () => {
    const { home, server, port, variables, gateways } = await homeWithGateway("exit 1");
    const daemon = await RunningDaemon.start(home, { variables });
    await home.writeLogin(2);
    await daemon.said("gateway not reloaded");
    await becomes(async () => (await gateways()).map(({ reason }) => reason), ["failed"]);
    server.close();
    await once(server, "close");
    expect(await gateways()).toEqual([]);
    await listen(port);
    expect(await gateways()).toEqual([]);
  });

  test("that could not reload still lags for the next daemon, which reloads it", async () => {
    const { home, variables, behave, gateways } = await homeWithGateway("exit 1");
    const first = await RunningDaemon.start(home, { variables });
    await home.writeLogin(2);
    await first.said("gateway not reloaded");
    await becomes(async () => (await gateways()).map(({ reason }) => reason), ["failed"]);
    const [lag] = await gateways();
    first.signal("SIGHUP");
    await first.said("gateway not reloaded");
    expect(await gateways()).toEqual([lag]);
    await first.stop();
    expect(await gateways()).toEqual([lag]);
    await behave("exit 0");
    const second = RunningDaemon.launch(home, { variables });
    await second.said("gateway reloaded");
    await second.said("ready");
    await becomes(gateways, []);
  });

  test("lags if the user turned reloads off, and the log is silent about it", async () => {
    const { home, variables, calls, gateways } = await homeWithGateway("exit 0");
    await home.writeConfig(`{ reload: { openclaw: "off" } }`);
    const daemon = await RunningDaemon.start(home, { variables });
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    await becomes(async () => (await gateways()).map(({ reason }) => reason), ["off"]);
    expect(await calls()).toBe(0);
    expect(daemon.news.filter(({ level }) => level !== "info")).toEqual([]);
  });

  test("that hangs keeps the daemon neither from its work nor from its end", async () => {
    const { home, variables, calls } = await homeWithGateway("sleep 60");
    const daemon = await RunningDaemon.start(home, { variables });
    await home.writeLogin(2);
    await becomes(calls, 1);
    await home.writeLogin(3);
    await becomes(() => home.generations(agents), [3, 3]);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });
});

describe("a command that writes beside a running gateway", () => {
  test("tells it", async () => {
    const { home, variables, calls } = await homeWithGateway("exit 0");
    await home.writeLogin(2);
    const { code, stderr, stdout } = await credsyncd(home, ["sync", "--json"], variables);
    expect({ code, stderr, calls: await calls() }).toEqual({ code: 0, stderr: "", calls: 1 });
    expect(JSON.parse(stdout)).toMatchObject({ gateways: [] });
    await credsyncd(home, ["sync"], variables);
    expect(await calls()).toBe(1);
  });

  test("says where it could not", async () => {
    const { home, variables, behave } = await homeWithGateway("exit 1");
    await home.writeLogin(2);
    const { code, stderr } = await credsyncd(home, ["sync"], variables);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^the gateway of ~\/\.openclaw: may use the old login .*: the command failed\n {2}a turn or a restart/,
    );
    await behave("exit 0");
    expect(await readFile(home.at("calls"), "utf8")).toBe("called\n");
  });

  test("does not tell it for a dry run", async () => {
    const { home, variables, calls } = await homeWithGateway("exit 0");
    await home.writeLogin(2);
    await credsyncd(home, ["sync", "--dry-run"], variables);
    expect(await calls()).toBe(0);
  });
});
