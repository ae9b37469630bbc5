import { validate } from "node-cron";

/** Whether a text is a cron expression. */
export function isCron(expression: string): boolean {
  return validate(expression);
}
