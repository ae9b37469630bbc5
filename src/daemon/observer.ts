import type { Logger } from "pino";
import type { Failure } from "../domain/errors.js";
import type { ReconcileResult } from "../reconcile/reconciler.js";
import type { Composition } from "../app/compose.js";
import type { AlerterPorts } from "./alerter.js";
import type { OwnerAtWork } from "./keep-warm.js";
import type { Metrics } from "./metrics.js";
import type { Reporter } from "./reporter.js";
import type { Supervisor } from "./sd-notify.js";

/** Why the loop looked. */
export interface Occasion {
  /** A resync came since the last scan. */
  readonly isResync: boolean;
}

/** A reconcile that came to its end. */
export interface Look extends Occasion {
  readonly result: ReconcileResult;
}

/** The numbers of stores in sync and of watched directories. */
export interface Ready {
  readonly stores: number;
  readonly directories: number;
}

/** Takes note of what reconciles did. It decides nothing: the loop goes on as if it were not there. */
export interface Observer {
  readonly observe: (look: Look) => void | Promise<void>;
  /** A reconcile failed as a whole. */
  readonly observeFailure?: (failure: Failure, occasion: Occasion) => void | Promise<void>;
  /** Everything that is there was seen, and is watched; told after every such look. */
  readonly ready?: (what: Ready) => void;
  /** Ends what it began; the signal of the loop is aborted by then. */
  readonly close?: () => Promise<void>;
}

/** Everything that the daemon uses under one configuration. */
export interface Running extends Composition {
  readonly log: Logger;
  readonly reporter: Reporter;
  readonly supervisor: Supervisor;
  readonly metrics: Metrics;
  readonly sayAlert: AlerterPorts["say"];
  readonly owner: OwnerAtWork;
}
