import { mkdir } from "node:fs/promises";

/** Makes a directory, and those above it, readable by this user alone; one that exists stays as it is. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}
