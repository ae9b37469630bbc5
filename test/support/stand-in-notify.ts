import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "./temporary-directory.js";

/** A program `systemd-notify` that writes down its messages, and the environment of a process that uses it. */
export interface StandInNotify {
  readonly variables: { readonly PATH: string; readonly NOTIFY_SOCKET: string };
  /** Returns the messages so far, one line a call, without the pid and times. */
  readonly told: () => Promise<string[]>;
}

export async function standInNotify(script = ""): Promise<StandInNotify> {
  const directory = await temporaryDirectory();
  const program = join(directory, "systemd-notify");
  const socket = join(directory, "told");
  // One write a call, so that calls do not mix.
  await writeFile(
    program,
    `#!/bin/sh\n${script}\nline=\nfor word; do line="$line|$word"; done\nprintf '%s\\n' "$line" >> "$NOTIFY_SOCKET"\n`,
  );
  await chmod(program, 0o755);
  await writeFile(socket, "");
  return {
    variables: { PATH: `${directory}:${process.env["PATH"] ?? ""}`, NOTIFY_SOCKET: socket },
    told: async () => {
      const lines = (await readFile(socket, "utf8")).split("\n").filter((line) => line !== "");
      return lines.map((line) =>
        line
          .replace(/\|--pid=\d+/, "")
          .replace(/=\d{6,}/, "=…")
          .slice(1),
      );
    },
  };
}
