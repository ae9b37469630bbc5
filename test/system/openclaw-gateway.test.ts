import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { RELOAD_TIMEOUT_MS } from "../../src/programs/gateway.js";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { environmentIn } from "../support/environment.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { replace } from "../support/temporary-home.js";
import { OPENCLAWS, type OpenclawRelease } from "./clients.js";
import { onHost, type OpenclawHost } from "./openclaw-host.js";
import { freePort, RunningGateway } from "./programs.js";
import { openclawGateway } from "../../src/programs/openclaw/gateway.js";

const NINE_HOURS_SECONDS = 9 * 60 * 60;
/** Within the last five minutes; on a busy machine a turn takes more than one of them. */
const IN_LAST_MINUTES_SECONDS = 295;
/** What OpenClaw makes of the name `team`. */
const TEAM_PORT = 21_612;
const RELOAD_PATIENCE_MS = 240_000;

const programs = inject("clients").openclaw;

for (const release of OPENCLAWS as readonly OpenclawRelease[]) {
  const program = programs[release.version];
  describe.skipIf("missing" in program)(`the gateway of OpenClaw ${release.version} (${release.era})`, () => {
    let host: OpenclawHost;
    onHost(program, release, (made) => {
      host = made;
    });

    test("renewal: after an agent's own renewal every agent's turn sends what it brought", async () => {
      await host.begin();
      await host.letTimePass(NINE_HOURS_SECONDS);
      await host.startGateway();
      const daemon = await startDaemon(host);

      const by = await bearerOf(host, "main");

      const { access, refresh } = host.standIn.current;
      expect(by).toBe(access);
      await daemon.said("agent rotation adopted");
      await becomes(() => host.loginRefresh(), refresh);
      await becomes(
        async () => (await host.held()).map((place) => place["refresh"]),
        host.places.map(() => refresh),
      );
      // What was replaced has ended, so that the gateway reads its stores again without a reload.
      expect(await bearerOf(host, "research")).toBe(access);
    });

    if (release.has.fences) {
      test("last minutes: turns send the live bearer, no server is asked, and the marks that they leave are healed", async () => {
        await host.begin();
        await host.letTimePass(NINE_HOURS_SECONDS);
        await host.startGateway();
        const daemon = await startDaemon(host);
        const { access } = await host.rotate(IN_LAST_MINUTES_SECONDS);
        const whole = host.holding(host.standIn.current);
        await becomes(() => host.held(), whole);
        const asked = host.standIn.tokenRequests;

        expect(await bearerOf(host, "research")).toBe(access);
        expect(await bearerOf(host, "research")).toBe(access);

        expect(host.standIn.tokenRequests).toBe(asked);
        await becomes(() => host.held(), whole);
        expect(daemon.lines.map(({ msg }) => msg)).not.toContain("live login suspect");
        expect(await alertsOf(host)).not.toContain("suspect");
      });

      test("failed mark: once the source has rotated, the next turn sends the new bearer", async () => {
        await host.begin();
        await host.letTimePass(NINE_HOURS_SECONDS);
        expect((await credsyncd(host.home, ["sync"])).code).toBe(0);
        host.standIn.losesAnswers = true;
        await host.openclaw.turn("main", "itself");
        host.standIn.losesAnswers = false;
        // The token was spent, and yet Claude Code's file, and rows of another id, have it unmarked.
        const marks = (await host.held()).map(({ access }) => String(access).includes(":failed:"));
        expect(marks).toContain(true);
        await credsyncd(host.home, ["sync"]);
        expect(await alertsOf(host)).toContain("suspect");

        await host.startGateway();
        await startDaemon(host);
        const rotated = await host.rotate();
        await becomes(() => host.held(), host.holding(rotated));

        expect(await bearerOf(host, "main")).toBe(rotated.access);
        expect(await bearerOf(host, "research")).toBe(rotated.access);
        expect(await host.held()).toEqual(host.holding(rotated));
      });

      test.each(["in .env", "in an included file", "as HOST:PORT", "on its command line"] as const)(
        "port: one that is named %s is reloaded there",
        async (where) => {
          const port = await freePort();
          const config = await readFile(host.home.openclawConfig, "utf8");
          const variables = where === "as HOST:PORT" ? { OPENCLAW_GATEWAY_PORT: `127.0.0.1:${String(port)}` } : {};
          try {
            await namePort(host, where, port);
            const named = where === "on its command line" ? port : null;
            const gateway = await RunningGateway.start(host.openclaw, port, { variables, port: named });
            expect(await reloaded(host, null, variables)).toEqual({ listens: true, kind: "done" });
            await gateway.stop();
            expect(await reloaded(host, null, variables)).toMatchObject({ listens: false });
          } finally {
            await writeFile(host.home.openclawConfig, config);
            await rm(host.home.at(".openclaw", ".env"), { force: true });
          }
        },
      );

      test("profile: --profile moves files and port, and both are found by the directory alone", async () => {
        await makeProfile(host);
        await RunningGateway.start(host.openclaw, TEAM_PORT, { before: ["--profile", "team"], port: null });
        expect(await reloaded(host, "~/.openclaw-team", {})).toEqual({ listens: true, kind: "done" });
      });

      test("profile: the variable alone moves the port of the usual files", async () => {
        const config = await readFile(host.home.openclawConfig, "utf8");
        try {
          await replace(host.home.openclawConfig, withoutPort(config));
          const variables = { OPENCLAW_PROFILE: "team" };
          await RunningGateway.start(host.openclaw, TEAM_PORT, { variables, port: null });
          expect(await reloaded(host, null, variables)).toEqual({ listens: true, kind: "done" });
        } finally {
          await writeFile(host.home.openclawConfig, config);
        }
      });
    }
  });
}

/** With OpenClaw on its PATH. */
function startDaemon({ home, openclaw }: OpenclawHost): Promise<RunningDaemon> {
  return RunningDaemon.start(home, { variables: openclaw.variables, patienceMs: RELOAD_PATIENCE_MS });
}

/** The bearer that one turn of an agent through the gateway sent. */
async function bearerOf({ openclaw, standIn }: OpenclawHost, agent: string): Promise<string | undefined> {
  const before = standIn.bearers.length;
  expect(await openclaw.turn(agent, "gateway")).toContain("AUTH=");
  return standIn.bearers.slice(before).at(-1);
}

async function alertsOf({ home }: OpenclawHost): Promise<string[]> {
  const { stdout } = await credsyncd(home, ["status", "--json"]);
  return (JSON.parse(stdout) as { alerts: { kind: string }[] }).alerts.map(({ kind }) => kind);
}

/** Whether the gateway of a state directory is found, and what a reload of it comes to. */
async function reloaded({ home, openclaw }: OpenclawHost, stateDir: string | null, more: Readonly<Record<string, string>>) {
  const variables = { ...home.environment({ ...openclaw.variables, ...more }) };
  const gateway = openclawGateway(stateDir, true, environmentIn(home.path, variables));
  const listens = (await gateway.listener()) !== null;
  if (!listens) return { listens };
  const outcome = await gateway.reload?.(AbortSignal.timeout(2 * RELOAD_TIMEOUT_MS));
  return { listens, kind: outcome?.kind };
}

function withoutPort(config: string): string {
  const { gateway, ...rest } = JSON.parse(config) as { gateway: Record<string, unknown> };
  return JSON.stringify({ ...rest, gateway: { ...gateway, port: undefined } });
}

async function namePort({ home }: OpenclawHost, where: string, port: number): Promise<void> {
  const config = await readFile(home.openclawConfig, "utf8");
  switch (where) {
    case "in .env":
      await replace(home.at(".openclaw", ".env"), `OPENCLAW_GATEWAY_PORT=${String(port)}\n`);
      return;
    case "in an included file": {
      const { gateway, ...rest } = JSON.parse(config) as { gateway: Record<string, unknown> };
      await replace(home.at(".openclaw", "gateway.json"), JSON.stringify({ ...gateway, port }));
      await replace(home.openclawConfig, JSON.stringify({ ...rest, gateway: { $include: "./gateway.json" } }));
      return;
    }
  }
}

/** The files that `openclaw --profile team` has. */
async function makeProfile({ home }: OpenclawHost): Promise<void> {
  const config = home.at(".openclaw-team", "openclaw.json");
  await mkdir(dirname(config), { recursive: true });
  await cp(home.openclawConfig, config);
  await writeFile(config, withoutPort(await readFile(config, "utf8")));
}
