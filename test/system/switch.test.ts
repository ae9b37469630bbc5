import { describe, expect, inject, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { OPENCLAWS } from "./clients.js";
import { AGENTS, onHost, type OpenclawHost } from "./openclaw-host.js";

const programs = inject("clients").openclaw;
const KEY = "anthropic:key";

interface ShownOrder {
  readonly order: readonly string[] | null;
}

interface ShownStatus {
  readonly auth: {
    readonly oauth: {
      readonly providers?: readonly {
        readonly provider: string;
        readonly effectiveProfiles?: readonly { readonly profileId: string }[];
      }[];
    };
  };
}

for (const release of OPENCLAWS) {
  const program = programs[release.version];
  describe.skipIf("missing" in program)(`OpenClaw ${release.version} (${release.era})`, () => {
    let host: OpenclawHost;
    onHost(program, release, (made) => {
      host = made;
    });

    const shown = async <Shown>(...args: readonly string[]): Promise<Shown> => {
      const stdout = await host.openclaw.run(...args, "--json");
      return JSON.parse(stdout.slice(stdout.search(/^\{/m))) as Shown;
    };

    test("switch: after set-active, OpenClaw itself says of every agent that the profile is the one that it uses", async () => {
      const [first] = host.places;
      if (first === undefined) throw new Error("there is no store");
      await first.store.writeProfile({ type: "api_key", provider: "anthropic", key: host.home.token("key", 1) }, KEY);
      const donor = first.store.name.slice("openclaw:".length);
      const args = ["set-active", "--provider", "anthropic", "--profile", KEY, "--copy-from", donor, "--json"];
      const { code, stdout, stderr } = await credsyncd(host.home, args);
      expect({ code, stderr, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 0, committed: true, verified: true });

      for (const agent of AGENTS) {
        const { order } = await shown<ShownOrder>("models", "auth", "order", "get", "--provider", "anthropic", "--agent", agent);
        expect(order, agent).toEqual([KEY]);
        const { auth } = await shown<ShownStatus>("models", "status", "--agent", agent);
        const used = auth.oauth.providers?.find(({ provider }) => provider === "anthropic")?.effectiveProfiles;
        // Told from 2026.5.28 on.
        if (used !== undefined)
          expect(
            used.map(({ profileId }) => profileId),
            agent,
          ).toEqual([KEY]);
        else expect(release.era, agent).toBe("json");
      }
    });
  });
}
