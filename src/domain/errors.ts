/** The kind of failure of one store; it alone decides how credsyncd reacts. */
export type StoreErrorCode =
  | "locked" // a lock stayed busy
  | "conflict" // the store changed between the scan and the write
  | "overtaken" // someone else changed the values to write
  | "torn" // half-written; its writer may not be finished
  | "no-space"
  | "io"
  | "malformed"
  | "too-large"
  | "not-a-file"
  | "foreign-owner"
  | "permission"
  | "unsupported"
  | "symlink";

/** A failure of one store, which stops no other store. Its message never holds content of a credential. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;
  readonly hint: string;

  constructor(code: StoreErrorCode, message: string, hint: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "StoreError";
    this.code = code;
    this.hint = hint;
  }
}

/** Checks whether the same attempt may succeed later without any change (rule R13). */
export function isTransient(code: StoreErrorCode): boolean {
  switch (code) {
    case "locked":
    case "conflict":
    case "torn":
    case "no-space":
    case "io":
      return true;
    case "overtaken":
    case "malformed":
    case "too-large":
    case "not-a-file":
    case "foreign-owner":
    case "permission":
    case "unsupported":
    case "symlink":
      return false;
  }
}

/** Why a command ends without success; the command line maps it to an exit code. */
export type FailureCode =
  | "general"
  | "usage"
  | "bad-data"
  | "source-unavailable"
  | "busy"
  | "permission"
  | "config"
  | "interrupted" // by SIGINT
  | "terminated"; // by SIGTERM

/** Maps a store's failure to a command's exit. */
export const failureCodes: Readonly<Record<StoreErrorCode, FailureCode>> = {
  locked: "busy",
  conflict: "busy",
  torn: "busy",
  overtaken: "bad-data",
  malformed: "bad-data",
  "too-large": "bad-data",
  "not-a-file": "bad-data",
  unsupported: "bad-data",
  symlink: "bad-data",
  "foreign-owner": "permission",
  permission: "permission",
  "no-space": "general",
  io: "general",
};

/** A failure that a person reads: what happened, and what to do next. */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly hint: string | null;

  constructor(code: FailureCode, message: string, hint: string | null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "Failure";
    this.code = code;
    this.hint = hint;
  }
}
