import type { ChoicePlace, ChoiceStore } from "../domain/choice.js";
import type { StoreError } from "../domain/errors.js";
import type { CredentialStore, StoreDescription } from "../domain/store.js";

/** The format of what is not opened. */
export const UNREACHABLE = "openclaw";

/** A store that was named and cannot be opened; every use of it says why. */
export function unreachableStore(description: Omit<StoreDescription, "format">, error: StoreError): CredentialStore {
  const fail = (): Promise<never> => Promise.reject(error);
  return { ...description, format: UNREACHABLE, read: fail, write: fail, restore: fail, readActive: fail };
}

/** The same, as something that uses profiles. */
export function unreachableChoice(place: Omit<ChoicePlace, "format">, error: StoreError): ChoiceStore {
  const fail = (): Promise<never> => Promise.reject(error);
  return { ...place, format: UNREACHABLE, readChoice: fail, stage: fail, hold: fail, sweep: fail };
}
