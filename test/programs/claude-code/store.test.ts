import { mkdir, readlink, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/app/system.js";
import type { Clock } from "../../../src/domain/clock.js";
import type { Credential } from "../../../src/domain/credential.js";
import { Secret } from "../../../src/domain/secret.js";
import type { ProfilePatch } from "../../../src/domain/store.js";
import { CLAUDE_PROFILE, claudeDirectories, ClaudeCodeStore } from "../../../src/programs/claude-code/store.js";
import { environmentIn } from "../../support/environment.js";
import { readClaudeFixture } from "../../support/fixtures.js";
import { fileSubject, leaveFile, modeOf } from "../../support/store-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { describeContract, failureOf, loginOf, patchFor, summaryOf, type Login, type Subject } from "../contract.js";
import { describeFileContract, type FileStoreKind } from "../file-contract.js";

const signal = new AbortController().signal;
const SCOPES = ["user:inference", "user:profile"];

async function openFixture(fixture: string | null, clock: Clock = systemClock): Promise<Subject> {
  const home = await temporaryDirectory();
  const environment = environmentIn(home, {}, clock);
  const subject = fileSubject(new ClaudeCodeStore("claude-code", claudeDirectories(environment), environment));
  if (fixture !== null) await subject.writeText(await readClaudeFixture(fixture));
  return subject;
}

function document({ access, refresh, expires }: Login): string {
  return `{ "mcpOAuth" :{"accessToken":"not the login's","expiresAt":1e3, "n": 12345678901234567890},\t"claudeAiOauth":
  {${refresh === null ? "" : `"refreshToken": "${refresh}",`}"scopes":["user:inference" ,"user:profile"], "odd": -0.0 ,
    "accessToken" : "${access}", "expiresAt":${String(expires)},"subscriptionType":null,"\\u006bey":"caf\\u00e9 \\/"
  },"trustedDeviceToken":"d" }\r\n`;
}

const kind: FileStoreKind = {
  name: "claude-code",
  open: () => openFixture("valid-with-siblings"),
  openAt: (clock) => openFixture("valid-with-siblings", clock),
  holds: ["claudeAiOauth - oauth sk-ant-oat01…0-FAKEAA sk-ant-ort01…0-FAKEAA 4102444800000"],
  active: {},
  profile: CLAUDE_PROFILE,
  provider: null,
  document,
  misfit: { type: "api_key", key: new Secret("sk-ant-api03-made-up") },
  spoilt: [
    ["is cut short", document(loginOf(0)).slice(0, 150), "malformed"],
    ["is empty", "", "malformed"],
    ["is no JSON", `accessToken=${loginOf(0).access}`, "malformed"],
    ["is a list", `["${loginOf(0).access}"]`, "malformed"],
    ["is null", "null", "malformed"],
    ["has something after its end", `${document(loginOf(0))}}`, "malformed"],
    ["is nested too deeply", `{"claudeAiOauth":${"[".repeat(100_000)}`, "malformed"],
    ["is larger than any login", `{"claudeAiOauth":"${" ".repeat(5 * 1024 * 1024)}"}`, "too-large"],
  ],
};

describeContract(kind);
describeFileContract(kind);

test("a Claude Code file that is a symbolic link is read, but not written: Claude Code itself would replace the link", async () => {
  const subject = await openFixture("valid");
  const { path } = subject.store;
  await rename(path, `${path}.elsewhere`);
  await symlink(`${path}.elsewhere`, path);
  const { revision, files } = await subject.store.read(signal);
  expect(files).toEqual([path, `${path}.elsewhere`]);
  const error = await failureOf(subject.store.write([patchFor(kind, loginOf(1))], revision, signal));
  expect(error.code).toBe("symlink");
  expect(await readlink(path)).toBe(`${path}.elsewhere`);
  expect(await subject.readText()).toBe(await readClaudeFixture("valid"));
});

describe("a Claude Code file", () => {
  test.each([
    ["valid", "oauth sk-ant-oat01…0-FAKEAA sk-ant-ort01…0-FAKEAA 4102444800000"],
    [
      "valid-v329-full",
      "oauth sk-ant-oat01…0-FAKEAA sk-ant-ort01…0-FAKEAA 4102444800000 of 00000000-0000-4000-8000-0000000000aa ?",
    ],
    ["expired", "oauth sk-ant-oat01…0-FAKEAA sk-ant-ort01…0-FAKEAA 1700000000000"],
    ["hermes-rewritten", "oauth sk-ant-oat01…0-FAKEAA sk-ant-ort01…0-FAKEAA 4102444800000"],
    ["follower-access-only", "oauth sk-ant-oat01…0-FAKEAA - 4102444800000"],
    ["setup-token-only", "token sk-ant-oat01…0-FAKEAA null"],
    ["setup-token-full", "token sk-ant-oat01…0-FAKEAA null"],
    ["logged-out-stub", "stub"],
    ["logged-out-stub-v329-timelimit", "stub (time limit)"],
    ["bad-no-scopes", "incomplete: the login lacks the scope user:inference, so that Claude Code takes it for logged out"],
  ])("%s holds: %s", async (fixture, expected) => {
    const { store } = await openFixture(fixture);
    const { profiles } = await store.read(signal);
    expect(profiles.map(summaryOf)).toEqual([`claudeAiOauth - ${expected}`]);
  });

  test.each(["no-claude-login-only-mcp", "empty-object"])("%s holds no login", async (fixture) => {
    const { store } = await openFixture(fixture);
    expect((await store.read(signal)).profiles).toEqual([]);
  });

  test.each(["corrupt", "empty-file"])("%s is malformed", async (fixture) => {
    const { store } = await openFixture(fixture);
    expect((await failureOf(store.read(signal))).code).toBe("malformed");
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["seconds for milliseconds", { expiresAt: 1_795_250_895 }, "expiresAt is not a time in milliseconds"],
    ["a time that is text", { expiresAt: "4102444800000" }, "expiresAt is not a time in milliseconds"],
    ["no time", { expiresAt: undefined }, "the login has no expiresAt"],
    ["a blank refresh token", { refreshToken: "" }, "the login has a blank refresh token"],
    ["a refresh token that is a number", { refreshToken: 5 }, "the refresh token is not text"],
    ["no access token", { accessToken: undefined }, "the login has no access token"],
    ["scopes that are text", { scopes: "user:inference" }, "the login lacks the scope user:inference"],
  ])("with %s is incomplete, and says why", async (_what, fields, reason) => {
    const { store, writeText } = await openFixture(null);
    await writeText(JSON.stringify({ claudeAiOauth: { ...loginFields(1), ...fields } }));
    const [profile] = (await store.read(signal)).profiles;
    expect(profile?.content).toMatchObject({ kind: "incomplete", reason: expect.stringContaining(reason) as string });
  });

  test("whose login is not an object is incomplete", async () => {
    const { store, writeText } = await openFixture(null);
    await writeText(`{"claudeAiOauth":[1]}`);
    expect((await store.read(signal)).profiles.map(summaryOf)).toEqual([
      "claudeAiOauth - incomplete: claudeAiOauth is not an object",
    ]);
  });

  test("loses the word for a login that came to its end when it gets a new one", async () => {
    const subject = await openFixture("logged-out-stub-v329-timelimit");
    const { revision } = await subject.store.read(signal);
    await subject.store.write([patchFor(kind, loginOf(1))], revision, signal);
    expect((await subject.store.read(signal)).profiles[0]?.content.kind).toBe("credential");
    expect(await subject.readText()).not.toContain("loginEnded");
  });
});

function loginFields(generation: number): Record<string, unknown> {
  const { access, refresh, expires } = loginOf(generation);
  return { accessToken: access, refreshToken: refresh, expiresAt: expires, scopes: SCOPES };
}

const granted: Credential = {
  type: "oauth",
  access: new Secret(loginOf(1).access),
  refresh: new Secret(loginOf(1).refresh),
  expiresAt: loginOf(1).expires,
  signInEndsAt: null,
  idToken: null,
  grant: { scopes: SCOPES, subscriptionType: "max", rateLimitTier: null },
};
const making: ProfilePatch = { profile: CLAUDE_PROFILE, provider: null, credential: granted, create: true, account: null };

describe("a Claude Code login to create", () => {
  const made = { ...loginFields(1), subscriptionType: "max", rateLimitTier: null };

  test("gets a private file, in a directory of its own, that says what was granted", async () => {
    const subject = await openFixture(null);
    await subject.store.write([making], "absent", signal);
    expect(JSON.parse((await subject.readText()) ?? "")).toEqual({ claudeAiOauth: made });
    expect(await modeOf(subject.store.path)).toBe("600");
    expect(await modeOf(join(subject.store.path, ".."))).toBe("700");
  });

  test.each([`{"mcpOAuth":{"a":1}}`, `{"claudeAiOauth":null,"mcpOAuth":{"a":1}}`])(
    "is put beside what the file %s holds, whole",
    async (text) => {
      const subject = await openFixture(null);
      await subject.writeText(text);
      const { revision } = await subject.store.read(signal);
      await subject.store.write([making], revision, signal);
      expect(JSON.parse((await subject.readText()) ?? "")).toEqual({ mcpOAuth: { a: 1 }, claudeAiOauth: made });
    },
  );

  test("is not put into a file that holds none, by a write that does not say so", async () => {
    const subject = await openFixture("no-claude-login-only-mcp");
    const { revision } = await subject.store.read(signal);
    const before = await subject.readText();
    const write = subject.store.write([{ ...making, create: false }], revision, signal);
    expect((await failureOf(write)).code).toBe("conflict");
    expect(await subject.readText()).toBe(before);
  });

  test("needs to know what was granted", async () => {
    const subject = await openFixture(null);
    const bare = { ...making, credential: { ...granted, grant: null } };
    expect((await failureOf(subject.store.write([bare], "absent", signal))).code).toBe("unsupported");
    expect(await subject.readText()).toBeNull();
  });

  test("is not made where even the directory above is missing, since a mount may be", async () => {
    const home = await temporaryDirectory();
    const environment = environmentIn(join(home, "not-mounted"));
    const store = new ClaudeCodeStore("claude-code", claudeDirectories(environment), environment);
    expect((await failureOf(store.write([making], "absent", signal))).code).toBe("permission");
    expect(await modeOf(join(home, "not-mounted"))).toBeNull();
  });
});

describe("the account of a Claude Code login", () => {
  const [anna, bert] = ["00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"];

  test.each<[string, string, string | null, string]>([
    ["is in the credential", "valid-v329-full", null, `${anna} ?`],
    ["is in the file beside it", "valid", `{"oauthAccount":{"accountUuid":"${bert}","emailAddress":"b@x"}}`, `${bert} b@x`],
    [
      "has its e-mail beside it",
      "valid-v329-full",
      `{"oauthAccount":{"accountUuid":"${anna}","emailAddress":"a@x"}}`,
      `${anna} a@x`,
    ],
    [
      "is the credential's where the file beside it speaks of another",
      "valid-v329-full",
      `{"oauthAccount":{"accountUuid":"${bert}","emailAddress":"b@x"}}`,
      `${anna} ?`,
    ],
    ["is known by its e-mail alone", "valid", `{"oauthAccount":{"emailAddress":"b@x"}}`, "? b@x"],
  ])("%s", async (_what, fixture, accountFile, expected) => {
    const subject = await openFixture(fixture);
    if (accountFile !== null) await leaveFile(join(subject.store.path, "..", "..", ".claude.json"), accountFile);
    const [profile] = (await subject.store.read(signal)).profiles;
    expect(summaryOf(profile ?? fail())).toMatch(new RegExp(` of ${expected.replaceAll("?", "\\?")}$`));
    expect(profile?.accountInCredential).toBe(fixture === "valid-v329-full");
  });

  test.each([
    ["missing", null],
    ["empty", "{}"],
    ["null", `{"oauthAccount":null}`],
    ["of another shape", `{"oauthAccount":{"accountUuid":5}}`],
    ["broken", `{"oauthAccount":`],
  ])("is not known where the file beside it is %s", async (_what, accountFile) => {
    const subject = await openFixture("valid");
    if (accountFile !== null) await leaveFile(join(subject.store.path, "..", "..", ".claude.json"), accountFile);
    expect((await subject.store.read(signal)).profiles[0]?.account).toBeNull();
  });

  test("is looked up again when the file beside it changed", async () => {
    const subject = await openFixture("valid");
    const file = join(subject.store.path, "..", "..", ".claude.json");
    await leaveFile(file, `{"oauthAccount":{"emailAddress":"a@x"}}`);
    expect((await subject.store.read(signal)).profiles[0]?.account?.email).toBe("a@x");
    await leaveFile(file, `{"oauthAccount":{"emailAddress":"b@x"}}`);
    expect((await subject.store.read(signal)).profiles[0]?.account?.email).toBe("b@x");
  });

  test("is replaced in the credential where it stands there, and is not added where it does not", async () => {
    const account = { uuid: bert, email: "b@x" };
    const named = await openFixture("valid-v329-full");
    const patch = { ...patchFor(kind, loginOf(1)), account };
    await named.store.write([patch], (await named.store.read(signal)).revision, signal);
    expect((await named.store.read(signal)).profiles[0]?.account?.uuid).toBe(bert);
    const nameless = await openFixture("valid");
    await nameless.store.write([patch], (await nameless.store.read(signal)).revision, signal);
    expect(await nameless.readText()).not.toContain(bert);
  });
});

function fail(): never {
  throw new Error("there is no profile");
}

describe("Claude Code's directories", () => {
  const home = "/home/anna";
  test.each<[string, Record<string, string>, string, string]>([
    ["by default", {}, "/home/anna/.claude", "/home/anna/.claude.json"],
    ["all moved", { CLAUDE_CONFIG_DIR: "/srv/c" }, "/srv/c", "/srv/c/.claude.json"],
    ["moved to nowhere", { CLAUDE_CONFIG_DIR: "" }, "/home/anna/.claude", "/home/anna/.claude.json"],
    ["with the login moved alone", { CLAUDE_SECURESTORAGE_CONFIG_DIR: "/srv/s" }, "/srv/s", "/home/anna/.claude.json"],
    [
      "with each moved",
      { CLAUDE_CONFIG_DIR: "/srv/c", CLAUDE_SECURESTORAGE_CONFIG_DIR: "/srv/s" },
      "/srv/s",
      "/srv/c/.claude.json",
    ],
    [
      "with the login kept at home by an empty word",
      { CLAUDE_CONFIG_DIR: "/srv/c", CLAUDE_SECURESTORAGE_CONFIG_DIR: "" },
      "/home/anna/.claude",
      "/srv/c/.claude.json",
    ],
    ["in composed characters", { CLAUDE_CONFIG_DIR: "/srv/e\u0301" }, "/srv/\u00e9", "/srv/\u00e9/.claude.json"],
  ])("are, %s", (_what, variables, storage, accountFile) => {
    expect(claudeDirectories(environmentIn(home, variables))).toEqual({ storage, accountFile });
  });
});

describe("Claude Code's locks (R10)", () => {
  const names = [".oauth_refresh.lock", ".storage-write.lock"];

  test.each(["../.claude.lock", ...names])("%s, held by a client that lives, makes the store locked", async (name) => {
    const subject = await openFixture("valid");
    const { revision } = await subject.store.read(signal);
    await mkdir(join(subject.store.path, "..", name));
    const stopped = AbortSignal.abort();
    const write = subject.store.write([patchFor(kind, loginOf(1))], revision, stopped);
    expect((await failureOf(write)).code).toBe("locked");
    expect(await subject.readText()).toBe(await readClaudeFixture("valid"));
  });
});
