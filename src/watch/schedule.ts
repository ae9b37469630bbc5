import { schedule, type ScheduledTask } from "node-cron";

/** Calls at every time that a cron expression names, until it is stopped. */
export class Schedule {
  readonly #task: ScheduledTask;

  constructor(expression: string, onTime: () => void) {
    this.#task = schedule(expression, onTime, { suppressMissedWarning: true });
  }

  async stop(): Promise<void> {
    await this.#task.destroy();
  }
}
