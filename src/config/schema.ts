import * as z from "zod/mini";
import { isCron } from "./cron.js";
import { parseDurationMs } from "../domain/duration.js";
import { text } from "../programs/entry-shapes.js";
import type { Entry, EntryShape, Program } from "../programs/program.js";
import { defaultSource, defaultTargets, programs } from "../programs/registry.js";
import { logLevels } from "./log-level.js";

const duration = z
  .string()
  .check(z.refine((text) => parseDurationMs(text) !== null, { error: 'a duration with its unit, such as "1h" or "90s"' }));
const durationOf = (leastMs: number, error: string): typeof duration =>
  z.string().check(z.refine((text) => (parseDurationMs(text) ?? -1) >= leastMs, { error }));
/** Without a shell: a program and its arguments. */
const command = (example: string): z.ZodMiniTuple<[typeof text], typeof text> =>
  z.tuple([text], text, { error: `a command as an array, such as ${example}` });
const milliseconds = (most: number): z.ZodMiniNumberFormat =>
  z.int({ error: `a whole number of milliseconds, from 0 to ${String(most)}` }).check(z.minimum(0), z.maximum(most));

/** Everything in the configuration file but the entries of programs. */
const ownShape = {
  /** Ids that follow the source. With an openclaw source: which of its profiles, as ids or globs. */
  profiles: z.optional(z.array(text)),
  bind: z._default(z.enum(["matching", "listed"], { error: '"matching" or "listed"' }), "matching"),
  create: z._default(
    z.enum(["never", "when-provider-missing", "always"], { error: '"never", "when-provider-missing" or "always"' }),
    "never",
  ),
  /** Directories outside of the home in which `openclaw.json` may put agents (its `agentDir`), or that are such agents'. */
  agentDirs: z._default(
    z.array(
      text.check(
        z.refine((path) => /^(?:\/|~\/)/.test(path), { error: 'the absolute path of a directory, such as "/srv/agents"' }),
      ),
    ),
    [],
  ),
  agents: z._default(z.record(text, z.enum(["follow", "pinned", "ignore"], { error: '"follow", "pinned" or "ignore"' })), {}),
  onAgentRotation: z._default(z.enum(["adopt", "hold"], { error: '"adopt" or "hold"' }), "adopt"),
  onAccountChange: z._default(z.enum(["hold", "push"], { error: '"hold" or "push"' }), "hold"),
  settle: z._default(
    z.strictObject({
      quietMs: z._default(milliseconds(60_000), 100),
      capMs: z._default(milliseconds(600_000), 2000),
    }),
    { quietMs: 100, capMs: 2000 },
  ),
  resync: z._default(z.string().check(z.refine(isCron, { error: 'a cron expression, such as "*/5 * * * *"' })), "*/5 * * * *"),
  alerts: z._default(
    z.strictObject({
      expiringWithin: z._default(duration, "1h"),
      signInWithin: z._default(duration, "3d"),
      /** The interval between repeated reports of an active alert. */
      repeatEvery: z._default(durationOf(60_000, 'a duration of at least a minute, such as "6h"'), "6h"),
      /** Run for every alert, which it reads as JSON on its stdin. */
      command: z.optional(command('["my-pager", "--from", "credsyncd"]')),
    }),
    { expiringWithin: "1h", signInWithin: "3d", repeatEvery: "6h" },
  ),
  /** The owner's own command, run shortly before the login ends, so that its owner renews it. Off unless given. */
  keepWarm: z.optional(
    z.strictObject({
      command: command('["claude", "mcp", "list"]'),
      before: z._default(durationOf(0, 'a duration with its unit, such as "4m"'), "4m"),
    }),
  ),
  /** A file for Prometheus' node_exporter. Off unless given. */
  metrics: z.optional(
    z.strictObject({
      textfile: z.string().check(
        z.refine((path) => /^(?:\/|~\/)[^\0]*\.prom$/.test(path), {
          error: 'the absolute path of a file whose name ends in .prom, such as "/var/lib/node_exporter/credsyncd.prom"',
        }),
      ),
    }),
  ),
  reload: z._default(
    z.strictObject({
      openclaw: z._default(
        z.union([z.enum(["auto", "off"]), z.tuple([text], text)], {
          error: '"auto", "off" or a command as an array, such as ["openclaw", "secrets", "reload"]',
        }),
        "auto",
      ),
    }),
    { openclaw: "auto" },
  ),
  log: z._default(
    z.strictObject({
      level: z._default(z.enum(logLevels, { error: '"trace", "debug", "info", "warn", "error", "fatal" or "silent"' }), "info"),
      format: z._default(
        z.enum(["auto", "json", "pretty", "journald"], { error: '"auto", "json", "pretty" or "journald"' }),
        "auto",
      ),
    }),
    { level: "info", format: "auto" },
  ),
};

/** The configuration file, as a user writes it, for these programs. Unknown keys are errors. */
export function configShapeOf(known: readonly Program[]): z.ZodMiniType<ConfigFile> {
  const names = known.map(({ kind }) => `"${kind}"`).join(" or ");
  const error: z.core.$ZodErrorMap = ({ code }) => (code === "invalid_union" ? names : undefined);
  const entryOf = (shapes: readonly EntryShape[]): z.ZodMiniType<Entry> =>
    z.discriminatedUnion("kind", shapes as unknown as [z.ZodMiniObject], { error }) as unknown as z.ZodMiniType<Entry>;
  return z.strictObject({
    source: z._default(entryOf(known.map(({ source }) => source.shape)), defaultSource),
    targets: z._default(z.array(entryOf(known.map(({ target }) => target.shape))), defaultTargets),
    ...ownShape,
  });
}

/** The content of the file with defaults filled in; without `profiles` if the source itself names its one profile. */
export type ConfigFile = z.infer<z.ZodMiniObject<typeof ownShape>> & {
  readonly source: Entry;
  readonly targets: readonly Entry[];
};

/** The JSON Schema of the configuration file, for editors. */
export function configJsonSchema(): unknown {
  return z.toJSONSchema(configShapeOf(programs), { io: "input" });
}
