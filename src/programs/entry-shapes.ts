import * as z from "zod/mini";
import { parseDurationMs } from "../domain/duration.js";

/** No path, program or name has a NUL in it, and the system takes none. */
export const text = z.string().check(
  z.minLength(1, { error: "a text that is not empty" }),
  z.refine((value) => !value.includes("\0"), { error: "a text without a NUL character" }),
);

/** How much of a login a target is given. */
export const share = z.enum(["full", "access-only"], { error: '"full" or "access-only"' });

/** A longer one would have programs use a token long after its end. */
const LONGEST_MARGIN_MS = 3_600_000;

/** Added to every expiry that is written to a target. */
export const margin = z.string().check(
  z.refine((value) => (parseDurationMs(value) ?? Number.POSITIVE_INFINITY) <= LONGEST_MARGIN_MS, {
    error: 'a duration of at most an hour, with its unit, such as "5m" or "0s"',
  }),
);
