import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Account } from "../../src/domain/credential.js";
import { planFlows, type FlowsInput, type StoreLook, type SyncPlan } from "../../src/domain/flows.js";
import { asFingerprint } from "../../src/domain/generation.js";
import { noOrigin, type Creation, type Selection, type TargetStore } from "../../src/domain/inventory.js";
import { emptyLedger, foldLedger, liveOf } from "../../src/domain/ledger.js";
import { noOrders, type Held, type ObservedProfile, type Policy, type SourceLook } from "../../src/domain/observation.js";
import type { CredentialStore } from "../../src/domain/store.js";
import { absent, anna, apiKey, becameLive, bert, HOUR_MS, login, NOW } from "../support/planning.js";

const MAIN = "openclaw:main";
const policy: Policy = { bind: "matching", onAgentRotation: "adopt", onAccountChange: "hold" };

/** `id provider`, and what it holds. */
type Profiles = Readonly<Record<string, Held>>;

type Accounts = Readonly<Record<string, Account | null>>;

function observed(store: string, profiles: Profiles, accounts: Accounts = {}): ObservedProfile[] {
  return Object.entries(profiles).map(([name, held]) => {
    const [profile = "", provider = null] = name.split(" ");
    return { store, profile, provider, held, account: accounts[profile] ?? null, surroundings: () => asFingerprint("as it was") };
  });
}

function lookAt(profiles: Profiles, accounts: Accounts = {}): SourceLook {
  const found = observed(MAIN, profiles, accounts).map((each) => ({
    observed: each,
    accountInCredential: true,
    changedAt: NOW,
    kept: null,
  }));
  return { state: "read", store: MAIN, profiles: found };
}

function storeWith(name: string, profiles: Profiles, options: Partial<TargetStore> = {}, accounts: Accounts = {}): StoreLook {
  const store = { name } as CredentialStore;
  const usual = { single: null, binding: "follow", share: "full", expiryMarginMs: 0, creation: null, origin: noOrigin } as const;
  return { target: { store, ...usual, ...options }, snapshot: { revision: "1" }, profiles: observed(name, profiles, accounts) };
}

const always: Creation = { policy: "always", inheritsFrom: null, fromNothing: true, except: [] };

function sameId(named: readonly string[], matching: readonly string[] = []): Selection {
  const matches = (profile: string): boolean => named.includes(profile) || matching.some((start) => profile.startsWith(start));
  return { kind: "same-id", source: MAIN, named, matches, text: [...named, ...matching].join(", ") };
}

type Situation = Pick<FlowsInput, "source" | "selection" | "stores"> & Partial<Pick<FlowsInput, "ledger" | "now" | "orders">>;

function planFor(situation: Situation): SyncPlan {
  return planFlows({
    ledger: emptyLedger,
    policy,
    orders: noOrders,
    restarted: new Set(),
    now: NOW,
    clockJumped: false,
    ...situation,
  });
}

function summary({ flows }: SyncPlan): string[] {
  return flows.flatMap(({ head, reports }) => [
    head.profile,
    ...reports.map(({ target, verdict }) => `  ${target.store} ${target.profile}: ${verdict?.kind ?? "separate"}`),
  ]);
}

describe("which profile follows which", () => {
  test.each<[string, Profiles, string[]]>([
    ["the same id", { "openai:a openai": apiKey("old") }, ["openai:a", "  ops openai:a: write"]],
    ["no other id", { "openai:b openai": apiKey("old") }, ["openai:a"]],
    ["no other id with the same key", { "google:a google": apiKey("new") }, ["openai:a"]],
    ["the same id of another provider is held", { "openai:a azure": apiKey("old") }, ["openai:a", "  ops openai:a: hold"]],
    ["the same id of another type is held", { "openai:a openai": login("g") }, ["openai:a", "  ops openai:a: hold"]],
  ])("of an API key: %s", (_what, profiles, expected) => {
    const source = lookAt({ "openai:a openai": apiKey("new") });
    expect(summary(planFor({ source, selection: sameId(["openai:a"]), stores: [storeWith("ops", profiles)] }))).toEqual(expected);
  });

  test.each<[string, Profiles, string[]]>([
    ["another id with the same login", { "x:b claude-cli": login("g1") }, ["x:a", "  ops x:b: in-sync"]],
    ["another id of its provider is held", { "x:b anthropic": login("other") }, ["x:a", "  ops x:b: hold"]],
    ["another id of another provider does not", { "y:b openai": login("other") }, ["x:a"]],
  ])("of a login: %s", (_what, profiles, expected) => {
    const source = lookAt({ "x:a anthropic": login("g1") });
    expect(summary(planFor({ source, selection: sameId(["x:a"]), stores: [storeWith("ops", profiles)] }))).toEqual(expected);
  });

  test("in the source's own store, nothing but copies of what is followed", () => {
    const profiles = { "x:a anthropic": login("g1"), "x:copy anthropic": login("g1"), "x:other anthropic": login("other") };
    const plan = planFor({ source: lookAt(profiles), selection: sameId(["x:a"]), stores: [storeWith(MAIN, profiles)] });
    expect(summary(plan)).toEqual(["x:a", `  ${MAIN} x:copy: in-sync`]);
  });

  test("a store of one login takes the only one that fits, and of several the one that it has", () => {
    const single = { profile: "login", providers: ["anthropic"], creates: true };
    const both = lookAt({ "x:a anthropic": login("a1"), "x:b anthropic": login("b1"), "y:c openai": apiKey("k") });
    const plan = (source: SourceLook, held: Profiles): string[] =>
      summary(planFor({ source, selection: sameId([], ["x:", "y:"]), stores: [storeWith("box", held, { single })] }));
    expect(plan(lookAt({ "x:a anthropic": login("a1"), "y:c openai": apiKey("k") }), {})).toEqual([
      "x:a",
      "  box login: write",
      "y:c",
    ]);
    expect(plan(both, { login: login("b1") })).toEqual(["x:a", "x:b", "  box login: in-sync", "y:c"]);
    expect(plan(both, {})).toEqual(["x:a", "x:b", "y:c"]);
  });
});

describe("the flows of a source", () => {
  test("are those that are named, then those that match, each once", () => {
    const source = lookAt({ "x:b p": apiKey("1"), "x:a p": apiKey("2"), "z:c p": apiKey("3") });
    const plan = planFor({ source, selection: sameId(["z:c", "x:missing"], ["x:"]), stores: [] });
    expect(plan.flows.map(({ head, source: verdict }) => `${head.profile} ${verdict.kind}`)).toEqual([
      "z:c becomes-live",
      "x:missing missing",
      "x:b becomes-live",
      "x:a becomes-live",
    ]);
  });

  test("are never none: what is missing is said", () => {
    const plan = planFor({ source: lookAt({}), selection: sameId([], ["x:"]), stores: [] });
    expect(plan.flows.map(({ head, source }) => [head.profile, source.kind])).toEqual([["x:", "missing"]]);
  });

  test("are those of before where the source cannot be read", () => {
    const before = planFor({ source: lookAt({ "x:a p": apiKey("1") }), selection: sameId([], ["x:"]), stores: [] });
    const source = { state: "unreadable", store: MAIN, reason: "broken", hint: "mend it", code: "malformed" } as const;
    const ledger = foldLedger(emptyLedger, before.record);
    const plan = planFor({ source, selection: sameId([], ["x:"]), stores: [storeWith("ops", { "x:a p": apiKey("9") })], ledger });
    expect(summary(plan)).toEqual(["x:a", "  ops x:a: drift"]);
    expect(plan.writes).toEqual([]);
  });

  test("tell the same id of two sources apart", () => {
    const record = planFor({ source: lookAt({ "x:a p": apiKey("1") }), selection: sameId(["x:a"]), stores: [] }).record;
    const ledger = foldLedger(emptyLedger, [...record, becameLive("g1", { chain: "claude" })]);
    expect([...ledger.live.keys()]).toEqual([`${MAIN} x:a`, "claudeAiOauth"]);
  });

  test("with one sign-in: what one of them spent is live in neither", () => {
    const selection = sameId(["x:a", "x:b"]);
    const first = planFor({ source: lookAt({ "x:a p": login("g1"), "x:b p": login("g1") }), selection, stores: [] });
    const ledger = foldLedger(emptyLedger, first.record);
    const source = lookAt({ "x:a p": login("g2", { endsInHours: 8 }), "x:b p": login("g1") });
    const stores = [storeWith("ops", { "x:a p": login("g1"), "x:b p": login("g2", { endsInHours: 8 }) })];
    const plan = planFor({ source, selection, stores, ledger });
    expect(plan.flows.map(({ source: verdict }) => verdict.kind)).toEqual(["becomes-live", "held"]);
    expect(liveOf(foldLedger(ledger, plan.record), `${MAIN} x:b`)?.generation).toBe("g2");
    // The second is healed from the agent that has what is live.
    expect(plan.flows[1]?.adoption).toMatchObject({ into: { store: MAIN, profile: "x:b" }, generation: "g2" });
    expect(plan.writes.map(({ target }) => target.profile)).toEqual(["x:a"]);
  });

  test("of two providers, each in its own time: how long the logins of one last orders nothing of the other", () => {
    const selection = sameId(["x:a", "y:b"]);
    const ofDays = { "y:b q": login("q1", { endsInHours: 240 }) };
    const first = planFor({ source: lookAt({ "x:a p": login("p1"), ...ofDays }), selection, stores: [] });
    const stores = [storeWith("ops", { "x:a p": login("p1"), ...ofDays })];
    const rotated = planFor({
      source: lookAt({ "x:a p": login("p2", { endsInHours: 8 }), ...ofDays }),
      selection,
      stores,
      ledger: foldLedger(emptyLedger, first.record),
    });
    expect(rotated.flows[0].source).toMatchObject({ kind: "becomes-live", reason: "rotation" });
    expect(rotated.writes.map(({ target }) => target.profile)).toEqual(["x:a"]);
  });

  test("of two providers: what an agent refreshed is adopted, however long the other's logins last", () => {
    const selection = sameId(["x:a", "y:b"]);
    const profiles = { "x:a p": login("p1"), "y:b q": login("q1", { endsInHours: 240 }) };
    const first = planFor({ source: lookAt(profiles), selection, stores: [storeWith("ops", profiles)] });
    const ledger = foldLedger(emptyLedger, first.record);
    const refreshed = storeWith("ops", { ...profiles, "x:a p": login("p2", { endsInHours: 8 }) });
    const later = { now: NOW + 4 * HOUR_MS, ledger };
    const plan = planFor({ source: lookAt(profiles), selection, stores: [refreshed], ...later });
    expect(plan.flows[0].adoption).toMatchObject({ into: { store: MAIN, profile: "x:a" }, generation: "p2" });
  });

  test("keep what followed an earlier sign-in of theirs, beside another account of the same provider", () => {
    const selection = sameId(["x:a", "x:b"]);
    const before = { "x:a p": login("a1"), "x:b p": login("b1") };
    const single = { profile: "login", providers: ["p"], creates: false };
    const stores = [storeWith("ops", { "x:z p": login("b1") }), storeWith("box", { login: login("b1") }, { single })];
    const first = planFor({ source: lookAt(before), selection, stores });
    const ledger = foldLedger(emptyLedger, first.record);
    const source = lookAt({ ...before, "x:b p": login("c1", { endsInHours: 3 }) });
    const orders = { ...noOrders, force: new Set([MAIN]) };
    const plan = planFor({ source, selection, stores, ledger, orders });
    expect(plan.flows[1]?.source).toMatchObject({ kind: "becomes-live", reason: "accepted" });
    expect(plan.writes.map(({ target, generation }) => [target.store, target.profile, generation])).toEqual([
      ["ops", "x:z", "c1"],
      ["box", "login", "c1"],
    ]);
    const later = planFor({ source, selection, stores, ledger: foldLedger(ledger, plan.record) });
    expect(later.writes.map(({ target, generation }) => [target.store, target.profile, generation])).toEqual([
      ["ops", "x:z", "c1"],
      ["box", "login", "c1"],
    ]);
  });

  describe("and the account of another one of its provider", () => {
    const selection = sameId(["x:a", "x:b"]);
    const both = { "x:a p": login("a1"), "x:b p": login("b1") };
    const accounts = { "x:a": anna, "x:b": bert };
    const first = planFor({ source: lookAt(both, accounts), selection, stores: [] });
    const known = foldLedger(emptyLedger, first.record);

    test.each([null, bert])("is not pushed over what followed that one, when it leaves the source (named: %s)", (account) => {
      const ops = storeWith("ops", { "x:z p": login("b1") }, {}, { "x:z": account });
      const before = foldLedger(
        known,
        planFor({ source: lookAt(both, accounts), selection, stores: [ops], ledger: known }).record,
      );
      const source = lookAt({ "x:a p": login("a2", { endsInHours: 8 }) }, accounts);
      const plan = planFor({ source, selection: sameId(["x:a"], ["x:b"]), stores: [ops], ledger: before });
      expect(plan.writes).toEqual([]);
      expect(plan.reports.map(({ verdict }) => verdict?.kind)).toEqual([account === null ? "hold" : "unrelated"]);
    });

    test("is not pushed over what that one had, when somebody put it there before it left the source", () => {
      const followsB = storeWith("ops", { "x:z p": login("b1") });
      const before = foldLedger(known, planFor({ source: lookAt(both), selection, stores: [followsB], ledger: known }).record);
      const holdsA = storeWith("ops", { "x:z p": login("a1") });
      const source = lookAt({ "x:b p": login("b2", { endsInHours: 8 }) }, accounts);
      const plan = planFor({ source, selection: sameId([], ["x:"]), stores: [holdsA], ledger: before });
      expect(plan.writes).toEqual([]);
      expect(plan.reports.map(({ verdict }) => verdict)).toMatchObject([{ kind: "hold", reason: "unknown-origin" }]);
    });

    test("is not pushed over a login of that one, which somebody put there under its own name", () => {
      const ops = storeWith("ops", { "x:a p": login("b1") }, {}, { "x:a": bert });
      let ledger = known;
      for (const source of [
        both,
        { ...both, "x:a p": login("a2", { endsInHours: 8 }) },
        { ...both, "x:a p": login("a2", { endsInHours: 8 }) },
      ]) {
        const plan = planFor({ source: lookAt(source, accounts), selection, stores: [ops], ledger });
        expect(plan.writes).toEqual([]);
        ledger = foldLedger(ledger, plan.record);
      }
    });
  });

  test("with one key go their own ways", () => {
    const selection = sameId(["x:a", "x:b"]);
    const first = planFor({ source: lookAt({ "x:a p": apiKey("1"), "x:b p": apiKey("1") }), selection, stores: [] });
    const source = lookAt({ "x:a p": apiKey("2"), "x:b p": apiKey("1") });
    const stores = [storeWith("ops", { "x:a p": apiKey("1"), "x:b p": apiKey("1") })];
    const plan = planFor({ source, selection, stores, ledger: foldLedger(emptyLedger, first.record) });
    expect(summary(plan)).toEqual(["x:a", "  ops x:a: write", "x:b", "  ops x:b: in-sync"]);
  });
});

describe("another source than before", () => {
  const selection = sameId(["x:a"]);
  const before = foldLedger(emptyLedger, [becameLive("g5", { chain: "c", endsInHours: 8, account: null })]);
  const plan = (endsInHours: number, force: readonly string[] = []): SyncPlan => {
    const stores = [storeWith("ops", { "x:a p": login("g5", { endsInHours: 8 }) })];
    const orders = { ...noOrders, force: new Set(force) };
    return planFor({ source: lookAt({ "x:a p": login("g3", { endsInHours }) }), selection, stores, ledger: before, orders });
  };

  test("does not overwrite what the earlier one brought and what ends later, but by an order", () => {
    expect(plan(7).reports[0]?.verdict).toMatchObject({ kind: "hold", reason: "target-newer" });
    expect(plan(9).reports[0]?.verdict).toMatchObject({ kind: "write", backup: true });
    expect(plan(7, ["ops"]).reports[0]?.verdict).toMatchObject({ kind: "write", backup: true });
  });

  test("is given what the earlier one brought by an order, in the chain that it is of", () => {
    const stores = [storeWith("ops", { "x:a p": login("g5", { endsInHours: 8 }) })];
    const orders = { ...noOrders, adopt: { store: "ops", profile: null } };
    const { flows } = planFor({ source: lookAt({ "x:a p": login("g3") }), selection, stores, ledger: before, orders });
    expect(flows[0].adoption).toMatchObject({ generation: "g5", backup: true });
    expect(flows[0].live).toMatchObject({ chain: "c", generation: "g5" });
  });
});

describe("what is created", () => {
  const source = lookAt({ "x:a p": apiKey("1"), "x:b p": apiKey("2") });
  const selection = sameId(["x:a", "x:b"]);

  test.each<[string, Creation, Profiles, string[]]>([
    ["always: every one", always, {}, ["x:a", "x:b"]],
    ["always: the one that lacks", always, { "x:a p": apiKey("1") }, ["x:b"]],
    ["when the provider is missing: every one", { ...always, policy: "when-provider-missing" }, {}, ["x:a", "x:b"]],
    ["when it is not: none", { ...always, policy: "when-provider-missing" }, { "own p": apiKey("9") }, []],
    ["where it is inherited: none", { ...always, policy: "when-provider-missing", inheritsFrom: MAIN }, {}, []],
  ])("%s", (_what, creation, profiles, expected) => {
    const plan = planFor({ source, selection, stores: [storeWith("ops", profiles, { creation })] });
    expect(plan.writes.filter(({ create }) => create).map(({ target }) => target.profile)).toEqual(expected);
  });

  test("nothing where there is no store, unless the store itself is made", () => {
    const nowhere = (fromNothing: boolean): StoreLook => {
      return { ...storeWith("ops", {}, { creation: { ...always, fromNothing } }), snapshot: { revision: "absent" } };
    };
    expect(planFor({ source, selection, stores: [nowhere(false)] }).writes).toEqual([]);
    expect(planFor({ source, selection, stores: [nowhere(true)] }).writes).toHaveLength(2);
  });

  test("nothing in a pinned agent, and nothing while the source has nothing", () => {
    expect(
      planFor({ source, selection, stores: [storeWith("ops", {}, { creation: always, binding: "pinned" })] }).writes,
    ).toEqual([]);
    const gone = lookAt({ "x:a p": absent });
    expect(planFor({ source: gone, selection, stores: [storeWith("ops", {}, { creation: always })] }).writes).toEqual([]);
  });
});

/** A login in a model: whose it is, of which sign-in, which refresh, and when it ends (hours from the beginning). */
interface ModelLogin {
  readonly account: string;
  readonly signIn: number;
  readonly refresh: number;
  readonly endsInHours: number;
}

type Step =
  | { readonly kind: "refresh"; readonly store: string; readonly id: string }
  | { readonly kind: "sign-in"; readonly id: string; readonly account: string }
  | { readonly kind: "leave"; readonly id: string }
  | { readonly kind: "paste"; readonly store: string; readonly id: string }
  | { readonly kind: "look"; readonly accepts: boolean; readonly writes: number };

/** Two accounts of one provider, one of another whose logins last for days, and agents that have copies of all. */
class SeveralFlows {
  readonly #stores = new Map([MAIN, "ops", "work"].map((store) => [store, new Map<string, ModelLogin>()]));
  readonly #newest = new Map<number, number>();
  readonly #named: readonly string[];
  /** The accounts that were live in a flow. */
  readonly #had = new Map<string, Set<string>>();
  #ledger = emptyLedger;
  #hours = 0;

  /** @param named the stores whose profiles name their accounts */
  constructor(named: readonly string[]) {
    this.#named = named;
    for (const [id, account] of [
      ["x:a", "anna"],
      ["x:b", "bert"],
      ["y:c", "carl"],
    ] as const)
      this.#signIn(id, account);
    for (const store of ["ops", "work"]) for (const [id, held] of this.#in(MAIN)) this.#in(store).set(id, held);
    this.look(false, Infinity);
  }

  perform(step: Step): void {
    this.#hours += 1;
    switch (step.kind) {
      case "refresh":
        this.#refresh(this.#in(step.store), step.id);
        return;
      case "sign-in":
        this.#signIn(step.id, step.account);
        return;
      case "leave":
        this.#in(MAIN).delete(step.id);
        return;
      case "paste": {
        const copied = this.#in(MAIN).get(step.id);
        if (copied !== undefined) this.#in(step.store).set("x:z", copied);
        return;
      }
      case "look":
        this.look(step.accepts, step.writes);
    }
  }

  /** Plans, and carries so many of the writes out before a crash. */
  look(accepts: boolean, writes: number): SyncPlan {
    const plan = planFor({
      source: lookAt(this.#profilesOf(MAIN), this.#accountsOf(MAIN)),
      selection: sameId([], ["x:a", "x:b", "y:c"]),
      stores: ["ops", "work"].map((store) => storeWith(store, this.#profilesOf(store), {}, this.#accountsOf(store))),
      ledger: this.#ledger,
      orders: { ...noOrders, force: new Set(accepts ? [MAIN] : []) },
      now: NOW + this.#hours * HOUR_MS,
    });
    this.#ledger = foldLedger(this.#ledger, plan.record);
    for (const { head, live } of plan.flows) if (live !== null) this.#accountsIn(head.profile).add(accountIn(live.generation));
    const given = [
      ...plan.flows.flatMap(({ adoption }) => (adoption === null ? [] : [{ ...adoption, from: adoption.into }])),
      ...plan.writes.map((write) => ({ ...write, into: write.target })),
    ];
    for (const { from, into, generation } of given) {
      const before = this.#in(into.store).get(into.profile);
      if (before === undefined) throw new Error("nothing is created here");
      // A flow may overwrite another account's login only if the flow had that account.
      const isOfFlow = before.account === accountIn(generation) || this.#accountsIn(from.profile).has(before.account);
      expect(isOfFlow, `${into.store} ${into.profile}: ${nameOf(before)} -> ${generation}`).toBe(true);
    }
    const looked = new Map(
      [...this.#stores.values()].flatMap((held) => [...held.values()].map((login) => [nameOf(login), login])),
    );
    for (const { into, generation } of given.slice(0, writes)) {
      const login = looked.get(generation);
      if (login !== undefined) this.#in(into.store).set(into.profile, login);
    }
    return plan;
  }

  #signIn(id: string, account: string): void {
    const signIn = this.#newest.size;
    this.#newest.set(signIn, 0);
    this.#in(MAIN).set(id, { account, signIn, refresh: 0, endsInHours: this.#hours + lastsHours(id) });
  }

  #refresh(profiles: Map<string, ModelLogin>, id: string): void {
    const held = profiles.get(id);
    if (held === undefined || this.#newest.get(held.signIn) !== held.refresh) return;
    const refresh = held.refresh + 1;
    this.#newest.set(held.signIn, refresh);
    profiles.set(id, { ...held, refresh, endsInHours: this.#hours + lastsHours(id) });
  }

  #in(store: string): Map<string, ModelLogin> {
    return this.#stores.get(store) ?? new Map<string, ModelLogin>();
  }

  #accountsIn(flow: string): Set<string> {
    const accounts = this.#had.get(flow) ?? new Set();
    this.#had.set(flow, accounts);
    return accounts;
  }

  #profilesOf(store: string): Profiles {
    const held = [...this.#in(store)].map(([id, { endsInHours, ...rest }]) => {
      return [`${id} ${id.slice(0, 1)}`, login(nameOf(rest), { endsInHours })] as const;
    });
    return Object.fromEntries(held);
  }

  #accountsOf(store: string): Accounts {
    if (!this.#named.includes(store)) return {};
    return Object.fromEntries([...this.#in(store)].map(([id, { account }]) => [id, { uuid: null, email: account }]));
  }
}

function lastsHours(id: string): number {
  return id.startsWith("y") ? 240 : 8;
}

function nameOf({ account, signIn, refresh }: Omit<ModelLogin, "endsInHours">): string {
  return `${account} ${String(signIn)}.${String(refresh)}`;
}

function accountIn(generation: string): string {
  return generation.split(" ")[0] ?? "";
}

describe("several flows", () => {
  const id = fc.constantFrom("x:a", "x:b", "y:c");
  const ofOneProvider = fc.constantFrom("x:a", "x:b");
  const agent = fc.constantFrom("ops", "work");
  const writes = fc.constantFrom(0, 1, 2, 100);
  const kind = <Kind extends Step["kind"]>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
  const anyLook = fc.record({ kind: kind("look"), accepts: fc.constant(false), writes });
  const anyStep: fc.Arbitrary<Step> = fc.oneof(
    { weight: 4, arbitrary: anyLook },
    fc.record({ kind: kind("look"), accepts: fc.constant(true), writes }),
    fc.record({ kind: kind("refresh"), store: fc.constantFrom(MAIN, "ops", "work"), id }),
    fc.record({ kind: kind("sign-in"), id: ofOneProvider, account: fc.constantFrom("anna", "bert", "dora") }),
    fc.record({ kind: kind("leave"), id: ofOneProvider }),
    { weight: 2, arbitrary: fc.record({ kind: kind("paste"), store: agent, id: ofOneProvider }) },
  );
  const rest = (flows: SeveralFlows): SyncPlan => {
    for (let look = 0; look < 5; look++) flows.look(false, Infinity);
    return flows.look(false, Infinity);
  };

  test("never give one's account to what followed another alone, and come to rest, whatever happens", () => {
    fc.assert(
      fc.property(fc.constantFrom([MAIN], [MAIN, "ops", "work"]), fc.array(anyStep, { maxLength: 15 }), (named, steps) => {
        const flows = new SeveralFlows(named);
        for (const step of steps) flows.perform(step);
        expect(rest(flows)).toMatchObject({ writes: [], record: [] });
      }),
      { numRuns: 800 },
    );
  });

  test("bring every profile into step where nobody but the source's program refreshes", () => {
    const calmStep = fc.oneof(anyLook, fc.record({ kind: kind("refresh"), store: fc.constant(MAIN), id }));
    fc.assert(
      fc.property(fc.array(calmStep, { maxLength: 15 }), (steps) => {
        const flows = new SeveralFlows([]);
        for (const step of steps) flows.perform(step);
        const plan = rest(flows);
        const kinds = [...plan.flows.map(({ source }) => source.kind), ...plan.reports.map(({ verdict }) => verdict?.kind)];
        expect(new Set(kinds)).toEqual(new Set(["live", "in-sync"]));
      }),
      { numRuns: 100 },
    );
  });
});

describe("a program that does not use an id uses another one in its place", () => {
  const one: Selection = {
    kind: "one",
    profile: "login",
    providers: ["anthropic", "claude-cli"],
    followers: ["anthropic:claude-cli"],
  };
  const unused = new Map([["anthropic:claude-cli", "anthropic:default"]]);
  const halves = { share: "access-only", expiryMarginMs: 5 * 60_000 } as const;
  const options = { unused, termsOfMade: halves, creation: { ...always, policy: "when-provider-missing" as const } };
  const source = lookAt({ login: login("g1") });
  const ledger = foldLedger(emptyLedger, [{ ...becameLive("g1"), sourceProfile: "login", account: null }]);
  const seen = {
    kind: "written",
    at: NOW,
    store: "shared",
    profile: "anthropic:default",
    surroundings: asFingerprint("as it was"),
  } as const;
  const given = { ...seen, generation: asFingerprint("g1"), issue: asFingerprint("g1/1") };
  const made = { ...given, terms: halves, made: true as const };

  test.each([
    ["nothing", {}, [], "anthropic:default: write access-only"],
    ["the unused id alone", { "anthropic:claude-cli claude-cli": login("g1") }, [], "anthropic:default: write access-only"],
    ["an unknown login", { "anthropic:default anthropic": login("other") }, [], "anthropic:default: hold"],
    ["the login itself", { "anthropic:default anthropic": login("g1") }, [], "anthropic:default: in-sync"],
    [
      "what credsyncd made and somebody changed",
      { "anthropic:default anthropic": login("g1") },
      [made],
      "anthropic:default: write access-only",
    ],
    ["what credsyncd gave it whole", { "anthropic:default anthropic": login("g1") }, [given], "anthropic:default: in-sync"],
    ["nothing any more", {}, [made], "anthropic:default: absent"],
    ["an API key", { "anthropic:default anthropic": apiKey("key") }, [], "anthropic:default: unrelated"],
  ])("which holds %s", (_what, profiles, events, expected) => {
    const stores = [storeWith("shared", profiles, options)];
    for (const bind of ["matching", "listed"] as const) {
      const plan = planFlows({
        ...{ source, selection: one, stores, ledger: foldLedger(ledger, events), now: NOW, clockJumped: false },
        ...{ policy: { ...policy, bind }, orders: noOrders, restarted: new Set() },
      });
      const report = plan.reports.find(({ target }) => target.profile === "anthropic:default");
      const verdict = report?.verdict;
      const share = verdict?.kind === "write" ? ` ${verdict.share}` : "";
      expect(`${report?.target.profile ?? ""}: ${verdict?.kind ?? ""}${share}`, bind).toBe(expected);
    }
  });
});
