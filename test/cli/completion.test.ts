import { execFile, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { credsyncd } from "../support/command-line.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { TemporaryHome } from "../support/temporary-home.js";

const run = promisify(execFile);

async function scriptFor(shell: string): Promise<string> {
  const home = await TemporaryHome.create({ generation: null });
  const { code, stdout } = await credsyncd(home, ["completion", shell]);
  expect(code).toBe(0);
  const path = join(await temporaryDirectory(), `_credsyncd.${shell}`);
  await writeFile(path, stdout);
  return path;
}

const questions: readonly (readonly [line: readonly string[], answers: readonly string[]])[] = [
  [["serv"], ["service"]],
  [["service", "un"], ["uninstall"]],
  [["service", "uninstall", "--pu"], ["--purge"]],
  [["sync", "--dry"], ["--dry-run"]],
  [["--json", "stat"], ["status"]],
  [["completion", "--he"], ["--help"]],
];

describe("completion", () => {
  test.each(questions)("in bash, %j", async (line, answers) => {
    const script = await scriptFor("bash");
    const words = ["credsyncd", ...line];
    const ask = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _credsyncd; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run("bash", ["-c", ask, script, ...words]);
    expect(stdout.trim().split("\n")).toEqual(answers);
  });

  test.skipIf(spawnSync("fish", ["--version"]).status !== 0).each(questions)("in fish, %j", async (line, answers) => {
    const script = await scriptFor("fish");
    const { stdout } = await run("fish", ["--no-config", "-c", `source ${script}; complete -C "credsyncd ${line.join(" ")}"`]);
    const offered = stdout.trim().split("\n");
    expect(offered.map((answer) => answer.split("\t")[0])).toEqual(answers);
  });

  test("in zsh can be read", async ({ skip }) => {
    skip(spawnSync("zsh", ["--version"]).status !== 0, "there is no zsh here");
    await run("zsh", ["-n", await scriptFor("zsh")]);
  });

  test("is not there for another shell", async () => {
    const home = await TemporaryHome.create({ generation: null });
    expect(await credsyncd(home, ["completion", "tcsh"])).toEqual({
      code: 64,
      stdout: "",
      stderr: "credsyncd: error: there are completions for bash, zsh and fish, not for tcsh\n",
    });
  });
});

test("the manual tells every command, option and example of the help", async () => {
  const home = await TemporaryHome.create({ generation: null });
  const { stdout: page } = await credsyncd(home, ["man"]);
  const { stdout: help } = await credsyncd(home, ["--help"]);
  const names = [...help.matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => name ?? "").filter((name) => name !== "help");
  expect(names.length).toBeGreaterThan(8);
  expect(help).not.toMatch(/^ {2}man /m);
  const plain = page.replaceAll("\\-", "-");
  for (const name of names) {
    expect(plain).toMatch(new RegExp(`^\\.SS credsyncd ${name}\\b`, "m"));
    const { stdout } = await credsyncd(home, [name, "--help"]);
    for (const [option] of stdout.matchAll(/(?<=^ {2}(?:-\w, )?)--[a-z-]+/gm)) expect(plain).toContain(option);
    const example = /^ {2}\$ (.*)$/m.exec(stdout)?.[1];
    if (example !== undefined) expect(plain).toContain(`$ ${example}`);
  }
  // Nothing of it is taken for a request of roff's that is none.
  for (const line of page.split("\n").filter((text) => text.startsWith("."))) {
    expect(line).toMatch(/^\.(?:TH|SH|SS|PP|TP|EX|EE|B|BR|I|RI)\b/);
  }
});
