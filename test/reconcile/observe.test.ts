import { expect, test } from "vitest";
import { readRegularFile, type FileReader } from "../../src/io/regular-file.js";
import { composeIn, environmentOf } from "../support/composed-daemon.js";
import { replace, TemporaryHome } from "../support/temporary-home.js";

const LOGIN = "anthropic:default";

test("a place that is source and target is read once, so that no commit between two reads is overwritten unseen", async () => {
  const home = await TemporaryHome.create({ generation: null });
  await home.configureAgents(["main", "work"]);
  await home.writeConfig(`{ source: { kind: "openclaw", profile: "${LOGIN}" } }`);
  // A profile of the source's own store that follows, too, under another id.
  const mine = { [LOGIN]: login(1), "anthropic:copy": login(1) };
  await write(home, "main", mine);
  await write(home, "work", { [LOGIN]: login(1) });
  const reads: string[] = [];
  let onRead: () => Promise<void> = () => Promise.resolve();
  const files: FileReader = {
    async read(path) {
      const file = await readRegularFile(path);
      if (path === home.storeFile("main")) {
        reads.push(path);
        await onRead();
      }
      return file;
    },
  };
  const { reconcile } = await composeIn(home, { ...environmentOf(home), files });
  await reconcile();
  await write(home, "main", { [LOGIN]: login(2), "anthropic:copy": login(1) });
  reads.length = 0;
  // Right after the read another program signs in again under the copy's id.
  onRead = async () => {
    onRead = () => Promise.resolve();
    await write(home, "main", { [LOGIN]: login(2), "anthropic:copy": login(7) });
  };
  const { writes, adoptions } = await reconcile();
  expect(reads).toHaveLength(1);
  const main = [...writes, ...adoptions].filter(({ store }) => store === "openclaw:main");
  expect(main.map(({ error }) => error?.code)).toEqual(["conflict"]);
  expect(await home.readProfile("main", "anthropic:copy")).toEqual(login(7));

  function login(generation: number): Record<string, unknown> {
    return home.profile(generation, { fields: { provider: "anthropic" } });
  }
});

async function write(home: TemporaryHome, agent: string, profiles: Readonly<Record<string, unknown>>): Promise<void> {
  await replace(home.storeFile(agent), `${JSON.stringify({ version: 1, profiles }, null, 2)}\n`);
}
