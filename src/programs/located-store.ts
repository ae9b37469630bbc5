import type { Installation } from "../domain/choice.js";
import type { Creation, Finding, Origin, SingleLogin, SourceStore, UnusedIds } from "../domain/inventory.js";
import type { StoreError } from "../domain/errors.js";
import type { CredentialStore } from "../domain/store.js";

/** A store that was found, before the configuration was asked what to do with it. */
export interface LocatedStore {
  readonly store: CredentialStore;
  /** The agent it belongs to, for the config's `agents` patterns; null for a store that the user named. */
  readonly agent: string | null;
  /** Why it may be another agent's, so that it is left alone where any agent is protected; or null. */
  readonly doubt: StoreError | null;
  readonly single: SingleLogin | null;
  /** How it takes a profile that it does not have, whether or not the user wants it; null where it does not. */
  readonly creation: Omit<Creation, "policy"> | null;
  readonly origin: Origin;
  /** Absent: its program uses whatever it lists. */
  readonly unused?: UnusedIds;
}

/** The outcome of looking for a target's stores. */
export interface Location {
  readonly stores: readonly LocatedStore[];
  readonly findings: readonly Finding[];
  readonly agents: AgentIds;
  /** Files that decide which stores there are, existing or not. */
  readonly files: readonly string[];
  /** The program whose stores these are, where its agents choose among profiles; null where they do not. @throws StoreError */
  readonly open: (() => Promise<Installation>) | null;
}

/** The ids of a program's agents; null if they are unknown. */
export type AgentIds = readonly string[] | null;

/** The source, and the files that decide where it is. */
export interface LocatedSource extends SourceStore {
  readonly agents: AgentIds;
  readonly files: readonly string[];
}
