import { constants, type Stats } from "node:fs";
import { lstat, open, readdir, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatDuration } from "../../domain/duration.js";
import { shellWord } from "../../domain/shell-word.js";
import { UNREACHABLE } from "../../programs/unreachable-store.js";
import { errnoOf } from "../../io/system-error.js";
import { found, ok, type Check, type DoctorFinding, type Patient } from "./finding.js";
import { programOf } from "../../programs/registry.js";

/** No program holds a lock as long (ms); OpenClaw's on a refresh are the longest. */
const LOCK_STALE_MS = 180_000;
/** A file's time this far ahead (ms) is no rounding. */
const CLOCK_SLACK_MS = 5000;

interface CredentialPath {
  readonly path: string;
  /** The owner; credsyncd's own files and directories must be private. */
  readonly owner: "program" | "credsyncd";
}

/** Every file with a credential in it that is known, existing or not. */
async function credentialPaths({ composition, result }: Patient): Promise<CredentialPath[]> {
  const paths = new Set<string>();
  for (const { path } of storesOf(result)) {
    paths.add(path);
    // The files that SQLite keeps beside a database have its rows, too.
    if (path.endsWith(".sqlite")) for (const suffix of ["-wal", "-shm", "-journal"]) paths.add(`${path}${suffix}`);
  }
  const { stateDirectory } = composition;
  const own = (await filesIn(stateDirectory)).concat(
    await filesIn(join(stateDirectory, "backups")),
    await filesIn(join(stateDirectory, "journal")),
  );
  return [
    ...[...paths].map((path) => ({ path, owner: "program" as const })),
    ...own.map((path) => ({ path, owner: "credsyncd" as const })),
  ];
}

function storesOf({ observation }: Patient["result"]): { readonly name: string; readonly path: string }[] {
  const all = [...observation.inventory.source.stores, ...observation.reads.map(({ target }) => target.store)];
  // A refused store is not this user's, so doctor neither judges nor repairs anything there.
  return all.filter(({ format }) => format !== UNREACHABLE);
}

/** Credentials that others may read, and directories in which others may put files in a credential's place. */
export const permissions: Check = async (patient) => {
  const paths = await credentialPaths(patient);
  const findings: DoctorFinding[] = [];
  // A login that nobody serves can still be used by whoever reads it.
  const left = [...patient.report.retired, ...patient.report.unconfigured, ...paths].map(({ path }) => path);
  for (const path of new Set([...left, ...(await strayCopies(patient.result))]))
    findings.push(...(await exposed(path, 0o077, "file", patient)));
  const own = new Set(paths.flatMap(({ path, owner }) => (owner === "credsyncd" ? [dirname(path)] : [])));
  const others = new Set(paths.flatMap(({ path, owner }) => (owner === "program" ? [dirname(path)] : [])));
  for (const path of own) findings.push(...(await exposed(path, 0o077, "directory", patient)));
  for (const path of others) if (!own.has(path)) findings.push(...(await exposed(path, 0o022, "directory", patient)));
  return findings.length > 0 ? findings : [ok("permissions", "credentials are readable by this user alone")];
};

const REASONS = {
  file: "everyone who can read it can use the login",
  directory: "whoever can write there can put another login, or a link, in the place of this one",
} as const;

/** @param refused the permission bits that nobody else may have */
async function exposed(path: string, refused: number, kind: keyof typeof REASONS, { fixes }: Patient): Promise<DoctorFinding[]> {
  const stats = await lookAt(path);
  if (stats === null || (kind === "directory" ? !stats.isDirectory() : !stats.isFile()) || (stats.mode & refused) === 0)
    return [];
  const mode = stats.mode & 0o777;
  const wanted = mode & ~refused;
  const finding = found("permissions", "error", {
    what: `${path} is ${octal(mode)}: others may ${(mode & refused & 0o044) !== 0 ? "read" : "change"} it`,
    why: REASONS[kind],
    fix: `chmod ${octal(wanted)} ${shellWord(path)} - or: credsyncd doctor --fix`,
  });
  return [fixes ? await tightened(finding, path, stats, wanted) : finding];
}

/** Through a descriptor of that very file, so that no link can lead the change elsewhere. */
async function tightened(finding: DoctorFinding, path: string, before: Stats, mode: number): Promise<DoctorFinding> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { dev, ino } = await file.stat();
      if (dev !== before.dev || ino !== before.ino) return finding;
      await file.chmod(mode);
      return { ...finding, fixed: true };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return { ...finding, fix: `${String(finding.fix)} (it could not be changed: ${String(errnoOf(error))})` };
  }
}

/** Links that the owning programs replace at their next write. */
export const symlinks: Check = async ({ result }) => {
  const findings: DoctorFinding[] = [];
  // A link that is not followed is an error of its store, which says what to do.
  const refused = new Set(result.observation.reads.flatMap(({ target, error }) => (error === null ? [] : [target.store.name])));
  for (const { name, path } of storesOf(result)) {
    if (refused.has(name) || (await lookAt(path))?.isSymbolicLink() !== true) continue;
    const target = await realpath(path).catch(() => null);
    if (target === null) {
      const why = "its program puts a file in its place, and what the link is to lead to stays away";
      const fix = `put back what it leads to, or remove the link: rm ${shellWord(path)}`;
      findings.push(found("symlinks", "warning", { what: `${name}: ${path} is a link to nothing`, why, fix }));
      continue;
    }
    const copy = `let credsyncd copy: name ${shellWord(dirname(target))} as a target in the config`;
    const own = "give the agent its own file: remove the link, and sign in there";
    findings.push(
      found("symlinks", "warning", {
        what: `${name}: ${path} is a link to ${target}`,
        why: "its program replaces the link by a file at its next write, and what it led to stays behind; credsyncd keeps both names in step only while the link lasts",
        fix: `make it a directory link instead, or ${programOf(name)?.isTargetByDirectory === true ? copy : own}`,
      }),
    );
  }
  if (findings.length > 0) return findings;
  return [ok("symlinks", refused.size === 0 ? "no credential file is a link" : "no credential file that is served is a link")];
};

/** Other names of a credential file, which every replacement of it leaves behind. */
export const hardLinks: Check = async ({ result }) => {
  const findings: DoctorFinding[] = [];
  for (const { name, path } of storesOf(result)) {
    const stats = await lookAt(path);
    if (stats?.isFile() !== true || stats.nlink < 2 || path.endsWith(".sqlite")) continue;
    findings.push(
      found("hard links", "warning", {
        what: `${name}: ${path} has ${String(stats.nlink)} names (hard links)`,
        why: "its program and credsyncd replace the file: this name gets the new login, the others keep the old one for good",
        fix: `find them: find / -xdev -samefile ${shellWord(path)} - and remove those that are not needed`,
      }),
    );
  }
  return findings.length > 0 ? findings : [ok("hard links", "no credential file has another name")];
};

/** Locks whose holder is gone: the owning program waits for each before it breaks it, if it does. */
export const locks: Check = async ({ result, composition, now }) => {
  const candidates = new Set<string>([
    join(composition.stateDirectory, "state.lock"),
    join(composition.stateDirectory, "run.lock.turn"),
  ]);
  for (const { name, path } of storesOf(result)) {
    candidates.add(`${path}.lock`);
    for (const lock of (await programOf(name)?.locksBeside(path)) ?? []) candidates.add(lock);
  }
  const findings: DoctorFinding[] = [];
  for (const path of candidates) {
    const stats = await lookAt(path);
    const age = stats === null ? 0 : now - stats.mtimeMs;
    if (stats === null || age < LOCK_STALE_MS) continue;
    findings.push(
      found("locks", "warning", {
        what: `${path} was left behind ${formatDuration(age)} ago`,
        why: "its holder ended without removing it; programs wait for it before they write or refresh",
        fix: `make sure that no program uses it, then: rm -r ${shellWord(path)}`,
      }),
    );
  }
  return findings.length > 0 ? findings : [ok("locks", "no lock was left behind")];
};

/** Files from the future: the clock was set back, or another machine with another clock writes them. */
export const clock: Check = async ({ result, now }) => {
  const findings: DoctorFinding[] = [];
  for (const { name, path } of storesOf(result)) {
    const ahead = ((await lookAt(path))?.mtimeMs ?? 0) - now;
    if (ahead < CLOCK_SLACK_MS) continue;
    findings.push(
      found("clock", "warning", {
        what: `${name}: ${path} was changed ${formatDuration(ahead)} in the future`,
        why: "the clock was set back, or another host with another clock writes it; ends of logins are judged by this clock",
        fix: "check the time: timedatectl status",
      }),
    );
  }
  return findings.length > 0 ? findings : [ok("clock", "no credential file is from the future")];
};

/** Credentials in places where nobody expects, rotates or protects them. */
export const strays: Check = async (patient) => {
  const { result, report, composition } = patient;
  const findings = (await strayCopies(result)).map(copyFound);
  for (const { store, path } of report.retired) {
    findings.push(
      found("strays", "info", {
        what: `${store}: ${path} is a file from before OpenClaw's database, which it does not read any more`,
        why: "the login in it is old, and may still be good for whoever finds it",
        fix: `when the agent works: rm ${shellWord(path)}`,
      }),
    );
  }
  for (const { store, path } of report.unconfigured) {
    findings.push(
      found("strays", "info", {
        what: `${store}: ${path} belongs to an agent that OpenClaw does not know any more`,
        why: "its login is never renewed, and may still be good for whoever finds it",
        fix: `if \`openclaw agents list\` does not name it either, and it is gone for good: rm ${shellWord(path)}`,
      }),
    );
  }
  return [...findings, ...overridden(composition)];
};

/** Returns the files beside a store whose names look like those of copies. */
async function strayCopies(result: Patient["result"]): Promise<string[]> {
  const known = new Set(storesOf(result).map(({ path }) => path));
  const directories = new Set([...known].map((path) => dirname(path)));
  const beside = await Promise.all([...directories].map((directory) => filesIn(directory)));
  return beside.flat().filter((path) => {
    if (known.has(path) || /\.lock$|\.tmp\.[0-9a-f]+$/.test(path)) return false;
    return /^(?:\.credentials\.json.+|auth-profiles\.json.+|auth\.json.*|openclaw-agent\.sqlite\..+)$/.test(basename(path));
  });
}

function copyFound(path: string): DoctorFinding {
  return found("strays", "warning", {
    what: `${path} looks like a copy of a login`,
    why: "nobody renews or watches it; an old copy that is put back is dead, and a new one is a login for whoever finds it",
    fix: `if it is not needed: rm ${shellWord(path)}`,
  });
}

/** The logins in variables that a configured program uses instead of the one that credsyncd keeps in sync. */
function overridden({ config, environment }: Patient["composition"]): DoctorFinding[] {
  const configured = new Set([config.source, ...config.targets].map(({ program }) => program));
  return [...configured].flatMap(({ words, overrides }) => {
    const set = overrides.filter((name) => (environment.variables[name] ?? "") !== "");
    return set.map((name) => {
      return found("strays", "warning", {
        what: `${name} is set in this environment`,
        why: `${words.name} uses it instead of its own login, and then no longer renews that one`,
        fix: `unset ${name} where ${words.name} and credsyncd start`,
      });
    });
  });
}

async function filesIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isFile() ? [join(directory, entry.name)] : []));
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return [];
  }
}

/** Reads what is at a path itself, not behind a link; null if there is nothing or it is unknown. */
async function lookAt(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
