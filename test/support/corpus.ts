import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TemporaryHome } from "./temporary-home.js";
import { endOf } from "./temporary-home.js";

const CORPUS = fileURLToPath(new URL("../hostile/corpus/", import.meta.url));

/** The names of the files in a directory of the corpus. */
export function corpusFiles(directory: "held" | "served" | "claude"): string[] {
  return readdirSync(`${CORPUS}${directory}`).sort();
}

/** A file of the corpus, byte for byte, with the login of a generation where its marks stand. */
export function corpusFile(directory: string, name: string, home: TemporaryHome, generation: number): Buffer {
  // In Latin-1 every byte is a character, so that what is no UTF-8 stays as it is.
  const text = readFileSync(`${CORPUS}${directory}/${name}`, "latin1");
  const isWide = name.startsWith("utf-16");
  const fill = (mark: string, value: string): [string, string] => {
    const encode = (part: string): string => Buffer.from(part, isWide ? "utf16le" : "utf8").toString("latin1");
    return [encode(mark), encode(value)];
  };
  const marks = [
    fill("@access@", home.token("access", generation)),
    fill("@refresh@", home.token("refresh", generation)),
    fill("@expires@", String(endOf(generation))),
  ];
  return Buffer.from(
    marks.reduce((result, [mark, value]) => result.replaceAll(mark, value), text),
    "latin1",
  );
}
