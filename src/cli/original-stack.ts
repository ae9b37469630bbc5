import { readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { dirname, resolve } from "node:path";
import { errnoOf } from "../io/system-error.js";

/** A place in a stack trace: the path of a script, its line and its column. */
const PLACE = /(\/[^\s():]+\.js):(\d+):(\d+)/g;

/** A stack trace by the lines of the source, as far as a script's source map is there. It is read for a bug alone. */
export function originalStack(stack: string): string {
  const maps = new Map<string, SourceMap | null>();
  return stack.replaceAll(PLACE, (place, script: string, line: string, column: string) => {
    const map = maps.get(script) ?? readMap(`${script}.map`);
    maps.set(script, map);
    const origin = map?.findOrigin(Number(line), Number(column));
    if (origin === undefined || !("fileName" in origin)) return place;
    return `${resolve(dirname(script), origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`;
  });
}

function readMap(path: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(path, "utf8")) as SourceMapPayload);
  } catch (error) {
    if (errnoOf(error) !== null || error instanceof SyntaxError) return null;
    throw error;
  }
}
