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

  /**
   * Takes in what a look has read; what earlier ones read is kept only while a fence stands.
   *
   * @param copies of what the source lost: they are there after a restart, too
   */
  note(reads: Reads, fingerprintOf: FingerprintOf, copies: readonly ProfileContent[] = []): void {
    const contents = reads.flatMap(({ snapshot }) => snapshot?.profiles.map(({ content }) => content) ?? []);
    const kept = contents.some(({ kind }) => kind === "fence") ? this.#tokens : [];
    const tokens = [...contents, ...copies].flatMap(refreshTokenOf);
    this.#tokens = new Map([...tokens.map((token) => [fingerprintOf(token), token] as const), ...kept]);
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
