import { createHash } from "node:crypto";

interface FenceOptions {
  readonly profile: string;
  readonly failed: boolean;
  readonly claim?: string;
}

/** Replaces the tokens of a profile by OpenClaw's refresh marks, as 2026.9.4 and later do. */
export function fenced(
  entry: Readonly<Record<string, unknown>>,
  { profile, failed, claim = "0123456789abcdef0123456789abcdef" }: FenceOptions,
): Record<string, unknown> {
  const mark = (kind: "access" | "refresh"): string => {
    const generation = ["openclaw.oauth-refresh-generation", 1, profile, entry["provider"], kind, entry[kind]];
    const digest = createHash("sha256").update(JSON.stringify(generation)).digest("hex");
    return `openclaw-oauth-refresh-fence:v1:${claim}:${failed ? "failed:" : ""}${kind}:${digest}`;
  };
  const kept = Object.entries(entry).filter(([name]) => name !== "idToken" && name !== "copyToAgents");
  return { ...Object.fromEntries(kept), access: mark("access"), refresh: mark("refresh"), expires: 1 };
}
