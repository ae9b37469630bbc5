import { asFingerprint, type Fingerprint, type FingerprintOf } from "../../src/domain/generation.js";

/** Stands for the keyed fingerprint: a name that tells nothing, given in the order of asking. */
export class Names {
  readonly #names = new Map<string, Fingerprint>();
  readonly #texts: string[] = [];

  readonly fingerprintOf: FingerprintOf = (secret) => this.of(secret.reveal());

  of(text: string): Fingerprint {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    const name = asFingerprint(`f${String(this.#texts.length)}`);
    this.#names.set(text, name);
    this.#texts.push(text);
    return name;
  }

  /** Returns the text behind a name; only the judge and the trace may ask. */
  textOf(name: string): string | null {
    return this.#texts[Number(name.slice(1))] ?? null;
  }
}
