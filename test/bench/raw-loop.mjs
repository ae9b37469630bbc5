import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { replaceDurably } from "../support/replace-durably.mjs";
import { storeText } from "./home.mjs";

/** The yardstick: the same durable replace, one file after the other, with nothing around it. */
export class RawLoop {
  #generation = 1;
  #files;
  #directory;

  /** @param {number} files in a directory each, as the stores are */
  constructor(files) {
    this.#directory = mkdtempSync(join(tmpdir(), "credsyncd-bench-raw-"));
    this.#files = Array.from({ length: files }, (_, index) =>
      join(this.#directory, String(index), "agent", "auth-profiles.json"),
    );
    for (const file of this.#files) {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeFileSync(file, storeText(1), { mode: 0o600 });
    }
  }

  /** @returns {number} how long it took (ms) */
  run() {
    this.#generation += 1;
    const text = storeText(this.#generation);
    const startedAt = performance.now();
    for (const file of this.#files) replaceDurably(file, `${file}.tmp`, text);
    return performance.now() - startedAt;
  }

  remove() {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
