import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { becomes } from "../support/condition.js";
import { leaksIn } from "../support/marked-secret.js";
import { RunningDaemon } from "../support/running-daemon.js";
import { HOUR_MS, replace, TemporaryHome } from "../support/temporary-home.js";

const agents = ["main", "work", "broken", "other"];

/** Every command that looks at a login, in words and for a script. */
const commands: readonly (readonly string[])[] = [
  ["sync", "--dry-run", "-v"],
  ["status", "-v"],
  ["status", "--check"],
  ["history"],
  ["restore", "--list"],
  ["config", "show"],
  ["sync", "-v"],
  ["sync", "--force", "openclaw:other"],
  ["adopt", "openclaw:main"],
  ["adopt", "openclaw:nobody"],
  ["restore", "--store", "openclaw:other", "--at", "2", "--yes"],
  ["config", "init", "--yes", "--config", "~/new.json5"],
  ["status"],
];

/** A home with everything in it that must not be told: tokens, API keys, an e-mail address, a broken file full of them. */
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
  return home;
}

/** What everyone on the host may read of a process. */
async function visibleParts(pid: number): Promise<string> {
  const parts = await Promise.all(["cmdline", "environ"].map((name) => readFile(`/proc/${String(pid)}/${name}`, "utf8")));
  return parts.join("\n");
}

/** Credsyncd's own files, but for the backups and the key, which hold secrets by their purpose. */
async function ownFiles(home: TemporaryHome): Promise<string> {
  const entries = await readdir(home.stateDirectory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes("backups") && entry.name !== "key");
  expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(["ledger.jsonl", "status.json", "run.lock"]));
  const texts = await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), "utf8")));
  return [...texts, ...files.map(({ name }) => name)].join("\n");
}

describe("no part of a secret", () => {
  test("is found by looking for it where there is none, and is found where there is one", () => {
    expect(leaksIn("a harmless text", ["0123456789abcdef"])).toEqual([]);
    expect(leaksIn("a text with 456789ab in it", ["0123456789abcdef"])).toEqual(["456789ab"]);
    expect(leaksIn("a text with 456789a in it", ["0123456789abcdef"])).toEqual([]);
  });

  test("is in what the daemon says, keeps or shows, whatever happens to the files", async ({ skip }) => {
    if (process.platform !== "linux") skip("reads /proc");
    const home = await homeOfSecrets();
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
    await home.configureAgents(agents);
    await becomes(() => home.generationOf("main"), 4);
    await home.writeConfig(`{ "${home.token("key", 4)}": "${home.token("key", 5)}" `);
    daemon.signal("SIGHUP");
    await daemon.said("configuration not reloaded");

    visible.push(await visibleParts(daemon.pid), await ownFiles(home), JSON.stringify(daemon.lines), daemon.stderr);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(leaksIn(visible.join("\n"), home.secretParts)).toEqual([]);
    expect(await home.leaks()).toEqual([]);
    expect(daemon.lines.length).toBeGreaterThan(20);
  });

  test("is in what the commands say, in words or as JSON, on success or failure", async () => {
    const home = await homeOfSecrets();
    const codes = new Set<number | null>();
    for (const command of commands) {
      for (const args of [command, [...command, "--json"]]) codes.add((await credsyncd(home, args)).code);
    }
    await writeFile(home.loginFile, `{ "claudeAiOauth": "${home.token("access", 8)}" ${home.token("access", 9)}`);
    await home.age(home.loginFile);
    for (const command of [["sync"], ["status"]]) codes.add((await credsyncd(home, command)).code);
    // Successes, refusals and troubles were among them.
    for (const code of [0, 3, 64, 69]) expect(codes).toContain(code);
    expect(home.spoken.join("").length).toBeGreaterThan(2000);
    expect(await home.leaks()).toEqual([]);
  });
});
