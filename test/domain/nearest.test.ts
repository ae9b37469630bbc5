import { describe, expect, test } from "vitest";
import { nearest } from "../../src/domain/nearest.js";

const known = ["source", "targets", "agents", "settle", "resync", "quietMs"];

describe("the nearest known word", () => {
  test.each([
    ["agent", "agents"],
    ["Agents", "agents"],
    ["tragets", "targets"],
    ["quietMS", "quietMs"],
    ["sourse", "source"],
    ["agents", "agents"],
  ])("to %s is %s", (word, expected) => {
    expect(nearest(word, known)).toBe(expected);
  });

  test.each(["zzzzzzzz", "profiles", ""])("to %j is none", (word) => {
    expect(nearest(word, known)).toBeNull();
  });

  test("among none is none", () => {
    expect(nearest("agents", [])).toBeNull();
  });
});
