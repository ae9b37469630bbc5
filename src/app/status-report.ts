import type { SplitBrain } from "../domain/split-brain.js";
import type { ToldAlert } from "./alert-memory.js";

export type SourceState = "ok" | "expiring" | "expired" | "refreshing" | "logged-out" | "missing" | "unreadable";
/** `source`: what the others follow. `separate`: pinned or ignored. */
export type ProfileState = "source" | "in-sync" | "drift" | "held" | "absent" | "error" | "separate";

/** One followed profile of the source. */
export interface SourceStatus {
  readonly store: string;
  readonly path: string;
  readonly profile: string;
  readonly type: string | null;
  readonly state: SourceState;
  readonly reason: string | null;
  readonly explanation: string | null;
  readonly hint: string | null;
  readonly generation: string | null;
  readonly expiresAt: string | null;
  readonly signInEndsAt: string | null;
  readonly account: string | null;
}

export interface ProfileStatus {
  readonly profile: string;
  readonly type: string | null;
  readonly binding: "follow" | "pinned" | "ignore";
  readonly state: ProfileState;
  /** One word, for scripts. */
  readonly reason: string | null;
  /** The reason in words, for a person. */
  readonly explanation: string | null;
  readonly hint: string | null;
  readonly generation: string | null;
  readonly expiresAt: string | null;
  /** The store whose login, in sync with the source, this profile hides from its agent; null if it hides none. */
  readonly hides: string | null;
  /** False where its program lists this profile and never sends it. */
  readonly used: boolean;
  /** The store whose login of this id its agent's next turn sends; null for none, or where that is not known. */
  readonly sends: string | null;
}

/** The profiles that an agent uses of another store, because it has none with these ids itself. */
export interface InheritedProfiles {
  readonly store: string;
  readonly profiles: readonly string[];
}

export interface StoreStatus {
  readonly store: string;
  readonly path: string;
  readonly format: string;
  /** How the owning program keeps its stores, in one word, told from files; null where there is only one way. */
  readonly era: string | null;
  /** The version that last wrote the owning program's config; another one may run. */
  readonly versionHint: string | null;
  /** Null where its agent inherits nothing. */
  readonly inherits: InheritedProfiles | null;
  readonly profiles: readonly ProfileStatus[];
  readonly active: Readonly<Record<string, string>>;
  readonly error: string | null;
  readonly hint: string | null;
  /** Another store that is the same file, or null. */
  readonly sameAs: string | null;
}

/** Something that was found, and where. */
export interface FoundPath {
  readonly store: string;
  readonly path: string;
}

/** A gateway that works from a memory of its stores until it reloads, takes a turn or restarts. */
export interface GatewayStatus {
  readonly gateway: string;
  readonly laggingSince: string;
  /** When the replaced token expires, after which the gateway reads its store without a reload; null if unknown. */
  readonly until: string | null;
  /** One word, for scripts: why it was not told. */
  readonly reason: string;
  /** The reason in words, for a person. */
  readonly explanation: string;
  readonly hint: string;
}

/** A gateway that is configured or ran, while nobody listens where it should. */
export interface AbsentGateway {
  readonly gateway: string;
  readonly port: number;
  readonly explanation: string;
  readonly hint: string;
}

/** An alert that holds now. */
export interface StatusAlert extends Omit<ToldAlert, "since"> {
  /** Null where nobody saw it begin. */
  readonly since: string | null;
  readonly hint: string;
}

/** The output of `credsyncd status --json`; fields are only ever added. */
export interface StatusReport {
  readonly schemaVersion: 1;
  readonly at: string;
  readonly daemon: DaemonStatus;
  /** The first of `sources`. */
  readonly source: SourceStatus;
  /** Every profile of the source that is followed. */
  readonly sources: readonly SourceStatus[];
  readonly stores: readonly StoreStatus[];
  /** Stores found whose agent is not configured any more. */
  readonly unconfigured: readonly FoundPath[];
  /** Files that OpenClaw does not read any more. */
  readonly retired: readonly FoundPath[];
  /** Names and patterns in the configuration's `agents` that no agent has. */
  readonly unmatchedAgents: readonly string[];
  /** Agents without a store of their own, and what each uses of another. */
  readonly inherits: readonly (FoundPath & { readonly from: string | null; readonly profiles: readonly string[] })[];
  /** Running gateways that may still use a login that was replaced. */
  readonly gateways: readonly GatewayStatus[];
  /** Gateways that are configured or ran, and that do not listen: nothing reloads them. */
  readonly absentGateways: readonly AbsentGateway[];
  /** Agents that use different or broken profiles for one provider. */
  readonly splitBrain: readonly SplitBrain[];
  readonly alerts: readonly StatusAlert[];
  /** The stores in sync whose program sends none of the profiles that follow. */
  readonly unused: readonly string[];
  readonly summary: {
    readonly stores: number;
    readonly inSync: number;
    readonly drift: number;
    readonly held: number;
    readonly errors: number;
  };
}

export interface DaemonStatus {
  readonly running: boolean;
  readonly pid: number | null;
  readonly lastReconcileAt: string | null;
  readonly lastReconcileMs: number | null;
}
