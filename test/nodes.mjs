// Runs the tests on every line of Node that is supported, each on a binary that npm fetches once.
//   npm run test:nodes                                everything, on 20, 22 and 24
//   npm run test:nodes -- test/stores test/io         only these files
//   NODES=22 npm run test:nodes                       only on this line
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, URL } from "node:url";

const LINES = (process.env["NODES"] ?? "20,22,24").split(",");
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const VITEST = join(ROOT, "node_modules", "vitest", "vitest.mjs");

/**
 * The binary of a line of Node. The package `node` would fetch it with an install script; the package that it fetches
 * needs none.
 *
 * @param {string} line @returns {string}
 */
function nodeOf(line) {
  const name = `node-${process.platform}-${process.arch}`;
  const directory = join(ROOT, "node_modules", ".cache", "nodes", line);
  const binary = join(directory, "node_modules", name, "bin", "node");
  if (!existsSync(binary)) {
    const options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", directory];
    execFileSync("npm", ["install", ...options, `${name}@${line}`], { stdio: ["ignore", "ignore", "inherit"] });
  }
  return binary;
}

const failed = LINES.filter((line) => {
  const node = nodeOf(line);
  process.stderr.write(`\n${execFileSync(node, ["--version"], { encoding: "utf8" }).trim()}\n`);
  // A binary that the tests look up on the PATH is this one, too.
  const path = `${join(node, "..")}:${process.env["PATH"] ?? ""}`;
  const { status } = spawnSync(node, [VITEST, "run", ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: "inherit",
    env: { ...process.env, PATH: path },
  });
  return status !== 0;
});
if (failed.length > 0) {
  process.stderr.write(`failed on Node ${failed.join(", ")}\n`);
  process.exitCode = 1;
}
