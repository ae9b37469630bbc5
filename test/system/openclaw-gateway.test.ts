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
import { DEFAULT_PROFILE, onHost, type OpenclawHost } from "./openclaw-host.js";
import { freePort, RunningGateway, type TurnBy } from "./programs.js";
import { openclawGateway } from "../../src/programs/openclaw/gateway.js";

const FOUR_HOURS_SECONDS = 4 * 60 * 60;
const NINE_HOURS_SECONDS = 9 * 60 * 60;
/** Within the last five minutes; on a busy machine a turn takes more than one of them. */
const IN_LAST_MINUTES_SECONDS = 295;
/** The port that OpenClaw derives from the name `team`. */
const TEAM_PORT = 21_612;
const RELOAD_PATIENCE_MS = 240_000;

const programs = inject("clients").openclaw;

for (const release of OPENCLAWS as readonly OpenclawRelease[]) {
  const program = programs[release.version];
  describe.skipIf("missing" in program)(`OpenClaw ${release.version} (${release.era})`, () => {
    let host: OpenclawHost;
    onHost(program, release, (made) => {
      host = made;
    });

    const by = release.has.keepsEnded ? "either" : "gateway";
    const notGateway = release.has.keepsEnded ? " (by the command line, its gateway fails)" : "";
    const pinnedAnyway = release.has.comparesNoAccounts ? " (it gives way to the later one)" : "";
    test(`pinned${pinnedAnyway}: an agent's own login of another e-mail is what its turn sends after a rotation`, async () => {
      await host.begin(`agents: { research: "pinned" }`);
      const another = host.standIn.another(FOUR_HOURS_SECONDS);
      const own = await host.giveOwn("research", another, "own@example.invalid");
      const daemon = await startTogether(host);
      const rotated = await host.rotate();
      await daemon.said("gateway reloaded");

      expect(await bearerOf(host, "main")).toBe(rotated.access);
      const sent = await bearerOf(host, "research");
      expect(sent).toBe((release.has.comparesNoAccounts ? rotated : another).access);
      const held = await host.ownOf("research");
      if (release.has.overwritesOwn) expect(held).toMatchObject({ access: rotated.access, refresh: rotated.refresh });
      else expect(held).toEqual(own);
    });

    test("pinned without an e-mail: its turn sends what status says that it sends", async () => {
      await host.begin(`agents: { research: "pinned" }`);
      await host.giveOwn("research", host.standIn.another(FOUR_HOURS_SECONDS), null);
      await startTogether(host);
      const rotated = await host.rotate();
      await becomes(async () => (await host.held())[0]?.["refresh"], rotated.refresh);

      const said = await sendsOf(host, "research");
      const bearer = await bearerOf(host, "research");

      expect(bearer).toBe(said);
    });

    test(`renewal${notGateway}: after an agent's own renewal every agent's turn sends what it brought`, async () => {
      await host.begin();
      await host.letTimePass(NINE_HOURS_SECONDS);
      await host.startGateway();
      const daemon = await startDaemon(host);

      const sent = await bearerOf(host, "main", by);

      const { access, refresh } = host.standIn.current;
      expect(sent).toBe(access);
      await daemon.said("agent rotation adopted");
      await becomes(() => host.loginRefresh(), refresh);
      await becomes(
        async () => (await host.held()).map((place) => place["refresh"]),
        host.places.map(() => refresh),
      );
      // The replaced login has expired, so the gateway reads its stores again without a reload.
      for (const agent of ["research", "work"]) expect(await bearerOf(host, agent, by), agent).toBe(access);
    });

    const early = release.has.failsEarly ? " (or no turn is made)" : notGateway;
    test(`last minutes${early}: the live bearer is sent, nothing is spent, and what is left in the stores is healed`, async () => {
      await host.begin();
      await host.letTimePass(NINE_HOURS_SECONDS);
      await host.startGateway();
      const daemon = await startDaemon(host);
      // The replaced login has expired, so the gateway reads its stores again without a reload.
      const { access } = await host.rotate(IN_LAST_MINUTES_SECONDS);
      const whole = host.holding(host.standIn.current);
      await becomes(() => host.held(), whole);
      const [asked, granted] = [host.standIn.tokenRequests, host.standIn.grants];

      for (const turn of ["first", "second"]) {
        const before = host.standIn.bearers.length;
        const said = await host.openclaw.turn("research", by);
        const sent = host.standIn.bearers.slice(before);
        const fails = release.has.failsEarly === true && said.includes("Failed to persist refreshed OAuth credential");
        expect([...new Set(sent)], turn).toEqual(fails ? [] : [access]);
      }

      expect(host.standIn.grants).toBe(granted);
      // A gateway that keeps what has ended asks with that, and is refused.
      if (!release.has.keepsEnded) expect(host.standIn.tokenRequests).toBe(asked);
      await becomes(() => host.held(), whole);
      expect(daemon.lines.map(({ msg }) => msg)).not.toContain("live login suspect");
      expect(await alertsOf(host)).not.toContain("suspect");
      const rotated = await host.rotate();
      await becomes(() => host.held(), host.holding(rotated));
      expect(await host.penalties()).toEqual([]);
    });

    const unmarked = release.has.fences ? "" : notGateway || " (the row stays)";
    test(`failed mark${unmarked}: after a failed refresh and a rotation, the next turns send the new bearer`, async () => {
      await host.begin();
      await host.letTimePass(NINE_HOURS_SECONDS);
      expect((await credsyncd(host.home, ["sync"])).code).toBe(0);
      const before = await host.held();
      host.standIn.losesAnswers = true;
      await host.openclaw.turn("main", "itself");
      host.standIn.losesAnswers = false;
      if (release.has.fences) {
        // The token was spent, and yet Claude Code's file, and rows of another id, have it unmarked.
        const marks = (await host.held()).map(({ access }) => String(access).includes(":failed:"));
        expect(marks).toContain(true);
        await credsyncd(host.home, ["sync"]);
        expect(await alertsOf(host)).toContain("suspect");
      } else {
        expect(await host.held()).toEqual(before);
      }

      await host.startGateway();
      await startDaemon(host);
      const rotated = await host.rotate();
      await becomes(() => host.held(), host.holding(rotated));

      for (const agent of ["main", "research", "work"]) expect(await bearerOf(host, agent, by), agent).toBe(rotated.access);
      expect(await host.held()).toEqual(host.holding(rotated));
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

/** With OpenClaw on its PATH. */
function startDaemon({ home, openclaw }: OpenclawHost): Promise<RunningDaemon> {
  return RunningDaemon.start(home, { variables: openclaw.variables, patienceMs: RELOAD_PATIENCE_MS });
}

/** A gateway and a daemon, which is the first that speaks to it: some versions refuse a reload to who spoke before. */
async function startTogether(host: OpenclawHost): Promise<RunningDaemon> {
  await host.forgetDevices();
  await host.startGateway();
  await host.rotate();
  const daemon = await startDaemon(host);
  await daemon.said("gateway reloaded");
  return daemon;
}

/** The bearer that `credsyncd status` says an agent's next turn sends, as the store that it names holds it. */
async function sendsOf({ home, places }: OpenclawHost, agent: string): Promise<unknown> {
  const { stdout } = await credsyncd(home, ["status", "--json"]);
  const { stores } = JSON.parse(stdout) as {
    stores: { store: string; profiles: { profile: string; sends: string | null }[] }[];
  };
  const profiles = stores.find(({ store }) => store === `openclaw:${agent}`)?.profiles ?? [];
  const sends = profiles.find(({ profile }) => profile === DEFAULT_PROFILE)?.sends;
  const place = places.find(({ store }) => store.name === sends);
  return (await place?.store.readProfile(DEFAULT_PROFILE))?.["access"];
}

/** The bearer that one turn of an agent sent. */
async function bearerOf({ openclaw, standIn }: OpenclawHost, agent: string, by: TurnBy = "gateway"): Promise<string | undefined> {
  const before = standIn.bearers.length;
  expect(await openclaw.turn(agent, by)).toContain("AUTH=");
  return standIn.bearers.slice(before).at(-1);
}

async function alertsOf({ home }: OpenclawHost): Promise<string[]> {
  const { stdout } = await credsyncd(home, ["status", "--json"]);
  return (JSON.parse(stdout) as { alerts: { kind: string }[] }).alerts.map(({ kind }) => kind);
}

/** Looks for the gateway of a state directory, and returns the outcome of a reload. */
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
