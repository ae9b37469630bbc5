import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}

interface Component {
  readonly name: string;
  readonly version: string;
  readonly licenses?: readonly unknown[];
  readonly properties: readonly { readonly name: string; readonly value: string }[];
}

interface Sbom {
  readonly specVersion: string;
  readonly metadata: { readonly component: { readonly name: string; readonly version: string } };
  readonly components: readonly Component[];
}

const { dependencies } = readJson("package.json") as Manifest;
const sbom = readJson("dist/sbom.cdx.json") as Sbom;

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function readJson(path: string): unknown {
  return JSON.parse(read(path));
}

/** The packages that the files below a directory import or require. */
function importedBelow(directory: string, extension: string): string[] {
  const files = readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" });
  const texts = files.filter((name) => name.endsWith(extension)).map((name) => read(join(directory, name)));
  const specifiers = texts.flatMap((text) =>
    [...text.matchAll(/(?:\bfrom |\bimport |\bimport\(|\brequire\()"([^"]+)"/g)].map(([, specifier]) => specifier ?? ""),
  );
  const names = specifiers
    .filter((specifier) => !/^(?:\.|node:)/.test(specifier) && !builtinModules.includes(specifier))
    .map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? "");
  return [...new Set(names)].sort();
}

/** `name version` of every package of which the bundle has a part. */
const bundled = read("dist/THIRD-PARTY-NOTICES.txt")
  .split(`\n${"-".repeat(80)}\n\n`)
  .map((notice) => notice.slice(0, notice.indexOf("\n")));

function componentsLoadedFrom(place: string): string[] {
  return sbom.components
    .filter(({ properties }) => properties.some(({ name, value }) => name === "credsyncd:loadedFrom" && value === place))
    .map(({ name, version }) => `${name} ${version}`);
}

describe("the dependencies", () => {
  test("have every package that the source imports", () => {
    expect(importedBelow("src", ".ts").filter((name) => dependencies[name] === undefined)).toEqual([]);
  });

  test("are exact, and nothing else than the source imports", () => {
    expect(Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
    expect(importedBelow("src", ".ts")).toEqual(Object.keys(dependencies).sort());
  });

  test("that the bundle has no part of are what it requires when it runs", () => {
    const names = bundled.map((notice) => notice.slice(0, notice.lastIndexOf(" ")));
    const outside = Object.keys(dependencies).filter((name) => !names.includes(name));
    expect(importedBelow("dist", ".js")).toEqual(outside.sort());
  });
});

describe("the bill of materials", () => {
  test("is one of CycloneDX about this version", () => {
    const { name, version } = readJson("package.json") as { name: string; version: string };
    expect(sbom.specVersion).toMatch(/^1\./);
    expect(sbom.metadata.component).toMatchObject({ name, version });
  });

  test("has each package of which the bundle has a part, and no other as such", () => {
    expect(componentsLoadedFrom("dist").sort()).toEqual([...bundled].sort());
  });

  test("has what is loaded from beside the bundle", () => {
    const names = componentsLoadedFrom("node_modules").map((component) => component.slice(0, component.lastIndexOf(" ")));
    expect(names).toEqual(expect.arrayContaining(importedBelow("dist", ".js")));
  });

  test("names each direct dependency in the version of package.json", () => {
    const components = sbom.components.map(({ name, version }) => [name, version]);
    expect(components).toEqual(expect.arrayContaining(Object.entries(dependencies)));
  });

  test("names a licence of everything, and nothing of the moment or the machine", () => {
    expect(sbom.components.filter(({ licenses = [] }) => licenses.length === 0)).toEqual([]);
    expect(sbom).not.toHaveProperty("serialNumber");
    expect(sbom.metadata).not.toHaveProperty("timestamp");
    expect(read("dist/sbom.cdx.json")).not.toContain(ROOT);
  });
});

describe("the source maps", () => {
  const scripts = readdirSync(join(ROOT, "dist/cli")).filter((name) => name.endsWith(".js"));

  test("are beside every script, and lead to the source", () => {
    const maps = scripts.filter((name) => existsSync(join(ROOT, "dist/cli", `${name}.map`)));
    expect(maps).toEqual(scripts);
    const { sources } = readJson("dist/cli/main.js.map") as { sources: string[] };
    expect(sources).toContain("../../src/cli/main.ts");
  });
});

describe("the packed program", () => {
  const [{ files }] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: ROOT, encoding: "utf8" }),
  ) as [{ files: { path: string; mode: number }[] }];
  const paths = files.map(({ path }) => path);

  test("has what it needs", () => {
    const needed = ["cli/main.js", "cli/main.js.map", "package.json", "credsyncd.1", "THIRD-PARTY-NOTICES.txt", "sbom.cdx.json"];
    expect(paths).toEqual(expect.arrayContaining([...needed.map((name) => `dist/${name}`), "LICENSE", "docs/rules.md"]));
    expect(files.find(({ path }) => path === "dist/cli/main.js")?.mode).toBe(0o755);
  });

  test("has no source, test or build of it", () => {
    expect(paths.filter((path) => /^(?:src|test|build|findings|node_modules)\//.test(path))).toEqual([]);
  });
});
