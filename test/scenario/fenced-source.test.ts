import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { fenced } from "../support/openclaw-fence.js";
import { openclawHome, type OpenclawHands, type OpenclawHome } from "../support/openclaw-home.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { endOf, PROFILE } from "../support/temporary-home.js";
import { readIfPresent } from "../support/store-file.js";

type Json = Readonly<Record<string, unknown>>;

const MARGIN_MS = 300_000;
const LOST = "source-refresh-failed";

interface Situation extends OpenclawHome {
  readonly source: OpenclawHands;
  readonly agents: readonly OpenclawHands[];
  /** The login file of the Claude Code directory that follows. */
  readonly follower: string;
}

/** An OpenClaw as the source, whose agents hold the same login, and a Claude Code directory that follows it. */
async function fencingSource(): Promise<Situation> {
  const openclaw = await openclawHome("2026.9.6");
  const { home, stores, store } = openclaw;
  const directory = home.at("box");
  await mkdir(directory);
  await copyFile(home.loginFile, `${directory}/.credentials.json`);
  await home.writeConfig(
    `{ source: { kind: "openclaw", profile: "${PROFILE}" }, targets: [{ kind: "openclaw" }, { kind: "claude-code", dir: "${directory}", share: "full" }] }`,
  );
  const source = store("openclaw:shared");
  const agents = stores.filter((each) => each !== source);
  return { ...openclaw, source, agents, follower: `${directory}/.credentials.json` };
}

/** OpenClaw's refresh of what these stores hold fails, and it erases the tokens. */
async function failRefresh(stores: readonly OpenclawHands[]): Promise<void> {
  for (const store of stores) {
    const entry = await store.readProfile();
    if (entry !== null) await store.writeProfile(fenced(entry, { profile: PROFILE, failed: true }));
  }
}

/** A profile without its refresh token. */
function alone(profile: Json, expires: number): Json {
  return { ...Object.fromEntries(Object.entries(profile).filter(([name]) => name !== "refresh")), expires };
}

function bare({ home }: OpenclawHome, generation: number, marginMs = 0): Json {
  return alone(home.profile(generation), endOf(generation) + marginMs);
}

async function profiles(stores: readonly OpenclawHands[]): Promise<unknown[]> {
  return Promise.all(stores.map((store) => store.readProfile()));
}

interface Status {
  readonly source: Json;
  readonly alerts: readonly Json[];
}

async function statusOf({ home }: OpenclawHome): Promise<Status> {
  return JSON.parse((await credsyncd(home, ["status", "--json"])).stdout) as Status;
}

async function sync({ home }: OpenclawHome, ...args: readonly string[]) {
  const { code, stdout } = await credsyncd(home, ["sync", "--json", ...args]);
  return { code, ...(JSON.parse(stdout) as { readonly source: Json; readonly writes: readonly Json[] }) };
}

describe("a source whose program failed to refresh it, and erased it everywhere", () => {
  test("is given its access token back by the daemon, as are the agents; nothing is taken from who still has it", async () => {
    const openclaw = await fencingSource();
    const { home, stores, source, agents, follower } = openclaw;
    const daemon = await RunningDaemon.start(home);
    const whole = await readIfPresent(follower);
    expect(whole).toContain(home.profile(1)["refresh"]);
    await failRefresh(stores);
    await daemon.said("source put back", { store: "openclaw:shared", share: "access-only" });
    const said = await daemon.said("source refresh failed", { level: "error", reason: LOST });
    expect(said["hint"]).toContain("openclaw configure");
    expect(said["hint"]).toContain("credsyncd sync --force openclaw:shared");
    for (const agent of agents) await becomes(() => agent.readProfile(), bare(openclaw, 1));
    expect(await source.readProfile()).toEqual(bare(openclaw, 1, MARGIN_MS));
    expect(await readIfPresent(follower)).toBe(whole);

    const { source: status, alerts } = await statusOf(openclaw);
    expect(status).toMatchObject({ reason: LOST, expiresAt: new Date(endOf(1)).toISOString() });
    expect(status["generation"]).toMatch(/^g1:/);
    expect(status["explanation"]).toContain("credsyncd restores the access token only");
    expect(status["hint"]).toContain("openclaw configure");
    expect(alerts).toContainEqual(
      expect.objectContaining({ kind: "suspect", severity: "error", store: "openclaw:shared" }) as unknown,
    );
    expect((await credsyncd(home, ["status", "--check"])).code).not.toBe(0);

    daemon.signal("SIGKILL");
    await daemon.ended;
    const before = await Promise.all(stores.map((store) => store.updatedAt()));
    const next = RunningDaemon.launch(home);
    await next.said("source refresh failed", { reason: LOST });
    expect(await sync(openclaw)).toMatchObject({ code: 3, writes: [], source: { state: LOST } });
    expect(await Promise.all(stores.map((store) => store.updatedAt()))).toEqual(before);

    await source.writeProfile(home.profile(3));
    await next.said("resolved", { about: `openclaw:shared ${PROFILE}` });
    expect(await profiles(stores)).toEqual(stores.map(() => home.profile(3)));
    expect((await statusOf(openclaw)).source).toMatchObject({ reason: null });
    expect(next.lines.filter(({ msg }) => msg === "source refresh failed")).toHaveLength(1);
    expect([...daemon.lines, ...next.lines].map(({ msg }) => msg)).not.toContain("live login suspect");
  });

  test("is given all of it by an order, and the access token alone when that fails, too", async () => {
    const openclaw = await fencingSource();
    const { home, stores, source } = openclaw;
    await sync(openclaw);
    await failRefresh(stores);
    expect(await sync(openclaw)).toMatchObject({ source: { state: LOST } });
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await sync(openclaw, "--force", "openclaw:shared")).toMatchObject({ source: { state: "suspect" } });
      expect(await source.readProfile()).toEqual(home.profile(1));
      expect(await sync(openclaw)).toMatchObject({ writes: [], source: { state: "suspect" } });
      await failRefresh([source]);
      expect(await sync(openclaw)).toMatchObject({ source: { state: LOST } });
      expect(await source.readProfile()).toEqual(bare(openclaw, 1, MARGIN_MS));
    }
  });

  test("where the write was done and its record lost in a crash, is known for what it is", async () => {
    const openclaw = await fencingSource();
    const { stores, source } = openclaw;
    await sync(openclaw);
    // It is under way, so that no more than the mark is recorded.
    const entry = await source.readProfile();
    await source.writeProfile(fenced(entry ?? {}, { profile: PROFILE, failed: false }));
    expect(await sync(openclaw)).toMatchObject({ writes: [], source: { state: "source-refreshing" } });
    await source.writeProfile(bare(openclaw, 1, MARGIN_MS));
    expect(await sync(openclaw)).toMatchObject({ source: { state: LOST } });
    const settled = await profiles(stores);
    expect(await sync(openclaw)).toMatchObject({ writes: [], source: { state: LOST } });
    expect(await profiles(stores)).toEqual(settled);
  });

  test("is put back once; a mark that comes again stays, and is reported", async () => {
    const openclaw = await fencingSource();
    const { source, stores } = openclaw;
    await sync(openclaw);
    await failRefresh(stores);
    const mark = await source.readProfile();
    await sync(openclaw);
    expect(await source.readProfile()).toEqual(bare(openclaw, 1, MARGIN_MS));
    await source.writeProfile(mark ?? {});
    expect(await sync(openclaw)).toMatchObject({ code: 69, writes: [], source: { state: LOST } });
    expect(await source.readProfile()).toEqual(mark);
  });

  test("is not put back where it had gone on to a login that was never seen", async () => {
    const openclaw = await fencingSource();
    const { home, source } = openclaw;
    await sync(openclaw);
    await source.writeProfile(fenced(home.profile(2), { profile: PROFILE, failed: true }));
    const mark = await source.readProfile();
    expect(await sync(openclaw)).toMatchObject({ writes: [], source: { state: LOST } });
    expect(await source.readProfile()).toEqual(mark);
  });

  test.each([
    ["and its access token was put back", 69, "unreadable", "becomes-live", (openclaw: Situation) => sync(openclaw)],
    // The agents' marks still name it.
    ["and the mark of that still stands there", 69, LOST, "suspect", () => Promise.resolve()],
  ])("has a hint how to put all of it back after the ledger was lost, %s", async (_when, code, state, after, before) => {
    const openclaw = await fencingSource();
    const { home, source, stores } = openclaw;
    await sync(openclaw);
    await failRefresh(stores);
    await before(openclaw);
    await rm(join(home.stateDirectory, "ledger.jsonl"));
    const told = await sync(openclaw);
    expect(told).toMatchObject({ code, writes: [], source: { state } });
    expect(told.source["hint"]).toContain("credsyncd restore --store openclaw:shared --list");
    expect((await statusOf(openclaw)).source["hint"]).toBe(told.source["hint"]);
    const list = await credsyncd(home, ["restore", "--store", "openclaw:shared", "--list", "--json"]);
    const [copy] = (JSON.parse(list.stdout) as { backups: readonly Json[] }).backups;
    await credsyncd(home, ["restore", "--store", "openclaw:shared", "--at", String(copy?.["at"]), "--yes"]);
    expect(await source.readProfile()).toEqual(home.profile(1));
    expect(await sync(openclaw)).toMatchObject({ source: { state: after } });
  });

  test("is given the newest access token of its login, of which the refresh token stayed the same", async () => {
    const openclaw = await fencingSource();
    const { home, source, stores } = openclaw;
    await sync(openclaw);
    const reissued: Json = { ...home.profile(1), access: home.token("access", 2), expires: endOf(2) };
    await source.writeProfile(reissued);
    await sync(openclaw);
    await failRefresh(stores);
    await sync(openclaw);
    expect(await source.readProfile()).toEqual(alone(reissued, endOf(2) + MARGIN_MS));
  });
});

describe("a source that its program marked without asking a server, while another row has the login unmarked", () => {
  test("is given all of it back, nothing is taken from anyone, and nothing is suspect", async () => {
    const openclaw = await fencingSource();
    const { home, source, stores } = openclaw;
    await sync(openclaw);
    await failRefresh([source]);
    expect(await sync(openclaw)).toMatchObject({ code: 0, source: { state: "restores" } });
    expect(await profiles(stores)).toEqual(stores.map(() => home.profile(1)));
    expect(await sync(openclaw)).toMatchObject({ code: 0, writes: [], source: { state: "live" } });
    const { alerts } = await statusOf(openclaw);
    expect(alerts.map(({ kind }) => kind)).not.toContain("suspect");
  });

  test("is given it back, however often", async () => {
    const openclaw = await fencingSource();
    const { home, source } = openclaw;
    await sync(openclaw);
    for (let times = 0; times < 3; times++) {
      await failRefresh([source]);
      expect(await sync(openclaw)).toMatchObject({ code: 0, source: { state: "restores" } });
      expect(await source.readProfile()).toEqual(home.profile(1));
    }
  });

  test("is given it from that row, where credsyncd never saw the source before", async () => {
    const openclaw = await fencingSource();
    const { home, source, stores } = openclaw;
    await failRefresh([source]);
    expect(await sync(openclaw)).toMatchObject({ code: 0, source: { state: "adopts" } });
    expect(await profiles(stores)).toEqual(stores.map(() => home.profile(1)));
    expect(await sync(openclaw)).toMatchObject({ code: 0, writes: [], source: { state: "live" } });
  });
});
