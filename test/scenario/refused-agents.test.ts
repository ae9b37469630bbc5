import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { openclawHome, type OpenclawHome } from "../support/openclaw-home.js";
import { inDatabase } from "../support/raw-database.js";
import { HOUR_MS, PROFILE } from "../support/temporary-home.js";

const USED = "anthropic:default";
const REFUSED = "OpenClaw refuses every command of this agent";

interface Status {
  readonly stores: readonly { readonly store: string; readonly error: string | null; readonly hint: string | null }[];
  readonly inherits: readonly { readonly store: string }[];
}

async function statusOf({ home }: OpenclawHome): Promise<Status> {
  return JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Status;
}

/** The shared store alone has a login, which follows; the agent `work` has a file of a former version. */
async function withOldFile(version: "2026.6.11" | "2026.9.6", profiles: object): Promise<OpenclawHome> {
  const openclaw = await openclawHome(version, { generation: 1 });
  const { home } = openclaw;
  for (const store of openclaw.stores) {
    const isOwner = store.name === "openclaw:shared" || store.name === "openclaw:main";
    await store.writeSet({ version: 1, profiles: isOwner ? { [USED]: home.profile(1) } : {} });
  }
  await writeFile(home.storeFile("work"), JSON.stringify({ version: 1, profiles }));
  return openclaw;
}

describe("an agent with a file that OpenClaw has not taken over", () => {
  test.each(["an empty row", "no row", "no database"])("beside %s is no agent in sync", async (beside) => {
    const openclaw = await withOldFile("2026.9.6", {});
    const work = openclaw.store("openclaw:work");
    if (beside === "no row") await work.removeRow();
    if (beside === "no database") for (const end of ["", "-wal", "-shm"]) await rm(`${work.path}${end}`, { force: true });
    const synced = await credsyncd(openclaw.home, ["sync"]);
    expect(synced.code).toBe(3);
    expect(synced.stdout).toContain(`openclaw:work: ${REFUSED}`);
    const { stores, inherits } = await statusOf(openclaw);
    const status = stores.find(({ store }) => store === "openclaw:work");
    expect(status?.error).toContain(openclaw.home.storeFile("work"));
    expect(status?.hint).toContain("openclaw doctor --fix");
    expect(inherits.map(({ store }) => store)).not.toContain("openclaw:work");
    expect((await credsyncd(openclaw.home, ["status", "--check"])).code).toBe(3);
    const { code, stdout } = await credsyncd(openclaw.home, ["doctor"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(new RegExp(`error +stores: openclaw:work: ${REFUSED}[^]*openclaw doctor --fix`));
  });

  test("is refused for an auth.json, too", async () => {
    const openclaw = await withOldFile("2026.9.6", {});
    await rename(openclaw.home.storeFile("work"), join(dirname(openclaw.home.storeFile("work")), "auth.json"));
    await openclaw.store("openclaw:work").removeRow();
    const synced = await credsyncd(openclaw.home, ["sync"]);
    expect(synced.code).toBe(3);
    expect(synced.stdout).toMatch(new RegExp(`openclaw:work: ${REFUSED}.*auth[.]json`));
  });

  test("takes those with it that inherit from it, whatever they have of their own", async () => {
    const openclaw = await withOldFile("2026.9.6", {});
    const { home } = openclaw;
    await inDatabase(join(home.at(".openclaw", "state"), "openclaw.sqlite"), (database) => {
      database.exec("DELETE FROM config_machine_state WHERE state_key = 'auth.sharedStore'");
    });
    await openclaw.store("openclaw:ops").writeProfile(home.profile(1), USED);
    await openclaw.store("openclaw:work").writeProfile(home.profile(1), USED);
    await mkdir(dirname(home.storeFile("main")), { recursive: true });
    await writeFile(home.storeFile("main"), JSON.stringify({ version: 1, profiles: {} }));
    const { stdout } = await credsyncd(home, ["sync"]);
    for (const agent of ["main", "ops", "work"]) expect(stdout).toContain(`openclaw:${agent}: ${REFUSED}`);
  });

  test("beside a profile of its own is served: the file is dead bytes", async () => {
    const openclaw = await withOldFile("2026.9.6", {});
    await openclaw.store("openclaw:work").writeProfile(openclaw.home.profile(1), USED);
    expect((await credsyncd(openclaw.home, ["sync"])).stdout).not.toContain(REFUSED);
  });

  test("is served by versions that ignore the file", async () => {
    const openclaw = await withOldFile("2026.6.11", {});
    expect((await credsyncd(openclaw.home, ["sync"])).stdout).not.toContain(REFUSED);
    expect((await statusOf(openclaw)).stores.every(({ error }) => error === null)).toBe(true);
  });
});

describe("doctor", () => {
  test("names an expired access token that hides a valid shared login", async () => {
    const openclaw = await withOldFile("2026.9.6", {});
    const { home } = openclaw;
    await home.writeConfig(`{ agents: { ops: "pinned" } }`);
    const fields = { refresh: "", expires: Date.now() - HOUR_MS };
    await openclaw.store("openclaw:ops").writeProfile(home.profile(0, { fields }), USED);
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).toMatch(/warning +hidden-login: openclaw:ops anthropic:default has expired.*openclaw:shared/);
  });

  test("names an own copy and an unused profile that openclaw doctor --fix deletes", async () => {
    const openclaw = await withOldFile("2026.9.6", {});
    const { home } = openclaw;
    await openclaw.store("openclaw:ops").writeProfile(home.profile(1), USED);
    await openclaw.store("openclaw:ops").writeProfile(home.profile(1), PROFILE);
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).toMatch(/info +own-copies: openclaw:ops anthropic:default.*openclaw doctor --fix deletes it/);
    expect(stdout).toMatch(/unused: openclaw:ops anthropic:claude-cli.*\n.*openclaw doctor --fix deletes it/);
  });

  test("names a deleted agent whose directory is in the trash with its tokens", async () => {
    const openclaw = await openclawHome("2026.9.6");
    const { home } = openclaw;
    const place = home.at(".Trash", ".fs-safe-trash-1", "agent");
    await mkdir(home.at(".Trash", ".fs-safe-trash-1"), { recursive: true });
    await rename(home.agentDirectory("ops"), place);
    const { stdout } = await credsyncd(home, ["doctor"]);
    expect(stdout).toContain(`trash: ${place} has the logins of an agent that was deleted`);
    expect(await home.leaks()).toEqual([]);
  });
});
