import type { Clock } from "../domain/clock.js";
import { runCommand } from "../io/run-command.js";

/** A process manager that was asked for READY, STATUS and the watchdog: sd_notify(3). Without one all of this does nothing. */
export interface Supervisor {
  /** The work that the watchdog vouches for. */
  watch(work: Work): void;
  /** Sets the text that `systemctl status` shows. The supervisor asks for it again as time passes, since it contains times. */
  status(text: () => string): void;
  /** The start, or a reload, is over. */
  ready(): void;
  reloading(): void;
  stopping(): void;
  /** Stops ticking, and waits until every message was sent. */
  close(): Promise<void>;
}

/** Recurring work. */
export interface Work {
  /** For how long it has been under way or overdue (ms); 0 while there is nothing to do. */
  readonly lateMs: () => number;
}

export interface SupervisorPorts {
  /** The variables that name the supervisor's socket. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly clock: Clock;
  /** Reports, once, that the supervisor cannot be reached. */
  readonly onFailure: (reason: string) => void;
  /** Work is so late that the watchdog is left to do its own. */
  readonly onLate: (lateMs: number) => void;
}

/**
 * A reconcile that takes longer hangs. The longest honest one waits for locks: three of Claude Code's for 8 s each, then
 * those of many stores at once for up to 10 s each.
 */
export const LONGEST_WORK_MS = 180_000;
/** The interval for sending a status with times again, if no watchdog asks for more. */
const REFRESH_MS = 60_000;
/** Telling takes milliseconds; a manager that does not listen must not hold the end up. */
const TELL_TIMEOUT_MS = 1500;

const nobody: Supervisor = {
  watch: () => undefined,
  status: () => undefined,
  ready: () => undefined,
  reloading: () => undefined,
  stopping: () => undefined,
  close: () => Promise.resolve(),
};

/** The supervisor that started this process, or one that does nothing. */
export function openSupervisor(ports: SupervisorPorts): Supervisor {
  return (ports.variables["NOTIFY_SOCKET"] ?? "") === "" ? nobody : new Systemd(ports);
}

/**
 * Returns the interval of the watchdog's ticks (ms): half its time. Null if there is none, or it expects another process.
 *
 * @see sd_watchdog_enabled(3)
 */
export function watchdogTickMs(variables: SupervisorPorts["variables"], pid: number): number | null {
  const usec = Number(variables["WATCHDOG_USEC"] ?? "");
  const wanted = variables["WATCHDOG_PID"];
  if (!Number.isSafeInteger(usec) || usec <= 0 || (wanted !== undefined && wanted !== String(pid))) return null;
  return usec / 2000;
}

/** Sends one message to systemd after the other, so that READY never overtakes RELOADING; simultaneous ones go together. */
class Systemd implements Supervisor {
  readonly #ports: SupervisorPorts;
  readonly #closed = new AbortController();
  readonly #ticking: Promise<void>;
  #telling: Promise<void> | null = null;
  /** Assignments still to be sent; npm systemd-notify does not know them. */
  #assignments: string[] = [];
  #readyIsDue = false;
  #somethingIsDue = false;
  #status: () => string = () => "starting";
  #toldStatus: string | null = null;
  #isReady = false;
  #work: Work | null = null;
  #saidFailure = false;
  #saidLate = false;

  constructor(ports: SupervisorPorts) {
    this.#ports = ports;
    this.#ticking = this.#tick(watchdogTickMs(ports.variables, ports.pid));
  }

  watch(work: Work): void {
    this.#work = work;
  }

  status(text: () => string): void {
    this.#status = text;
    this.#tell();
  }

  ready(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#readyIsDue = true;
    this.#tell();
  }

  reloading(): void {
    this.#isReady = false;
    this.#status = () => "reading the configuration again";
    // Without the time, systemd 253 and later wait for it. Node's clock is the CLOCK_MONOTONIC that it wants.
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${String(process.hrtime.bigint() / 1000n)}`);
  }

  stopping(): void {
    this.#status = () => "stopping";
    this.#tell("STOPPING=1");
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#ticking;
    await this.#telling;
  }

  /** A bare timer would prove nothing: the tick is given only while the work is done in time. */
  async #tick(watchdogMs: number | null): Promise<void> {
    const { signal } = this.#closed;
    for (;;) {
      await this.#ports.clock.sleep(watchdogMs ?? REFRESH_MS, signal);
      if (signal.aborted) return;
      if (!this.#isLate()) this.#tell(...(watchdogMs === null ? [] : ["WATCHDOG=1"]));
    }
  }

  #isLate(): boolean {
    const lateMs = this.#work?.lateMs() ?? 0;
    const isLate = lateMs > LONGEST_WORK_MS;
    if (isLate && !this.#saidLate) this.#ports.onLate(lateMs);
    this.#saidLate = isLate;
    return isLate;
  }

  #tell(...assignments: readonly string[]): void {
    this.#assignments.push(...assignments);
    this.#somethingIsDue = true;
    this.#telling ??= this.#tellAll().finally(() => {
      this.#telling = null;
    });
  }

  async #tellAll(): Promise<void> {
    do {
      // Lets what is said in one go come together.
      await Promise.resolve();
      try {
        await this.#tellWhatIsDue();
      } catch (error) {
        if (!this.#saidFailure) this.#ports.onFailure(error instanceof Error ? error.message : String(error));
        this.#saidFailure = true;
      }
    } while (this.#somethingIsDue);
  }

  async #tellWhatIsDue(): Promise<void> {
    const assignments = this.#assignments;
    const ready = this.#readyIsDue;
    const status = this.#status();
    const isNews = status !== this.#toldStatus;
    this.#assignments = [];
    this.#readyIsDue = false;
    this.#somethingIsDue = false;
    this.#toldStatus = status;
    // The program takes everything at once, so a tick with a new status is one process and not two.
    if (assignments.length > 0) await this.#assign([...(isNews ? [`STATUS=${status}`] : []), ...assignments]);
    if (ready || (isNews && assignments.length === 0)) await this.#notify({ ready, status });
  }

  async #notify(notification: { readonly ready: boolean; readonly status: string }): Promise<void> {
    const { default: notify } = await import("systemd-notify");
    const over = new AbortController();
    try {
      await Promise.race([notify({ ...notification, pid: this.#ports.pid }), this.#timeout(over.signal)]);
    } finally {
      over.abort();
    }
  }

  async #timeout(signal: AbortSignal): Promise<void> {
    await this.#ports.clock.sleep(TELL_TIMEOUT_MS, signal);
    if (!signal.aborted) throw new Error("systemd-notify did not end");
  }

  async #assign(assignments: readonly string[]): Promise<void> {
    const { pid, variables } = this.#ports;
    const outcome = await runCommand(
      ["systemd-notify", `--pid=${String(pid)}`, ...assignments],
      { timeoutMs: TELL_TIMEOUT_MS, variables },
      new AbortController().signal,
    );
    if (outcome.kind === "not-found") throw new Error("there is no program systemd-notify");
    if (outcome.kind === "timed-out") throw new Error("systemd-notify did not end");
    if (outcome.kind === "failed") throw new Error(outcome.output.trim());
  }
}
