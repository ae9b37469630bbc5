import * as z from "zod/mini";
import { isCron } from "./cron.js";
import { parseDurationMs } from "./duration.js";

const duration = z
  .string()
  .check(z.refine((text) => parseDurationMs(text) !== null, { error: 'a duration with its unit, such as "1h" or "90s"' }));
const text = z.string().check(z.minLength(1, { error: "a text that is not empty" }));
/** What to say of a `kind` that does not exist. */
const kinds = (names: string): z.core.$ZodErrorMap => {
  return ({ code }) => (code === "invalid_union" ? names : undefined);
};
const share = z.enum(["full", "access-only"], { error: '"full" or "access-only"' });

const milliseconds = (most: number): z.ZodMiniNumberFormat =>
  z.int({ error: `a whole number of milliseconds, from 0 to ${String(most)}` }).check(z.minimum(0), z.maximum(most));

const openclawTarget = z.strictObject({
  kind: z.literal("openclaw"),
  /** Default: OPENCLAW_STATE_DIR, else ~/.openclaw. */
  stateDir: z.optional(text),
});

const claudeCodeTarget = z.strictObject({
  kind: z.literal("claude-code"),
  /** The directory that holds the other `.credentials.json`. */
  dir: text,
  share: z._default(share, "access-only"),
});

/** The configuration file, as a user writes it. Unknown keys are errors. */
export const configShape = z.strictObject({
  source: z._default(
    z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("claude-code") })], { error: kinds('"claude-code"') }),
    { kind: "claude-code" },
  ),
  targets: z._default(
    z.array(z.discriminatedUnion("kind", [openclawTarget, claudeCodeTarget], { error: kinds('"openclaw" or "claude-code"') })),
    [{ kind: "openclaw" }],
  ),
  profiles: z._default(z.array(text), ["anthropic:claude-cli"]),
  bind: z._default(z.enum(["matching", "listed"], { error: '"matching" or "listed"' }), "matching"),
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
  alerts: z._default(z.strictObject({ expiringWithin: z._default(duration, "1h"), signInWithin: z._default(duration, "3d") }), {
    expiringWithin: "1h",
    signInWithin: "3d",
  }),
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
      level: z._default(z.enum(["debug", "info", "warn", "error"], { error: '"debug", "info", "warn" or "error"' }), "info"),
      format: z._default(
        z.enum(["auto", "json", "pretty", "journald"], { error: '"auto", "json", "pretty" or "journald"' }),
        "auto",
      ),
    }),
    { level: "info", format: "auto" },
  ),
});

/** What the file says, defaults filled in. */
export type ConfigFile = z.infer<typeof configShape>;

/** The JSON Schema of the configuration file, for editors. */
export function configJsonSchema(): unknown {
  return z.toJSONSchema(configShape, { io: "input" });
}
