import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Failure } from "../domain/errors.js";
import { refuseForeignPlace } from "../io/own-place.js";
import { exitCodes, openOutput, type CommonOptions, type ExitCode, type Output } from "./output.js";

const AGENTS = ["main", "work", "research"] as const;
const TIMEOUT_MS = 20_000;
/** Long enough for the daemon to have come to rest, as it is on a host when Claude Code refreshes. */
const PAUSE_MS = 400;
const HOUR_MS = 3_600_000;

/** `credsyncd demo`: the real daemon in a throw-away home, where a made-up login is rotated. */
export async function demo(options: CommonOptions & { readonly keep?: boolean }): Promise<ExitCode> {
  const output = openOutput(options);
  const place = resolve(tmpdir());
  refuseForeignPlace(place, place);
  const home = await mkdtemp(join(place, "credsyncd-demo-"));
  try {
    await playOut(home, output);
  } finally {
    if (options.keep === true) output.say(`the home is still there: ${home}`);
    else await rm(home, { recursive: true, force: true });
  }
  return exitCodes.done;
}

async function playOut(home: string, output: Output): Promise<void> {
  const tell = (text: string): void => {
    output.say(text);
  };
  await makeHome(home);
  tell(`1. a throw-away home, ${home}`);
  tell("   ~/.claude/.credentials.json holds a made-up Claude Code login, generation 1");
  tell(`   OpenClaw's agents ${AGENTS.join(", ")} each keep a copy of it, one of them an outdated one`);

  const daemon = new DemoDaemon(home);
  try {
    await daemon.said("ready");
    tell("2. the daemon runs; it has brought the outdated copy up to date:");
    await show(home, tell);

    await pause(PAUSE_MS);
    tell("3. now Claude Code refreshes its login, which kills every copy of generation 1 ...");
    const startedAt = performance.now();
    await rotate(home, 2);
    const pushed = await daemon.said("credential pushed");
    const everyAgentMs = performance.now() - startedAt;
    tell(`   ... and the daemon's log says, in one line:`);
    tell(`   ${output.paint("dim", pushed)}`);
    tell("4. every agent holds generation 2:");
    const generations = await show(home, tell);
    if (generations.some((generation) => generation !== 2))
      throw new Failure("general", "an agent was left behind", "run it again with --keep and look at the home");
    tell(`   ${everyAgentMs.toFixed(0)} ms from Claude Code's write until all of it was done and seen here`);
    output.result("", { schemaVersion: 1, agents: AGENTS.length, generation: 2, everyAgentMs });
  } finally {
    await daemon.stop();
  }
  tell("5. the daemon is stopped. on your own host it is started with: credsyncd run");
}

/** The daemon as a user starts it, in another home. */
class DemoDaemon {
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  #onLine: () => void = () => undefined;

  constructor(home: string) {
    const main = fileURLToPath(new URL("main.js", import.meta.url));
    const env = { HOME: home, PATH: process.env["PATH"] ?? "" };
    this.#process = spawn(process.execPath, [main, "run", "--json"], { env, stdio: ["ignore", "pipe", "inherit"] });
    if (this.#process.stdout === null) throw new Error("the daemon has no stdout");
    createInterface(this.#process.stdout).on("line", (line) => {
      this.#lines.push(line);
      this.#onLine();
    });
  }

  /** Waits for the next log line with this message. */
  async said(message: string): Promise<string> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
        if ((JSON.parse(line) as { msg: string }).msg === message) return line;
      }
      await new Promise<void>((resolve, reject) => {
        this.#onLine = resolve;
        deadline.onabort = () => {
          reject(new Failure("general", `the daemon did not say "${message}" in time`, null));
        };
      });
    }
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    this.#process.kill("SIGTERM");
    await once(this.#process, "exit");
  }
}

async function makeHome(home: string): Promise<void> {
  await mkdir(join(home, ".claude"), { mode: 0o700 });
  await rotate(home, 1);
  await mkdir(join(home, ".openclaw"), { mode: 0o700 });
  const list = AGENTS.map((id) => ({ id }));
  await writeFile(join(home, ".openclaw", "openclaw.json"), JSON.stringify({ agents: { list } }, null, 2));
  for (const agent of AGENTS) {
    const directory = join(home, ".openclaw", "agents", agent, "agent");
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const generation = agent === "research" ? 0 : 1;
    const profile = {
      type: "oauth",
      provider: "claude-cli",
      ...tokens(generation, "access", "refresh"),
      expires: endOf(generation),
    };
    const content = { version: 1, profiles: { "anthropic:claude-cli": profile } };
    await writeFile(join(directory, "auth-profiles.json"), `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  }
}

/** Refreshes as Claude Code does: a rename replaces the old login by the new one. */
async function rotate(home: string, generation: number): Promise<void> {
  const login = {
    ...tokens(generation, "accessToken", "refreshToken"),
    expiresAt: endOf(generation),
    refreshTokenExpiresAt: endOf(80),
    scopes: ["user:inference", "user:profile"],
    subscriptionType: "max",
    rateLimitTier: "default_claude_max_20x",
  };
  const path = join(home, ".claude", ".credentials.json");
  await writeFile(`${path}.tmp`, JSON.stringify({ claudeAiOauth: login }), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

function tokens(generation: number, access: string, refresh: string): Record<string, string> {
  return { [access]: `made-up-access-${String(generation)}`, [refresh]: `made-up-refresh-${String(generation)}` };
}

/** A fixed day far ahead, so that a generation has the same end wherever it is written. */
function endOf(generation: number): number {
  return Date.UTC(2099, 0, 1) + generation * 8 * HOUR_MS;
}

async function show(home: string, tell: (text: string) => void): Promise<number[]> {
  const generations: number[] = [];
  for (const agent of AGENTS) {
    const text = await readFile(join(home, ".openclaw", "agents", agent, "agent", "auth-profiles.json"), "utf8");
    const file = JSON.parse(text) as { profiles: Record<string, { refresh: string }> };
    const refresh = file.profiles["anthropic:claude-cli"]?.refresh ?? "";
    generations.push(Number(refresh.split("-").pop()));
    tell(`   ${agent.padEnd(10)} generation ${String(generations.at(-1))}`);
  }
  return generations;
}
