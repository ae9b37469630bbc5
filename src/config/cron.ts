import { validate } from "node-cron";

/** Checks whether a text is a cron expression. */
export function isCron(expression: string): boolean {
  return validate(expression);
}
