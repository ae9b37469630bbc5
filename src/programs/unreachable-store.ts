import type { ChoicePlace, ChoiceStore } from "../domain/choice.js";
import type { StoreError } from "../domain/errors.js";
import type { Place } from "../domain/place.js";
import type { CredentialStore, StoreDescription } from "../domain/store.js";
import { placeOf } from "../io/real-path.js";

/** The format of what is not opened. */
export const UNREACHABLE = "openclaw";

/**
 * A store that was named and cannot be opened; every use of it says why.
 *
 * @param paths the files in which it may be, so that no other name leads to them
 */
export function unreachableStore(
  description: Omit<StoreDescription, "format">,
  error: StoreError,
  paths: readonly string[] = [description.path],
): CredentialStore {
  const fail = (): Promise<never> => Promise.reject(error);
  const places = (): Place[] => paths.flatMap((path) => placeOf(path) ?? []);
  return { ...description, format: UNREACHABLE, places, read: fail, write: fail, restore: fail, readActive: fail };
}

/** The same, as something that uses profiles. */
export function unreachableChoice(place: Omit<ChoicePlace, "format">, error: StoreError): ChoiceStore {
  const fail = (): Promise<never> => Promise.reject(error);
  return { ...place, format: UNREACHABLE, places: () => [], readChoice: fail, stage: fail, hold: fail, sweep: fail };
}
