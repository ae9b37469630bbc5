import { createInterface, type Interface } from "node:readline";

/** Asks on stderr and reads from stdin; where no answer comes, terminal or not, the default counts. */
export class Questioner {
  readonly #interface: Interface;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    this.#interface = createInterface({ input: process.stdin, terminal: false });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  /** @returns the answer in lower case, or the default for an empty one */
  async ask(question: string, byDefault: string): Promise<string> {
    process.stderr.write(`${question} [${byDefault}] `);
    const line = await this.#lines.next();
    if (line.done === true) process.stderr.write("\n");
    const answer = line.done === true ? "" : line.value.trim().toLowerCase();
    return answer === "" ? byDefault : answer;
  }

  close(): void {
    this.#interface.close();
  }
}
