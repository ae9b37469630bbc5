import { describe, expect, test } from "vitest";
import { holdingOf, isOverruled, type Claim } from "../../src/domain/holding.js";

type Words = readonly [name: string, real: "real" | "link", Claim<string>["binding"], Claim<string>["share"]];

function claimOf([name, real, binding, share]: Words): Claim<string> {
  return { name, isItself: real === "real", binding, share };
}

describe("a place that several names lead to (R16b)", () => {
  test.each<[what: string, claims: [Words, ...Words[]], holding: string, overruled: string[]]>([
    [
      "is the real one's",
      [
        ["a", "link", "pinned", "full"],
        ["b", "real", "follow", "full"],
      ],
      "b follow full",
      ["a"],
    ],
    [
      "is the real one's",
      [
        ["a", "link", "follow", "full"],
        ["b", "real", "ignore", "full"],
      ],
      "b ignore full",
      ["a"],
    ],
    [
      "is the real one's",
      [
        ["a", "link", "follow", "access-only"],
        ["b", "real", "follow", "full"],
      ],
      "b follow full",
      ["a"],
    ],
    [
      "overrules nobody who says the same",
      [
        ["a", "link", "follow", "full"],
        ["b", "real", "follow", "full"],
      ],
      "b follow full",
      [],
    ],
    [
      "is under the stricter word of two real ones",
      [
        ["a", "real", "follow", "full"],
        ["b", "real", "pinned", "full"],
      ],
      "b pinned full",
      ["a"],
    ],
    [
      "is under the stricter share of two real ones",
      [
        ["a", "real", "follow", "full"],
        ["b", "real", "follow", "access-only"],
      ],
      "a follow access-only",
      ["a"],
    ],
    [
      "is under the stricter word where none is real",
      [
        ["a", "link", "pinned", "full"],
        ["b", "link", "follow", "full"],
      ],
      "a pinned full",
      ["b"],
    ],
    [
      "is under the real ones' words alone",
      [
        ["a", "link", "ignore", "full"],
        ["b", "real", "follow", "full"],
        ["c", "real", "pinned", "full"],
      ],
      "c pinned full",
      ["a", "b"],
    ],
  ])("%s: %j", (_what, words, expected, overruled) => {
    const [first, ...others] = words;
    const claims: [Claim<string>, ...Claim<string>[]] = [claimOf(first), ...others.map(claimOf)];
    const holding = holdingOf(claims);
    expect(`${holding.name} ${holding.binding} ${holding.share}`).toBe(expected);
    expect(claims.filter((claim) => isOverruled(claim, holding)).map(({ name }) => name)).toEqual(overruled);
  });
});
