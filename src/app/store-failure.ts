import { Failure, failureCodes, StoreError } from "../domain/errors.js";

/** A store's failure as the end of a command. */
export function toFailure(error: StoreError, ending: string): Failure {
  return new Failure(failureCodes[error.code], error.message, `${error.hint}; ${ending}`, error);
}

/** @throws Failure where the action fails for a store: then nothing was changed */
export async function asFailure<Result>(action: Promise<Result>): Promise<Result> {
  try {
    return await action;
  } catch (error) {
    throw error instanceof StoreError ? toFailure(error, "nothing was changed") : error;
  }
}
