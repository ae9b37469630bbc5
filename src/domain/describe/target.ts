import { shellWord } from "../shell-word.js";
import type { StoreName } from "../store.js";
import type { TargetHold, TargetHoldCause, TargetReport, TargetVerdict } from "../target-verdict.js";
import { pendingHint, type Description, type Names, type StoreNames } from "./description.js";

/** `separate`: pinned or ignored. `unrelated`: not a copy of the source's login. */
export type DescribedTarget = "in-sync" | "drift" | "held" | "absent" | "separate" | "unrelated";

/** Returns the state of one profile of a target, without its words. */
export function targetState({ verdict }: Pick<TargetReport, "verdict">): DescribedTarget {
  switch (verdict?.kind) {
    case undefined:
      return "separate";
    case "write":
      return "drift";
    case "hold":
      return "held";
    case "unrelated":
    case "in-sync":
    case "absent":
    case "drift":
      return verdict.kind;
  }
}

/** Describes one profile of a target. */
export function describeTarget(report: TargetReport, names: Names): Description<DescribedTarget> {
  const { target, verdict } = report;
  const state = targetState(report);
  const { program, user } = names.of(target.store);
  const isFenced = target.held.kind === "fence";
  switch (verdict?.kind) {
    case undefined:
      return { state, reason: null, explanation: null, hint: null, severity: null };
    case "unrelated": {
      const explanation = `it is not a copy of the login of ${names.source}`;
      return { state, reason: null, explanation, hint: null, severity: null };
    }
    case "in-sync": {
      const { held, share } = target;
      const isPart = held.kind === "credential" && held.credential.type === "oauth" && held.generation === null;
      if (!isPart || share !== "full") return { state, reason: null, explanation: null, hint: null, severity: null };
      const explanation = `${user} has only the access token until ${names.source} refreshes its login`;
      return { state, reason: "suspect", explanation, hint: null, severity: null };
    }
    case "absent":
      return {
        state,
        reason: "removed",
        explanation: "somebody logged out here. credsyncd does not create this profile again automatically",
        hint: `create it again: credsyncd sync --force ${shellWord(target.store)}`,
        severity: null,
      };
    case "write":
      return {
        state,
        reason: isFenced ? "refresh-failed" : "behind",
        explanation: isFenced ? `${program} failed to refresh this login and lost its tokens` : "this profile is out of date",
        hint: pendingHint(names),
        severity: "warning",
      };
    case "drift": {
      const { reason, until } = verdict;
      // If the source has nothing to give, its own state says so, once.
      const explanation = until === null ? null : waitTexts[reason === "refreshing" ? reason : "re-asserting"](program);
      return { state, reason, explanation, hint: null, severity: "warning" };
    }
    case "hold":
      return describeHold(verdict, target.store, names);
  }
}

/** Describes a profile that followed the source and that is gone. */
export function describeRemoved(store: StoreName, canCreate: boolean, names: Names): Description<"absent"> {
  const { program } = names.of(store);
  const create = `, or set create: "always" in the config and run: credsyncd sync --force ${shellWord(store)}`;
  return {
    state: "absent",
    reason: "removed",
    explanation: `${program} or a person removed this profile, which followed ${names.source}`,
    hint: `if you did not mean it, sign in there${canCreate ? create : ""}`,
    severity: null,
  };
}

const waitTexts = {
  refreshing: (program: string) => `${program} is refreshing this login`,
  "re-asserting": () => "another program undid the last write. credsyncd writes it again in a moment",
};

type Hold = Extract<TargetVerdict, { kind: "hold" }>;

function describeHold({ reason, cause, detail }: Hold, store: StoreName, names: Names): Description<"held"> {
  const here = names.of(store);
  return {
    state: "held",
    reason,
    explanation: holdTexts[cause]({ ...here, source: names.source, detail: detail ?? "another" }),
    hint: holdHints[reason](here, shellWord(store), cause, names),
    severity: reason === "reverting" || reason === "logged-out" ? "error" : "warning",
  };
}

type HoldNames = StoreNames & { readonly source: string; readonly detail: string };

const holdTexts: Readonly<Record<TargetHoldCause, (names: HoldNames) => string>> = {
  incomplete: ({ detail }) => detail,
  "other-provider": ({ source, detail }) => `this profile is for ${detail}, the login of ${source} is for another provider`,
  "other-type": ({ source, detail }) => `this profile is of type ${detail}, the login of ${source} is of another`,
  "other-account": ({ source }) => `this profile names another account than ${source}`,
  "never-seen": () => "credsyncd has not seen this login before, so it does not overwrite it",
  "secret-changed": ({ source }) => `this profile had the secret of ${source}, and somebody changed it here`,
  "login-changed": ({ source, user }) => `${user} had the login of ${source}, and now has one that credsyncd has not seen before`,
  "newer-login": ({ source, user }) => `${user} has a newer login than ${source}. It may belong to another account`,
  "newer-access-token": ({ source, user }) => `${user} has a newer access token than ${source}`,
  "other-source": ({ source, user }) => `${user} has the login of another source, and it expires later than that of ${source}`,
  "expires-earlier": ({ source, user }) => `${user} has a new login in place of that of ${source}, but it expires earlier`,
  "expiry-unusable": ({ source, user }) => `${user} has a new login in place of that of ${source}, but its expiry cannot be used`,
  "logged-out": ({ source, program }) => `${program} has logged out of the login that ${source} uses`,
  reverting: ({ source }) =>
    `another program keeps undoing the write. credsyncd waits until ${source} rotates or the gateway restarts`,
  "moves-pinned": ({ detail }) => `the pinned ${detail} would use this login instead of its own, which expires earlier`,
};

type HoldHint = (here: StoreNames, store: string, cause: TargetHoldCause, names: Names) => string;

const stayOrSignIn: HoldHint = ({ keepOwn }) => `sign in there again, or ${keepOwn}`;

const holdHints: Readonly<Record<TargetHold, HoldHint>> = {
  "target-newer": (_here, store, cause, { signIn }) =>
    `${cause === "expiry-unusable" ? `sign in: ${signIn}` : `accept it: credsyncd adopt ${store}`} - or overwrite it: credsyncd sync --force ${store}`,
  "unknown-origin": ({ keepOwn }, store) =>
    `if it is a copy, add it to profiles in the config; if not, ${keepOwn}; or overwrite it: credsyncd sync --force ${store}`,
  reverting: (_here, store) => `find the program that writes it, then try again: credsyncd sync --force ${store}`,
  "moves-pinned": (_here, store) =>
    `give the login of the pinned agent a profile id of its own; or let it move: credsyncd sync --force ${store}`,
  "another-account": ({ keepOwn }, _store, _cause, { source }) => `${keepOwn}, or sign in there with the account of ${source}`,
  "type-mismatch": stayOrSignIn,
  "provider-mismatch": stayOrSignIn,
  incomplete: stayOrSignIn,
  "logged-out": stayOrSignIn,
};
