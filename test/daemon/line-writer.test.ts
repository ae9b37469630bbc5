import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";

const WRITER_MODULE = new URL("../../build/daemon/line-writer.js", import.meta.url).href;
const LINES = 40_000;

/** Writes far more than is kept for a reader that stalls, says so, and writes the rest when it can. */
const program = `
  import { LineWriter } from ${JSON.stringify(WRITER_MODULE)};
  const writer = new LineWriter(process.stdout);
  writer.onDropped((lines) => writer.write("dropped " + lines + "\\n"));
  for (let line = 0; line < ${String(LINES)}; line++) writer.write(String(line).padEnd(100) + "\\n");
  process.stderr.write("written");
  await writer.flush(20_000);
  writer.write("last\\n");
  await writer.flush(20_000);`;

test("a writer waits for no reader, keeps lines in order, and says how many it dropped", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  await once(child.stderr, "data");
  const lines = (await text(child.stdout)).split("\n").slice(0, -1);
  expect(await ended).toEqual([0, null]);
  const kept = lines.filter((line) => /^\d/.test(line)).map(Number);
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, line) => line));
  expect(kept.length).toBeLessThan(LINES);
  expect(lines.slice(-2)).toEqual([`dropped ${String(LINES - kept.length)}`, "last"]);
});
