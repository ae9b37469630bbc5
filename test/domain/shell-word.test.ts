import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { shellWord } from "../../src/domain/shell-word.js";

test("plain names and paths stay as they are", () => {
  for (const name of ["openclaw:work", "openclaw:agents/shared", "anthropic:me@example.com", "/home/a.b/c-d_e+f"])
    expect(shellWord(name)).toBe(name);
});

test("whatever a name is, a shell takes it for one word, and obeys nothing of it", () => {
  const names = fc.sample(fc.string({ unit: "grapheme", minLength: 1 }), { numRuns: 200, seed: 8 });
  const words = ["it's", "$(id)", "`id`", "a;b", "~", "*", "", ...names].filter((name) => !name.includes("\0"));
  const said = execFileSync("sh", ["-c", `printf '%s\\0' ${words.map(shellWord).join(" ")}`], { encoding: "utf8" });
  expect(said.split("\0").slice(0, -1)).toEqual(words);
});
