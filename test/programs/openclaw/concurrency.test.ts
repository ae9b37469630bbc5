import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { StoreError } from "../../../src/domain/errors.js";
import type { CredentialStore, StoreSnapshot } from "../../../src/domain/store.js";
import { OpenclawJsonStore } from "../../../src/programs/openclaw/json.js";
import { agentLayout, OpenclawSqliteStore } from "../../../src/programs/openclaw/sqlite.js";
import { environmentIn } from "../../support/environment.js";
import { copyOpenclaw } from "../../support/fixtures.js";
import { inDatabase } from "../../support/raw-database.js";
import { leaveFile } from "../../support/store-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { loginOf, patchFor } from "../contract.js";

const PEER = fileURLToPath(new URL("./peer.mjs", import.meta.url));
const signal = new AbortController().signal;
const ours = { profile: "anthropic:claude-cli", provider: "claude-cli" };

/** The other program counts up from here. */
const FIRST_EXPIRY = 1_700_000_000_000;

const TEXT = JSON.stringify({
  version: 1,
  profiles: {
    [ours.profile]: { type: "oauth", provider: ours.provider, access: "a", refresh: "r", expires: FIRST_EXPIRY },
    "anthropic:peer": { type: "oauth", provider: "anthropic", access: "a", refresh: "r", expires: FIRST_EXPIRY },
  },
});

interface Shared {
  readonly store: CredentialStore;
  /** The parameters of the other program. */
  readonly peer: { readonly path: string; readonly query: string | null; readonly update: string | null };
}

async function openFile(): Promise<Shared> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw("2026.5.28", home);
  const directory = join(stateDirectory, "agents", "ops", "agent");
  const store = new OpenclawJsonStore("openclaw:ops", directory, stateDirectory, environmentIn(home));
  await leaveFile(store.path, TEXT);
  return { store, peer: { path: store.path, query: null, update: null } };
}

async function openDatabase(): Promise<Shared> {
  const home = await temporaryDirectory();
  const stateDirectory = await copyOpenclaw("2026.9.6", home);
  const path = join(stateDirectory, "agents", "ops", "agent", "openclaw-agent.sqlite");
  const update = "UPDATE auth_profile_store SET store_json = ?, updated_at = 1 WHERE store_key = 'primary'";
  await inDatabase(path, (database) => database.prepare(update).run(TEXT));
  const environment = environmentIn(home);
  const store = new OpenclawSqliteStore({ name: "openclaw:ops", path, layout: agentLayout, stateDirectory }, environment);
  return { store, peer: { path, query: "SELECT store_json AS text FROM auth_profile_store", update } };
}

/** Starts another program that writes the store too. */
async function startPeer(orders: object): Promise<{ readonly ended: Promise<number | null> }> {
  const child = spawn(process.execPath, [PEER, JSON.stringify(orders)], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const ended = once(child, "exit").then(([code]) => code as number | null);
  await once(child.stdout, "data");
  return { ended };
}

/** Tries again what another program was in the way of. */
async function insist<Result>(action: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof StoreError) || !["locked", "conflict", "torn"].includes(error.code)) throw error;
    }
  }
}

function expiryIn({ profiles }: StoreSnapshot, profile: string): number {
  const content = profiles.find(({ id }) => id === profile)?.content;
  if (content?.kind !== "credential" || content.credential.type !== "oauth") throw new Error("the profile is gone");
  return content.credential.expiresAt ?? 0;
}

const pause = fc.integer({ min: 0, max: 4 });
const plan = fc.record({
  pauses: fc.array(pause, { minLength: 10, maxLength: 40 }),
  writes: fc.integer({ min: 10, max: 40 }),
  inPlace: fc.boolean(),
});

describe("a store that another program writes at the same time", () => {
  test.each([
    ["a file", openFile],
    ["a database", openDatabase],
  ] as const)("loses no write of either: %s", async (_what, open) => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ pauses, writes, inPlace }) => {
        const { store, peer } = await open();
        const { ended } = await startPeer({ ...peer, pauses, inPlace });
        let [ownExpiry, peerCount] = [FIRST_EXPIRY, FIRST_EXPIRY];
        for (let generation = 1; generation <= writes; generation++) {
          await insist(async () => {
            const before = await store.read(signal);
            expect(expiryIn(before, ours.profile)).toBe(ownExpiry);
            await store.write([patchFor(ours, loginOf(generation))], before.revision, signal);
          });
          ownExpiry = loginOf(generation).expires;
          const count = expiryIn(await store.read(signal), "anthropic:peer");
          expect(count).toBeGreaterThanOrEqual(peerCount);
          peerCount = count;
        }
        expect(await ended).toBe(0);
        const last = await store.read(signal);
        expect(expiryIn(last, "anthropic:peer")).toBe(FIRST_EXPIRY + pauses.length);
        expect(expiryIn(last, ours.profile)).toBe(ownExpiry);
      }),
      { numRuns: 3 },
    );
  });
});
