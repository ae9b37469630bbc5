import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

const WORDS = { passed: "ok", failed: "FAILED", skipped: "skipped", pending: "not run" } as const;

/** Prints, after the tests, what was seen of every version of a program: one row a version, one column a check. */
export default class TableReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const suites = modules.flatMap((module) => [...module.children.suites()]).filter(isOfVersions);
    const checks = [...new Set(suites.flatMap((suite) => [...suite.children.tests()].map(checkOf)))];
    const versions = [...new Set(suites.map(({ name }) => name))];
    const rows = versions.map((version) => {
      const tests = suites.filter(({ name }) => name === version).flatMap((suite) => [...suite.children.tests()]);
      return [version, ...checks.map((check) => seenIn(tests, check))];
    });
    if (rows.length > 0) process.stdout.write(`\n${table([["", ...checks], ...rows])}\n`);
  }
}

/** `OpenClaw 2026.9.5 (sqlite-fenced)`. */
function isOfVersions({ name }: TestSuite): boolean {
  return /^\w+ \d\S+ \([\w-]+\)$/.test(name);
}

/** Returns the title before the colon, without the part that depends on the version. */
function checkOf(test: TestCase): string {
  return headOf(test).replace(/ \(.*\)$/, "");
}

/** `failed mark (its row stays)`: a version without the thing that is checked has the one in the parentheses. */
function headOf({ name }: TestCase): string {
  return name.split(":")[0] ?? name;
}

/** One cell: a check may be made by several tests. */
function seenIn(all: readonly TestCase[], check: string): string {
  const tests = all.filter((test) => checkOf(test) === check);
  const states = new Set(tests.map((test) => test.result().state));
  const worst = (["failed", "pending", "skipped", "passed"] as const).find((state) => states.has(state));
  if (worst === undefined) return "";
  const instead = new Set(tests.map((test) => headOf(test).slice(check.length)));
  return `${WORDS[worst]}${[...instead].join("")}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}
