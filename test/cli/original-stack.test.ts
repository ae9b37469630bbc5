import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { originalStack } from "../../src/cli/original-stack.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = join(ROOT, "dist/cli/main.js");

/** Returns the place of a text in a file, as a stack trace names it. */
function placeOf(file: string, text: string): string {
  const lines = readFileSync(join(ROOT, file), "utf8").split("\n");
  const index = lines.findIndex((line) => line.includes(text));
  return `${String(index + 1)}:${String((lines[index] ?? "").indexOf(text) + 1)}`;
}

describe("the stack trace of a bug", () => {
  const call = "await program.parseAsync()";

  test("names the lines of the source", () => {
    const stack = `Error: no\n    at async main (${MAIN}:${placeOf("dist/cli/main.js", call)})`;
    const line = placeOf("src/cli/main.ts", call).split(":")[0] ?? "";
    expect(originalStack(stack)).toMatch(
      new RegExp(`^Error: no\\n    at async main \\(${join(ROOT, "src/cli/main.ts")}:${line}:\\d+\\)$`),
    );
  });

  test("stays as it is where there is no map", () => {
    const stack = `Error: no\n    at f (${join(ROOT, "bundle.js")}:3:1)\n    at node:internal/timers:581:17\n    at <anonymous>`;
    expect(originalStack(stack)).toBe(stack);
  });

  test("is what the program prints before it ends", async () => {
    const hook = join(await temporaryDirectory(), "hook.cjs");
    const isManifest = `String(path).endsWith("/package.json")`;
    writeFileSync(
      hook,
      `const fs = require("node:fs");
       const { readFileSync } = fs;
       fs.readFileSync = (path, ...rest) => {
         if (${isManifest}) throw new TypeError("a bug");
         return readFileSync(path, ...rest);
       };`,
    );
    const { status, stderr } = spawnSync(process.execPath, ["--require", hook, MAIN, "--version"], { encoding: "utf8" });
    expect(status).toBe(1);
    expect(stderr).toMatch(/TypeError: a bug\n(?: .*\n)*? .* version \(\/.*\/src\/cli\/main\.ts:\d+:\d+\)/);
  });
});
