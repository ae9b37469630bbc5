import { lstat, mkdir, readdir, readFile, readlink, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CredentialStore } from "../../src/domain/store.js";
import type { Subject } from "../programs/contract.js";

const HOUR_S = 3600;

/** A store that is a file, and the hands of the program that owns it. */
export function fileSubject(store: CredentialStore): Subject {
  const { path } = store;
  return {
    store,
    readText: () => readIfPresent(path),
    writeText: (text) => leaveFile(path, text),
    remove: () => rm(path),
    surroundings: async () => ({
      mode: await modeOf(path),
      beside: (await describeDirectory(dirname(dirname(path)))).filter((line) => !line.startsWith(path)),
    }),
    reader: { path, query: null },
  };
}

/** Writes a private file that nobody is in the middle of writing. */
export async function leaveFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, text, { mode: 0o600 });
  await makeOld(path);
}

export async function makeOld(path: string): Promise<void> {
  const then = Date.now() / 1000 - HOUR_S;
  await utimes(path, then, then);
}

export async function modeOf(path: string): Promise<string | null> {
  try {
    return ((await stat(path)).mode & 0o777).toString(8);
  } catch {
    return null;
  }
}

export async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return null;
  }
}

/** Every file, link and directory under a directory, with its mode and content. */
export async function describeDirectory(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true });
  const lines = entries.sort().map(async (name) => {
    const path = join(directory, name);
    const found = await lstat(path);
    const mode = (found.mode & 0o777).toString(8);
    if (found.isSymbolicLink()) return `${path} -> ${await readlink(path)}`;
    return `${path} ${mode} ${found.isFile() ? await readFile(path, "base64") : "directory"}`;
  });
  return Promise.all(lines);
}
