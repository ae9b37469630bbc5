import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { compose, type Composition } from "../../src/app/compose.js";
import { keepWarmAdvice, noEffectHint } from "../../src/app/keep-warm-advice.js";
import { examine } from "../../src/app/doctor/doctor.js";
import { lookNow } from "../../src/cli/status-look.js";
import { loadConfig } from "../../src/config/load.js";
import { noOrders } from "../../src/domain/observation.js";
import { Secret } from "../../src/domain/secret.js";
import { FilesOfALook } from "../../src/io/regular-file.js";
import { programs } from "../../src/programs/registry.js";
import { environmentIn } from "../support/environment.js";
import { madeUp, MADE_UP_PROFILE, MadeUpStore } from "../support/made-up-program.js";
import { fileSubject, readIfPresent } from "../support/store-file.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { describeContract, loginOf, type Login } from "./contract.js";

const signal = new AbortController().signal;

function document({ access, refresh, expires }: Login): string {
  const renewal = refresh === null ? "" : `"renewal": "${refresh}",`;
  return `{"n": 12345678901234567890, "session":\t{${renewal}"odd": -0.0, "token" :"${access}","until": ${String(expires)} } }\n`;
}

describeContract({
  name: "made-up",
  open: async () => {
    const home = await temporaryDirectory();
    const subject = fileSubject(new MadeUpStore("made-up", join(home, "made", "up.json"), environmentIn(home)));
    await subject.writeText(`{"session":{"token":"made-up-token","renewal":"made-up-renewal","until":4102444800000}}`);
    return subject;
  },
  holds: ["session made-up oauth made-up-token made-up-renewal 4102444800000"],
  active: {},
  profile: MADE_UP_PROFILE,
  provider: "made-up",
  document,
  misfit: { type: "api_key", key: new Secret("made-up-key") },
  spoilt: [
    ["is cut short", document(loginOf(0)).slice(0, 60), "malformed"],
    ["is a list", "[]", "malformed"],
  ],
});

describe("a program of another kind", () => {
  const files = { source: "made/up.json", follower: "box/up.json" };

  async function composed(config: unknown): Promise<Composition & { readonly home: string }> {
    const home = await temporaryDirectory();
    const path = join(home, ".config", "credsyncd", "config.json5");
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    const environment = environmentIn(home);
    for (const file of Object.values(files)) await mkdir(dirname(join(home, file)), { recursive: true, mode: 0o700 });
    return { home, ...(await compose(await loadConfig(null, environment, [...programs, madeUp]), environment, "write")) };
  }

  const both = { source: { kind: "made-up", file: files.source }, targets: [{ kind: "made-up", file: files.follower }] };

  test("is configured, followed, shown and examined without a word about it elsewhere", async () => {
    const { home, ...composition } = await composed(both);
    const { config, reconciler } = composition;
    for (const generation of [1, 2]) {
      await writeFile(join(home, files.source), document(loginOf(generation)), { mode: 0o600 });
      await reconciler.reconcile(config.policy, noOrders, signal);
      const { access, expires } = loginOf(generation);
      const given = JSON.parse((await readIfPresent(join(home, files.follower))) ?? "{}") as unknown;
      expect(given).toEqual({ session: { token: access, until: expires } });
    }
    const { result, report, now } = await lookNow(composition, new FilesOfALook());
    expect(report.source).toMatchObject({ store: "made-up", state: "ok" });
    expect(report.stores).toMatchObject([{ store: `made-up:${files.follower}`, profiles: [{ state: "in-sync" }] }]);
    const patient = { composition, result, report, platform: process.platform, now, fixes: false, signal };
    const findings = await examine(patient);
    expect(findings.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("has doctor name the variables that it uses instead of its login, and no other program's", async () => {
    const composition = await composed(both);
    const variables = { ...composition.environment.variables, MADE_UP_TOKEN: "secret-text", ANTHROPIC_API_KEY: "secret-text" };
    const elsewhere = { ...composition, environment: { ...composition.environment, variables } };
    const { result, report, now } = await lookNow(elsewhere, new FilesOfALook());
    const patient = { composition: elsewhere, result, report, platform: process.platform, now, fixes: false, signal };
    const strays = (await examine(patient)).filter(({ check }) => check === "strays");
    expect(strays).toMatchObject([{ what: "MADE_UP_TOKEN is set in this environment" }]);
    expect(JSON.stringify(strays)).not.toContain("secret-text");
  });

  test("says how its command renews a login: when, and what keeps it from that", async () => {
    const keepWarm = { command: ["made-up", "renew"], before: "10m" };
    const { config } = await composed({ ...both, keepWarm });
    expect(config.keepWarm?.beforeMs).toBe(60_000);
    const advice = keepWarmAdvice(config, { MADE_UP_OFF: "1" }, [...programs, madeUp]);
    expect(advice.map(({ what, explainsNoEffect }) => [what, explainsNoEffect])).toEqual([
      ["MADE_UP_OFF is set", true],
      ["keepWarm.before is 10m, but Made-up renews a login only in its last 1m", false],
    ]);
    expect(noEffectHint(config)).toBe("run made-up renew by hand");
    expect(noEffectHint({ ...config, keepWarm: { command: ["claude", "mcp", "list"], beforeMs: 1 } })).toContain(
      "claude mcp list",
    );
  });

  test("is named, with its keys, where the configuration is wrong", async () => {
    await expect(composed({ ...both, source: { kind: "made-ip" } })).rejects.toThrow('"claude-code" or "openclaw" or "made-up"');
    await expect(composed({ ...both, targets: [{ kind: "made-up", fle: "x" }] })).rejects.toMatchObject({
      message: expect.stringContaining('unknown key "fle"') as string,
      hint: 'did you mean "file"?',
    });
  });
});
