import { execFileSync, spawnSync } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Metrics, MetricsFile } from "../../src/daemon/metrics.js";
import { alertKinds } from "../../src/domain/alerts.js";
import { StoreError } from "../../src/domain/errors.js";
import { composeIn, rememberingLog } from "../support/composed-daemon.js";
import { becomes } from "../support/condition.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { endOf, PROFILE, TemporaryHome } from "../support/temporary-home.js";

/** Prometheus' own checker, where it is installed. */
const PROMTOOL = spawnSync("promtool", ["--version"]).status === 0;
const nothing = { alerts: new Map(), keepWarm: null };

interface Series {
  readonly types: ReadonlyMap<string, string>;
  /** By name and labels, as they stand. */
  readonly values: ReadonlyMap<string, number>;
}

/**
 * Reads the text format, refusing what it does not allow: https://prometheus.io/docs/instrumenting/exposition_formats/
 * A family stands together, with one HELP and one TYPE before its samples; no series stands twice.
 */
function parse(text: string): Series {
  expect(text.endsWith("\n")).toBe(true);
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  let family = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/.exec(line);
    const sample = /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)$/.exec(line);
    if (help !== null) {
      family = help[1] ?? "";
      expect(types.has(family)).toBe(false);
    } else if (type !== null) {
      expect(type[1]).toBe(family);
      types.set(family, type[2] ?? "");
    } else {
      const [, name = "", labels = "", value = ""] = sample ?? [];
      expect(line, "a sample").toMatch(/^\w/);
      const suffixes = types.get(family) === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
      expect(suffixes.map((suffix) => family + suffix)).toContain(name);
      expect(values.has(name + labels)).toBe(false);
      expect(Number.isFinite(Number(value))).toBe(true);
      values.set(name + labels, Number(value));
    }
  }
  return { types, values };
}

describe("the metrics", () => {
  test("count what was done and tell what is so", async () => {
    const home = await TemporaryHome.create({ agents: ["main", "work", "held"] });
    await home.writeProfile("work", 0);
    await home.writeProfile("held", 7);
    const { reconcile } = await composeIn(home);
    const metrics = new Metrics(1_700_000_000_000);
    metrics.observe(await reconcile());
    metrics.observe(await reconcile());
    metrics.observeFailure();
    const alerts = new Map([["target-newer", 1]] as const);
    const text = metrics.render({ alerts, keepWarm: { renewed: 3, unchanged: 1 } });
    const { types, values } = parse(text);
    const tellsOf = (name: string): unknown => values.get(name);
    expect({
      changed: tellsOf('credsyncd_sync_total{result="changed"}'),
      unchanged: tellsOf('credsyncd_sync_total{result="unchanged"}'),
      failed: tellsOf('credsyncd_sync_total{result="failed"}'),
      written: tellsOf('credsyncd_writes_total{result="written"}'),
      durations: tellsOf("credsyncd_write_duration_seconds_count"),
      slowest: tellsOf('credsyncd_write_duration_seconds_bucket{le="+Inf"}'),
      rotations: tellsOf("credsyncd_rotations_total"),
      expiry: tellsOf('credsyncd_credential_expiry_timestamp_seconds{store="claude-code",profile="claudeAiOauth"}'),
      signIn: tellsOf('credsyncd_sign_in_end_timestamp_seconds{store="claude-code",profile="claudeAiOauth"}'),
      work: tellsOf('credsyncd_store_in_sync{store="openclaw:work"}'),
      held: tellsOf('credsyncd_store_in_sync{store="openclaw:held"}'),
      drift: tellsOf("credsyncd_drift_stores"),
      inSync: tellsOf('credsyncd_stores{state="in-sync"}'),
      alert: tellsOf('credsyncd_alerts{kind="target-newer"}'),
      warm: tellsOf('credsyncd_keep_warm_runs_total{result="renewed"}'),
    }).toEqual({
      changed: 1,
      unchanged: 1,
      failed: 1,
      written: 1,
      durations: 1,
      slowest: 1,
      rotations: 1,
      expiry: endOf(1) / 1000,
      signIn: endOf(1000) / 1000,
      work: 1,
      held: 0,
      drift: 1,
      inSync: 2,
      alert: 1,
      warm: 3,
    });
    for (const [name, type] of types) {
      expect(name).toMatch(/^credsyncd_[a-z_]+$/);
      expect(name.endsWith("_total")).toBe(type === "counter");
    }
    expect([...values.keys()].filter((name) => name.startsWith("credsyncd_alerts"))).toHaveLength(alertKinds.length);
    if (PROMTOOL) execFileSync("promtool", ["check", "metrics"], { input: text, stdio: ["pipe", "pipe", "inherit"] });
  });

  test("name no e-mail and no fingerprint, and still tell profiles apart", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const [anna, bert] = ["anna@example.com", "bert@example.com"];
    await home.writeConfig(`{ targets: [{ kind: "claude-code", dir: ${JSON.stringify(home.at(anna))}, share: "full" },
      { kind: "claude-code", dir: ${JSON.stringify(home.at(bert))}, share: "full" }] }`);
    const { reconcile } = await composeIn(home);
    const metrics = new Metrics(0);
    const result = await reconcile();
    metrics.observe(result);
    const text = metrics.render(nothing);
    expect(text).not.toContain("@");
    for (const { generation } of result.ledger.placements.values()) expect(text).not.toContain(generation.slice(0, 6));
    const stores = [...parse(text).values.keys()].filter((name) => name.startsWith("credsyncd_store_in_sync"));
    expect(stores).toHaveLength(2);
    expect(stores.join(" ")).toMatch(/account-1.*account-2/);
  });

  test("count no write that was put off", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const { reconcile } = await composeIn(home);
    const metrics = new Metrics(0);
    const error = new StoreError("locked", "it is held", "it is tried again");
    const result = await reconcile();
    metrics.observe({
      ...result,
      writes: [{ store: "openclaw:main", profiles: [], error, postponed: true, waiting: false, durationMs: 0 }],
    });
    const { values } = parse(metrics.render(nothing));
    expect(values.get('credsyncd_sync_total{result="unchanged"}')).toBe(1);
    expect(values.get('credsyncd_writes_total{result="failed"}')).toBe(0);
  });

  test("before the first scan are well-formed, too", () => {
    const text = new Metrics(0).render(nothing);
    expect(parse(text).values.get("credsyncd_start_time_seconds")).toBe(0);
  });
});

describe("the sample rules and the sample dashboard", () => {
  test("ask for metrics that there are, each by its name", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const metrics = new Metrics(1_700_000_000_000);
    metrics.observe(await (await composeIn(home)).reconcile());
    const { values } = parse(metrics.render(nothing));
    const names = new Set([...values.keys()].map((key) => key.replace(/\{.*/, "")));
    const read = (name: string): Promise<string> => readFile(new URL(`../../deploy/${name}`, import.meta.url), "utf8");
    const rules = [...(await read("prometheus-alerts.yml")).matchAll(/^ +expr: (.+)$/gm)].map(([, expr]) => expr ?? "");
    const { panels } = JSON.parse(await read("grafana-dashboard.json")) as { panels: { targets: { expr: string }[] }[] };
    const expressions = [...rules, ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))];
    expect(expressions.length).toBeGreaterThan(12);
    for (const expression of expressions) {
      const asked = expression.match(/credsyncd_\w+/g) ?? [];
      // Functions drop the name: the series of several at once would look the same, which Prometheus refuses.
      expect(expression).not.toContain("__name__");
      expect(asked, expression).not.toEqual([]);
      for (const name of asked) expect(names, expression).toContain(name);
    }
  });

  test.skipIf(!PROMTOOL)("are what promtool accepts", () => {
    const rules = fileURLToPath(new URL("../../deploy/prometheus-alerts.yml", import.meta.url));
    execFileSync("promtool", ["check", "rules", rules], { stdio: ["ignore", "pipe", "inherit"] });
  });
});

describe("the metrics file", () => {
  test("can be read by others, whatever the daemon's umask, and is replaced whole", async () => {
    const home = await TemporaryHome.create({ agents: ["main"] });
    const path = home.at("credsyncd.prom");
    await home.writeConfig(`{ metrics: { textfile: ${JSON.stringify(path)} } }`);
    const before = process.umask(0o077);
    const daemon = await RunningDaemon.start(home);
    process.umask(before);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    const { ino } = await stat(path);
    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    const expiry = `credsyncd_credential_expiry_timestamp_seconds{store="claude-code",profile="claudeAiOauth"} ${String(endOf(2) / 1000)}`;
    await becomes(async () => (await readFile(path, "utf8")).includes(expiry), true);
    expect((await stat(path)).ino).not.toBe(ino);
    expect(await home.generationOf("main", PROFILE)).toBe(2);
  });

  test("that cannot be written is said once, and stops nothing", async () => {
    const home = await TemporaryHome.create();
    const { log, lines } = rememberingLog(home);
    const file = new MetricsFile(home.at("nowhere", "credsyncd.prom"), log);
    await file.write("x");
    await file.write("x");
    expect(lines).toMatchObject([{ msg: "metrics not written", reason: "ENOENT" }]);
    await home.makeDirectory(home.at("nowhere"));
    await file.write("y\n");
    expect(await readFile(home.at("nowhere", "credsyncd.prom"), "utf8")).toBe("y\n");
  });
});
