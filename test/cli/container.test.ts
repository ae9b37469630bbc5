import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse.js";

test("the configuration in the example for Kubernetes is a good one", async () => {
  const yaml = await readFile(new URL("../../deploy/container/kubernetes-sidecar.yaml", import.meta.url), "utf8");
  const block = /config\.json5: \|\n((?: {4}.*\n)+)/.exec(yaml)?.[1] ?? "";
  const { targets } = parseConfig(block, "config.json5");
  expect(targets.map(({ program, share }) => [program.kind, share])).toEqual([
    ["openclaw", "access-only"],
    ["claude-code", "access-only"],
  ]);
});
