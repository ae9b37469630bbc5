import { readdirSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/app/system.js";
import type { Clock } from "../../../src/domain/clock.js";
import { Secret } from "../../../src/domain/secret.js";
import { ownIdentity } from "../../../src/io/process-identity.js";
import { OpenclawJsonStore } from "../../../src/programs/openclaw/json.js";
import { environmentIn } from "../../support/environment.js";
import { copyOpenclaw, type OpenclawVersion } from "../../support/fixtures.js";
import { fileSubject, leaveFile, readIfPresent } from "../../support/store-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { describeContract, failureOf, loginOf, patchFor, summaryOf, type Subject } from "../contract.js";
import { describeFileContract, type FileStoreKind } from "../file-contract.js";
import { profileSet, spoiltSets } from "./document.js";

const signal = new AbortController().signal;
const stopped = AbortSignal.abort();

async function openAgent(version: OpenclawVersion, agent: string, clock: Clock = systemClock): Promise<Subject> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw(version, home);
  const directory = join(stateDirectory, "agents", agent, "agent");
  return fileSubject(new OpenclawJsonStore(`openclaw:${agent}`, directory, stateDirectory, environmentIn(home, {}, clock)));
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

const kinds = versions.map(([version, holds]): FileStoreKind => {
  return {
    ...profileSet,
    name: `openclaw-json ${version}`,
    open: () => openAgent(version, "work"),
    openAt: (clock) => openAgent(version, "work", clock),
    holds,
    active: { anthropic: "anthropic:default" },
    spoilt: [...spoiltSets, ["is larger than any store", `{"profiles":"${" ".repeat(5 * 1024 * 1024)}"}`, "too-large"]],
  };
});

for (const kind of kinds) describeContract(kind);
for (const kind of kinds.slice(-1)) describeFileContract(kind);

async function openDocument(): Promise<Subject> {
  const subject = await openAgent("2026.5.28", "work");
  await subject.writeText(profileSet.document(loginOf(0)));
  return subject;
}

async function write(subject: Subject, abort = signal): Promise<void> {
  const { revision } = await subject.store.read(signal);
  await subject.store.write([patchFor(profileSet, loginOf(1))], revision, abort);
}

describe("a program that writes without OpenClaw's lock", () => {
  test("loses nothing, even at the last moment before the write", async () => {
    const subject = await openDocument();
    const { path } = subject.store;
    const edited = JSON.stringify({ ...(JSON.parse((await subject.readText()) ?? "{}") as object), edited: true });
    const overtake = async (): Promise<void> => {
      while (!readdirSync(dirname(path)).some((name) => name.endsWith(".tmp"))) await setImmediate();
      writeFileSync(path, edited);
    };
    const [failure] = await Promise.all([failureOf(write(subject)), overtake()]);
    expect([failure.code, await subject.readText(), await readdir(dirname(path))]).toEqual([
      "conflict",
      edited,
      expect.not.arrayContaining([expect.stringMatching(/\.(tmp|lock)$/)]),
    ]);
  });
});

describe("OpenClaw's profiles file behind a symbolic link", () => {
  test("is written where it is, and the link stays", async () => {
    const subject = await openDocument();
    const { path } = subject.store;
    const elsewhere = join(await temporaryDirectory(), "profiles.json");
    await rename(path, elsewhere);
    await symlink(elsewhere, path);
    expect((await subject.store.read(signal)).files).toEqual([path, elsewhere]);
    await write(subject);
    expect(await readlink(path)).toBe(elsewhere);
    expect(await readFile(elsewhere, "utf8")).toBe(profileSet.document(loginOf(1)));
    expect(await readdir(dirname(elsewhere))).toEqual(["profiles.json"]);
  });

  test("in a circle is refused", async () => {
    const subject = await openDocument();
    const { path } = subject.store;
    await rm(path);
    await symlink(path, path);
    expect((await failureOf(subject.store.read(signal))).code).toBe("symlink");
  });

  test("to nowhere is refused, with what to do: it is not the same as no file", async () => {
    const subject = await openDocument();
    const { path } = subject.store;
    await rm(path);
    await symlink(join(dirname(path), "nowhere"), path);
    expect(await failureOf(subject.store.read(signal))).toMatchObject({
      code: "symlink",
      message: `${path} is a symbolic link to nothing`,
      hint: `put back what it leads to, or remove the link: rm ${path}`,
    });
  });
});

describe("a profile of OpenClaw", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["mode for type", { mode: "token", token: "t" }, "token t null"],
    ["an API key under its later name", { type: "apiKey", apiKey: "k" }, "api_key k"],
    ["a blank refresh token", { type: "oauth", access: "a", refresh: "", expires: 1.8e12 }, "oauth a - 1800000000000"],
    ["an expiry that is text", { type: "oauth", access: "a", refresh: "r", expires: "5" }, "oauth a r null"],
    ["an expiry of 0", { type: "token", token: "t", expires: 0 }, "token t null"],
    ["an account id", { type: "oauth", access: "a", refresh: "r", accountId: "id" }, "oauth a r null of id ?"],
    ["no access token", { type: "oauth", refresh: "r" }, "incomplete: it has no access token"],
    ["a blank access token", { type: "oauth", access: "", refresh: "" }, "incomplete: it has no access token"],
    ["a token kept elsewhere", { type: "token", tokenRef: { source: "env" } }, "incomplete: it has no token of its own"],
    ["a key kept elsewhere", { type: "api_key", keyRef: { source: "env" } }, "incomplete: it has no key of its own"],
    ["a type that is not known", { type: "passkey" }, "incomplete: its type is not known"],
    [
      "its tokens in a sidecar",
      { type: "oauth", access: "a", oauthRef: { id: "x" } },
      "incomplete: its tokens are in an encrypted sidecar, which is not supported",
    ],
    [
      "a refresh marker of another form",
      { type: "oauth", access: "openclaw-oauth-refresh-fence:v1:c:access:d", refresh: "f", expires: 1 },
      "incomplete: it holds a refresh marker in a form that is not known",
    ],
  ])("with %s", async (_what, entry, expected) => {
    const subject = await openDocument();
    await subject.writeText(JSON.stringify({ version: 1, profiles: { p: entry } }));
    expect((await subject.store.read(signal)).profiles.map(summaryOf)).toEqual([`p - ${expected}`]);
  });

  test("whose name has a meaning in JavaScript harms nobody, and stays", async () => {
    const subject = await openDocument();
    const text = `{"version":1,"profiles":{"__proto__":{"type":"token","token":"t"},"constructor":{"type":"token","token":"c"}}}`;
    await subject.writeText(text);
    const { profiles, revision } = await subject.store.read(signal);
    expect(profiles.map(summaryOf)).toEqual(["constructor - token c null"]);
    const credential = { type: "token", token: new Secret("new"), expiresAt: null } as const;
    const patch = { profile: "constructor", provider: null, credential, create: false, account: null };
    await subject.store.write([patch], revision, signal);
    expect(await subject.readText()).toBe(text.replace(`"c"`, `"new"`));
  });

  test("that stands twice is refused, since programs disagree on which one counts", async () => {
    const subject = await openDocument();
    const twice = `{"version":1,"profiles":{"anthropic:claude-cli":{"type":"oauth","access":"a"},"anthropic:claude-cli":{"type":"oauth","access":"b"}}}`;
    await subject.writeText(twice);
    expect((await failureOf(write(subject))).code).toBe("malformed");
    expect(await subject.readText()).toBe(twice);
  });

  test("whose tokens are in a sidecar is not written, whoever asks", async () => {
    const subject = await openDocument();
    const text = `{"version":1,"profiles":{"${profileSet.profile}":{"type":"oauth","provider":"openai-codex","oauthRef":{"id":"x"}}}}`;
    await subject.writeText(text);
    expect((await failureOf(write(subject))).code).toBe("unsupported");
    expect(await subject.readText()).toBe(text);
  });

  test("that vanished is not made again", async () => {
    const subject = await openDocument();
    const { revision } = await subject.store.read(signal);
    const patch = { ...patchFor(profileSet, loginOf(1)), profile: "anthropic:gone" };
    expect((await failureOf(subject.store.write([patch], revision, signal))).code).toBe("conflict");
    expect(await subject.readText()).toBe(profileSet.document(loginOf(0)));
  });

  test("has the fields of its account replaced where they stand, and none added", async () => {
    const subject = await openDocument();
    const { revision } = await subject.store.read(signal);
    const account = { uuid: "id-b", email: "b@x" };
    const patches = [profileSet.profile, "anthropic:default"].map((profile) => {
      return { ...patchFor(profileSet, loginOf(1)), profile, account };
    });
    await subject.store.write(patches, revision, signal);
    const { profiles } = await subject.store.read(signal);
    expect(profiles.map(({ account: owner }) => owner)).toEqual([null, null, { uuid: null, email: "b@x" }]);
  });
});

/** OpenClaw's notes on profiles that failed. */
const punished = `{"version":1, "order":{"anthropic":["anthropic:default"]},
  "usageStats":{ "anthropic:claude-cli":{"lastUsed":7,"errorCount":3,"failureCounts":{"auth":3},"cooldownUntil":9e15,
    "cooldownReason":"auth","disabledUntil":9e15 , "disabledReason":"auth"}, "anthropic:default":{"errorCount":1,"cooldownUntil":5} } }`;
const pardoned = {
  version: 1,
  order: { anthropic: ["anthropic:default"] },
  usageStats: { "anthropic:claude-cli": { lastUsed: 7 }, "anthropic:default": { errorCount: 1, cooldownUntil: 5 } },
};

describe("a profile that is made", () => {
  const made = { ...patchFor(profileSet, loginOf(1)), create: true };

  test("stands after the others, which stay as they are, byte for byte", async () => {
    const subject = await openDocument();
    const before = (await subject.readText()) ?? "";
    const { revision } = await subject.store.read(signal);
    const template = new Secret(JSON.stringify({ type: "oauth", provider: "p", refresh: "r", email: "anna@x", expires: 1 }));
    await subject.store.write([{ ...made, profile: "p:new", template }], revision, signal);
    const after = (await subject.readText()) ?? "";
    const { access, refresh, expires } = loginOf(1);
    const { profiles } = JSON.parse(after) as { profiles: Record<string, unknown> };
    expect(profiles["p:new"]).toEqual({ type: "oauth", provider: "p", email: "anna@x", access, refresh, expires });
    const [end] = /,\s*"p:new": ?\{[^}]*\}/.exec(after) ?? [""];
    expect(after.replace(end, "")).toBe(before);
  });

  test.each([
    ["the agent's", "openclaw-agent.sqlite"],
    ["the shared", join("..", "..", "..", "state", "openclaw.sqlite")],
  ])("makes no file beside a database: %s", async (_whose, database) => {
    const subject = await openDocument();
    await subject.remove();
    const path = join(dirname(subject.store.path), database);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "");
    expect(await failureOf(subject.store.write([made], "absent", signal))).toMatchObject({ code: "conflict" });
    expect(await subject.readText()).toBeNull();
  });

  test("makes no file if it is unknown whether there is a database", async () => {
    const subject = await openDocument();
    await subject.remove();
    const database = join(dirname(subject.store.path), "openclaw-agent.sqlite");
    await symlink("openclaw-agent.sqlite", database);
    const attempt = subject.store.write([made], "absent", signal);
    expect(await failureOf(attempt)).toMatchObject({ code: "symlink", message: expect.stringContaining(database) as string });
    expect(await subject.readText()).toBeNull();
  });

  test("takes the place of no file that appeared meanwhile", async () => {
    const subject = await openDocument();
    const before = await subject.readText();
    expect(await failureOf(subject.store.write([made], "absent", signal))).toMatchObject({ code: "conflict" });
    expect(await subject.readText()).toBe(before);
  });
});

describe("the penalties of a profile that is healed", () => {
  test("are taken back in auth-state.json, and nothing else there is changed", async () => {
    const subject = await openDocument();
    const notes = join(dirname(subject.store.path), "auth-state.json");
    await leaveFile(notes, punished);
    await write(subject);
    expect(JSON.parse((await readIfPresent(notes)) ?? "")).toEqual(pardoned);
  });

  test("are taken back in the profiles file itself, where versions up to 2026.4.5 keep them", async () => {
    const subject = await openAgent("2026.3.11", "work");
    const set = { ...(JSON.parse(punished) as object), profiles: { "anthropic:claude-cli": { type: "oauth", access: "a" } } };
    await subject.writeText(JSON.stringify(set));
    await write(subject);
    expect(JSON.parse((await subject.readText()) ?? "")).toMatchObject(pardoned);
  });

  test.each(["", "{", "[]", `{"usageStats":[]}`, `{"usageStats":{"anthropic:claude-cli":5}}`])(
    "stay where the notes are %j, which keeps nobody from healing the profile",
    async (broken) => {
      const subject = await openDocument();
      const notes = join(dirname(subject.store.path), "auth-state.json");
      await leaveFile(notes, broken);
      await write(subject);
      expect(await readIfPresent(notes)).toBe(broken);
      expect(await subject.readText()).toBe(profileSet.document(loginOf(1)));
    },
  );

  test("do not count if they are zeros, as OpenClaw leaves them after a success: these stay, byte for byte", async () => {
    const subject = await openDocument();
    const notes = join(dirname(subject.store.path), "auth-state.json");
    const zeros = `{"errorCount":0, "failureCounts":{"auth":0},"cooldownUntil":0,"disabledUntil":null,"cooldownReason":""}`;
    const text = `{"version":1, "usageStats":{"anthropic:claude-cli":${zeros}} }`;
    await leaveFile(notes, text);
    await write(subject);
    expect(await readIfPresent(notes)).toBe(text);
    await leaveFile(notes, text.replace(`"cooldownUntil":0`, `"cooldownUntil":9`));
    await write(subject);
    expect(await readIfPresent(notes)).toBe(text.replace(`"cooldownUntil":0,`, ""));
  });

  test("stay where nothing was healed", async () => {
    const subject = await openDocument();
    const notes = join(dirname(subject.store.path), "auth-state.json");
    await leaveFile(notes, punished);
    await failureOf(subject.store.write([patchFor(profileSet, loginOf(1))], "another revision", signal));
    expect(await readIfPresent(notes)).toBe(punished);
  });
});

describe("OpenClaw's lock on its profiles file", () => {
  test("is held by another program that lives: nothing is written, and the lock stays theirs", async () => {
    const subject = await openDocument();
    const { pid, startTime } = ownIdentity();
    const lock = `${subject.store.path}.lock`;
    const theirs = JSON.stringify({ pid, createdAt: new Date().toISOString(), starttime: startTime }, null, 2);
    await writeFile(lock, theirs);
    expect((await failureOf(write(subject, stopped))).code).toBe("locked");
    expect(await readIfPresent(lock)).toBe(theirs);
    expect(await subject.readText()).toBe(profileSet.document(loginOf(0)));
  });

  test("stands beside the real directory, where OpenClaw looks for it, and is gone after the write", async () => {
    const subject = await openDocument();
    const directory = dirname(subject.store.path);
    const elsewhere = join(await temporaryDirectory(), "agent");
    await rename(directory, elsewhere);
    await symlink(elsewhere, directory);
    await writeFile(join(elsewhere, "auth-profiles.json.lock"), JSON.stringify({ pid: process.pid, createdAt: new Date() }));
    expect((await failureOf(write(subject, stopped))).code).toBe("locked");
    await rm(join(elsewhere, "auth-profiles.json.lock"));
    await write(subject);
    expect((await readdir(elsewhere)).sort()).toEqual(["auth-profiles.json", "auth-state.json"]);
  });

  test("that cannot be made because something else is in its place makes the store locked, not broken", async () => {
    const subject = await openDocument();
    await mkdir(`${subject.store.path}.lock`);
    const { code } = await failureOf(write(subject, stopped));
    expect(["locked", "not-a-file", "io"]).toContain(code);
    expect(await subject.readText()).toBe(profileSet.document(loginOf(0)));
  });
});
