import type { Composition } from "../compose.js";
import type { StatusReport } from "../status-report.js";
import type { ReconcileResult } from "../../reconcile/reconciler.js";

/** `error`: something fails, leaks or will; `warning`: it may; `info`: worth knowing; `ok`: checked and fine. */
export type Level = "ok" | "info" | "warning" | "error";

/** One thing that a check found. */
export interface DoctorFinding {
  readonly check: string;
  readonly level: Level;
  readonly what: string;
  /** Why it matters; null for what is well. */
  readonly why: string | null;
  /** The remedy: a command, if one helps. */
  readonly fix: string | null;
  /** True if `--fix` has just repaired it. */
  readonly fixed: boolean;
}

/** The subject of the checks. */
export interface Patient {
  readonly composition: Composition;
  /** A mere look at every store. */
  readonly result: ReconcileResult;
  readonly report: StatusReport;
  readonly platform: NodeJS.Platform;
  /** Epoch ms. */
  readonly now: number;
  /** True if doctor repairs everything that it can repair without a risk. */
  readonly fixes: boolean;
  readonly signal: AbortSignal;
}

export type Check = (patient: Patient) => Promise<DoctorFinding[]>;

export function ok(check: string, what: string): DoctorFinding {
  return { check, level: "ok", what, why: null, fix: null, fixed: false };
}

export function found(
  check: string,
  level: Exclude<Level, "ok">,
  { what, why, fix }: { readonly what: string; readonly why: string; readonly fix: string | null },
): DoctorFinding {
  return { check, level, what, why, fix, fixed: false };
}
