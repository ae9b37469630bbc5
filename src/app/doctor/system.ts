import { readdir, readFile, readlink, realpath, statfs } from "node:fs/promises";
import { join } from "node:path";
import { isAbsent, errnoOf } from "../../io/system-error.js";
import { KEYCHAIN } from "../../programs/claude-code/keychain.js";
import { found, ok, type Check, type DoctorFinding } from "./finding.js";

/** As `engines` in package.json. */
const OLDEST_NODE = [20, 19] as const;
/** Less free space (bytes) for its own state is soon none. */
const LEAST_FREE = 1024 * 1024;
/** A share of the user's watches that is worth a word. */
const TIGHT = 0.8;

export const node: Check = () => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  const version = `node ${process.versions.node}`;
  if (!isOld) return Promise.resolve([ok("node", version)]);
  const what = `${version} is older than ${OLDEST_NODE.join(".")}`;
  return Promise.resolve([
    found("node", "error", {
      what,
      why: "parts that credsyncd stands on do not run there",
      fix: "install a current Node, such as 22",
    }),
  ]);
};

export const config: Check = ({ composition }) => {
  const { path } = composition.config;
  return Promise.resolve([ok("config", path === null ? "no configuration file: the defaults hold" : path)]);
};

/** Without room for its own state nothing is pushed, and the alert that says so cannot be kept for `status`. */
export const state: Check = async ({ composition }) => {
  const { stateDirectory } = composition;
  const disk = await statfs(stateDirectory).catch(() => null);
  // Only root may use the blocks that the system reserves.
  const free = disk === null ? null : disk.bsize * (process.getuid?.() === 0 ? disk.bfree : disk.bavail);
  if (free === null || free >= LEAST_FREE) return [ok("state", stateDirectory)];
  return [
    found("state", "error", {
      what: `${stateDirectory}: ${String(Math.floor(free / 1024))} KiB are free on its disk`,
      why: "what is seen is recorded there before it is pushed: without space, no rotation reaches any agent",
      fix: `free space there: df -h '${stateDirectory}'`,
    }),
  ];
};

/** Checks whether the ledger's records can be read again. */
export const ledger: Check = async ({ composition }) => {
  await composition.ledger.load();
  const lines = composition.ledger.unreadableLines;
  if (lines === 0) return [ok("ledger", "every line is understood")];
  return [
    found("ledger", "warning", {
      what: `${String(lines)} ${lines === 1 ? "line" : "lines"} of ledger.jsonl cannot be understood`,
      why: "a crash cut a line short, or another version wrote it; an old login in it would be taken for an unknown one",
      fix: "nothing, where it was one crash; otherwise check the disk",
    }),
  ];
};

/** One watch a directory, of a number that all of a user's programs share. */
export const inotify: Check = async ({ result, platform }) => {
  if (platform !== "linux") return [];
  const needed = new Set(result.observation.files.map((file) => join(file, ".."))).size;
  const limits = "/proc/sys/fs/inotify";
  const [watches, instances] = await Promise.all([
    readNumber(`${limits}/max_user_watches`),
    readNumber(`${limits}/max_user_instances`),
  ]);
  if (watches === null || instances === null) return [];
  const used = await usedInotify();
  const findings = [
    ...tight("watches", used.watches, needed, watches, "fs.inotify.max_user_watches"),
    ...tight("instances", used.instances, 2, instances, "fs.inotify.max_user_instances"),
  ];
  const what = `${String(needed)} watches are needed, ${String(used.watches)} of ${String(watches)} are in use`;
  return findings.length > 0 ? findings : [ok("inotify", what)];
};

function tight(name: string, used: number, needed: number, limit: number, setting: string): DoctorFinding[] {
  if (used + needed <= limit * TIGHT) return [];
  const isOver = needed + used > limit;
  return [
    found("inotify", isOver ? "error" : "warning", {
      what: `${String(used)} of ${String(limit)} inotify ${name} are in use, and ${String(needed)} are needed`,
      why: "where the limit is reached, changes are seen at the next resync only",
      fix: `sudo sysctl -w ${setting}=${String(Math.max(limit * 2, 2 * (used + needed)))}`,
    }),
  ];
}

/** Counts what this user's programs have in use; those of other users are invisible. */
async function usedInotify(): Promise<{ readonly instances: number; readonly watches: number }> {
  let [instances, watches] = [0, 0];
  for (const pid of await processIds()) {
    const descriptors = await tolerant(() => readdir(`/proc/${pid}/fd`), []);
    for (const descriptor of descriptors) {
      if ((await tolerant(() => readlink(`/proc/${pid}/fd/${descriptor}`), "")) !== "anon_inode:inotify") continue;
      instances += 1;
      const info = await tolerant(() => readFile(`/proc/${pid}/fdinfo/${descriptor}`, "utf8"), "");
      watches += info.split("\n").filter((line) => line.startsWith("inotify ")).length;
    }
  }
  return { instances, watches };
}

/** Daemons beside the one of this state directory. */
export const daemons: Check = async ({ report, platform }) => {
  const { running, pid } = report.daemon;
  const findings: DoctorFinding[] = running
    ? [ok("daemons", `the daemon runs, pid ${String(pid)}`)]
    : [
        found("daemons", "warning", {
          what: "no daemon runs",
          why: "rotations reach no agent until one does, or somebody runs credsyncd sync",
          fix: "credsyncd service install - or in the foreground: credsyncd run",
        }),
      ];
  const others = platform === "linux" ? (await otherDaemons()).filter((other) => other !== pid) : [];
  if (others.length > 0) {
    findings.push(
      found("daemons", "warning", {
        what: `other credsyncd daemons of this user run: pid ${others.join(", ")}`,
        why: "each has a memory of its own; where two serve the same agents they undo nothing of each other, but both tell alerts",
        fix: `stop what is not needed: kill ${others.join(" ")}`,
      }),
    );
  }
  return findings;
};

async function otherDaemons(): Promise<number[]> {
  const found: number[] = [];
  const uid = process.getuid?.();
  for (const pid of await processIds()) {
    const status = await tolerant(() => readFile(`/proc/${pid}/status`, "utf8"), "");
    if (Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) !== uid) continue;
    const [, script = "", ...args] = (await tolerant(() => readFile(`/proc/${pid}/cmdline`, "utf8"), "")).split("\0");
    const isProgram = /(?:^|\/)credsyncd$|\/dist\/cli\/main\.js$/.test(script);
    if (isProgram && args.includes("run")) found.push(Number(pid));
  }
  return found;
}

/** On a Mac Claude Code keeps its logins in the Keychain, where they are served while it is open, and else in its files. */
export const keychain: Check = ({ platform, result }) => {
  if (platform !== "darwin") return Promise.resolve([]);
  const { sourceReads, reads } = result.observation;
  const all = [...sourceReads, ...reads.map(({ target: { store }, snapshot }) => ({ store, snapshot }))];
  const kept = all.flatMap(({ store, snapshot }) => (snapshot?.identity?.startsWith(KEYCHAIN) === true ? [store.name] : []));
  const what =
    kept.length === 0
      ? "no login in the Keychain could be read; where there is none, the file counts"
      : `in the Keychain, and served from there: ${kept.join(", ")}`;
  return Promise.resolve([ok("keychain", what)]);
};

/** This user's programs whose Claude Code directory is this one, by their environment, as `name (pid 1)`. */
export async function programsWith(directory: string): Promise<string[]> {
  const programs: string[] = [];
  for (const pid of await processIds()) {
    if (pid === String(process.pid)) continue;
    const entries = (await tolerant(() => readFile(`/proc/${pid}/environ`, "utf8"), "")).split("\0");
    const value = (name: string): string | undefined =>
      entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
    const moved = value("CLAUDE_SECURESTORAGE_CONFIG_DIR") ?? value("CLAUDE_CONFIG_DIR");
    const home = value("HOME");
    const used = moved ?? (home === undefined ? undefined : join(home, ".claude"));
    if (used === undefined || used === "" || (await realpath(used).catch(() => used)) !== directory) continue;
    const name = (await tolerant(() => readFile(`/proc/${pid}/comm`, "utf8"), "")).trim();
    if (moved !== undefined || /^claude/.test(name)) programs.push(`${name} (pid ${pid})`);
  }
  return programs;
}

async function processIds(): Promise<string[]> {
  return (await tolerant(() => readdir("/proc"), [])).filter((name) => /^\d+$/.test(name));
}

async function readNumber(path: string): Promise<number | null> {
  const text = await tolerant(() => readFile(path, "utf8"), "");
  return text === "" ? null : Number(text);
}

/** Tolerates processes that end during the check, and those of other users, which are invisible. */
async function tolerant<Value>(look: () => Promise<Value>, otherwise: Value): Promise<Value> {
  try {
    return await look();
  } catch (error) {
    if (isAbsent(error) || ["EACCES", "EPERM", "ESRCH", "EINVAL"].includes(errnoOf(error) ?? "")) return otherwise;
    throw error;
  }
}
