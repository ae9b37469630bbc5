// Puts what tsc left in build/ into dist/, in few files and with the used parts of some packages: less memory, an earlier start.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { rolldown } from "rolldown";

/** Packages that are installed beside the program; of all others what is used becomes a part of it. */
const INSTALLED = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).dependencies);

const program = await rolldown({
  input: { "cli/main": "build/cli/main.js" },
  platform: "node",
  external: (id, importer) =>
    !isUnused(id, importer) && (builtinModules.includes(id) || id.startsWith("node:") || INSTALLED.includes(id)),
  // Their modules for `import`, of which only what is used is taken.
  resolve: { mainFields: ["module", "main"] },
  plugins: [withoutUnused(), thirdPartyNotices()],
});
await program.write({
  dir: "dist",
  cleanDir: true,
  // The runtime starts these earlier than modules, each of which it loads in several turns.
  format: "cjs",
  comments: false,
  entryFileNames: "[name].js",
  // The demo looks for main.js beside itself.
  chunkFileNames: "cli/[name].js",
});
await program.close();
// What is said of the package's own source does not hold for what is made of it.
writeFileSync("dist/package.json", '{ "type": "commonjs" }\n');

/**
 * What commander loads to start commands that are programs of their own, of which there are none: it would take a tenth of the
 * time of `credsyncd --version`.
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

/** The licences of what is put into the program, which ask to be passed on with it. */
function thirdPartyNotices() {
  return {
    name: "third-party-notices",
    generateBundle(_, bundle) {
      const packages = new Set();
      for (const { moduleIds = [] } of Object.values(bundle)) {
        for (const id of moduleIds) {
          const match = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id);
          if (match !== null) packages.add(match[0]);
        }
      }
      const notices = [...packages].sort().map((directory) => {
        const { name, version } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
        const licence = readdirSync(directory).find((file) => /^licen[cs]e/i.test(file));
        if (licence === undefined) throw new Error(`${name} has no licence file to pass on`);
        return `${name} ${version}\n\n${readFileSync(join(directory, licence), "utf8").trim()}\n`;
      });
      this.emitFile({ type: "asset", fileName: "THIRD-PARTY-NOTICES.txt", source: notices.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}
