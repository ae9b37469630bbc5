import { inspect } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/domain/secret.js";

describe("a secret", () => {
  const secret = new Secret("sk-ant-oat01-abcdef");

  test.each([
    ["String()", String(secret)],
    ["a template", `a login: ${secret as unknown as string}`],
    ["JSON", JSON.stringify({ secret })],
    ["inspect", inspect({ secret }, { depth: 9, showHidden: true })],
    ["an error's cause", inspect(new Error("failed", { cause: { secret } }))],
  ])("is not printed by %s", (_way, text) => {
    expect(text).toContain("[secret]");
    expect(text).not.toContain("abcdef");
  });

  test("equals another of the same text, and no other", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (left, right) => {
        expect(new Secret(left).equals(new Secret(right))).toBe(left === right);
        expect(new Secret(left).equals(new Secret(left))).toBe(true);
      }),
    );
  });
});
