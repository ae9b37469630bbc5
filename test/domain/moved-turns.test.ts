import { describe, expect, test } from "vitest";
import type { Account } from "../../src/domain/credential.js";
import type { Held, ObservedTarget } from "../../src/domain/observation.js";
import { absent, apiKey, bert, knownChain, login, planFor, sourceWith, targetWith } from "../support/planning.js";

const SHARED = "openclaw:shared";
const former = login("old", { endsInHours: -4 });
const email = (text: string): Account => ({ uuid: null, email: text });

interface Fate {
  readonly own: Held;
  readonly options?: Partial<ObservedTarget>;
  readonly shared?: Held;
  readonly force?: readonly string[];
}

/**
 * Plans for the store that agents share, beside a pinned agent. Live expires in four hours; the login that it replaces expired
 * four hours ago.
 */
function planBeside({ own, options = {}, shared = former, force = [] }: Fate) {
  const common = targetWith(shared, { store: SHARED, creates: shared.kind === "absent" });
  const pinned = targetWith(own, {
    store: "openclaw:ops",
    binding: "pinned",
    overruledBy: { store: SHARED, comparesAccounts: true },
    ...options,
  });
  return planFor({ source: sourceWith(login("live")), targets: [common, pinned], ledger: knownChain(), force });
}

describe("a store that agents share (R7)", () => {
  test("receives no login that a pinned agent would send instead of its own, and the hold names the agent", () => {
    const { writes, reports } = planBeside({ own: login("own", { endsInHours: 2 }) });
    expect(writes).toEqual([]);
    expect(reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "moves-pinned" });
    expect(reports[0]?.verdict).toHaveProperty("detail", expect.stringContaining("openclaw:ops"));
  });

  test.each<[string, Fate]>([
    ["the profile is to be made", { own: login("own", { endsInHours: 2 }), shared: absent }],
    ["the own login is over and its agent renews it", { own: login("own", { endsInHours: -1 }) }],
    [
      "the own login names its e-mail, which its program does not compare",
      {
        own: login("own", { endsInHours: 2 }),
        options: { account: email("bert"), overruledBy: { store: SHARED, comparesAccounts: false } },
      },
    ],
  ])("is on hold also where %s", (_what, fate) => {
    expect(planBeside(fate).reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "moves-pinned" });
  });

  test.each<[string, Fate]>([
    ["the own login ends after it", { own: login("own", { endsInHours: 5 }) }],
    ["the own login names an e-mail", { own: login("own", { endsInHours: 2 }), options: { account: email("bert") } }],
    ["the own login is another id's", { own: login("own", { endsInHours: 2 }), options: { account: { ...bert, email: null } } }],
    ["the own one is an API key", { own: apiKey("own") }],
    ["the own access token is over, and hides whatever is shared", { own: login(null, { endsInHours: -1, issue: "own" }) }],
    ["the agent sends the shared one already", { own: login("own", { endsInHours: -5 }) }],
    ["the own one is an older copy of the same login", { own: login("old", { endsInHours: 2 }) }],
    ["the own one has another id", { own: login("own", { endsInHours: 2 }), options: { profile: "anthropic:own" } }],
    [
      "the agent is overruled by another store",
      { own: login("own", { endsInHours: 2 }), options: { overruledBy: { store: "openclaw:main", comparesAccounts: true } } },
    ],
    ["no store overrules the agent", { own: login("own", { endsInHours: 2 }), options: { overruledBy: null } }],
    ["an order names it", { own: login("own", { endsInHours: 2 }), force: [SHARED] }],
  ])("is given it where %s", (_what, fate) => {
    expect(planBeside(fate).reports[0]?.verdict).toMatchObject({ kind: "write" });
  });
});
