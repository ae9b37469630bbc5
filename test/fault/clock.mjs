// Preloaded into a program: at SIGUSR2 its clock is set to be off by as many ms as the file `offset` in its home says.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const { now } = Date;
let offsetMs = 0;

class SetDate extends Date {
  constructor(...parts) {
    super(...(parts.length === 0 ? [now() + offsetMs] : parts));
  }

  static now() {
    return now() + offsetMs;
  }
}

globalThis.Date = SetDate;
process.on("SIGUSR2", () => {
  offsetMs = Number(readFileSync(join(process.env.HOME, "offset"), "utf8"));
});
