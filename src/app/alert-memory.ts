import { join } from "node:path";
import * as z from "zod/mini";
import { alertKinds, severities, type Alert, type Severity, type AlertKind } from "../domain/alerts.js";
import { isTime } from "../domain/clock.js";
import { readOwnFile, replaceOwnFile } from "../io/own-file.js";
import type { Leftovers } from "../io/temporary-file.js";
import type { AlertWords } from "./alert-words.js";

/** One notice for the user's command and the log. */
export interface ToldAlert {
  readonly kind: AlertKind;
  readonly store: string;
  readonly profile: string | null;
  readonly severity: Severity;
  readonly since: string;
  readonly message: string;
  readonly hint: string | null;
}

/** An alert with what was last said of it. */
export type RememberedAlert = Alert & AlertWords & { readonly severity: Severity };

const moment = z.number().check(z.refine(isTime));
const time = z.nullable(moment);
const fileShape = z.object({
  alerts: z.array(
    z.object({
      kind: z.enum(alertKinds),
      store: z.string(),
      profile: z.nullable(z.string()),
      since: moment,
      resyncs: z.number(),
      raisedAt: time,
      saidAt: time,
      goneSince: time,
      resolvedAt: time,
      raises: z.number(),
      severity: z._default(z.enum(severities), "warning"),
      message: z.string(),
      hint: z.string(),
    }),
  ),
});

/** Reads the alerts of earlier runs, so that a restart repeats nothing; a file that cannot be understood counts as none. */
export async function readAlerts(stateDirectory: string): Promise<RememberedAlert[]> {
  try {
    const parsed = fileShape.safeParse(JSON.parse((await readOwnFile(fileIn(stateDirectory))) ?? "null"));
    return parsed.success ? parsed.data.alerts : [];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

export async function writeAlerts(
  stateDirectory: string,
  leftovers: Leftovers,
  alerts: readonly RememberedAlert[],
): Promise<void> {
  await replaceOwnFile(fileIn(stateDirectory), `${JSON.stringify({ schemaVersion: 1, alerts })}\n`, leftovers);
}

function fileIn(stateDirectory: string): string {
  return join(stateDirectory, "alerts.json");
}
