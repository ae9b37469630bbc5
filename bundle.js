// Puts what tsc left in build/ into dist/, in few files and with the used parts of some packages: less memory, an earlier start.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { sbomOf } from "./sbom.js";

/** Packages that stay outside of the bundle and are loaded from node_modules; of all others the used parts go into it. */
const OUTSIDE = [
  // Has a binary for each system, which it looks for beside itself.
  "@photostructure/sqlite",
  // Looks for its own files beside itself, too.
  "pino",
  // The daemon alone loads it, once.
  "systemd-notify",
];

/** The packages of which the bundle has a part, by their directories. */
const bundled = new Map();

const program = await rolldown({
  input: { "cli/main": "build/cli/main.js" },
  platform: "node",
  external: (id, importer) =>
    !isUnused(id, importer) && (builtinModules.includes(id) || id.startsWith("node:") || OUTSIDE.includes(id)),
  // Their modules for `import`, of which only what is used is taken.
  resolve: { mainFields: ["module", "main"] },
  plugins: [withoutUnused(), sourceMaps(), thirdPartyNotices()],
});
await program.write({
  dir: "dist",
  cleanDir: true,
  // The runtime starts these earlier than modules, each of which it loads in several turns.
  format: "cjs",
  comments: false,
  sourcemap: true,
  entryFileNames: "[name].js",
  // The demo looks for main.js beside itself.
  chunkFileNames: "cli/[name].js",
});
await program.close();
// The package's own source consists of ES modules; the bundle does not.
writeFileSync("dist/package.json", '{ "type": "commonjs" }\n');
const sbom = sbomOf(new Set([...bundled.values()].map(({ name, version }) => `${name}@${version}`)));
writeFileSync("dist/sbom.cdx.json", `${JSON.stringify(sbom, null, 2)}\n`);

/**
 * Checks for the module that commander loads to start commands as programs of their own. credsyncd has none, and loading it would
 * take a tenth of the time of `credsyncd --version`.
 */
function isUnused(id, importer) {
  return id === "node:child_process" && /[\\/]node_modules[\\/]commander[\\/]/.test(importer ?? "");
}

function withoutUnused() {
  const nothing = "\0nothing";
  return {
    name: "without-unused",
    resolveId: (id, importer) => (isUnused(id, importer) ? nothing : null),
    load: (id) => (id === nothing ? "export {};" : null),
  };
}

/** Hands the maps that tsc made on, so that those of the bundle lead to the source. */
function sourceMaps() {
  return {
    name: "source-maps",
    load(id) {
      if (!id.endsWith(".js") || !existsSync(`${id}.map`) || id.includes("node_modules")) return null;
      return { code: readFileSync(id, "utf8"), map: JSON.parse(readFileSync(`${id}.map`, "utf8")) };
    },
  };
}

/** The licences of the bundled packages, which ask to be passed on with them. */
function thirdPartyNotices() {
  return {
    name: "third-party-notices",
    generateBundle(_, bundle) {
      for (const { moduleIds = [] } of Object.values(bundle)) moduleIds.forEach(noteBundled);
      const notices = [...bundled].sort().map(([directory, { name, version }]) => {
        const licence = readdirSync(directory).find((file) => /^licen[cs]e/i.test(file));
        if (licence === undefined) throw new Error(`${name} has no licence file to pass on`);
        return `${name} ${version}\n\n${readFileSync(join(directory, licence), "utf8").trim()}\n`;
      });
      this.emitFile({ type: "asset", fileName: "THIRD-PARTY-NOTICES.txt", source: notices.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

function noteBundled(module) {
  const directory = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(module)?.[0];
  if (directory === undefined || bundled.has(directory)) return;
  const { name, version } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  bundled.set(directory, { name, version });
}
