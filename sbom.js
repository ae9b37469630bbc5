// The software bill of materials: every package of the program, in CycloneDX, and the place that it is loaded from.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

const PROPERTY = "credsyncd:loadedFrom";

/**
 * The bill of materials of what is installed here: of the same package-lock.json it is the same on any machine at any time.
 *
 * @param {ReadonlySet<string>} bundled the packages of which the bundle has a part, as `name@version`
 */
export function sbomOf(bundled) {
  const program = JSON.parse(readFileSync("package.json", "utf8"));
  const all = inventory();
  const direct = Object.entries(program.dependencies).map(([name, version]) => `${name}@${version}`);
  const graph = new Map(all.dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  const used = reachable(direct, graph);
  const missing = [...bundled].filter((ref) => !used.has(ref));
  if (missing.length > 0) throw new Error(`bundled, and yet no dependency of the program: ${missing.join(", ")}`);
  const { metadata, components } = all;
  const root = metadata.component["bom-ref"];
  return {
    $schema: all.$schema,
    bomFormat: all.bomFormat,
    specVersion: all.specVersion,
    version: 1,
    // npm names the program after the directory of the checkout.
    metadata: { lifecycles: metadata.lifecycles, component: { ...metadata.component, name: program.name, properties: [] } },
    components: components.filter((component) => used.has(component["bom-ref"])).map((component) => placed(component, bundled)),
    dependencies: [root, ...used].map((ref) => ({ ref, dependsOn: ref === root ? direct : graph.get(ref) })),
  };
}

/** All packages that are installed. npm's own `--omit dev` also leaves out those that a development tool shares with the program. */
function inventory() {
  const options = ["sbom", "--sbom-format", "cyclonedx", "--sbom-type", "application", "--offline"];
  // The npm that runs the build, else the one on the PATH.
  const script = process.env["npm_execpath"];
  const [command, ...before] = script === undefined ? ["npm"] : [process.execPath, script];
  return JSON.parse(execFileSync(command, [...before, ...options], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }));
}

function reachable(refs, graph) {
  const found = new Set();
  const visit = (ref) => {
    if (found.has(ref)) return;
    found.add(ref);
    (graph.get(ref) ?? []).forEach(visit);
  };
  refs.forEach(visit);
  return found;
}

/** Keeps the fields that identify a component. It drops prose, which versions of npm word differently. */
function placed({ type, name, version, scope, purl, hashes, licenses, ...component }, bundled) {
  const ref = component["bom-ref"];
  return {
    "bom-ref": ref,
    type,
    name,
    version,
    scope,
    purl,
    hashes,
    licenses: licenses ?? oldLicencesOf(name),
    properties: [{ name: PROPERTY, value: bundled.has(ref) ? "dist" : "node_modules" }],
  };
}

/** The form in which packages named their licences before npm had one of its own. */
function oldLicencesOf(name) {
  const { licenses = [] } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return licenses.map(({ type }) => ({ license: { id: type } }));
}
