import { execFile, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { compose } from "../../src/app/compose.js";
import { recoverSwitches } from "../../src/app/switching.js";
import { credsyncd } from "../support/command-line.js";
import { environmentOf } from "../support/composed-daemon.js";
import { NEW, SwitchHome, type Keeps } from "../support/switch-home.js";

const CHILD = fileURLToPath(new URL("switch-child.mjs", import.meta.url));
const homes: readonly (readonly [string, readonly Keeps[]])[] = [
  ["JSON", ["json", "json-state"]],
  ["SQLite", ["sqlite"]],
  ["mixed", ["json", "sqlite", "json-state"]],
];

interface Ended {
  readonly killed: boolean;
  readonly stdout: string;
}

async function run(
  host: SwitchHome,
  command: string,
  args: readonly string[],
  variables: Record<string, string> = {},
): Promise<Ended> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { env: host.home.environment(variables) });
    return { killed: false, stdout };
  } catch (error) {
    const { signal, code, stdout, stderr } = error as {
      signal: string | null;
      code: number | null;
      stdout: string;
      stderr: string;
    };
    // A tracer passes the signal of the one that it traces on, or its number.
    if (signal === "SIGKILL" || code === 137) return { killed: true, stdout };
    throw new Error(`it ended with ${String(code ?? signal)}: ${stderr}`, { cause: error });
  }
}

/** Reads the journal that a crash left: the side that every store should reach; null: there is none. */
function phaseIn(host: SwitchHome): string | null {
  const path = join(host.home.stateDirectory, "journal", "switch-crash-test.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { phase: string }).phase : null;
}

async function recover(host: SwitchHome): Promise<void> {
  const environment = environmentOf(host.home);
  const composition = await compose(await loadConfig(null, environment), environment, "write");
  await recoverSwitches(composition, new AbortController().signal);
}

/** Every store on one side, the one that the journal said; nothing left behind. @returns the side */
async function judge(
  host: SwitchHome,
  before: Awaited<ReturnType<SwitchHome["allTexts"]>>,
  phase: string | null,
): Promise<string> {
  const sides = await host.sides(before);
  const [side = "none", ...others] = [...new Set(Object.values(sides))];
  expect({ sides, others }).toEqual({ sides, others: [] });
  if (phase === "prepared") expect(side).toBe("before");
  if (phase === "committing") expect(side).toBe("after");
  expect(side).not.toBe("neither");
  expect(host.leftovers()).toEqual([]);
  return side;
}

describe.each(homes)("a %s home of five agents", (_name, keeps) => {
  test(
    "killed before each step of a switch: after the next start every store is on the side that the journal says",
    {
      timeout: 240_000,
    },
    async () => {
      const table: string[] = [];
      for (let step = 1; ; step++) {
        const host = await SwitchHome.five(...keeps);
        const before = await host.allTexts();
        const { killed, stdout } = await run(host, process.execPath, [CHILD, NEW, String(step)]);
        const phase = phaseIn(host);
        const half = Object.values(await host.sides(before)).filter((side) => side === "after").length;
        await recover(host);
        const side = await judge(host, before, phase);
        table.push(`${stdout.trim()} | journal ${phase ?? "none"}, ${String(half)} of 5 written | ${side}`);
        if (!killed) break;
      }
      console.log(table.join("\n"));
      expect(table.at(-1)).toMatch(/"committed":true.* \| after$/);
      // It was killed in the middle of the commits, too.
      expect(table.some((line) => / [1-4] of 5 written \| after$/.test(line))).toBe(true);
    },
  );
});

test(
  "killed before each step of an undoing: after the next start every store is as it was, or as the journal still said",
  {
    timeout: 240_000,
  },
  async () => {
    const table: string[] = [];
    for (let step = 1; ; step++) {
      const host = await SwitchHome.five("json", "sqlite", "json-state");
      const before = await host.allTexts();
      const { killed, stdout } = await run(host, process.execPath, [CHILD, NEW, String(step), "openclaw:ops"]);
      const phase = phaseIn(host);
      const half = Object.values(await host.sides(before)).filter((side) => side === "after").length;
      await recover(host);
      const side = await judge(host, before, phase);
      if (phase === "undoing") expect(side).toBe("before");
      table.push(`${stdout.trim()} | journal ${phase ?? "none"}, ${String(half)} of 5 written | ${side}`);
      if (!killed) break;
    }
    console.log(table.join("\n"));
    expect(table.at(-1)).toMatch(/"committed":false.* \| before$/);
    expect(table.some((line) => /journal undoing, [1-4] of 5 written/.test(line))).toBe(true);
  },
);

const canTrace = spawnSync("strace", ["-e", "trace=none", "true"]).status === 0;
/** Those of the thread pool, and those that Node and SQLite make at once: each thread is counted for itself. */
const CALLS = ["rename,fsync", "unlink,unlinkat,fdatasync,pwrite64,ftruncate"];

describe.skipIf(!canTrace).each(homes)("a %s home, with strace", (_name, keeps) => {
  test.each(CALLS)("killed at every %s: after the next start every store is on one side", { timeout: 300_000 }, async (calls) => {
    const outcomes = new Map<string, number>();
    for (let call = 1; ; call++) {
      const host = await SwitchHome.five(...keeps);
      const before = await host.allTexts();
      const inject = `inject=${calls}:signal=KILL:when=${String(call)}`;
      const switching = [process.execPath, CHILD, NEW, "0"];
      const { killed } = await run(host, "strace", ["-f", "-qq", "-o", "/dev/null", "-e", inject, ...switching], {
        UV_THREADPOOL_SIZE: "1",
      });
      const phase = phaseIn(host);
      await recover(host);
      const side = await judge(host, before, phase);
      const outcome = `journal ${phase ?? "none"}: ${side}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (!killed) break;
    }
    console.log(calls, Object.fromEntries(outcomes));
    expect(outcomes.get("journal committing: after") ?? 0).toBeGreaterThan(0);
  });
});

describe("a journal that a crash left (R14)", () => {
  const commands: readonly (readonly string[])[] = [["status"], ["history"], ["config", "path"], ["sync"], ["restore", "--list"]];
  test.each(commands)("is completed by: credsyncd %s", async (...command) => {
    const host = await SwitchHome.five("json", "sqlite");
    const before = await host.allTexts();
    const { stdout } = await run(host, process.execPath, [CHILD, NEW, "0"]);
    const { effects } = JSON.parse(stdout) as { effects: number };
    for (const agent of host.names) await host.write(agent, host.usual(agent));
    // The journal is dropped right at the end, and the locks are let go before; so some way before that it is half done.
    await run(host, process.execPath, [CHILD, NEW, String(effects - 12)]);
    expect(phaseIn(host)).toBe("committing");
    const { stderr } = await credsyncd(host.home, command);
    expect(stderr).toContain("was completed in every store");
    expect(await judge(host, before, "committing")).toBe("after");
  });

  test("that cannot be understood is reported, and stays", async () => {
    const host = await SwitchHome.create({ main: "json" });
    const directory = join(host.home.stateDirectory, "journal");
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { writeFile } = await import("node:fs/promises");
    await writeFile(join(directory, "switch-later.json"), `{"version":2}`, { mode: 0o600 });
    const { stderr } = await credsyncd(host.home, ["status"]);
    expect(stderr).toMatch(/warning: a switch was interrupted.*not a journal that this version understands/);
    expect((await credsyncd(host.home, ["set-active", "--provider", "anthropic", "--profile", NEW])).code).toBe(65);
    expect(await readdir(directory)).toEqual(["switch-later.json"]);
  });
});
