import { StoreError } from "../domain/errors.js";

/**
 * Parses JSON5.
 *
 * @throws StoreError `malformed` with the line alone: the parser's message quotes the text, which may hold keys
 */
export async function parseJson5(text: string, path: string): Promise<unknown> {
  const json = asPlainJson(text);
  if (json !== undefined) return json;
  const { default: JSON5 } = await import("json5");
  try {
    return JSON5.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { lineNumber } = error as { lineNumber?: number };
    const place = lineNumber === undefined ? "" : ` at line ${String(lineNumber)}`;
    throw new StoreError(
      "malformed",
      `${path} is not JSON5${place}`,
      "check it with: openclaw doctor; the agents that it named before, or whose directories exist, are served meanwhile",
    );
  }
}

/** Reads plain JSON, which OpenClaw itself writes and the runtime reads many times faster; undefined for anything else. */
function asPlainJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
