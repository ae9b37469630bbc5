import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** The imports that a layer may have besides its own. */
const allowedLayers: Readonly<Record<string, readonly string[]>> = {
  cli: ["daemon", "app", "config", "programs", "io", "reconcile", "watch", "domain"],
  daemon: ["app", "config", "programs", "io", "reconcile", "watch", "domain"],
  app: ["config", "programs", "io", "reconcile", "domain"],
  config: ["programs", "io", "domain"],
  programs: ["io", "domain"],
  io: ["domain"],
  reconcile: ["domain"],
  watch: ["domain"],
  domain: [],
};

interface SourceFile {
  /** Below src, with slashes. */
  readonly name: string;
  readonly layer: string;
  /** The specifier of every import and re-export, static or not. */
  readonly imports: readonly string[];
  /** Everything that is read as a name or `name.name`, wherever it stands in the code. */
  readonly expressions: ReadonlySet<string>;
  readonly calledMembers: ReadonlySet<string>;
  /** Every text that something is compared with, or that a case is for. */
  readonly comparedTexts: ReadonlySet<string>;
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readSource(name.replaceAll(sep, "/")))
  .sort((left, right) => left.name.localeCompare(right.name));

function readSource(name: string): SourceFile {
  const imports: string[] = [];
  const expressions = new Set<string>();
  const calledMembers = new Set<string>();
  const comparedTexts = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      if (node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) imports.push(node.moduleSpecifier.text);
      return;
    }
    if (ts.isTypeNode(node)) return;
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const specifier = node.arguments[0];
      imports.push(specifier && ts.isStringLiteral(specifier) ? specifier.text : "(computed)");
    }
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) calledMembers.add(node.expression.name.text);
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression))
      expressions.add(`${node.expression.text}.${node.name.text}`);
    if (ts.isIdentifier(node) && isRead(node)) expressions.add(node.text);
    for (const text of textsComparedBy(node)) comparedTexts.add(text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(name, readFileSync(join(SRC, name), "utf8"), ts.ScriptTarget.Latest, true));
  return { name, layer: name.slice(0, name.indexOf("/")), imports, expressions, calledMembers, comparedTexts };
}

function textsComparedBy(node: ts.Node): string[] {
  const isComparison =
    ts.isBinaryExpression(node) &&
    [ts.SyntaxKind.EqualsEqualsEqualsToken, ts.SyntaxKind.ExclamationEqualsEqualsToken].includes(node.operatorToken.kind);
  const isTest =
    ts.isCallExpression(node) &&
    ts.isPropertyAccessExpression(node.expression) &&
    ["startsWith", "endsWith", "includes"].includes(node.expression.name.text);
  const operands = isComparison
    ? [node.left, node.right]
    : isTest
      ? node.arguments
      : ts.isCaseClause(node)
        ? [node.expression]
        : [];
  return operands.flatMap((operand) => (ts.isStringLiteral(operand) ? [operand.text] : []));
}

/** Checks whether a name is a value, and not a member, a key or a declaration. */
function isRead(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  return !(ts.isPropertyAssignment(parent) && parent.name === node) && !ts.isPropertySignature(parent);
}

/** The layer that a relative import leads to; null for a package. */
function layerOf(specifier: string, from: SourceFile): string | null {
  if (!specifier.startsWith(".")) return null;
  return relative(SRC, join(SRC, dirname(from.name), specifier)).split(sep)[0] ?? "";
}

function filesIn(...layers: string[]): SourceFile[] {
  return files.filter(({ layer }) => layers.includes(layer));
}

/** The files that do something, by name. */
function namesOf(found: (file: SourceFile) => boolean, among: readonly SourceFile[] = files): string[] {
  return among.filter(found).map(({ name }) => name);
}

describe("the layers", () => {
  test("are these and no others", () => {
    expect(new Set(files.map(({ layer }) => layer))).toEqual(new Set(Object.keys(allowedLayers)));
  });

  test.each(Object.entries(allowedLayers))("%s imports nothing but itself and: %j", (layer, allowed) => {
    const strays = filesIn(layer).flatMap((file) =>
      file.imports
        .filter((specifier) => {
          const target = layerOf(specifier, file);
          return target !== null && target !== layer && !allowed.includes(target);
        })
        .map((specifier) => `${file.name} imports ${specifier}`),
    );
    expect(strays).toEqual([]);
  });

  test("meet in one place: only app/compose.ts puts the reconciler and the programs together", () => {
    const opensStores = (file: SourceFile): boolean =>
      file.imports.some(
        (specifier) =>
          layerOf(specifier, file) === "programs" && !/\/(?:environment|registry|program|gateway)\.js$/.test(specifier),
      );
    const reconciles = (file: SourceFile): boolean =>
      file.imports.some((specifier) => specifier.endsWith("reconcile/reconciler.js"));
    expect(namesOf((file) => opensStores(file) && reconciles(file))).toEqual(["app/compose.ts"]);
  });

  test("knows a program only in its folder: another program's is imported by the registry alone", () => {
    const folderOf = (path: string): string | null => /^programs\/([^/]+)\//.exec(path)?.[1] ?? null;
    const strays = filesIn("programs").flatMap((file) =>
      file.imports.flatMap((specifier) => {
        const target = specifier.startsWith(".") ? folderOf(join(dirname(file.name), specifier).replaceAll(sep, "/")) : null;
        return target === null || target === folderOf(file.name) || file.name === "programs/registry.ts"
          ? []
          : [`${file.name} imports ${specifier}`];
      }),
    );
    expect(strays).toEqual([]);
  });

  test("compare no store's or program's name outside of programs/", () => {
    const isName = (text: string): boolean => /^(?:claude-code|openclaw)(?::|$)/.test(text);
    const outside = files.filter(({ layer }) => layer !== "programs");
    expect(namesOf(({ comparedTexts }) => [...comparedTexts].some(isName), outside)).toEqual([]);
  });

  test("form no circle of files", () => {
    expect(circles()).toEqual([]);
  });
});

describe("the domain", () => {
  test("imports no package and nothing of Node", () => {
    expect(namesOf(({ imports }) => imports.some((specifier) => !specifier.startsWith(".")), filesIn("domain"))).toEqual([]);
  });

  test.each(["Date", "Math.random", "process", "setTimeout", "setInterval", "performance", "crypto", "globalThis"])(
    "does not know %s",
    (expression) => {
      expect(namesOf(({ expressions }) => expressions.has(expression), filesIn("domain"))).toEqual([]);
    },
  );
});

describe("below the commands and the daemon", () => {
  const below = filesIn("config", "programs", "io", "reconcile", "watch", "domain");

  test.each(["process.env", "Date.now", "Math.random", "homedir", "os.homedir", "process.argv", "process.stdout", "console"])(
    "%s is an argument or not there at all",
    (expression) => {
      expect(namesOf(({ expressions }) => expressions.has(expression), below)).toEqual([]);
    },
  );
});

describe("the whole program", () => {
  test("decides in one place how it ends", () => {
    const ends = (file: SourceFile): boolean => ["process.exit", "process.exitCode"].some((name) => file.expressions.has(name));
    expect(namesOf(ends)).toEqual(["cli/main.ts"]);
  });

  test("reveals a secret only where it is stored, named or compared in memory", () => {
    const revealing = namesOf(({ calledMembers }) => calledMembers.has("reveal"));
    const elsewhere = ["io/backups.ts", "io/switch-journal.ts", "io/fingerprint.ts", "reconcile/observe.ts"];
    expect(revealing.filter((name) => !name.startsWith("programs/") && !elsewhere.includes(name))).toEqual([]);
  });
});

/** Files that import each other round about, each circle once. */
function circles(): string[] {
  const found = new Set<string>();
  const done = new Set<string>();
  const byName = new Map(files.map((file) => [file.name, file]));
  const walk = (name: string, path: readonly string[]): void => {
    const start = path.indexOf(name);
    if (start >= 0) found.add([...path.slice(start), name].join(" > "));
    if (start >= 0 || done.has(name)) return;
    for (const specifier of byName.get(name)?.imports ?? []) {
      if (specifier.startsWith("."))
        walk(join(dirname(name), specifier).replaceAll(sep, "/").replace(/\.js$/, ".ts"), [...path, name]);
    }
    done.add(name);
  };
  for (const { name } of files) walk(name, []);
  return [...found];
}
