import { mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { StoreError } from "../../src/domain/errors.js";
import { Secret } from "../../src/domain/secret.js";
import type { CredentialStore, ProfilePatch } from "../../src/domain/store.js";
import { linksTo, waysTo } from "../../src/io/real-path.js";
import { ClaudeCodeStore } from "../../src/programs/claude-code/store.js";
import { confinedTo, Confinement } from "../../src/programs/confinement.js";
import { OpenclawJsonStore } from "../../src/programs/openclaw/json.js";
import { agentLayout, OpenclawSqliteStore } from "../../src/programs/openclaw/sqlite.js";
import { environmentIn } from "../support/environment.js";
import { copyOpenclaw } from "../support/fixtures.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { replace } from "../support/temporary-home.js";

const { signal } = new AbortController();
const login = { accessToken: "made-up-a", refreshToken: "made-up-r", expiresAt: 4e12, scopes: ["user:inference"] };

interface Subject {
  readonly store: CredentialStore;
  readonly profile: string;
  readonly provider: string | null;
  /** The directory that is swapped for a link to another one with the same content. */
  readonly directory: string;
}

async function claudeSubject(root: string): Promise<Subject> {
  const directory = join(root, "box", "inner");
  await replace(join(directory, ".credentials.json"), JSON.stringify({ claudeAiOauth: login }));
  const directories = { storage: directory, accountFile: join(root, ".claude.json"), confinement: confinedTo(join(root, "box")) };
  const store = new ClaudeCodeStore("claude-code:box", directories, environmentIn(root));
  return { store, profile: "claudeAiOauth", provider: null, directory };
}

async function jsonSubject(root: string): Promise<Subject> {
  const state = join(root, "box");
  const directory = join(state, "agents", "main", "agent");
  const profile = { type: "oauth", provider: "anthropic", access: "made-up-a", refresh: "made-up-r", expires: 4e12 };
  await replace(join(directory, "auth-profiles.json"), JSON.stringify({ version: 1, profiles: { "a:b": profile } }));
  const place = { file: "auth-profiles.json", confinement: confinedTo(state) } as const;
  const store = new OpenclawJsonStore("openclaw:main", directory, state, environmentIn(root), place);
  return { store, profile: "a:b", provider: "anthropic", directory };
}

async function sqliteSubject(root: string): Promise<Subject> {
  const state = await copyOpenclaw("2026.6.11", root);
  const directory = join(state, "agents", "ops", "agent");
  const path = join(directory, "openclaw-agent.sqlite");
  const options = { name: "openclaw:ops", path, layout: agentLayout, stateDirectory: state, confinement: confinedTo(state) };
  const store = new OpenclawSqliteStore(options, environmentIn(root));
  const { profiles } = await store.read();
  const oauth = profiles.find(({ content }) => content.kind === "credential" && content.credential.type === "oauth");
  return { store, profile: oauth?.id ?? "", provider: oauth?.provider ?? null, directory };
}

function patchOf({ profile, provider }: Subject): ProfilePatch {
  const secrets = { access: new Secret("made-up-new-a"), refresh: new Secret("made-up-new-r"), expiresAt: 4.1e12 };
  const credential = { type: "oauth", ...secrets, signInEndsAt: null, idToken: null, grant: null } as const;
  return { profile, provider, credential, create: false, account: null };
}

/** Puts a link to a copy of it in a directory's place. */
async function swap(directory: string, elsewhere: string): Promise<void> {
  await mkdir(dirname(elsewhere), { recursive: true });
  await rename(directory, elsewhere);
  await symlink(elsewhere, directory);
}

async function contents(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).sort();
  return Promise.all(names.map(async (name) => `${name} ${(await readFile(join(directory, name))).toString("base64")}`));
}

describe.each([
  ["Claude Code", claudeSubject],
  ["an OpenClaw's file", jsonSubject],
  ["an OpenClaw's database", sqliteSubject],
] as const)("the store of %s", (_what, open) => {
  test("is not written where its directory leads elsewhere since it was read, and nothing is made there", async () => {
    const root = await temporaryDirectory();
    const subject = await open(root);
    const { revision } = await subject.store.read(signal);
    const elsewhere = join(root, "elsewhere", "agent");
    await swap(subject.directory, elsewhere);
    const before = await contents(elsewhere);
    await expect(subject.store.write([patchOf(subject)], revision, signal)).rejects.toMatchObject({ code: "conflict" });
    expect(await contents(elsewhere)).toEqual(before);
  });

  test("is not read behind a link out of where it may be", async () => {
    const root = await temporaryDirectory();
    const { store, directory } = await open(root);
    await swap(directory, join(root, "elsewhere", "agent"));
    await expect(store.read(signal)).rejects.toMatchObject({ code: "permission" });
    await expect(store.read(signal)).rejects.toBeInstanceOf(StoreError);
  });

  test("is another place's as soon as a link is in it, and its own behind a link that its user made", async () => {
    const root = await temporaryDirectory();
    const { store, directory } = await open(root);
    expect(store.places()).toMatchObject([{ isItself: true }]);
    await swap(directory, join(root, "elsewhere", "agent"));
    expect(store.places()).toMatchObject([{ isItself: false }]);
  });
});

describe("a confinement (R16b)", () => {
  test("allows what is in its directories behind links, and nothing beside them", async () => {
    const root = await temporaryDirectory();
    await mkdir(join(root, "real"));
    await symlink("real", join(root, "link"));
    const confinement = new Confinement([join(root, "link"), join(root, "absent")], "x", () => "y");
    const allows = (...parts: string[]): boolean => confinement.refusalOf(join(root, ...parts), "it") === null;
    expect([allows("real"), allows("real", "a"), allows("absent", "a"), allows("really"), allows()]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe("the ways to a directory", () => {
  test("are the links to it, and what lies between it and the home", async () => {
    const home = await temporaryDirectory();
    await mkdir(join(home, "a", "b", "c"), { recursive: true });
    await symlink("a/b", join(home, "one"));
    await symlink("one/c", join(home, "two"));
    expect(linksTo(join(home, "two", "x"))).toEqual([join(home, "two"), join(home, "one")]);
    expect(waysTo(join(home, "two"), home)).toEqual([
      join(home, "two"),
      join(home, "one"),
      join(home, "a", "b", "c"),
      join(home, "a", "b"),
    ]);
    expect(waysTo(join(home, "a"), home)).toEqual([]);
    await rm(join(home, "one"));
    await symlink("one", join(home, "one"));
    expect(linksTo(join(home, "one")).length).toBe(40);
    expect(waysTo(join(home, "one"), home).length).toBe(40);
  });
});
