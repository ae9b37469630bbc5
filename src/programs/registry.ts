import type { StoreName } from "../domain/store.js";
import { claudeCode } from "./claude-code/program.js";
import { openclaw } from "./openclaw/program.js";
import type { Program, Entry } from "./program.js";

/** Every program whose logins credsyncd knows how to keep. */
export const programs: readonly Program[] = [claudeCode, openclaw];

/** The default configuration: Claude Code's login, copied to OpenClaw's agents. */
export const defaultSource = { kind: claudeCode.kind };
export const defaultTargets = [{ kind: openclaw.kind }];

/** Returns the program that the user named in an entry of the configuration, which its shape has checked. */
export function programNamed({ kind }: Entry, known: readonly Program[]): Program {
  const program = known.find((each) => each.kind === kind);
  if (program === undefined) throw new Error(`no program is called ${kind}`);
  return program;
}

/** Checks whether a store is the source's and has a single login, whose id means nothing to a person. */
export function hasNamelessLogin(store: StoreName): boolean {
  return programOf(store)?.kind === store;
}

/** Returns the program whose store has this name; null for none. */
export function programOf(store: StoreName): Program | null {
  return programs.find(({ owns }) => owns(store)) ?? null;
}
