import { createHash, timingSafeEqual } from "node:crypto";
import type { Secret } from "../../domain/secret.js";
import type { ProfileContent, ProfileId } from "../../domain/store.js";

/**
 * The mark that OpenClaw from 2026.9.4 puts in place of both tokens while it refreshes, and leaves there if the refresh fails. It
 * has the process that refreshes and a digest of the token that it spends (its `oauth-refresh-marker.ts`).
 */
const MARK = "openclaw-oauth-refresh-fence:";
const MARK_SHAPE = /^openclaw-oauth-refresh-fence:v1:([0-9a-f]{32}):(failed:)?(access|refresh):([0-9a-f]{64})$/;

type Fence = Extract<ProfileContent, { kind: "fence" }>;

/** An OAuth profile's fields as they were read. */
export interface FencedFields {
  readonly profile: ProfileId;
  readonly provider: string | null;
  readonly access: string;
  readonly refresh: string | null;
}

/** Checks whether a token is replaced by a mark: then there is no credential, whatever the other fields say. */
export function isFenced({ access, refresh }: FencedFields): boolean {
  return access.startsWith(MARK) || (refresh?.startsWith(MARK) ?? false);
}

/** @returns null where the marks are not the two of one claim */
export function readFence({ profile, provider, access, refresh }: FencedFields): Fence | null {
  const [ofAccess, ofRefresh] = [readMark(access), readMark(refresh ?? "")];
  if (ofAccess?.token !== "access" || ofRefresh?.token !== "refresh") return null;
  const { claim, failed, digest } = ofRefresh;
  if (ofAccess.claim !== claim || ofAccess.failed !== failed) return null;
  return {
    kind: "fence",
    claim,
    failed,
    spends: (token) => timingSafeEqual(Buffer.from(digest, "hex"), digestOf(profile, provider, token)),
  };
}

interface Mark {
  readonly claim: string;
  readonly failed: boolean;
  readonly token: string;
  readonly digest: string;
}

function readMark(text: string): Mark | null {
  const [, claim, failed, token, digest] = MARK_SHAPE.exec(text) ?? [];
  if (claim === undefined || token === undefined || digest === undefined) return null;
  return { claim, failed: failed !== undefined, token, digest };
}

function digestOf(profile: ProfileId, provider: string | null, token: Secret): Buffer {
  const generation = ["openclaw.oauth-refresh-generation", 1, profile, provider, "refresh", token.reveal()];
  return createHash("sha256").update(JSON.stringify(generation)).digest();
}
