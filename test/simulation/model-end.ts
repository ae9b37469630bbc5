/** How a program writes down when an access token ends; only the first is right. */
export type EndForm = "ms" | "missing" | "zero" | "seconds" | "micro";

/** The end as a program writes it; undefined where it writes none. */
export function writtenAs(form: EndForm, endsAt: number): number | undefined {
  switch (form) {
    case "ms":
      return endsAt;
    case "missing":
      return undefined;
    case "zero":
      return 0;
    case "seconds":
      return Math.floor(endsAt / 1000);
    case "micro":
      return endsAt * 1000;
  }
}

const FIRST_PLAUSIBLE_MS = Date.UTC(2020, 0, 1);
/** No login of Claude Code lasts longer. */
const LONGEST_MS = 48 * 3_600_000;

/** Checks whether an end (epoch ms) may be true by a clock that shows `now`. */
export function isPlausible(endsAt: number | null | undefined, now: number): endsAt is number {
  return endsAt != null && endsAt > FIRST_PLAUSIBLE_MS && endsAt <= now + LONGEST_MS;
}
