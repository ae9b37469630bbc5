import { writeFileSync } from "node:fs";
import { dirname } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { syncDirectory } from "./atomic-file.js";

/** Replaces a file of credsyncd's own state (0600): a reader, and a power cut, finds the old content or the new. */
export async function replaceOwnFile(path: string, text: string): Promise<void> {
  // The package takes a short write, as a full disk makes it, for a whole one, so the text is written for it here.
  // A fresh literal each time: it changes the options that it is given.
  await writeFileAtomic(path, "", {
    mode: 0o600,
    fsync: true,
    tmpfileCreated: (temporary) => {
      writeFileSync(temporary, text, { flag: "r+" });
    },
  });
  await syncDirectory(dirname(path));
}
