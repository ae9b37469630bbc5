import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { OpenclawJsonStore } from "../../src/stores/openclaw-json.js";
import { environmentIn } from "../support/environment.js";
import { copyOpenclaw, type OpenclawVersion } from "../support/fixtures.js";
import { fileSubject, leaveFile, modeOf, readIfPresent } from "../support/store-file.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { describeContract, failureOf, loginOf, patchFor, summaryOf, type Subject } from "./contract.js";
import { profileSet, spoiltSets } from "./openclaw-document.js";

const signal = new AbortController().signal;

async function openAgent(version: OpenclawVersion, agent: string): Promise<Subject> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw(version, home);
  const directory = join(stateDirectory, "agents", agent, "agent");
  return fileSubject(new OpenclawJsonStore(`openclaw:${agent}`, directory, stateDirectory, environmentIn(home)));
}

const oauth = (end: string): string[] => [
  `anthropic:default anthropic oauth sk-ant-oat01-FAKE-WORKACC-00000001 sk-ant-ort01-FAKE-WORKREF-00000001 1797${end} of ? w@example.com`,
];
const rest = (end: string): string[] => [
  `anthropic:expired anthropic oauth sk-ant-oat01-FAKE-EXPACC-00000002 sk-ant-ort01-FAKE-EXPREF-00000002 1795${end}`,
  "anthropic:tok anthropic token sk-ant-oat01-FAKE-WORKTOK-00000003 null",
  `anthropic:exptok anthropic token sk-ant-oat01-FAKE-EXPTOK-00000004 1795${end}`,
  "anthropic:key anthropic api_key sk-ant-api03-FAKE-WORKKEY-00000005",
];

const versions: readonly (readonly [OpenclawVersion, readonly string[]])[] = [
  ["2026.3.11", ["anthropic:manual anthropic token sk-ant-oat01…MAIN0001 null", ...oauth("815876000"), ...rest("216676000")]],
  ["2026.4.15", [...oauth("815983000"), ...rest("216783000")]],
  ["2026.5.28", [...oauth("816102000"), ...rest("216902000")]],
];

for (const [version, holds] of versions) {
  describeContract({
    ...profileSet,
    name: `openclaw-json ${version}`,
    open: () => openAgent(version, "work"),
    holds,
    active: { anthropic: "anthropic:default" },
    spoilt: [...spoiltSets, ["is larger than any store", `{"profiles":"${" ".repeat(5 * 1024 * 1024)}"}`, "too-large"]],
  });
}
