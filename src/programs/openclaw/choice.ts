import type { Credential } from "../../domain/credential.js";
import { StoreError } from "../../domain/errors.js";
import { Secret } from "../../domain/secret.js";
import type { FieldChange, Flaw, ProfileUsage, ChoosableProfile, Choice, Side } from "../../domain/choice.js";
import type { ProfileId } from "../../domain/store.js";
import { changeJson, isJsonObject, keyAfter, namedValues, parseJson, putJson, textAt } from "../../io/json-document.js";
import { ABSENT, revisionOf } from "../../io/revision.js";
import { penaltiesIn } from "./penalties.js";
import { isFenced, readFence } from "./fence.js";
import { profileChanges, profilesIn, refuseUnpresentable, typeOf } from "./profiles.js";

/** The texts that say what a store holds and which of it is used. */
export interface ChoiceTexts {
  /** Null: the store is absent. */
  readonly profiles: string | null;
  /** The notes on the use of profiles, where they have a place of their own; null: nothing stands there. */
  readonly state: string | null;
  /** True if the notes go to a place of their own; otherwise they go beside the profiles, which every version still reads. */
  readonly keepsStateApart: boolean;
  /** The files that they stand in, for messages. */
  readonly paths: Readonly<Record<"profiles" | "state", string>>;
}

/** The notes on the use of profiles, unchanged. */
interface State {
  readonly order: Readonly<Record<string, unknown>>;
  readonly lastGood: Readonly<Record<string, unknown>>;
  readonly usageStats: Readonly<Record<string, unknown>>;
}

/** The choice of an absent store. */
export const absentChoice: Choice = {
  revision: ABSENT,
  identity: null,
  profiles: [],
  order: {},
  lastGood: {},
  usage: {},
  valueAt: () => null,
  keyAfter: () => null,
  isRecord: () => false,
};

/** The revision over both texts. */
export function choiceRevision({ profiles, state }: ChoiceTexts): string {
  return profiles === null ? ABSENT : revisionOf(JSON.stringify([profiles, state]));
}

/** Understands a store's texts. @throws StoreError */
export function readChoice(texts: ChoiceTexts, identity: string | null, now: number): Choice {
  const { profiles, state, paths } = texts;
  if (profiles === null) return { ...absentChoice, identity };
  const root = parseJson(profiles, paths.profiles);
  // If both places name something, the notes' own place counts: OpenClaw moves the keys there at its next save.
  const [beside, apart] = [stateIn(root), state === null ? emptyState : stateIn(parseJson(state, paths.state))];
  refuseUnpresentableNotes(beside, paths.profiles);
  refuseUnpresentableNotes(apart, paths.state);
  const notes = { ...beside.usageStats, ...apart.usageStats };
  return {
    // Few of hundreds are changed, and only a change asks.
    get revision() {
      return choiceRevision(texts);
    },
    identity,
    profiles: Object.entries(profilesIn(root, paths.profiles)).map(([id, entry]) =>
      choosable(id, entry, profiles, paths.profiles, now),
    ),
    order: lists({ ...beside.order, ...apart.order }),
    lastGood: Object.fromEntries(
      Object.entries({ ...beside.lastGood, ...apart.lastGood }).flatMap(([provider, id]) =>
        typeof id === "string" ? [[provider, id]] : [],
      ),
    ),
    usage: Object.fromEntries(Object.entries(notes).flatMap(([id, stats]) => usageOf(id, stats))),
    valueAt: (keys) => {
      const value = valueIn(texts, keys);
      return value === null ? null : new Secret(value);
    },
    keyAfter: (keys) => {
      const place = placeOf(keys, texts);
      const text = texts[place];
      return text === null ? null : keyAfter(text, keys, paths[place]);
    },
    isRecord: (key) => {
      const value = valueIn(texts, [key]);
      return value !== null && isJsonObject(JSON.parse(value));
    },
  };
}

function refuseUnpresentableNotes({ order, lastGood }: State, path: string): void {
  refuseUnpresentable([...Object.entries(order), ...Object.entries(lastGood)].flat(2), path);
}

/** The exact text of the value at a path of keys; null where there is none. */
function valueIn(texts: ChoiceTexts, keys: readonly string[]): string | null {
  const place = placeOf(keys, texts);
  const text = texts[place];
  return text === null ? null : textAt(text, keys, texts.paths[place]);
}

const emptyState: State = { order: {}, lastGood: {}, usageStats: {} };

function stateIn(root: unknown): State {
  const state = namedValues(root);
  if (state === null) return emptyState;
  return {
    order: namedValues(state["order"]) ?? {},
    lastGood: namedValues(state["lastGood"]) ?? {},
    usageStats: namedValues(state["usageStats"]) ?? {},
  };
}

function lists(order: Readonly<Record<string, unknown>>): Record<string, ProfileId[]> {
  return Object.fromEntries(
    Object.entries(order).flatMap(([provider, ids]) => {
      const names = Array.isArray(ids) ? (ids as unknown[]).filter((id) => typeof id === "string").map((id) => id.trim()) : [];
      const named = names.filter((id) => id !== "");
      return named.length > 0 ? [[provider, named]] : [];
    }),
  );
}

function usageOf(id: ProfileId, stats: unknown): [ProfileId, ProfileUsage][] {
  const usage = namedValues(stats);
  if (usage === null) return [];
  const timeOf = (name: string): number | null => {
    const time = usage[name];
    return typeof time === "number" && Number.isFinite(time) ? time : null;
  };
  const ends = ["cooldownUntil", "disabledUntil", "blockedUntil"].map(timeOf).filter((end) => end !== null);
  const penalties = penaltiesIn(usage);
  return [[id, { lastUsedAt: timeOf("lastUsed"), blockedUntil: ends.length === 0 ? null : Math.max(...ends), penalties }]];
}

type Entry = ReturnType<typeof profilesIn>[string];

function choosable(id: ProfileId, entry: Entry, text: string, path: string, now: number): ChoosableProfile {
  const type = typeOf(entry);
  const image = (): Secret => new Secret(textAt(text, ["profiles", id], path) ?? "null");
  return {
    id,
    provider: typeof entry["provider"] === "string" ? entry["provider"] : null,
    type,
    flaw: flawOf(id, type, entry, now),
    image,
    naming: () => {
      const secret = [entry["refresh"], entry["access"], entry["token"], entry["key"], entry["apiKey"]].find(isText);
      return secret === undefined ? image() : new Secret(secret);
    },
  };
}

/** By the rules of OpenClaw (src/agents/auth-profiles/credential-state.ts); a login that can be refreshed never counts as expired. */
function flawOf(id: ProfileId, type: Credential["type"] | null, entry: Entry, now: number): Flaw | null {
  const expires = entry["expires"];
  const isExpired = typeof expires === "number" && expires > 0 && expires <= now;
  switch (type) {
    case "oauth": {
      const { access, refresh } = entry;
      const provider = typeof entry["provider"] === "string" ? entry["provider"] : null;
      const fields = { profile: id, provider, access: isText(access) ? access : "", refresh: isText(refresh) ? refresh : null };
      if (isFenced(fields)) {
        return readFence(fields)?.failed === false
          ? { kind: "refreshing", explanation: "its program is refreshing it" }
          : incomplete("a refresh failed there, and its tokens are gone");
      }
      if (entry["oauthRef"] !== undefined) return incomplete("its tokens are in an encrypted sidecar, which is not supported");
      if (isText(refresh)) return null;
      if (!isText(access)) return incomplete("it has no access token");
      return isExpired ? { kind: "expired", explanation: "its login has expired, and there is no refresh token" } : null;
    }
    case "token":
      if (!isText(entry["token"]) && !isJsonObject(entry["tokenRef"])) return incomplete("it has no token");
      if (expires !== undefined && !(typeof expires === "number" && expires > 0))
        return incomplete("its expiry is not a time, so OpenClaw does not use it");
      return isExpired ? { kind: "expired", explanation: "its token has expired" } : null;
    case "api_key":
      if (isText(entry["key"]) || isText(entry["apiKey"]) || isJsonObject(entry["keyRef"])) return null;
      return incomplete("it has no key");
    case null:
      return incomplete("its type is not known");
  }
}

function incomplete(explanation: string): Flaw {
  return { kind: "incomplete", explanation };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.trim() !== "";
}

function placeOf([first]: readonly string[], { keepsStateApart }: ChoiceTexts): "profiles" | "state" {
  return first === "profiles" || !keepsStateApart ? "profiles" : "state";
}

/** Notes that say nothing; OpenClaw keeps none then. */
export const EMPTY_NOTES = `{"version":1}`;

/**
 * Returns the texts that lead from one side of a change to the other, in the order of their writes. A profile exists before its
 * use begins, and its use ends before it goes.
 *
 * @throws StoreError `overtaken` if a value is on neither side: someone else changed it
 */
export function textsTowards(texts: ChoiceTexts, changes: readonly FieldChange[], side: Side): ChoiceTexts[] {
  // The undo reverses the order: a profile that was removed earlier may have preceded one that was removed later.
  const ordered = side === "after" ? changes : [...changes].reverse();
  const pending = ordered.filter((change) => isPending(texts, change, side));
  const coming = pending.filter((change) => change.path[0] === "profiles" && change[side] !== null);
  const going = pending.filter((change) => change.path[0] === "profiles" && change[side] === null);
  const notes = pending.filter((change) => change.path[0] !== "profiles");
  // Texts that stand in one place are written at once.
  const groups = texts.keepsStateApart ? [coming, notes, going] : [[...coming, ...notes, ...going]];
  const steps: ChoiceTexts[] = [];
  for (const group of groups) {
    const last = steps.at(-1) ?? texts;
    if (group.length > 0) steps.push(group.reduce((result, change) => changed(result, change, side), last));
  }
  return steps;
}

function isPending(texts: ChoiceTexts, change: FieldChange, side: Side): boolean {
  const current = valueIn(texts, change.path);
  const [wanted, other] = side === "after" ? [change.after, change.before] : [change.before, change.after];
  if (isSame(current, wanted)) return false;
  if (isSame(current, other)) return true;
  // The program notes the use of its profiles all the time; a penalty of its own since then is its own affair.
  if (change.path[0] === "usageStats") return false;
  throw new StoreError(
    "overtaken",
    `someone else changed ${change.path.join(".")} in ${texts.paths[placeOf(change.path, texts)]} meanwhile`,
    "look at it: credsyncd status",
  );
}

/** Compares values whatever their spacing: the owning program formats its texts again. */
function isSame(current: string | null, wanted: Secret | null): boolean {
  if (current === null || wanted === null) return current === null && wanted === null;
  const text = wanted.reveal();
  return current === text || JSON.stringify(JSON.parse(current)) === JSON.stringify(JSON.parse(text));
}

function changed(texts: ChoiceTexts, change: FieldChange, side: Side): ChoiceTexts {
  const place = placeOf(change.path, texts);
  const path = texts.paths[place];
  const text = place === "profiles" ? texts.profiles : (texts.state ?? EMPTY_NOTES);
  if (text === null) throw new StoreError("conflict", `${path} is not there any more`, "it is looked at again by itself");
  const image = change[side];
  const result =
    image === null
      ? changeJson(text, [{ path: change.path, value: undefined }], path)
      : putJson(text, change.path, image.reveal(), path, change.next);
  return { ...texts, [place]: result };
}

/**
 * A profile's text with a newer login of its own in it; everything else stays.
 *
 * @throws StoreError `unsupported` where the profile is of another type
 */
export function withLogin(image: Secret, credential: Credential): Secret {
  const text = `{"profiles":{"renewed":${image.reveal()}}}`;
  const patch = { profile: "renewed", provider: null, credential, create: false, account: null };
  const changes = profileChanges([patch], parseJson(text, "the journal"), "the journal");
  return new Secret(textAt(changeJson(text, changes, "the journal"), ["profiles", "renewed"], "the journal") ?? "null");
}

/** The refresh token in a profile's text; null where there is none. */
export function refreshTokenIn(image: Secret): Secret | null {
  const login = namedValues(parseJson(image.reveal(), "the journal"));
  const refresh = login?.["type"] === "oauth" ? login["refresh"] : null;
  return isText(refresh) ? new Secret(refresh) : null;
}
