import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SwitchJournalFile } from "../../src/io/switch-journal.js";
import { Leftovers } from "../../src/io/temporary-file.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

test("an absent journal is empty; one that cannot be read may have a switch, and fails", async () => {
  const directory = join(await temporaryDirectory(), "journal");
  const journal = new SwitchJournalFile(directory, new Leftovers());
  expect(await journal.isEmpty()).toBe(true);
  await symlink("journal", directory);
  await expect(journal.isEmpty()).rejects.toMatchObject({
    name: "Failure",
    message: expect.stringContaining(directory) as string,
    hint: expect.any(String) as string,
  });
});

test("a journal that cannot be read for a moment is not to be moved away", async () => {
  // Nothing has a name as long, and the system says so with an error of its own.
  const journal = new SwitchJournalFile(join(await temporaryDirectory(), "x".repeat(300)), new Leftovers());
  await expect(journal.list()).rejects.toMatchObject({
    code: "general",
    hint: expect.stringMatching(/^it is tried again/) as string,
  });
});
