import { describe, expect, test } from "vitest";
import { expiryOf, haveDifferentIds, mergeAccounts, relateAccounts } from "../../src/domain/credential.js";
import { isTransient } from "../../src/domain/errors.js";
import { asFingerprint, fingerprintAccount, identify, type FingerprintOf } from "../../src/domain/generation.js";
import { Secret } from "../../src/domain/secret.js";
import { apiKey, bearerToken, login } from "../support/planning.js";

const account = (uuid: string | null, email: string | null) => ({ uuid, email });
const fingerprintOf: FingerprintOf = (secret) => asFingerprint(`name of ${secret.reveal()}`);

describe("how two accounts relate", () => {
  test.each([
    ["same", account("1", null), account("1", null)],
    ["different", account("1", null), account("2", null)],
    ["same", account(null, "a"), account("1", "a")],
    ["different", account(null, "a"), account("1", "b")],
    ["same", account("1", "a"), account("1", "b")],
    ["unknown", account("1", null), account(null, "a")],
    ["unknown", account(null, null), account("1", "a")],
    ["unknown", null, account("1", "a")],
    ["unknown", null, null],
  ])("%s: %o and %o", (relation, left, right) => {
    expect(relateAccounts(left, right)).toBe(relation);
    expect(relateAccounts(right, left)).toBe(relation);
  });
});

test("two accounts have different ids only where both have one", () => {
  expect(haveDifferentIds(account("1", "a"), account("2", "a"))).toBe(true);
  expect(haveDifferentIds(account("1", "a"), account("1", "b"))).toBe(false);
  expect(haveDifferentIds(account("1", "a"), account(null, "b"))).toBe(false);
  expect(haveDifferentIds(account("1", "a"), null)).toBe(false);
});

test("of two readings of one account the newer counts, and the older where the newer is silent", () => {
  expect(mergeAccounts(account("1", "new"), account("1", "old"))).toEqual(account("1", "new"));
  expect(mergeAccounts(account(null, "new"), account("1", "old"))).toEqual(account("1", "new"));
  expect(mergeAccounts(null, account("1", "old"))).toEqual(account("1", "old"));
  expect(mergeAccounts(account("1", null), null)).toEqual(account("1", null));
});

describe("expiries", () => {
  test("an API key never ends", () => {
    expect(expiryOf(apiKey("key").credential)).toBeNull();
    expect(expiryOf(login("a").credential)).toBe(login("a").expiresAt);
  });
});

describe("the names of a credential", () => {
  test("an OAuth login has one for its refresh token and one for its access token", () => {
    expect(identify(login("g").credential, fingerprintOf)).toEqual({ generation: "name of g", issue: "name of g/1" });
  });

  test("an access-only login has no generation", () => {
    expect(identify(login(null).credential, fingerprintOf)).toEqual({ generation: null, issue: "name of bare/1" });
  });

  test.each([apiKey("secret"), bearerToken("secret")])("a static secret is its own generation and issue", ({ credential }) => {
    expect(identify(credential, fingerprintOf)).toEqual({ generation: "name of secret", issue: "name of secret" });
  });

  test("an account's parts are named whatever their case, and an empty account is none", () => {
    const named = fingerprintAccount(account(null, " Anna@Example.org "), fingerprintOf, (text) => new Secret(text));
    expect(named).toEqual({ uuid: null, email: "name of anna@example.org" });
    expect(fingerprintAccount(account(null, null), fingerprintOf, (text) => new Secret(text))).toBeNull();
  });
});

describe("kinds of failure (R13)", () => {
  test.each(["locked", "conflict", "torn", "no-space", "io"] as const)("%s may pass without any change", (code) => {
    expect(isTransient(code)).toBe(true);
  });

  test.each(["malformed", "too-large", "not-a-file", "foreign-owner", "permission", "unsupported", "symlink"] as const)(
    "%s needs somebody",
    (code) => {
      expect(isTransient(code)).toBe(false);
    },
  );
});
