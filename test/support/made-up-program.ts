import { dirname, join } from "node:path";
import * as z from "zod/mini";
import { noOrigin } from "../../src/domain/inventory.js";
import type { Place } from "../../src/domain/place.js";
import { Secret, SecretReference } from "../../src/domain/secret.js";
import { StoreError } from "../../src/domain/errors.js";
import type {
  CredentialStore,
  ProfileContent,
  ProfilePatch,
  Revision,
  StoreName,
  StoreSnapshot,
} from "../../src/domain/store.js";
import { replaceFile } from "../../src/io/atomic-file.js";
import { takeDirectoryLock } from "../../src/io/directory-lock.js";
import { changeJson, isJsonObject, putJson, textAt } from "../../src/io/json-document.js";
import { isUnchanged, readRegularFile, refuseForeignDirectory, type RegularFile } from "../../src/io/regular-file.js";
import { ABSENT, revisionOf } from "../../src/io/revision.js";
import { toStoreError } from "../../src/io/system-error.js";
import { unconfined } from "../../src/programs/confinement.js";
import { share, text } from "../../src/programs/entry-shapes.js";
import type { Environment } from "../../src/programs/environment.js";
import { sourceKind, targetKind, usualWords, type Program } from "../../src/programs/program.js";
import { parseOrTorn } from "../../src/programs/torn.js";

/** The one login of a made-up program, by its key in its file. */
export const MADE_UP_PROFILE = "session";
const PROVIDER = "made-up";

const loginShape = z.looseObject({ token: z.string(), renewal: z.optional(z.string()), until: z.number() });

/** A file with one login: `{"session":{"token","renewal","until"}}`. */
export class MadeUpStore implements CredentialStore {
  readonly format = "made-up";
  readonly name: StoreName;
  readonly path: string;
  readonly #environment: Environment;

  constructor(name: StoreName, path: string, environment: Environment) {
    this.name = name;
    this.path = path;
    this.#environment = environment;
  }

  places(): readonly Place[] {
    return unconfined.placesAt(this.path);
  }

  async read(): Promise<StoreSnapshot> {
    const file = await this.#load();
    if (file === null) return { revision: ABSENT, identity: null, changedAt: null, files: [this.path], profiles: [] };
    const root = parseOrTorn(file, this.path, this.#environment.clock);
    if (!isJsonObject(root)) throw new StoreError("malformed", `${this.path} is not a JSON object`, "sign in to Made-up again");
    const login = root[MADE_UP_PROFILE];
    const profile = {
      id: MADE_UP_PROFILE,
      provider: PROVIDER,
      content: contentOf(login),
      account: null,
      accountInCredential: false,
      surroundings: () => new Secret(JSON.stringify({ ...(login as object), token: 0, renewal: 0, until: 0 })),
      image: () => new Secret(textAt(file.text, [MADE_UP_PROFILE], this.path) ?? "null"),
    };
    const { identity, changedAt } = file;
    return {
      revision: revisionOf(file.text),
      identity,
      changedAt,
      files: [this.path],
      profiles: login === undefined ? [] : [profile],
    };
  }

  write([patch]: readonly ProfilePatch[], expected: Revision, signal: AbortSignal): Promise<void> {
    if (patch === undefined) return Promise.resolve();
    return this.#replace(expected, signal, (before) => {
      if (before === null && !patch.create) throw this.#conflict();
      const changes = Object.entries(fieldsOf(patch.credential)).map(([key, value]) => ({ path: [MADE_UP_PROFILE, key], value }));
      const whole = before ?? `{"${MADE_UP_PROFILE}":{}}`;
      return changeJson(whole, changes, this.path);
    });
  }

  restore(profile: string, image: Secret, expected: Revision, signal: AbortSignal): Promise<void> {
    return this.#replace(expected, signal, (before) => putJson(before ?? "{}", [profile], image.reveal(), this.path));
  }

  readActive(): Promise<Readonly<Record<string, string>>> {
    return Promise.resolve({});
  }

  async #load(): Promise<RegularFile | null> {
    const file = await readRegularFile(this.path);
    if (file !== null) refuseForeignDirectory(file.realPath);
    return file;
  }

  async #replace(expected: Revision, signal: AbortSignal, change: (before: string | null) => string): Promise<void> {
    const options = { staleMs: 30_000, touchMs: 5000, waitMs: 2000, clock: this.#environment.clock };
    try {
      const lock = await takeDirectoryLock(`${this.path}.lock`, options, signal);
      try {
        const file = await this.#load();
        if ((file === null ? ABSENT : revisionOf(file.text)) !== expected) throw this.#conflict();
        if (file !== null) parseOrTorn(file, this.path, this.#environment.clock);
        const written = change(file?.text ?? null);
        const isStillWanted = (): boolean => isUnchanged(this.path, file);
        const { discard } = this.#environment.predecessors.leftovers;
        if (!(await replaceFile(this.path, written, { isStillWanted, discard }))) throw this.#conflict();
        if ((await this.#load())?.text !== written) throw this.#conflict();
      } finally {
        await lock.release();
      }
    } catch (error) {
      throw toStoreError(error, this.path, "write");
    }
  }

  #conflict(): StoreError {
    return new StoreError("conflict", `${this.path} changed while it was about to be written`, "credsyncd reads it again");
  }
}

function contentOf(login: unknown): ProfileContent {
  const parsed = loginShape.safeParse(login);
  if (!parsed.success) return { kind: "incomplete", reason: "the session is not complete" };
  const { token, renewal, until } = parsed.data;
  const refresh = renewal === undefined ? null : new Secret(renewal);
  const parts = { access: new Secret(token), refresh, expiresAt: until, signInEndsAt: null, idToken: null, grant: null };
  return { kind: "credential", credential: { type: "oauth", ...parts } };
}

function fieldsOf(credential: ProfilePatch["credential"]): Record<string, string | number | undefined> {
  if (credential.type !== "oauth" || credential.access instanceof SecretReference)
    throw new StoreError("unsupported", "Made-up keeps sessions only", "take this store out of the targets");
  const { access, refresh, expiresAt } = credential;
  return { token: access.reveal(), renewal: refresh?.reveal(), until: expiresAt ?? undefined };
}

const sourceShape = z.strictObject({ kind: z.literal("made-up"), file: text });
const targetShape = z.strictObject({ kind: z.literal("made-up"), file: text, share: z._default(share, "access-only") });

/** A program that nobody has: what a new one has to bring, in one file. */
export const madeUp: Program = {
  kind: "made-up",
  owns: (store) => store === "made-up" || store.startsWith("made-up:"),
  hasAgents: false,
  hasGateway: false,
  isTargetByDirectory: false,
  words: { ...usualWords, name: "Made-up", renew: "made-up renew", newToken: "made-up login" },
  executable: "made-up",
  variables: ["MADE_UP_HOME"],
  overrides: ["MADE_UP_TOKEN"],
  renewal: {
    withinMs: 60_000,
    noEffectHint: "run made-up renew by hand",
    isRunBy: ([program]) => program === "made-up",
    doubtsOf: (_command, { MADE_UP_OFF: off }) =>
      off === undefined ? [] : [{ what: "MADE_UP_OFF is set", why: "made-up then renews nothing", fix: "unset it" }],
  },
  locksBeside: () => Promise.resolve([]),
  source: sourceKind({
    shape: sourceShape,
    withProfiles: (_entry, profiles) => profiles,
    configure: ({ file }) => ({
      ...configured(file),
      locator: (environment) => {
        const store = new MadeUpStore("made-up", join(environment.home, file), environment);
        const selection = { kind: "one", profile: MADE_UP_PROFILE, providers: [PROVIDER], followers: [] } as const;
        const located = { stores: [store], selection, copies: null, signIn: "made-up login", agents: [] } as const;
        return () => Promise.resolve({ ...located, files: [store.path] });
      },
    }),
  }),
  target: targetKind({
    shape: targetShape,
    configure: ({ file, share }) => {
      const terms = { share, expiryMarginMs: 0 };
      return {
        ...configured(file),
        ...terms,
        termsOfMade: terms,
        locate: (environment) => {
          const store = new MadeUpStore(`made-up:${file}`, join(environment.home, file), environment);
          const single = { profile: MADE_UP_PROFILE, providers: [PROVIDER], creates: true };
          const stores = [{ store, agent: null, doubt: null, single, creation: null, origin: noOrigin }];
          return Promise.resolve({ stores, findings: [], agents: [], files: [store.path], open: null });
        },
      };
    },
  }),
};

function configured(
  file: string,
): Pick<ReturnType<Program["source"]["configure"]>, "program" | "directory" | "lockDirectories" | "gateway"> {
  return {
    program: madeUp,
    directory: file,
    lockDirectories: ({ home }) => Promise.resolve([dirname(join(home, file))]),
    gateway: () => null,
  };
}
