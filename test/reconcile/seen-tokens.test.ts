import { describe, expect, test } from "vitest";
import { asFingerprint, type FingerprintOf } from "../../src/domain/generation.js";
import { Secret } from "../../src/domain/secret.js";
import type { ProfileContent } from "../../src/domain/store.js";
import { SeenTokens } from "../../src/reconcile/seen-tokens.js";

type Fence = Extract<ProfileContent, { kind: "fence" }>;

function login(refresh: string | null): ProfileContent {
  const tokens = { access: new Secret("a"), refresh: refresh === null ? null : new Secret(refresh) };
  return {
    kind: "credential",
    credential: { type: "oauth", ...tokens, expiresAt: null, signInEndsAt: null, idToken: null, grant: null },
  };
}

function fenceOf(refresh: string): Fence {
  return { kind: "fence", claim: "c", failed: false, spends: (token) => token.reveal() === refresh };
}

type Reads = Parameters<SeenTokens["note"]>[0]["targets"];

function store(...contents: readonly (readonly [id: string, content: ProfileContent])[]): Reads[number] {
  const rest = { provider: null, account: null, accountInCredential: false };
  const secret = (): Secret => new Secret("");
  const profiles = contents.map(([id, content]) => ({ id, content, ...rest, surroundings: secret, image: secret }));
  return { snapshot: { revision: "r", identity: null, changedAt: null, files: [], profiles } };
}

/** Every store holds one profile, of the same id in all of them. */
function look(...contents: readonly ProfileContent[]): Reads {
  return contents.map((content) => store(["p", content]));
}

function of(targets: Reads, source: Reads = []): Parameters<SeenTokens["note"]>[0] {
  return { source, targets, copies: [] };
}

const nameOf: FingerprintOf = (token) => asFingerprint(`name of ${token.reveal()}`);

describe("the refresh tokens that were read", () => {
  test("tell what a fence names that stands in every store at once", () => {
    const tokens = new SeenTokens();
    tokens.note(of([...look(login("one"), login("two"), login(null)), { snapshot: null }]), nameOf);
    tokens.note(of(look(fenceOf("two"), fenceOf("two"), fenceOf("two"))), nameOf);
    expect(tokens.spentBy(fenceOf("two"), "p")).toBe("name of two");
    expect(tokens.spentBy(fenceOf("three"), "p")).toBeNull();
    tokens.note(of(look(fenceOf("two"), login("three"))), nameOf);
    expect([tokens.spentBy(fenceOf("two"), "p"), tokens.spentBy(fenceOf("three"), "p")]).toEqual([
      "name of two",
      "name of three",
    ]);
  });

  test("are forgotten once no fence stands any more, but for those that are there", () => {
    const tokens = new SeenTokens();
    tokens.note(of(look(login("one"))), nameOf);
    tokens.note(of(look(login("two"))), nameOf);
    expect(tokens.spentBy(fenceOf("one"), "p")).toBeNull();
    expect(tokens.spentBy(fenceOf("two"), "p")).not.toBeNull();
  });

  test("of the source, and copies of it, tell what any fence names, whatever the profiles are called", () => {
    const tokens = new SeenTokens();
    const targets = look(fenceOf("one"));
    tokens.note({ source: [store(["claude", login("one")])], targets, copies: [login("kept")] }, nameOf);
    expect([tokens.spentBy(fenceOf("one"), "p"), tokens.spentBy(fenceOf("kept"), "p")]).toEqual(["name of one", "name of kept"]);
  });

  test("of a profile of another id tell what a fence names, where the source could not be given that login", () => {
    const tokens = new SeenTokens();
    const target = store(["a", fenceOf("one")], ["b", login("one")]);
    tokens.note(of([target], [store(["claude", login("older")])]), nameOf);
    expect(tokens.spentBy(fenceOf("one"), "a")).toBe("name of one");
  });

  test("of thousands of profiles are not each asked for by each of thousands of fences", () => {
    const ids = Array.from({ length: 3000 }, (_, index) => String(index));
    let asked = 0;
    const fence: Fence = { kind: "fence", claim: "c", failed: true, spends: () => (asked += 1) < 0 };
    const tokens = new SeenTokens();
    const fences = store(...ids.map((id) => [`a:${id}`, fence] as const));
    const logins = store(...ids.map((id) => [`b:${id}`, login(id)] as const));
    tokens.note(of([fences, logins], [store(["claude", login("one")])]), nameOf);
    for (const id of ids) tokens.spentBy(fence, `a:${id}`);
    expect(asked).toBe(ids.length);
  });
});
