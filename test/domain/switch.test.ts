import { expect, test } from "vitest";
import { agentId } from "../../src/domain/switch.js";

test.each([
  ["openclaw:work", "work"],
  ["openclaw:work@/srv/team", "work"],
  ["openclaw:work/provisioned", "work"],
  ["openclaw:shared", "shared"],
  ["openclaw:agents/shared@/srv/team", "shared"],
])("the agent of %s is known to OpenClaw and the config as %s", (store, agent) => {
  expect(agentId(store)).toBe(agent);
});
