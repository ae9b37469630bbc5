import type { Fingerprint, FingerprintOf } from "../domain/generation.js";
import type { Secret } from "../domain/secret.js";
import type { ProfileContent, StoreSnapshot } from "../domain/store.js";

type Fence = Extract<ProfileContent, { kind: "fence" }>;
type Reads = readonly { readonly snapshot: StoreSnapshot | null }[];

/**
 * The refresh tokens that were read. A fence only tells whether a given token is the one that it names, and where a program
 * fences every store of a login at once, none but an earlier look has that token.
 */
export class SeenTokens {
  #tokens: ReadonlyMap<Fingerprint, Secret> = new Map();

  /** Takes in what a look has read; what earlier ones read is kept only while a fence stands. */
  note(reads: Reads, fingerprintOf: FingerprintOf): void {
    const contents = reads.flatMap(({ snapshot }) => snapshot?.profiles.map(({ content }) => content) ?? []);
    const kept = contents.some(({ kind }) => kind === "fence") ? this.#tokens : [];
    this.#tokens = new Map([...contents.flatMap(refreshTokenOf).map((token) => [fingerprintOf(token), token] as const), ...kept]);
  }

  /** The generation that a fence names; null where its token was never read. */
  spentBy(fence: Fence): Fingerprint | null {
    for (const [generation, token] of this.#tokens) if (fence.spends(token)) return generation;
    return null;
  }
}

function refreshTokenOf(content: ProfileContent): Secret[] {
  if (content.kind !== "credential" || content.credential.type !== "oauth") return [];
  return content.credential.refresh === null ? [] : [content.credential.refresh];
}
