import { rm } from "node:fs/promises";
import { describe, expect, inject, test } from "vitest";
import { becomes } from "../support/condition.js";
import { credsyncd } from "../support/command-line.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { OPENCLAWS, type OpenclawRelease } from "./clients.js";
import { AGENTS, onHost, type OpenclawHost } from "./openclaw-host.js";
import type { TurnBy } from "./programs.js";

const MINUTE_SECONDS = 60;
/** Longer than an access token lives. */
const NINE_HOURS_SECONDS = 9 * 60 * MINUTE_SECONDS;
const ENDED_SECONDS = -10 * MINUTE_SECONDS;
/** With the margin of five minutes that is written for OpenClaw, two of its last five minutes are over. */
const IN_LAST_MINUTES_SECONDS = -2 * MINUTE_SECONDS;
const FIVE_MINUTES_MS = 5 * MINUTE_SECONDS * 1000;
/** Some versions take long to answer a reload on a busy machine, and credsyncd tries again after a while. */
const RELOAD_PATIENCE_MS = 120_000;

/** OpenClaw's own name for a copy of Claude Code's login. */
const CLAUDE_COPY = "anthropic:claude-cli";

const programs = inject("clients").openclaw;

// The first word of a test's name is the head of its column in the table that is printed at the end.
for (const release of OPENCLAWS as readonly OpenclawRelease[]) {
  const program = programs[release.version];
  describe.skipIf("missing" in program)(`OpenClaw ${release.version} (${release.era})`, () => {
    let host: OpenclawHost;
    onHost(program, release, (made) => {
      host = made;
    });

    test("sync: every agent that OpenClaw made shows the new expiry", async () => {
      // As OpenClaw wrote it, untouched by any other hand.
      expect(await host.held()).toEqual(host.holding(host.standIn.current));
      await host.configure();

      const rotated = await host.rotate();
      await synced(host);

      for (const agent of AGENTS) {
        const ends = (await host.openclaw.profiles(agent)).map(({ expiresAt }) => expiresAt);
        expect(ends, agent).toContain(rotated.expiresAt);
        expect(new Set(ends), agent).toEqual(new Set([rotated.expiresAt]));
      }
      expect(await host.held()).toEqual(host.holding(rotated));
      expect(await erasShown(host)).toEqual([release.era]);
    });

    test("gateway: the first turn after a rotation sends the new bearer, and the stores keep it", async () => {
      await host.begin();
      await host.startGateway();
      const first = await host.rotate();
      const daemon = await startDaemon(host);
      // Also the gateway's first contact with this device, as on a host where the daemon runs from the first.
      await daemon.said("gateway reloaded");
      expect(await turnsOf(host, ["main", "research"], "gateway")).toEqual([first.access]);

      const second = await host.rotate();
      await daemon.said("gateway reloaded");

      expect(await turnsOf(host, ["main", "research"], "gateway")).toEqual([second.access]);
      expect(await host.held()).toEqual(host.holding(second));
      expect(host.standIn.refused).toEqual([]);
      expect(daemon.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
    });

    if (release.has.reverts) {
      test("revert: what a gateway that is not told puts back is written again", async () => {
        await host.begin(`reload: { openclaw: "off" }`);
        await host.startGateway();
        const daemon = await startDaemon(host);
        const rotated = await host.rotate();
        await daemon.said("credential pushed");
        await becomes(() => host.held(), host.holding(rotated));

        await host.openclaw.turn("main", "gateway");

        await daemon.said("drift corrected");
        await becomes(() => host.held(), host.holding(rotated));
      });
    }

    if (release.has.wantsPairing) {
      test("pairing: a gateway that refuses the reload is named, and the hint mends it", async () => {
        await host.begin();
        await rm(host.home.at(".openclaw", "devices"), { recursive: true, force: true });
        const gateway = await host.startGateway();
        await turnsOf(host, ["main"], "gateway");
        const daemon = await startDaemon(host);
        await host.rotate();
        await daemon.said("gateway not reloaded", { reason: "it wants this device to be paired" });

        await gateway.stop();
        await rm(host.home.at(".openclaw", "devices"), { recursive: true });
        await host.startGateway();
        const rotated = await host.rotate();
        await daemon.said("gateway reloaded");
        expect(await turnsOf(host, ["main", "research"], "gateway")).toEqual([rotated.access]);
      });
    }

    test("access-only: an agent sends the new bearer, and at its end spends nothing and writes nothing", async () => {
      await host.begin(`targets: [{ kind: "openclaw", share: "access-only", expiryMargin: "5m" }]`);
      await host.letTimePass(NINE_HOURS_SECONDS);
      for (const lifetimeSeconds of [ENDED_SECONDS, IN_LAST_MINUTES_SECONDS]) {
        const ending = await host.rotate(lifetimeSeconds);
        const [asked, granted] = [host.standIn.tokenRequests, host.standIn.grants];
        await synced(host);
        expect(await host.held()).toEqual(host.holdingAccess(ending, FIVE_MINUTES_MS));
        await host.openclaw.turn("main", "itself");
        // The JSON eras know no last minutes, and once the token has ended they ask, with nothing in their hands.
        const isSilent = release.era !== "json" || lifetimeSeconds === IN_LAST_MINUTES_SECONDS;
        if (isSilent) expect(host.standIn.tokenRequests).toBe(asked);
        expect(host.standIn.grants).toBe(granted);
        expect(await host.held()).toEqual(host.holdingAccess(ending, FIVE_MINUTES_MS));
      }

      const rotated = await host.rotate();
      const asked = host.standIn.tokenRequests;
      await synced(host);
      expect(await turnsOf(host, ["main", "research"], "itself")).toEqual([rotated.access]);
      expect(host.standIn.tokenRequests).toBe(asked);
      expect(await host.held()).toEqual(host.holdingAccess(rotated, FIVE_MINUTES_MS));
    });

    test("own refresh: adopted by the source, and by every other agent", async () => {
      await host.begin();
      await host.letTimePass(NINE_HOURS_SECONDS);
      const daemon = await startDaemon(host);
      const [before, asked] = [host.standIn.current, host.standIn.tokenRequests];

      const turn = await host.openclaw.turn("main", "itself");

      const after = host.standIn.current;
      expect(after).not.toEqual(before);
      expect(turn).toContain(`AUTH=${after.access}`);
      expect(host.standIn.tokenRequests).toBe(asked + 1);
      await daemon.said("agent rotation adopted");
      await becomes(() => host.loginRefresh(), after.refresh);
      await becomes(
        async () => (await host.held()).map(({ refresh }) => refresh),
        host.places.map(() => after.refresh),
      );
      expect(await turnsOf(host, ["research"], "itself")).toEqual([after.access]);
    });

    test("failed refresh: what it leaves is healed, and the next turn sends the new bearer", async () => {
      await host.begin();
      await host.letTimePass(NINE_HOURS_SECONDS);
      await synced(host);
      const failed = await host.openclaw.turn("main", "itself", "offline");
      expect(failed).not.toContain("AUTH=");
      if (release.has.fences) expect((await host.held()).map(isFence)).toEqual(host.places.map(() => true));

      const rotated = await host.rotate();
      await synced(host);

      expect(await host.held()).toEqual(host.holding(rotated));
      expect(await host.penalties()).toEqual([]);
      expect(await turnsOf(host, ["main", "research"], "itself")).toEqual([rotated.access]);
      expect(await host.held()).toEqual(host.holding(rotated));
    });

    test("refused: the cooldown of a login that was rotated away ends with the new one", async () => {
      await host.begin();
      await synced(host);
      const rotated = await host.rotate();
      const refused = await host.openclaw.turn("main", "itself");
      expect(refused).not.toContain("AUTH=");
      // The JSON eras note nothing of it.
      if (release.era !== "json") expect(await host.penalties()).not.toEqual([]);

      await synced(host);

      expect(await host.held()).toEqual(host.holding(rotated));
      expect(await host.penalties()).toEqual([]);
      expect(await turnsOf(host, ["main", "research"], "itself")).toEqual([rotated.access]);
    });

    // The last one: it leaves other profiles in the stores.
    test("default id: credsyncd makes the one whose login a turn sends, and names one that none sends", async () => {
      await host.empty();
      await host.forget(`{ create: "when-provider-missing" }`);
      await host.rotate();
      await synced(host);
      const rotated = await host.rotate();
      await synced(host);
      expect(await turnsOf(host, ["main"], "itself")).toEqual([rotated.access]);

      const [place] = host.places;
      if (place === undefined) throw new Error("this host has no store");
      const { store } = place;
      await host.empty();
      const { access, refresh, expiresAt: expires } = rotated;
      // The JSON eras know this provider for none of theirs; later ones send it, or no login of this id at all.
      const provider = release.era === "json" ? "claude-cli" : "anthropic";
      await store.writeProfile({ type: "oauth", provider, access, refresh, expires }, CLAUDE_COPY);
      await host.forget("{}");
      await synced(host);
      const isSent = release.era === "sqlite";
      const before = host.standIn.bearers.length;
      await host.openclaw.turn("main", "itself");
      expect(host.standIn.bearers.slice(before).includes(access)).toBe(isSent);
      const { stdout } = await credsyncd(host.home, ["status"]);
      expect(stdout.includes("this OpenClaw does not use this profile")).toBe(!isSent);
    });
  });
}

/** With OpenClaw on its PATH. */
function startDaemon({ home, openclaw }: OpenclawHost): Promise<RunningDaemon> {
  return RunningDaemon.start(home, { variables: openclaw.variables, patienceMs: RELOAD_PATIENCE_MS });
}

async function synced({ home }: OpenclawHost): Promise<void> {
  const { code, stdout, stderr } = await credsyncd(home, ["sync"]);
  expect(code, `${stdout}${stderr}`).toBe(0);
}

/** Returns the eras that `credsyncd status` shows for this OpenClaw's stores. */
async function erasShown({ home }: OpenclawHost): Promise<unknown[]> {
  const { stdout } = await credsyncd(home, ["status", "--json"]);
  const { stores } = JSON.parse(stdout) as { stores: { store: string; era: string }[] };
  return [...new Set(stores.filter(({ store }) => store.startsWith("openclaw:")).map(({ era }) => era))];
}

/** The bearers that one turn of each agent sent, each once. */
async function turnsOf({ openclaw, standIn }: OpenclawHost, agents: readonly string[], by: TurnBy): Promise<string[]> {
  const before = standIn.bearers.length;
  for (const agent of agents) {
    expect(await openclaw.turn(agent, by)).toContain("AUTH=");
  }
  return [...new Set(standIn.bearers.slice(before))];
}

/** Checks whether the mark of an OpenClaw from 2026.9.4 that refreshes has replaced the tokens. */
function isFence({ access }: Readonly<Record<string, unknown>>): boolean {
  return String(access).startsWith("openclaw-oauth-refresh-fence:");
}
