import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SwitchJournalFile } from "../../src/io/switch-journal.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

test("a journal that is not there is empty; one that cannot be looked at may hold a switch, and that is told", async () => {
  const directory = join(await temporaryDirectory(), "journal");
  const journal = new SwitchJournalFile(directory);
  expect(await journal.isEmpty()).toBe(true);
  await symlink("journal", directory);
  await expect(journal.isEmpty()).rejects.toMatchObject({
    name: "Failure",
    message: expect.stringContaining(directory) as string,
    hint: expect.any(String) as string,
  });
});
