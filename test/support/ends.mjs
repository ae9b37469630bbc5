import process from "node:process";

const HOUR_MS = 3_600_000;
/** Generations of a run are many, and all of them must expire within two days: no login of Claude Code lasts longer. */
const STEP_MS = 1000;
/** The same in every process of a run, which inherits it. */
const FIRST_END_MS = Number((process.env.FIRST_END_MS ??= String(Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + 8 * HOUR_MS)));

/** When a generation expires (epoch ms): the same wherever one run writes it. @param {number} generation */
export function endOf(generation) {
  return FIRST_END_MS + generation * STEP_MS;
}

/** When a sign-in ends (epoch ms), long after its access tokens. */
export const SIGN_IN_END_MS = FIRST_END_MS + 1000 * 24 * HOUR_MS;
