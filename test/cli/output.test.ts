import { expect, test } from "vitest";
import { table } from "../../src/cli/output.js";

test("keeps the columns of a table straight beside names of double width, and coloured ones", () => {
  const rows = [
    ["store", "state"],
    ["openclaw:東京", "in sync"],
    ["\u001b[1mopenclaw:ops\u001b[0m", "held"],
  ];
  expect(table(rows).split("\n")).toEqual([
    "store          state",
    "openclaw:東京  in sync",
    "\u001b[1mopenclaw:ops\u001b[0m   held",
  ]);
});
