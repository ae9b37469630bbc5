import type { StoreError } from "../domain/errors.js";
import type { CredentialStore, StoreDescription } from "../domain/store.js";

/** A store that was named and cannot be opened; every use of it says why. */
export function unreachableStore(description: StoreDescription, error: StoreError): CredentialStore {
  const fail = (): Promise<never> => Promise.reject(error);
  return { ...description, read: fail, write: fail, restore: fail, readActive: fail };
}
