import { isFenced, readFence } from "../../src/programs/openclaw/fence.js";
import type { AgentProfile } from "./model-file.js";

export type ModelFence = NonNullable<ReturnType<typeof readFence>>;

/** The fence in a profile of a model store, as the real code reads it; null for none. */
export function fenceIn(profile: string, { provider, access, refresh }: AgentProfile): ModelFence | null {
  const fields = { profile, provider, access: access ?? "", refresh: refresh ?? null };
  return isFenced(fields) ? readFence(fields) : null;
}
