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
  /** True if its stores have the names of agents, and the ids of its profiles mean something to a user. */
  readonly hasAgents: boolean;
  /** True if a running instance works from memory and must reload after a write. */
  readonly hasGateway: boolean;
  /** True if its credential file is in a directory of its own, which can be a target. */
  readonly isTargetByDirectory: boolean;
  readonly words: ProgramWords;
  /** Its command on the PATH, which credsyncd or its user may run. */
  readonly executable: string;
  /** The variables that decide where it keeps its logins, none of them a secret: a service gets those of its user. */
  readonly variables: readonly string[];
  /** The variables whose value it uses instead of its own login. */
  readonly overrides: readonly string[];
  /** How its own commands renew a login; null where that is not known. */
  readonly renewal: Renewal | null;
  /** Returns the paths of the locks that it makes for a credential file, besides `<file>.lock`. */
  readonly locksBeside: (path: string) => Promise<readonly string[]>;
  readonly source: SourceKind;
  readonly target: TargetKind;
}

/** The steps that a person takes with it, in words. */
export interface ProgramWords {
  readonly name: string;
  /** The person or agent that uses the login in one of its stores. */
  readonly user: string;
  /** Returns how that user keeps its own login. */
  readonly keepOwn: (store: StoreName) => string;
  /** A use of the login that renews it. */
  readonly renew: string;
  /** How a token that does not rotate is replaced. */
  readonly newToken: string;
}

/** How a program's own commands renew a login. */
export interface Renewal {
  /** They renew a login in its last milliseconds, never earlier. */
  readonly withinMs: number;
  /** A hint for a run that changed nothing. */
  readonly noEffectHint: string;
  /** Returns whether a command runs this program, as far as its words show. */
  readonly isRunBy: (command: readonly string[]) => boolean;
  /** Returns why a command may not renew the login in an environment; values of variables stay out of the texts. */
  readonly doubtsOf: (
    command: readonly string[],
    variables: Readonly<Record<string, string | undefined>>,
  ) => readonly RenewalDoubt[];
}

/** A reason why a command may not renew a login. */
export interface RenewalDoubt {
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

/** The words for a program that has none of its own. */
export const usualWords: ProgramWords = {
  name: "its program",
  user: "this store",
  keepOwn: () => "remove it from the targets in the config",
  renew: "any request with it",
  newToken: "put a new one there",
};

/** An entry under `source` or `targets` in the configuration: a `kind`, and the settings of the program with that kind. */
export interface Entry {
  readonly kind: string;
}

/** How a program is configured as the source. */
export interface SourceKind<Own extends Entry = Entry> {
  /** The settings for the user, with their defaults. */
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
  /** The settings for the user, with their defaults. */
  readonly shape: EntryShape<Own>;
  readonly configure: (entry: Own, surroundings: EntrySurroundings) => ConfiguredTarget;
}

/** An object's shape, so that its keys can be suggested. */
export type EntryShape<Own extends Entry = Entry> = z.ZodMiniType<Own> & { readonly def: { readonly shape: object } };

/** The configuration around one entry. */
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
  /** Returns the gateway that must reload after a write, or null. */
  readonly gateway: (reloads: boolean, environment: Environment) => Gateway | null;
}

export interface ConfiguredSource extends Configured {
  /** Returns what finds the source; that may be asked any number of times. */
  readonly locator: (environment: Environment) => () => Promise<LocatedSource>;
}

export interface ConfiguredTarget extends Configured, Terms {
  /** The terms of a profile that credsyncd makes because its program does not use another one. */
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
