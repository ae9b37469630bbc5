import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { Credential } from "../../../src/domain/credential.js";
import { Secret } from "../../../src/domain/secret.js";
import type { CredentialStore, ProfileContent, ProfilePatch } from "../../../src/domain/store.js";
import { OpenclawJsonStore } from "../../../src/programs/openclaw/json.js";
import { agentLayout, OpenclawSqliteStore, sharedLayout } from "../../../src/programs/openclaw/sqlite.js";
import { environmentIn } from "../../support/environment.js";
import { copyOpenclaw, type OpenclawVersion } from "../../support/fixtures.js";
import { fenced } from "../../support/openclaw-fence.js";
import { OpenclawHands } from "../../support/openclaw-home.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { failureOf } from "../contract.js";

const signal = new AbortController().signal;
const PROFILE = "anthropic:claude";
/** The refresh token that the fixtures' agents had before the fence. */
const SPENT = "sk-ant-ort01-FAKE-FENCEREF-00000001";
const ENTRY = { type: "oauth", provider: "anthropic", access: "a-of-entry", refresh: "r-of-entry", expires: 5, email: "e@x" };

type Fence = Extract<ProfileContent, { kind: "fence" }>;

interface Subject {
  readonly store: CredentialStore;
  readonly hands: OpenclawHands;
}

async function openSqlite(file: string, version: OpenclawVersion = "2026.9.6"): Promise<Subject> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw(version, home);
  const layout = file.startsWith("state/") ? sharedLayout : agentLayout;
  const options = { name: "openclaw:one", path: `${stateDirectory}/${file}`, layout, stateDirectory };
  return {
    store: new OpenclawSqliteStore(options, environmentIn(home)),
    hands: new OpenclawHands(options.name, options.path, layout),
  };
}

async function openJson(): Promise<Subject> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw("2026.5.28", home);
  const store = new OpenclawJsonStore("openclaw:one", `${stateDirectory}/agents/ops/agent`, stateDirectory, environmentIn(home));
  return { store, hands: new OpenclawHands(store.name, store.path, null) };
}

const places: readonly (readonly [string, () => Promise<Subject>])[] = [
  ["a JSON store", openJson],
  ["an agent's database", () => openSqlite("agents/ops/agent/openclaw-agent.sqlite")],
  ["the shared store of 2026.6.11", () => openSqlite("agents/main/agent/openclaw-agent.sqlite", "2026.6.11")],
  ["the shared store of 2026.9.6", () => openSqlite("state/openclaw.sqlite")],
];

async function fixture(name: string): Promise<Record<string, unknown>> {
  const path = fileURLToPath(new URL(`../../fixtures/openclaw/2026.9.5-fences/${name}.json`, import.meta.url));
  return JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
}

async function contentOf({ store }: Subject): Promise<ProfileContent | undefined> {
  return (await store.read(signal)).profiles.find(({ id }) => id === PROFILE)?.content;
}

async function readFenced(subject: Subject): Promise<Fence> {
  const content = await contentOf(subject);
  if (content?.kind !== "fence") throw new Error(`it holds no fence: ${content?.kind ?? "nothing"}`);
  return content;
}

function patchOf(share: "full" | "access-only"): ProfilePatch {
  const credential: Credential = {
    type: "oauth",
    access: new Secret("a-live"),
    refresh: share === "full" ? new Secret("r-live") : null,
    expiresAt: 1_900_000_000_000,
    signInEndsAt: null,
    idToken: null,
    grant: null,
  };
  return { profile: PROFILE, provider: "anthropic", credential, create: false, account: null };
}

describe.each(places)("a fenced profile in %s", (_place, open) => {
  test.each(["pending", "failed"])(
    "as a real OpenClaw leaves it (%s) names the refresh token that is being spent",
    async (state) => {
      const fences: Fence[] = [];
      for (const agent of ["work", "ops"]) {
        const subject = await open();
        await subject.hands.writeSet(
          (await fixture(`${state}-${agent}`)) as { profiles: Record<string, Record<string, unknown>> },
        );
        fences.push(await readFenced(subject));
      }
      expect(fences.map(({ failed }) => failed)).toEqual([state === "failed", state === "failed"]);
      expect(new Set(fences.map(({ claim }) => claim)).size).toBe(1);
      for (const { spends } of fences) {
        expect(spends(new Secret(SPENT))).toBe(true);
        for (const other of [SPENT.replace("REF", "ACC"), `${SPENT} `, "", SPENT.slice(0, -1)])
          expect(spends(new Secret(other))).toBe(false);
      }
      expect(inspect(fences, { depth: null })).not.toContain("FAKE");
    },
  );

  test("names it together with the profile and its provider", async () => {
    const subject = await open();
    await subject.hands.writeProfile(fenced({ ...ENTRY, provider: "claude-cli" }, { profile: PROFILE, failed: true }), PROFILE);
    expect((await readFenced(subject)).spends(new Secret("r-of-entry"))).toBe(true);
    await subject.hands.writeProfile(
      { ...fenced({ ...ENTRY, provider: "claude-cli" }, { profile: PROFILE, failed: true }), provider: "anthropic" },
      PROFILE,
    );
    expect((await readFenced(subject)).spends(new Secret("r-of-entry"))).toBe(false);
    await subject.hands.writeProfile(fenced(ENTRY, { profile: "anthropic:other", failed: true }), PROFILE);
    expect((await readFenced(subject)).spends(new Secret("r-of-entry"))).toBe(false);
  });

  const whole = fenced(ENTRY, { profile: PROFILE, failed: false });
  const failed = fenced(ENTRY, { profile: PROFILE, failed: true });
  const other = fenced(ENTRY, { profile: PROFILE, failed: false, claim: "f".repeat(32) });
  test.each<[string, Record<string, unknown>]>([
    ["of a later version", { ...whole, refresh: String(whole["refresh"]).replace(":v1:", ":v2:") }],
    ["of two claims", { ...whole, refresh: other["refresh"] }],
    ["half failed", { ...whole, refresh: failed["refresh"] }],
    ["in the place of the access token only", { ...whole, refresh: "r-of-entry" }],
    ["in the place of the refresh token only", { ...whole, access: "a-of-entry" }],
    ["without a refresh token", { ...whole, refresh: undefined }],
    ["in each other's places", { ...whole, access: whole["refresh"], refresh: whole["access"] }],
    ["cut short", { ...whole, refresh: String(whole["refresh"]).slice(0, -1) }],
    ["in capitals", { ...whole, refresh: String(whole["refresh"]).slice(0, -64) + "A".repeat(64) }],
  ])("with marks %s is no credential and no logout", async (_what, entry) => {
    const subject = await open();
    await subject.hands.writeProfile(entry, PROFILE);
    expect(await contentOf(subject)).toEqual({
      kind: "incomplete",
      reason: "it holds a refresh marker in a form that is not known",
    });
  });

  test.each(["full", "access-only"] as const)(
    "receives a login, %s, instead of its marks, and its cooldown ends",
    async (share) => {
      const subject = await open();
      await subject.hands.writeSet((await fixture("failed-work")) as { profiles: Record<string, Record<string, unknown>> });
      await subject.hands.writeNotes(await fixture("failed-work-state"));
      const { revision } = await subject.store.read(signal);
      await subject.store.write([patchOf(share)], revision, signal);
      expect(await subject.hands.readProfile(PROFILE)).toEqual({
        type: "oauth",
        provider: "anthropic",
        email: "fence@example.com",
        access: "a-live",
        ...(share === "full" ? { refresh: "r-live" } : {}),
        expires: 1_900_000_000_000,
      });
      expect(await subject.hands.readNotes()).toEqual({
        version: 1,
        usageStats: { [PROFILE]: { lastFailureAt: 1795256808144 } },
      });
    },
  );

  test("is not written when its program began to refresh after it was read", async () => {
    const subject = await open();
    await subject.hands.writeProfile(failed, PROFILE);
    const { revision } = await subject.store.read(signal);
    await subject.hands.writeProfile(other, PROFILE);
    expect((await failureOf(subject.store.write([patchOf("full")], revision, signal))).code).toBe("conflict");
    expect(await subject.hands.readProfile(PROFILE)).toEqual(other);
  });
});
