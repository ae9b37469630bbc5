import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

const WORDS = { passed: "ok", failed: "FAILED", skipped: "skipped", pending: "not run" } as const;

/** Prints, after the tests, what was seen of every version of a program: one row a version, one column a check. */
export default class TableReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const suites = modules.flatMap((module) => [...module.children.suites()]).filter(isOfVersions);
    const checks = [...new Set(suites.flatMap((suite) => [...suite.children.tests()].map(checkOf)))];
    const rows = suites.map((suite) => [suite.name, ...checks.map((check) => seenIn(suite, check))]);
    if (rows.length > 0) process.stdout.write(`\n${table([["", ...checks], ...rows])}\n`);
  }
}

/** `OpenClaw 2026.9.5 (sqlite-fenced)`. */
function isOfVersions({ name }: TestSuite): boolean {
  return /^\w+ \d\S+ \([\w-]+\)$/.test(name);
}

/** What stands before the colon. */
function checkOf({ name }: TestCase): string {
  return name.split(":")[0] ?? name;
}

function seenIn(suite: TestSuite, check: string): string {
  const test = [...suite.children.tests()].find((each) => checkOf(each) === check);
  return test === undefined ? "" : WORDS[test.result().state];
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}
