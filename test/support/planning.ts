import type { Account } from "../../src/domain/credential.js";
import {
  emptyLedger,
  foldLedger,
  type LedgerEvent,
  type LedgerState,
  type LiveEvent,
  type Terms,
} from "../../src/domain/ledger.js";
import { asFingerprint, type Fingerprint } from "../../src/domain/generation.js";
import {
  noOrders,
  type Held,
  type HeldCredential,
  type HeldFence,
  type KeptLogin,
  type ObservedSource,
  type ObservedTarget,
  type Orders,
  type Policy,
} from "../../src/domain/observation.js";
import { planSync, type Plan } from "../../src/domain/plan.js";
import { Secret } from "../../src/domain/secret.js";
import type { TargetVerdict } from "../../src/domain/target-verdict.js";

export const NOW = 1_800_000_000_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const SOURCE = "claude-code";
export const SOURCE_PROFILE = "claudeAiOauth";
export const LISTED_PROFILE = "anthropic:claude-cli";

export const anna: Account = { uuid: "uuid-anna", email: "anna" };
export const bert: Account = { uuid: "uuid-bert", email: "bert" };

const surroundings = (): Fingerprint => asFingerprint("as it was");
const policy: Policy = { bind: "matching", onAgentRotation: "adopt", onAccountChange: "hold" };

interface LoginOptions {
  /** Hours from NOW. */
  readonly endsInHours?: number;
  readonly issue?: string;
  readonly signInEndsAt?: number | null;
}

/** A login of one generation; its access token is named after it unless said otherwise. */
export function login(generation: string | null, options: LoginOptions = {}): HeldCredential {
  const { endsInHours = 4, issue = `${generation ?? "bare"}/1`, signInEndsAt = null } = options;
  const expiresAt = NOW + endsInHours * HOUR_MS;
  return {
    kind: "credential",
    credential: {
      type: "oauth",
      access: new Secret(issue),
      refresh: generation === null ? null : new Secret(generation),
      expiresAt,
      signInEndsAt,
      idToken: null,
      grant: null,
    },
    generation: generation === null ? null : asFingerprint(generation),
    issue: asFingerprint(issue),
    expiresAt,
  };
}

export function bearerToken(name: string): HeldCredential {
  const credential = { type: "token", token: new Secret(name), expiresAt: null } as const;
  return { kind: "credential", credential, generation: asFingerprint(name), issue: asFingerprint(name), expiresAt: null };
}

export function apiKey(name: string): HeldCredential {
  const credential = { type: "api_key", key: new Secret(name) } as const;
  return { kind: "credential", credential, generation: asFingerprint(name), issue: asFingerprint(name), expiresAt: null };
}

export const stub: Held = { kind: "stub", timeLimit: false };
/** A refresh of a generation, under way or failed; null: of one that no store holds. */
export function fence(spends: string | null, state: "pending" | "failed", claim = "claim"): HeldFence {
  return { kind: "fence", claim, failed: state === "failed", spends: spends === null ? null : asFingerprint(spends) };
}

export const absent: Held = { kind: "absent" };

interface SourceOptions {
  readonly account?: Account | null;
  readonly accountInCredential?: boolean;
  /** Milliseconds before NOW. */
  readonly changedAgoMs?: number;
  readonly kept?: KeptLogin | null;
}

/** The source holding something, quiet for a minute. */
export function sourceWith(held: Held, options: SourceOptions = {}): ObservedSource {
  const { account = anna, accountInCredential = false, changedAgoMs = MINUTE_MS, kept = null } = options;
  const place = { store: SOURCE, profile: SOURCE_PROFILE };
  const observed = { ...place, provider: null, held, account, surroundings };
  return { ...place, flow: SOURCE_PROFILE, state: "present", observed, accountInCredential, changedAt: NOW - changedAgoMs, kept };
}

export const missingSource: ObservedSource = { store: SOURCE, profile: SOURCE_PROFILE, flow: SOURCE_PROFILE, state: "missing" };

/** A listed, following profile of an agent that is given all of the login. */
export function targetWith(held: Held, options: Partial<ObservedTarget> = {}): ObservedTarget {
  return {
    store: "openclaw:main",
    profile: LISTED_PROFILE,
    provider: "anthropic",
    held,
    account: null,
    surroundings,
    binding: "follow",
    listed: true,
    related: true,
    share: "full",
    creates: false,
    expiryMarginMs: 0,
    ...options,
  };
}

interface LiveOptions extends LoginOptions {
  readonly chain?: string;
  readonly account?: Account | null;
  readonly reason?: LiveEvent["reason"];
  readonly at?: number;
}

/** The event by which a generation became live, in the chain of `first` unless said otherwise. */
export function becameLive(generation: string, options: LiveOptions = {}): LiveEvent {
  const held = login(generation, options);
  return {
    kind: "live",
    at: options.at ?? NOW - HOUR_MS,
    sourceProfile: SOURCE_PROFILE,
    chain: options.chain ?? "first",
    generation: asFingerprint(generation),
    issue: held.issue,
    expiresAt: held.expiresAt,
    signInEndsAt: options.signInEndsAt ?? null,
    account: options.account === undefined ? anna : options.account,
    reason: options.reason ?? "rotation",
    from: SOURCE,
  };
}

interface PlaceOptions {
  readonly store?: string;
  readonly profile?: string;
  readonly issue?: string;
  readonly at?: number;
  readonly terms?: Terms;
}

/** The event by which a profile was seen with a generation: the listed one of the main agent unless said otherwise. */
export function wasSeen(generation: string, options: PlaceOptions = {}): LedgerEvent {
  const { store = "openclaw:main", profile = LISTED_PROFILE, issue = `${generation}/1`, at = NOW - HOUR_MS, terms } = options;
  const names = { generation: asFingerprint(generation), issue: asFingerprint(issue), surroundings: surroundings() };
  const placed = { kind: "seen", at, store, profile, ...names } as const;
  return terms === undefined ? placed : { ...placed, terms };
}

export function sourceWasSeen(generation: string, options: PlaceOptions = {}): LedgerEvent {
  return wasSeen(generation, { ...options, store: SOURCE, profile: SOURCE_PROFILE });
}

/**
 * A ledger in which `old`, then `live` were the source's, the main agent follows, and the account is Anna's. `live` ends
 * in four hours, `old` ended four hours ago.
 */
export function knownChain(...more: readonly LedgerEvent[]): LedgerState {
  return foldLedger(emptyLedger, [
    becameLive("old", { endsInHours: -4 }),
    becameLive("live"),
    sourceWasSeen("live"),
    wasSeen("live"),
    ...more,
  ]);
}

export interface Situation {
  readonly source: ObservedSource;
  readonly targets?: readonly ObservedTarget[];
  readonly ledger?: LedgerState;
  readonly policy?: Partial<Policy>;
  readonly force?: readonly string[];
  readonly adopt?: string;
  readonly restarted?: readonly string[];
  readonly now?: number;
  readonly clockJumped?: boolean;
}

/** Claude Code's profile names no provider, and is Anthropic's. */
function providerOf({ source }: Situation): string {
  return (source.state === "present" ? source.observed.provider : null) ?? "anthropic";
}

/** Plans for a situation; what is not said is as usual. */
export function planFor(situation: Situation): Plan {
  const orders: Orders = {
    ...noOrders,
    force: new Set(situation.force ?? []),
    adopt: situation.adopt === undefined ? null : { store: situation.adopt, profile: null },
  };
  return planSync({
    source: situation.source,
    provider: providerOf(situation),
    targets: situation.targets ?? [],
    ledger: situation.ledger ?? emptyLedger,
    policy: { ...policy, ...situation.policy },
    orders,
    restarted: new Set(situation.restarted ?? []),
    now: situation.now ?? NOW,
    clockJumped: situation.clockJumped ?? false,
  });
}

/** The verdict on the only target of a situation. */
export function verdictFor(situation: Situation): TargetVerdict | null {
  const [report] = planFor(situation).reports;
  if (report === undefined) throw new Error("a situation with a target is needed");
  return report.verdict;
}
