import { describe, expect, test } from "vitest";
import { resolveActive, type AuthPreferences, type ChoosableProfile, type Choice, type Flaw } from "../../src/domain/choice.js";
import { Secret } from "../../src/domain/secret.js";

const NOW = 1_800_000_000_000;

function profile(id: string, type: ChoosableProfile["type"], flaw: Flaw | null = null, provider = "anthropic"): ChoosableProfile {
  return { id, provider, type, flaw, image: () => new Secret("{}"), naming: () => new Secret(id) };
}

function store(profiles: readonly ChoosableProfile[], more: Partial<Choice> = {}): Choice {
  const nothing = { revision: "r", identity: "1:1", order: {}, lastGood: {}, usage: {} };
  return { ...nothing, profiles, valueAt: () => null, keyAfter: () => null, isRecord: () => false, ...more };
}

function preferences(more: Partial<AuthPreferences> = {}): AuthPreferences {
  return { path: "openclaw.json", order: {}, profiles: {}, lineOf: () => null, ...more };
}

const [login, token, key] = [profile("a:login", "oauth"), profile("a:token", "token"), profile("a:key", "api_key")];
const expired = profile("a:old", "token", { kind: "expired", explanation: "its token has expired" });
const usage = (lastUsedAt: number, blockedUntil: number | null = null) => ({ lastUsedAt, blockedUntil, penalties: [] });

describe("the profile that OpenClaw would use", () => {
  const cases: readonly (readonly [string, Choice | null, Choice | null, AuthPreferences, string | null])[] = [
    [
      "the store's order before the config's",
      store([token, key], { order: { anthropic: ["a:key"] } }),
      null,
      preferences({ order: { anthropic: ["a:token"] } }),
      "a:key",
    ],
    [
      "the config's order before its list",
      store([token, key]),
      null,
      preferences({ order: { anthropic: ["a:key"] }, profiles: { "a:token": { provider: "anthropic", mode: "token" } } }),
      "a:key",
    ],
    [
      "of those that the config lists, where there is no order",
      store([login, key]),
      null,
      preferences({ profiles: { "a:key": { provider: "anthropic", mode: "api_key" } } }),
      "a:key",
    ],
    ["a login before a token before a key, where nothing says", store([key, token, login]), null, preferences(), "a:login"],
    [
      "of one kind the one that was not used for longest",
      store([profile("a:1", "token"), profile("a:2", "token")], { usage: { "a:1": usage(9), "a:2": usage(3) } }),
      null,
      preferences(),
      "a:2",
    ],
    [
      "one that waits comes last",
      store([token, key], { order: { anthropic: ["a:token", "a:key"] }, usage: { "a:token": usage(0, NOW + 1) } }),
      null,
      preferences(),
      "a:key",
    ],
    [
      "one that waits is used where it is the only one",
      store([token], { order: { anthropic: ["a:token"] }, usage: { "a:token": usage(0, NOW + 1) } }),
      null,
      preferences(),
      "a:token",
    ],
    [
      "one that cannot be used is passed over",
      store([expired, key], { order: { anthropic: ["a:old", "a:key"] } }),
      null,
      preferences(),
      "a:key",
    ],
    [
      "a mode that does not fit keeps it out",
      store([key]),
      null,
      preferences({ profiles: { "a:key": { provider: "anthropic", mode: "oauth" } } }),
      null,
    ],
    [
      "the mode oauth fits a token",
      store([token]),
      null,
      preferences({ profiles: { "a:token": { provider: "anthropic", mode: "oauth" } } }),
      "a:token",
    ],
    [
      "another provider's is none of them",
      store([profile("a:cli", "oauth", null, "claude-cli")], { order: { anthropic: ["a:cli"] } }),
      null,
      preferences(),
      null,
    ],
    ["the provider's case does not matter", store([key], { order: { Anthropic: ["a:key"] } }), null, preferences(), "a:key"],
    [
      "what is inherited, with the order that is",
      null,
      store([token, key], { order: { anthropic: ["a:key"] } }),
      preferences(),
      "a:key",
    ],
    [
      "its own of the same id before the inherited one",
      store([profile("a:key", "api_key", { kind: "incomplete", explanation: "it has no key" })]),
      store([key], { order: { anthropic: ["a:key"] } }),
      preferences(),
      null,
    ],
    [
      "its own order before the inherited one",
      store([token], { order: { anthropic: ["a:token"] } }),
      store([key], { order: { anthropic: ["a:key"] } }),
      preferences(),
      "a:token",
    ],
  ];
  test.each(cases)("%s", (_name, own, shared, config, expected) => {
    expect(resolveActive({ own, shared, ownComeFirst: false }, "anthropic", config, NOW).profile).toBe(expected);
  });

  test("from the databases on, an agent's own profiles come before an order that it inherits", () => {
    const [own, shared] = [store([token]), store([key], { order: { anthropic: ["a:key"] } })];
    expect(resolveActive({ own, shared, ownComeFirst: true }, "anthropic", preferences(), NOW).profile).toBe("a:token");
    expect(resolveActive({ own, shared, ownComeFirst: false }, "anthropic", preferences(), NOW).profile).toBe("a:key");
  });

  test("tells which one is meant, and why it is not used", () => {
    const own = store([expired, key], { order: { anthropic: ["a:old", "a:key"] } });
    const { broken } = resolveActive({ own, shared: null, ownComeFirst: false }, "anthropic", preferences(), NOW);
    expect(broken).toEqual({ profile: "a:old", explanation: "its token has expired" });
  });
});
