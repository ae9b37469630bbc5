import { chmod, lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { corpusFile } from "../support/corpus.js";
import { leaksIn } from "../support/marked-secret.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { HOUR_MS, replace, TemporaryHome } from "../support/temporary-home.js";

/** Stores with tokens where nobody expects them: behind the end, in keys, names, types and versions. */
const hostile = [
  "token-after-the-end",
  "token-without-quotes",
  "token-as-an-id",
  "token-as-a-provider",
  "text",
  "comment",
  "cut-off",
  "profiles-null",
  "version-text",
  "type-is-an-object",
  "access-twice",
] as const;
const agents = ["main", "work", "broken", "other", "token-in-a-key", "token-in-a-field", ...hostile];

/** Every command, in the ways that make it say most. */
const commands: readonly (readonly string[])[] = [
  ["sync", "--dry-run"],
  ["status"],
  ["status", "--check"],
  ["doctor"],
  ["history"],
  ["restore", "--list"],
  ["config", "show"],
  ["config", "check"],
  ["config", "path"],
  ["config", "schema"],
  ["completion", "bash"],
  ["set-active", "--provider", "openai", "--profile", "openai:key", "--dry-run"],
  ["set-active", "--provider", "openai", "--profile", "openai:key", "--agents", "{main,work}", "--copy-from", "work"],
  ["migrate", "--provider", "openai", "--from", "openai:key", "--to", "openai:late", "--agents", "work", "--remove-stale"],
  ["service", "print"],
  ["service", "install", "--dry-run"],
  ["service", "uninstall", "--dry-run"],
  ["service", "status"],
  ["service", "logs", "-n", "1"],
  ["sync"],
  ["sync", "--force", "openclaw:other"],
  ["adopt", "openclaw:main"],
  ["adopt", "openclaw:nobody"],
  ["restore", "--store", "openclaw:other", "--at", "2", "--yes"],
  ["config", "init", "--yes", "--config", "~/new.json5"],
  ["status", "--no-such-option"],
];

/** A home full of things that must stay secret: tokens, API keys, an e-mail address, broken files full of them. */
async function homeOfSecrets(): Promise<TemporaryHome> {
  const home = await TemporaryHome.create({ agents });
  const email = home.email("owner");
  await writeFile(home.at(".claude.json"), JSON.stringify({ oauthAccount: { accountUuid: "u-1", emailAddress: email } }));
  const profiles = {
    "anthropic:claude-cli": home.profile(0, { fields: { email } }),
    "anthropic:mine": home.profile(77, { fields: { email: home.email("somebody") } }),
    "openai:key": { type: "api_key", provider: "openai", key: home.token("key", 1) },
    "openai:late": { type: "apiKey", provider: "openai", apiKey: home.token("key", 2) },
    "google:token": { type: "token", provider: "google", token: home.token("token", 1), expires: Date.now() + HOUR_MS },
  };
  await replace(home.storeFile("work"), JSON.stringify({ version: 1, profiles }));
  await writeFile(home.storeFile("broken"), `${home.store(5)} ${home.token("access", 6)}`);
  await home.age(home.storeFile("broken"));
  await home.writeProfile("other", 60);
  const odd = [
    ...hostile.map((name) => ["held", name] as const),
    ["served", "token-in-a-key"],
    ["served", "token-in-a-field"],
  ] as const;
  for (const [directory, name] of odd) {
    await writeFile(home.storeFile(name), corpusFile(directory, `${name}.json`, home, 70));
    await home.age(home.storeFile(name));
  }
  return home;
}

/** A program of the user's, which keeps all that it is given and all that the system shows of it. */
async function witness(home: TemporaryHome, name: string): Promise<readonly string[]> {
  const path = home.at(name);
  const looks = `cat; for part in cmdline environ maps; do tr '\\0' '\\n' < /proc/$$/$part; done`;
  await writeFile(path, `#!/bin/sh\n{ ${looks}; echo witnessed "$@"; } >> '${home.at(`${name}.seen`)}' 2>&1\n`);
  await chmod(path, 0o700);
  return [path, "an argument"];
}

/** Returns everything of a process that anyone on the host may read, and that its user may read. */
async function visibleParts(pid: number): Promise<string> {
  const names = ["cmdline", "environ", "maps", "status", "comm"];
  return (await Promise.all(names.map((name) => readFile(`/proc/${String(pid)}/${name}`, "utf8")))).join("\n");
}

/** Credsyncd's own files, but for the backups, the journal and the key, which hold secrets by their purpose. */
async function ownFiles(home: TemporaryHome): Promise<string> {
  const entries = await readdir(home.stateDirectory, { recursive: true, withFileTypes: true });
  const texts: string[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    // An empty directory, which npm proper-lockfile makes and whose time is the heartbeat.
    if (entry.name === "run.lock.held") continue;
    const { mode } = await lstat(path);
    expect([path, (mode & 0o777).toString(8)]).toEqual([path, entry.isDirectory() ? "700" : "600"]);
    const isPrivate = /\/(?:backups|journal)$/.test(entry.parentPath) || entry.name === "key";
    if (entry.isFile() && !isPrivate) texts.push(entry.name, await readFile(path, "utf8"));
  }
  expect(texts).toEqual(expect.arrayContaining(["ledger.jsonl", "status.json", "run.lock", "alerts.json"]));
  return texts.join("\n");
}

describe("no part of a secret", () => {
  const secret = "0123456789abcdef";

  test("is found by looking for it where there is none", () => {
    expect(leaksIn("a harmless text", [secret])).toEqual([]);
    expect(leaksIn("a text with 456789a in it", [secret])).toEqual([]);
    expect(leaksIn(Buffer.from("a harmless text").toString("hex"), [secret])).toEqual([]);
  });

  test.each([
    ["as it is", "456789ab"],
    ["in hexadecimal", Buffer.from("456789ab").toString("hex")],
    ["in capital hexadecimal", Buffer.from("3456789ab").toString("hex").toUpperCase()],
    ["in base64", Buffer.from(secret).toString("base64")],
    ["in base64, shifted by one", Buffer.from(`x${secret}`).toString("base64")],
    ["in base64 for addresses, shifted by two", Buffer.from(`xy${secret}`).toString("base64url")],
  ])("is overlooked %s", (_how, text) => {
    expect(leaksIn(`a text with ${text} in it`, [secret])).not.toEqual([]);
  });

  test("is in what the daemon says, keeps, shows or hands to programs, whatever happens to the files", async ({ skip }) => {
    if (process.platform !== "linux") skip("reads /proc");
    const home = await homeOfSecrets();
    const names = ["alerts", "warm", "reload"] as const;
    const [alerts, warm, reload] = await Promise.all(names.map((name) => witness(home, name)));
    const metrics = home.at("metrics", "credsyncd.prom");
    await mkdir(home.at("metrics"), { mode: 0o700 });
    const config = {
      alerts: { command: alerts },
      keepWarm: { command: warm, before: "40000d" },
      reload: { openclaw: reload },
      metrics: { textfile: metrics },
    };
    await home.writeConfig(JSON.stringify(config));
    const daemon = await RunningDaemon.start(home, { args: ["-v"] });
    const visible = [await visibleParts(daemon.pid)];

    await home.writeLogin(2);
    await daemon.said("credential pushed", { reason: "rotation" });
    await home.writeProfile("main", 1);
    await daemon.said("drift corrected");
    await writeFile(home.loginFile, `${home.login(3)} ${home.token("refresh", 4)}`);
    await daemon.said("source unreadable");
    await home.writeLogin(3, { fields: { expiresAt: home.token("access", 9) } });
    await home.writeLogin(3, { fields: { accessToken: "", refreshToken: "", expiresAt: 0 } });
    await daemon.said("source logged out");
    await home.writeLogin(4);
    await writeFile(home.openclawConfig, `{ agents: { list: [ { id: "main", key: "${home.token("key", 3)}" `);
    await daemon.said("store error", { store: "openclaw" });
    await writeFile(home.openclawConfig, `{ agents: { list: { "${home.token("key", 6)}": 1 } } }`);
    await home.configureAgents(agents);
    await becomes(() => home.generationOf("main"), 4);
    for (const name of names)
      await becomes(async () => (await readFile(home.at(`${name}.seen`), "utf8")).includes("witnessed"), true);
    for (const text of [
      `{ "${home.token("key", 4)}": "${home.token("key", 5)}" `,
      `{ "${home.token("key", 7)}": 1 }`,
      `{ agents: { "${home.token("key", 8)}": "${home.token("key", 9)}" } }`,
    ]) {
      await home.writeConfig(text);
      daemon.signal("SIGHUP");
      await daemon.said("configuration not reloaded");
    }

    visible.push(await visibleParts(daemon.pid), await ownFiles(home), JSON.stringify(daemon.lines), daemon.stderr);
    for (const name of names) visible.push(await readFile(home.at(`${name}.seen`), "utf8"));
    visible.push(await readFile(metrics, "utf8"));
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(leaksIn(visible.join("\n"), home.secretParts)).toEqual([]);
    expect(await home.leaks()).toEqual([]);
    expect(daemon.lines.length).toBeGreaterThan(20);
  });

  test.each(["pretty", "journald", "json"])("is in a log that is %s, at any level", async (format) => {
    const home = await homeOfSecrets();
    for (const level of ["debug", "error"]) {
      await home.writeConfig(`{ log: { level: "${level}", format: "${format}" } }`);
      const daemon = RunningDaemon.launch(home, { isJson: false, variables: { JOURNAL_STREAM: "1:1" } });
      await becomes(async () => (await home.lookedAt()) !== null, true);
      await daemon.stop();
    }
    expect(home.spoken.join("\n").length).toBeGreaterThan(500);
    expect(await home.leaks()).toEqual([]);
  });

  test("is in what any command says, in words or as JSON, on success or failure", { timeout: 120_000 }, async () => {
    const home = await homeOfSecrets();
    const codes = new Set<number | null>();
    for (const command of commands) {
      for (const args of [
        [...command, "-v"],
        [...command, "--json"],
      ])
        codes.add((await credsyncd(home, args)).code);
    }
    await writeFile(home.loginFile, `{ "claudeAiOauth": "${home.token("access", 8)}" ${home.token("access", 9)}`);
    await home.age(home.loginFile);
    await home.writeConfig(`{ "${home.token("key", 7)}": { "${home.token("key", 8)}": 1 } }`);
    for (const command of [["config", "check"], ["config", "show"], ["doctor"], ["sync"]])
      codes.add((await credsyncd(home, command)).code);
    await home.remove(home.configFile);
    for (const command of [["sync"], ["status"], ["doctor"], ["status", "--check"]])
      codes.add((await credsyncd(home, command)).code);
    // Successes, refusals and troubles were among them.
    for (const code of [0, 1, 3, 64, 65, 69, 78]) expect(codes).toContain(code);
    expect(home.spoken.join("").length).toBeGreaterThan(20_000);
    expect(await home.leaks()).toEqual([]);
  });

  test("is looked for in every command that there is", async () => {
    const home = await TemporaryHome.create();
    const { stdout } = await credsyncd(home, ["man"]);
    const all = [...stdout.matchAll(/^\.SS credsyncd ([a-z\\ -]+)/gm)].map(([, name = ""]) => name.replaceAll("\\", "").trim());
    expect(all.length).toBeGreaterThan(15);
    // The daemon has a test of its own, and the demo a login of its own.
    const tried = commands.map((command) => command.join(" "));
    const untried = all.filter((name) => !["run", "demo"].includes(name) && !tried.some((each) => each.startsWith(name)));
    expect(untried).toEqual([]);
  });

  test("gets into a core dump of a service: its unit forbids them", async () => {
    const home = await TemporaryHome.create();
    const { stdout } = await credsyncd(home, ["service", "print"]);
    if (process.platform === "linux") expect(stdout).toMatch(/^LimitCORE=0$/m);
  });
});
