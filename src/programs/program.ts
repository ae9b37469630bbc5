import type * as z from "zod/mini";
import type { Terms } from "../domain/ledger.js";
import type { ProfileId, StoreName } from "../domain/store.js";
import type { Environment } from "./environment.js";
import type { LocatedSource, Location } from "./located-store.js";
import type { Gateway } from "./gateway.js";

/**
 * A program that keeps logins: everything that the rest of credsyncd asks about it.
 *
 * A new program is a folder with one of these, and a line in `registry.ts`. No other code compares the name of a store.
 */
export interface Program {
  /** Its `kind` in the configuration. */
  readonly kind: string;
  /** Returns whether a store with this name is one of its own. */
  readonly owns: (store: StoreName) => boolean;
  /** Whether its stores are named after agents, and the ids of its profiles mean something to a user. */
  readonly hasAgents: boolean;
  /** Whether a running instance works from memory, and is told after a write. */
  readonly hasGateway: boolean;
  /** Whether its credential file stands in a directory of its own, which can be a target. */
  readonly isTargetByDirectory: boolean;
  readonly words: ProgramWords;
  /** Returns the paths of the locks that it makes for a credential file, besides `<file>.lock`. */
  readonly locksBeside: (path: string) => Promise<readonly string[]>;
  readonly source: SourceKind;
  readonly target: TargetKind;
}

/** What a person does with it, in words. */
export interface ProgramWords {
  readonly name: string;
  /** Who uses the login in one of its stores. */
  readonly user: string;
  /** How that user keeps a login of their own. */
  readonly keepOwn: (store: StoreName) => string;
  /** A use of the login that renews it. */
  readonly renew: string;
  /** How a token that does not rotate is replaced. */
  readonly newToken: string;
}

/** The words for a program that has none of its own. */
export const usualWords: ProgramWords = {
  name: "its program",
  user: "this store",
  keepOwn: () => "remove it from the targets in the config",
  renew: "any request with it",
  newToken: "put a new one there",
};

/** What stands under `source` or `targets` in the configuration: a `kind`, and what the program with that kind takes beside it. */
export interface Entry {
  readonly kind: string;
}

/** How a program is configured as the source. */
export interface SourceKind<Own extends Entry = Entry> {
  /** What the user may write, with the defaults. */
  readonly shape: EntryShape<Own>;
  /**
   * @param profiles the `profiles` of the configuration, or undefined where the user did not write any
   * @returns the profiles to show as configured, which may be defaults
   * @throws Failure `config` if the two do not go together
   */
  readonly withProfiles: (
    entry: Own,
    profiles: readonly ProfileId[] | undefined,
    place: string,
  ) => readonly ProfileId[] | undefined;
  readonly configure: (entry: Own, surroundings: SourceSurroundings) => ConfiguredSource;
}

/** How a program is configured as a target. */
export interface TargetKind<Own extends Entry = Entry> {
  /** What the user may write, with the defaults. */
  readonly shape: EntryShape<Own>;
  readonly configure: (entry: Own, surroundings: EntrySurroundings) => ConfiguredTarget;
}

/** An object's shape, so that its keys can be suggested. */
export type EntryShape<Own extends Entry = Entry> = z.ZodMiniType<Own> & { readonly def: { readonly shape: object } };

/** What the configuration says besides one entry. */
export interface EntrySurroundings {
  /** Every entry, the source's first. */
  readonly entries: readonly Entry[];
  readonly agentDirs: readonly string[];
}

export interface SourceSurroundings extends EntrySurroundings {
  readonly profiles: readonly ProfileId[];
  /** Understands a pattern that names profiles. */
  readonly compileGlob: (pattern: string) => { readonly matches: (name: string) => boolean; readonly isGlob: boolean };
}

/** One place where a program keeps its stores, as configured. */
interface Configured {
  readonly program: Program;
  /** The directory that the user named; null for the usual one. Equal ones are the same place. */
  readonly directory: string | null;
  /** Returns the directories in which credsyncd makes locks and temporary files when it writes there. */
  readonly lockDirectories: (environment: Environment) => Promise<readonly string[]>;
  /** Returns what has to be told after a write; null where nothing has. */
  readonly gateway: (reloads: boolean, environment: Environment) => Gateway | null;
}

export interface ConfiguredSource extends Configured {
  /** Returns what finds the source; that may be asked any number of times. */
  readonly locator: (environment: Environment) => () => Promise<LocatedSource>;
}

export interface ConfiguredTarget extends Configured, Terms {
  /** The terms of a profile that is made in the place of one that its program does not use. */
  readonly termsOfMade: Terms;
  /** Finds its stores as they are at this moment. */
  readonly locate: (environment: Environment) => Promise<Location>;
}

/** Forgets which entries a kind is for: it is given those alone that its shape accepted. */
export function sourceKind<Own extends Entry>(kind: SourceKind<Own>): SourceKind {
  return kind as unknown as SourceKind;
}

/** Forgets which entries a kind is for: it is given those alone that its shape accepted. */
export function targetKind<Own extends Entry>(kind: TargetKind<Own>): TargetKind {
  return kind as unknown as TargetKind;
}

/** The same for two entries that name one place of a program. */
export function placeKey({ program, directory }: Pick<Configured, "program" | "directory">): string {
  return JSON.stringify([program.kind, directory]);
}
