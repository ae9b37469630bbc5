/**
 * A piece of a credential that must never be printed.
 *
 * Every way of turning it into text gives `[secret]`; only `stores/` and the fingerprint call {@link Secret.reveal}.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself; for writing it into a store or fingerprinting it, never for output. */
  reveal(): string {
    return this.#text;
  }

  /** Compares in a time that depends on the lengths alone. */
  equals(other: Secret): boolean {
    const [left, right] = [this.#text, other.#text];
    let difference = left.length ^ right.length;
    for (let index = 0; index < left.length; index++) {
      difference |= left.charCodeAt(index) ^ right.charCodeAt(index % (right.length || 1));
    }
    return difference === 0;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  /** The text for `console.log` and `util.inspect` (by the registered symbol, so that no `node:` import is needed). */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}

/** A reference to a secret outside the store (a variable, a file, a command); it is not a secret itself. */
export class SecretReference {
  /** As the store has it, in one spelling: equal references, equal texts. */
  readonly json: string;

  constructor(json: string) {
    this.json = json;
  }
}
