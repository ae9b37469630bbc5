import type { StoreErrorCode } from "../../src/domain/errors.js";
import type { Binding } from "../../src/domain/observation.js";
import type { Network } from "./actors.js";
import type { EndForm } from "./model-end.js";
import type { Random } from "./random.js";
import type { Setting } from "./setting.js";

/** Something that happens in the middle of credsyncd's work, before its step of that number. */
export interface Interruption {
  readonly before: number;
  /** First everything else goes on that is under way: the other stores of the same look are read. */
  readonly late?: boolean;
  readonly happens: Step | { readonly kind: "crash-credsyncd" };
}

type Refresh = { readonly forced: boolean; readonly reissue: boolean; readonly network?: Network };

/** One thing that happens in a world; numbers are taken modulo what there is, so that any step fits any world. */
export type Step =
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "reconcile"; readonly during: readonly Interruption[] }
  | { readonly kind: "force"; readonly store: number; readonly during: readonly Interruption[] }
  | { readonly kind: "adopt"; readonly store: number; readonly during: readonly Interruption[] }
  | ({ readonly kind: "claude-begin"; readonly who: number } & Refresh)
  | { readonly kind: "claude-finish" | "claude-crash" | "claude-account" | "claude-log-out"; readonly who: number }
  | { readonly kind: "claude-sign-in"; readonly who: number; readonly account: string; readonly forDays: number }
  | { readonly kind: "agent-load" | "agent-save" | "agent-finish" | "agent-crash" | "agent-import"; readonly who: number }
  | ({ readonly kind: "agent-begin"; readonly who: number; readonly profile: string } & Refresh)
  | {
      readonly kind: "agent-sign-in";
      readonly who: number;
      readonly profile: string;
      readonly account: string;
      readonly email: boolean;
    }
  | { readonly kind: "agent-delete-profile"; readonly who: number; readonly profile: string }
  | { readonly kind: "restore"; readonly file: number; readonly version: number }
  | { readonly kind: "remove"; readonly file: number }
  | { readonly kind: "edit"; readonly file: number }
  | { readonly kind: "hand-copy"; readonly who: number; readonly profile: string }
  | { readonly kind: "bind"; readonly store: number; readonly binding: Binding }
  | {
      readonly kind: "fault";
      readonly file: number;
      readonly on: "readFault" | "writeFault";
      readonly code: StoreErrorCode;
      readonly times: number;
    }
  | { readonly kind: "foreign-lock"; readonly file: number }
  | { readonly kind: "ledger-fault" | "backup-fault"; readonly times: number }
  | { readonly kind: "compact"; readonly kept: number }
  | { readonly kind: "clock-jump"; readonly ms: number }
  | { readonly kind: "restart" | "lose-ledger" }
  /** Moves the clock of one program, or (`host`) of all programs and of credsyncd; 0: the clock is right again. */
  | { readonly kind: "clock-ahead"; readonly of: Program | "host"; readonly who: number; readonly ms: number }
  | { readonly kind: "end-form"; readonly of: Program; readonly who: number; readonly form: EndForm }
  /** How long the access tokens last that the server grants from now on; null: as long as usual. */
  | { readonly kind: "lifetime"; readonly ms: number | null }
  | { readonly kind: "email-changes"; readonly account: string }
  /** For some seconds something else in the source's file changes at every scan. */
  | { readonly kind: "busy-siblings"; readonly seconds: number };

export type Program = "claude" | "agent";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const PROFILES: readonly [string, ...string[]] = [
  "anthropic:claude-cli",
  "anthropic:claude-cli",
  "anthropic:default",
  "anthropic:work",
];

/** Draws what happens in a world, in order. */
export function drawSteps(random: Random, setting: Setting): Step[] {
  const length = 35 + random.below(40);
  return Array.from({ length }, () => drawStep(random, setting));
}

function drawStep(random: Random, setting: Setting): Step {
  if (random.chance(0.36)) return { kind: "reconcile", during: drawInterruptions(random, setting) };
  if (setting.calm) return drawCalm(random);
  return random.chance(0.04) ? drawCommand(random, setting) : drawOutside(random);
}

function drawInterruptions(random: Random, setting: Setting): Interruption[] {
  if (random.chance(0.55)) return [];
  const count = 1 + random.below(2);
  return Array.from({ length: count }, () => {
    const before = random.below(24);
    if (random.chance(0.3)) return { before, happens: { kind: "crash-credsyncd" } as const };
    if (setting.calm) return { before, happens: drawCalm(random) };
    return { before, happens: random.chance(0.06) ? drawCommand(random, null) : drawOutside(random) };
  });
}

/** A user's command; inside another's work it is not interrupted in turn. */
function drawCommand(random: Random, setting: Setting | null): Step {
  const kind = random.chance(0.6) ? "force" : "adopt";
  return { kind, store: random.below(8), during: setting === null ? [] : drawInterruptions(random, setting) };
}

const refresh = (random: Random): Refresh => ({ forced: random.chance(0.2), reissue: random.chance(0.15) });

function drawCalm(random: Random): Step {
  const file = random.below(6);
  return random.weighted<() => Step>([
    [14, () => ({ kind: "wait", ms: Math.min(drawWait(random), 9 * HOUR_MS) })],
    [14, () => ({ kind: "claude-begin", who: 0, ...refresh(random) })],
    [16, () => ({ kind: "claude-finish", who: 0 })],
    [5, () => ({ kind: "agent-load", who: random.below(3) })],
    [3, () => ({ kind: "agent-save", who: random.below(3) })],
    [3, () => ({ kind: "edit", file })],
    [4, () => drawFault(random, file)],
    [1, () => ({ kind: "foreign-lock", file })],
    [1, () => ({ kind: "compact", kept: random.below(6) })],
    [1, () => ({ kind: "restart" })],
  ])();
}

function drawOutside(random: Random): Step {
  const file = random.below(6);
  const who = random.below(4);
  return random.weighted<() => Step>([
    [26, () => ({ kind: "wait", ms: drawWait(random) })],
    [13, () => ({ kind: "claude-begin", who: random.chance(0.8) ? 0 : 1, ...refresh(random) })],
    [15, () => ({ kind: "claude-finish", who: random.chance(0.8) ? 0 : 1 })],
    [2, () => ({ kind: "claude-crash", who })],
    [5, () => ({ kind: "claude-account", who: random.chance(0.8) ? 0 : 1 })],
    [4, () => drawSignIn(random)],
    [2, () => ({ kind: "claude-log-out", who })],
    [4, () => ({ kind: "agent-load", who })],
    [5, () => ({ kind: "agent-save", who })],
    [13, () => ({ kind: "agent-begin", who, profile: random.pick(PROFILES), ...refresh(random) })],
    [15, () => ({ kind: "agent-finish", who })],
    [2, () => ({ kind: "agent-crash", who })],
    [2, () => ({ kind: "agent-import", who })],
    [4, () => drawAgentSignIn(random, who)],
    [2, () => ({ kind: "agent-delete-profile", who, profile: random.pick(PROFILES) })],
    [6, () => ({ kind: "restore", file, version: random.below(12) })],
    [1, () => ({ kind: "remove", file })],
    [3, () => ({ kind: "edit", file })],
    [2, () => ({ kind: "hand-copy", who, profile: random.pick(PROFILES) })],
    [
      2,
      () => ({ kind: "bind", store: random.below(6), binding: random.pick<Binding>(["pinned", "follow", "follow", "ignore"]) }),
    ],
    [8, () => drawFault(random, file)],
    [2, () => ({ kind: "foreign-lock", file })],
    [2, () => ({ kind: "compact", kept: random.below(6) })],
    [1, () => ({ kind: "clock-jump", ms: random.pick([-3, -1, 1, 5]) * HOUR_MS })],
    [2, () => ({ kind: "restart" })],
    [1, () => ({ kind: "lose-ledger" })],
  ])();
}

/**
 * The same story where OpenClaw fences what it refreshes: networks fail, and there are more refreshes. It is drawn from a
 * stream of its own, so that a seed tells the same story without it.
 */
export function withFences(random: Random, steps: readonly Step[]): Step[] {
  const told = steps.map((step) => withNetwork(random, step));
  for (let left = 2 + random.below(5); left > 0; left--) told.splice(random.below(told.length + 1), 0, ...drawRefresh(random));
  return told;
}

function withNetwork(random: Random, step: Step): Step {
  if (step.kind === "agent-begin") return { ...step, network: drawNetwork(random) };
  if (!("during" in step)) return step;
  const during = step.during.map(({ happens, ...when }): Interruption => {
    return { ...when, happens: happens.kind === "crash-credsyncd" ? happens : withNetwork(random, happens) };
  });
  return { ...step, during };
}

function drawNetwork(random: Random): Network {
  return random.weighted<Network>([
    [5, "up"],
    [3, "down"],
    [1, "answer-lost"],
  ]);
}

/** A refresh with what may come between its beginning and its end. */
function drawRefresh(random: Random): Step[] {
  const who = random.below(3);
  const between = Array.from({ length: random.below(4) }, (): Step => {
    if (random.chance(0.5)) return look;
    return { kind: "wait", ms: random.pick([1, 30, 100, 150, 179, 200, 900]) * SECOND_MS };
  });
  const end: Step = random.chance(0.8) ? { kind: "agent-finish", who } : { kind: "agent-crash", who };
  return [
    {
      kind: "agent-begin",
      who,
      profile: random.pick(PROFILES),
      forced: random.chance(0.7),
      reissue: false,
      network: drawNetwork(random),
    },
    ...between,
    ...(random.chance(0.85) ? [end] : []),
    ...(random.chance(0.5) ? [look] : []),
  ];
}

/**
 * The same story where the source's store is a target, too: somebody is in the middle of it while it is read. From a stream
 * of its own.
 */
export function withOwnTarget(random: Random, steps: readonly Step[]): Step[] {
  return steps.map((step): Step => {
    if (step.kind !== "reconcile" || random.chance(0.5)) return step;
    const before = 1 + random.below(5);
    const happens = random.weighted<() => Step>([
      [4, () => ({ kind: "agent-finish", who: 0 })],
      [2, () => ({ kind: "agent-begin", who: 0, profile: random.pick(PROFILES), ...refresh(random) })],
      [4, () => drawAgentSignIn(random, 0)],
      [1, () => ({ kind: "agent-save", who: 0 })],
      [1, () => ({ kind: "hand-copy", who: 0, profile: random.pick(PROFILES) })],
      [2, () => ({ kind: "restore", file: 1, version: random.below(12) })],
    ])();
    return { ...step, during: [...step.during, { before, late: true, happens }] };
  });
}

/**
 * The same story where ends are written wrong, clocks run ahead, lifetimes are shortened and accounts are renamed, a run of
 * steps each. From a stream of its own.
 */
export function withEnds(random: Random, steps: readonly Step[], { calm, sourceIs }: Setting): Step[] {
  const of = sourceIs === "main" ? "agent" : "claude";
  const told = [...steps];
  for (let left = 2 + random.below(5); left > 0; left--)
    told.splice(random.below(told.length + 1), 0, ...(calm ? drawCalmRun(random, of) : drawRun(random, of)));
  return told;
}

const look: Step = { kind: "reconcile", during: [] };
const MONTH_MS = 30 * 24 * HOUR_MS;

function drawRun(random: Random, source: Program): Step[] {
  return random.weighted<() => Step[]>([
    [10, () => drawCalmRun(random, source)],
    [5, () => drawAgentRun(random, source)],
    [5, () => drawEarlierSignIn(random)],
    [
      2,
      () => [
        signIn(random),
        { kind: "wait", ms: random.pick([1, 6, 40]) * SECOND_MS },
        ...maybe(random, look),
        signIn(random),
        look,
      ],
    ],
    [4, () => drawLateAccount(random, source)],
    [3, () => drawUnseenCopy(random, source)],
  ])();
}

/** Draws the steps of the source's own program and of the clocks. */
function drawCalmRun(random: Random, source: Program): Step[] {
  return random.weighted<() => Step[]>([
    [4, () => drawWrongEnd(random, source)],
    [4, () => drawAhead(random, source)],
    [4, () => drawReissue(random, source)],
    [2, () => [{ kind: "email-changes", account: drawAccount(random) }, ...maybe(random, look)]],
    [2, () => [...drawRotation(random, source), { kind: "busy-siblings", seconds: 4 + random.below(6) }]],
    [2, () => [{ kind: "lifetime", ms: random.pick([1, 2, 5]) * HOUR_MS }, ...drawRotation(random, source)]],
    [2, () => [{ kind: "lifetime", ms: null }]],
  ])();
}

function maybe(random: Random, ...steps: Step[]): Step[] {
  return random.chance(0.6) ? steps : [];
}

/** The source's own program refreshes. */
function drawRotation(random: Random, source: Program, reissue = false): Step[] {
  const refresh = { who: 0, forced: true, reissue } as const;
  const begin: Step =
    source === "claude"
      ? { kind: "claude-begin", ...refresh }
      : { kind: "agent-begin", ...refresh, profile: "anthropic:claude-cli", network: "up" };
  return [begin, { kind: `${source}-finish`, who: 0 }, ...maybe(random, look)];
}

function drawForm(random: Random): EndForm {
  return random.pick<EndForm>(["missing", "zero", "seconds", "micro", "micro"]);
}

function drawWrongEnd(random: Random, source: Program): Step[] {
  const [of, who] = [source, 0] as const;
  return [
    { kind: "end-form", of, who, form: drawForm(random) },
    ...drawRotation(random, source, random.chance(0.2)),
    { kind: "end-form", of, who, form: "ms" },
    ...maybe(random, ...drawRotation(random, source)),
  ];
}

function drawAhead(random: Random, source: Program): Step[] {
  const of = random.chance(0.5) ? source : "host";
  return [
    { kind: "clock-ahead", of, who: 0, ms: random.pick([MONTH_MS, MONTH_MS, 24 * HOUR_MS, 12 * MONTH_MS]) },
    ...drawRotation(random, source),
    ...maybe(random, { kind: "wait", ms: drawWait(random) }, look),
    { kind: "clock-ahead", of, who: 0, ms: 0 },
    ...maybe(random, look),
    ...maybe(random, ...drawRotation(random, source)),
  ];
}

/** A new access token under the same refresh token, whose end is earlier than the one before. */
function drawReissue(random: Random, source: Program): Step[] {
  return [
    ...drawRotation(random, source),
    { kind: "lifetime", ms: random.pick([10 * MINUTE_MS, HOUR_MS, 9 * HOUR_MS]) },
    ...drawRotation(random, source, true),
    ...maybe(random, { kind: "lifetime", ms: null }),
  ];
}

/** An agent refreshes, and its end is wrong or earlier than the source's. */
function drawAgentRun(random: Random, source: Program): Step[] {
  const who = random.below(3);
  const of = "agent" as const;
  const wrong = random.pick<Step>([
    { kind: "end-form", of, who, form: drawForm(random) },
    { kind: "end-form", of, who, form: drawForm(random) },
    { kind: "clock-ahead", of, who, ms: MONTH_MS },
    { kind: "lifetime", ms: HOUR_MS },
  ]);
  return [
    ...maybe(random, look),
    wrong,
    { kind: "agent-begin", who, profile: random.pick(PROFILES), forced: true, reissue: random.chance(0.2) },
    { kind: "agent-finish", who },
    ...maybe(random, look),
    { kind: "end-form", of, who, form: "ms" },
    { kind: "clock-ahead", of, who, ms: 0 },
    { kind: "lifetime", ms: null },
    ...maybe(random, ...drawRotation(random, source)),
    ...maybe(random, { kind: "adopt", store: random.below(8), during: [] }),
  ];
}

/** The same story where an agent that imported the live login refreshes it, and writes no true end. From a stream of its own. */
export function withRenewals(random: Random, steps: readonly Step[]): Step[] {
  const who = random.below(3);
  const run: Step[] = [
    look,
    { kind: "end-form", of: "agent", who, form: drawForm(random) },
    { kind: "agent-begin", who, profile: "anthropic:claude-cli", forced: true, reissue: false, network: "up" },
    { kind: "agent-finish", who },
    look,
    { kind: "end-form", of: "agent", who, form: "ms" },
  ];
  return steps.toSpliced(random.below(10), 0, ...run);
}

/** A sign-in whose access token ends earlier than the last one's; an agent may have refreshed meanwhile. */
function drawEarlierSignIn(random: Random): Step[] {
  const who = random.below(3);
  return [
    look,
    ...maybe(
      random,
      { kind: "agent-begin", who, profile: "anthropic:claude-cli", forced: true, reissue: false, network: "up" },
      { kind: "agent-finish", who },
    ),
    { kind: "lifetime", ms: random.pick([HOUR_MS, 10 * MINUTE_MS, 9 * HOUR_MS]) },
    { kind: "wait", ms: random.pick([1, 100]) * SECOND_MS },
    {
      kind: "claude-sign-in",
      who: 0,
      account: random.chance(0.8) ? "anna" : drawAccount(random),
      forDays: random.pick([14, 30, 31]),
    },
    ...maybe(random, { kind: "claude-account", who: 0 }),
    ...maybe(random, { kind: "wait", ms: 6 * SECOND_MS }),
    look,
    { kind: "lifetime", ms: null },
  ];
}

function signIn(random: Random): Step {
  return {
    kind: "claude-sign-in",
    who: 0,
    account: random.chance(0.8) ? "anna" : drawAccount(random),
    forDays: random.pick([14, 30, 30]),
  };
}

/** Nothing but the account file, later, says that it is another account. */
function drawLateAccount(random: Random, source: Program): Step[] {
  return [
    ...maybe(random, look),
    { kind: "claude-sign-in", who: 0, account: drawAccount(random), forDays: 30 },
    look,
    { kind: "wait", ms: random.pick([1, 6, 6, 40]) * SECOND_MS },
    look,
    ...maybe(random, ...drawRotation(random, source)),
    { kind: "claude-account", who: 0 },
    look,
    ...maybe(random, ...drawRotation(random, source)),
  ];
}

/** The source's program refreshes unseen, and what it held in between is put back later. */
function drawUnseenCopy(random: Random, source: Program): Step[] {
  const refreshes = [...drawRotation(random, source), ...drawRotation(random, source), ...drawRotation(random, source)].filter(
    (step) => step !== look,
  );
  return [
    ...refreshes,
    look,
    { kind: "wait", ms: 6 * SECOND_MS },
    look,
    { kind: "restore", file: 0, version: random.pick([8, 9, 10, 10]) },
    { kind: "wait", ms: 6 * SECOND_MS },
    look,
  ];
}

function drawWait(random: Random): number {
  return random.pick([
    SECOND_MS,
    6 * SECOND_MS,
    6 * SECOND_MS,
    40 * SECOND_MS,
    2 * MINUTE_MS,
    15 * MINUTE_MS,
    4 * HOUR_MS,
    8 * HOUR_MS - 3 * MINUTE_MS,
    8 * HOUR_MS,
    8 * HOUR_MS,
    9 * HOUR_MS,
    12 * 24 * HOUR_MS,
  ]);
}

function drawAccount(random: Random): string {
  return random.weighted([
    [5, "anna"],
    [3, "bert"],
    [1, "cleo"],
  ]);
}

function drawSignIn(random: Random): Step {
  return {
    kind: "claude-sign-in",
    who: random.chance(0.8) ? 0 : 1,
    account: drawAccount(random),
    forDays: random.pick([14, 30, 30]),
  };
}

function drawAgentSignIn(random: Random, who: number): Step {
  return { kind: "agent-sign-in", who, profile: random.pick(PROFILES), account: drawAccount(random), email: random.chance(0.5) };
}

function drawFault(random: Random, file: number): Step {
  const times = 1 + random.below(3);
  if (random.chance(0.15)) return { kind: "ledger-fault", times };
  if (random.chance(0.06)) return { kind: "backup-fault", times };
  if (random.chance(0.5)) {
    const code = random.pick<StoreErrorCode>(["torn", "torn", "io", "permission", "malformed"]);
    return { kind: "fault", file, on: "readFault", code, times };
  }
  return { kind: "fault", file, on: "writeFault", code: random.pick<StoreErrorCode>(["no-space", "io", "permission"]), times };
}
