import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { openclawGateway, RELOAD_TIMEOUT_MS } from "../../src/stores/openclaw-gateway.js";
import { environmentIn } from "../support/environment.js";
import { replace } from "../support/temporary-home.js";
import { OPENCLAWS, type OpenclawRelease } from "./clients.js";
import { onHost, type OpenclawHost } from "./openclaw-host.js";
import { freePort, RunningGateway } from "./programs.js";

/** What OpenClaw makes of the name `team`. */
const TEAM_PORT = 21_612;

const programs = inject("clients").openclaw;

for (const release of OPENCLAWS as readonly OpenclawRelease[]) {
  const program = programs[release.version];
  describe.skipIf("missing" in program)(`the gateway of OpenClaw ${release.version} (${release.era})`, () => {
    let host: OpenclawHost;
    onHost(program, release, (made) => {
      host = made;
    });

    if (release.has.fences) {
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
