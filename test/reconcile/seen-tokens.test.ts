import { describe, expect, test } from "vitest";
import { Secret } from "../../src/domain/secret.js";
import type { ProfileContent, StoreSnapshot } from "../../src/domain/store.js";
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

function look(...contents: readonly ProfileContent[]): { readonly snapshot: StoreSnapshot }[] {
  return contents.map((content, index) => {
    const rest = { provider: null, account: null, accountInCredential: false };
    const secret = (): Secret => new Secret("");
    const profile = { id: `p${String(index)}`, content, ...rest, surroundings: secret, image: secret };
    return { snapshot: { revision: "r", identity: null, changedAt: null, files: [], profiles: [profile] } };
  });
}

const nameOf = (token: Secret): string => `name of ${token.reveal()}`;

describe("the refresh tokens that were read", () => {
  test("tell what a fence names that stands in every store at once", () => {
    const tokens = new SeenTokens();
    tokens.note([...look(login("one"), login("two"), login(null)), { snapshot: null }], nameOf);
    tokens.note(look(fenceOf("two"), fenceOf("two"), fenceOf("two")), nameOf);
    expect(tokens.spentBy(fenceOf("two"))).toBe("name of two");
    expect(tokens.spentBy(fenceOf("three"))).toBeNull();
    tokens.note(look(fenceOf("two"), login("three")), nameOf);
    expect([tokens.spentBy(fenceOf("two")), tokens.spentBy(fenceOf("three"))]).toEqual(["name of two", "name of three"]);
  });

  test("are forgotten once no fence stands any more, but for those that are there", () => {
    const tokens = new SeenTokens();
    tokens.note(look(login("one")), nameOf);
    tokens.note(look(login("two")), nameOf);
    expect(tokens.spentBy(fenceOf("one"))).toBeNull();
    expect(tokens.spentBy(fenceOf("two"))).not.toBeNull();
  });
});
