import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { alertKinds, type Alert } from "../domain/alerts.js";
import { replaceOwnFile } from "../io/own-file.js";
import { isAbsent } from "../io/system-error.js";
import type { AlertWords } from "./alert-words.js";

/** An alert with what was last said of it. */
export type RememberedAlert = Alert & AlertWords;

const time = z.nullable(z.number());
const fileShape = z.object({
  alerts: z.array(
    z.object({
      kind: z.enum(alertKinds),
      store: z.string(),
      profile: z.nullable(z.string()),
      since: z.number(),
      resyncs: z.number(),
      raisedAt: time,
      saidAt: time,
      goneSince: time,
      resolvedAt: time,
      raises: z.number(),
      message: z.string(),
      hint: z.string(),
    }),
  ),
});

/** What was told before, so that a restart repeats nothing; a file that cannot be understood counts as none. */
export async function readAlerts(stateDirectory: string): Promise<RememberedAlert[]> {
  try {
    const parsed = fileShape.safeParse(JSON.parse(await readFile(fileIn(stateDirectory), "utf8")));
    return parsed.success ? parsed.data.alerts : [];
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError) return [];
    throw error;
  }
}

export async function writeAlerts(stateDirectory: string, alerts: readonly RememberedAlert[]): Promise<void> {
  await replaceOwnFile(fileIn(stateDirectory), `${JSON.stringify({ schemaVersion: 1, alerts })}\n`);
}

function fileIn(stateDirectory: string): string {
  return join(stateDirectory, "alerts.json");
}
