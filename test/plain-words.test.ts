import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";
import { beforeAll, describe, expect, test } from "vitest";

/** The project's own configuration, without the rules that need types. */
let eslint: ESLint;

beforeAll(() => {
  eslint = new ESLint({
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    ruleFilter: ({ ruleId }) => ruleId.startsWith("plain-words/"),
    overrideConfig: { files: ["**/*.ts"], languageOptions: { parserOptions: { projectService: false } } },
  });
});

async function findings(filePath: string, text: string): Promise<string[]> {
  const results = await eslint.lintText(text, { filePath });
  return results.flatMap(({ messages }) =>
    messages.map(({ ruleId, line, message }) => `${String(ruleId)}:${line} ${/"([^"]+)"/.exec(message)?.[1] ?? message}`),
  );
}

const SOURCE = "src/made-up/example.ts";
const TEST = "test/plain-words.test.ts";
const DOCUMENT = "made-up.md";

describe("the linter reports", () => {
  test.each([
    ["a phrase in a docstring", SOURCE, "/** Reads the file anew. */\nexport const a = 1;", "plain-words/comments:1 anew"],
    ["a phrase across lines", SOURCE, "/**\n * It is tried again and\n * again.\n */", "plain-words/comments:2 again and again"],
    ["a phrase across line comments", SOURCE, "// It retries by\n// itself.", "plain-words/comments:1 by itself"],
    ["a docstring that begins with What", SOURCE, "/** What a store has. */", "plain-words/comments:1 What"],
    ["a docstring that begins with Whether", SOURCE, "/**\n * Whether it is there.\n */", "plain-words/comments:2 Whether"],
    ["a later sentence that begins with Where", SOURCE, "// It waits. Where it fails, it ends.", "plain-words/comments:1 Where"],
    ["a phrase in a string", SOURCE, 'export const a = "it is held";', "plain-words/strings:1 is held"],
    ["a phrase in a template", SOURCE, "export const a = `${1} is told`;", "plain-words/strings:1 is told"],
    ["a phrase in a test's title", TEST, 'test("retries by itself", () => {});', "plain-words/titles:1 by itself"],
    ["a phrase in the title of test.each", TEST, 'test.each([1])("%s is told", () => {});', "plain-words/titles:1 is told"],
    ["a phrase in a describe", TEST, 'describe("a look", () => {});', "plain-words/titles:1 a look"],
    ["a phrase in a document", DOCUMENT, "The daemon\nis told of it.", "plain-words/markdown:2 is told"],
    ["a sentence of a document that begins with Who", DOCUMENT, "- **Who writes** waits.", "plain-words/markdown:1 Who"],
    ["a phrase in a table", DOCUMENT, "| a |\n| - |\n| sign in anew |", "plain-words/markdown:3 anew"],
  ])("%s", async (_, filePath, text, finding) => {
    expect(await findings(filePath, text)).toEqual([finding]);
  });
});

describe("the linter accepts", () => {
  test.each([
    [
      "plain words",
      SOURCE,
      "/** Reads the file again. Returns null if it is absent. */\nexport const a = 'a store has a login';",
    ],
    ["code in a comment", SOURCE, "/** Calls `by itself`. */"],
    ["code in a document", DOCUMENT, "Run `anew`.\n\n```sh\nanew\n```"],
    ["a heading that is no sentence", DOCUMENT, "## What is promised"],
  ])("%s", async (_, filePath, text) => {
    expect(await findings(filePath, text)).toEqual([]);
  });
});
