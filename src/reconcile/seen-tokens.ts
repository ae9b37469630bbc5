import type { Fingerprint, FingerprintOf } from "../domain/generation.js";
import type { Secret } from "../domain/secret.js";
import type { ProfileContent, ProfileId, StoreSnapshot } from "../domain/store.js";

type Fence = Extract<ProfileContent, { kind: "fence" }>;
type Reads = readonly { readonly snapshot: StoreSnapshot | null }[];
type Tokens = Map<Fingerprint, Secret>;

/** More refresh tokens than this are no host's. The number comes out of thin air. */
const MOST_LOGINS = 100;

/** The content that a scan read, and the copies beside it. */
interface Seen {
  readonly source: Reads;
  readonly targets: Reads;
  /** Copies of logins that the source lost; they survive a restart. */
  readonly copies: readonly ProfileContent[];
}

/**
 * The refresh tokens that scans have read. A fence only says whether a given token is the one that it names. If a program fences
 * every store of a login at once, only an earlier scan has that token.
 *
 * A program fences a profile wherever it has that id. A profile of another id follows the source, or had a login that the source
 * could not receive. If there are more tokens than a host has logins, those of other ids are left out: each question takes time,
 * and a store may have thousands of fences and tokens.
 */
export class SeenTokens {
  #ofSource: Tokens = new Map();
  #ofProfiles = new Map<ProfileId, Tokens>();
  #all: Tokens = new Map();

  /** Adds the tokens of a scan; those of earlier scans stay only while a fence is there. */
  note({ source, targets, copies }: Seen, fingerprintOf: FingerprintOf): void {
    const profiles = [...source, ...targets].flatMap(({ snapshot }) => snapshot?.profiles ?? []);
    if (!profiles.some(({ content }) => content.kind === "fence")) {
      this.#ofSource = new Map();
      this.#ofProfiles = new Map();
      this.#all = new Map();
    }
    for (const content of [...copies, ...source.flatMap(contentsOf)]) add(this.#ofSource, content, fingerprintOf);
    for (const content of [...copies, ...profiles.map((profile) => profile.content)]) add(this.#all, content, fingerprintOf);
    for (const { id, content } of profiles) {
      const tokens = this.#ofProfiles.get(id) ?? new Map<Fingerprint, Secret>();
      add(tokens, content, fingerprintOf);
      if (tokens.size > 0) this.#ofProfiles.set(id, tokens);
    }
  }

  /** The generation that a fence in a profile names; null where its token was never read. */
  spentBy(fence: Fence, profile: ProfileId): Fingerprint | null {
    const isHostsOwn = this.#all.size <= MOST_LOGINS;
    for (const tokens of isHostsOwn ? [this.#all] : [this.#ofSource, this.#ofProfiles.get(profile) ?? []])
      for (const [generation, token] of tokens) if (fence.spends(token)) return generation;
    return null;
  }
}

function contentsOf({ snapshot }: Reads[number]): ProfileContent[] {
  return snapshot?.profiles.map(({ content }) => content) ?? [];
}

function add(tokens: Tokens, content: ProfileContent, fingerprintOf: FingerprintOf): void {
  if (content.kind !== "credential" || content.credential.type !== "oauth") return;
  const { refresh } = content.credential;
  if (refresh !== null) tokens.set(fingerprintOf(refresh), refresh);
}
