import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The id of a rule or an invariant; `§R1.2` is a token's name in the simulation. */
const ID = /(?<!§)\b(?:R\d+[a-c]?|I\d)\b(?!\.\d)/g;

const rules = read("docs/rules.md");
const ids = [...rules.matchAll(/^### (\S+)$/gm)].flatMap(([, heading]) => heading?.match(/^[RI]\d+[a-c]?$/) ?? []);

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** The ids that the code below a directory cites, each with one file that does. */
function citedBelow(directory: string): Map<string, string> {
  const files = readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" });
  const cited = new Map<string, string>();
  for (const file of files.filter((name) => /\.(?:ts|mjs)$/.test(name)).map((name) => join(directory, name)))
    for (const [id] of read(file).matchAll(ID)) cited.set(id, file);
  return cited;
}

describe("the rules", () => {
  const tests = citedBelow("test");

  test("each stands once", () => {
    expect(ids.length).toBeGreaterThan(20);
    expect(ids).toEqual([...new Set(ids)]);
  });

  test("each that is cited has a section", () => {
    const unknown = [...citedBelow("src"), ...tests].filter(([id]) => !ids.includes(id));
    expect(unknown).toEqual([]);
  });

  test("each is cited by a test", () => {
    expect(ids.filter((id) => !tests.has(id))).toEqual([]);
  });

  test("each reference from one to another leads to a section", () => {
    const anchors = [...rules.matchAll(/\[([^\]]+)\]\(#([^)]+)\)/g)].map(([, text = "", anchor = ""]) => ({ text, anchor }));
    expect(anchors.filter(({ text, anchor }) => !ids.includes(text) || text.toLowerCase() !== anchor)).toEqual([]);
  });

  test.each(["README.md", "ARCHITECTURE.md"])("%s links to them", (file) => {
    expect(read(file)).toContain("](docs/rules.md)");
  });
});
