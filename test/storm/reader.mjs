// Reads every store, and the source, in a tight loop, and looks whether what it finds is whole. Started by `fork`; it is sent
// where they are, and to stop, and answers with what it saw.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { openStore, readingOf } from "./stores.mjs";

/** The number of findings of a kind that are reported. */
const TOLD = 5;

const [{ places, login }] = await once(process, "message");
process.on("disconnect", () => process.exit(1));

const stores = places.map((place) => ({ store: openStore(place), generation: 0 }));
const report = { reads: 0, torn: [], tornCount: 0, tornByOwner: 0, mixed: [], mixedCount: 0, backwards: [], backwardsCount: 0 };
let isStopping = false;

process.send({ kind: "ready" });
process.once("message", () => (isStopping = true));

while (!isStopping) {
  readSource();
  for (const each of stores) look(each);
  await turn();
}
process.send({ kind: "report", ...report }, () => process.disconnect());

function readSource() {
  report.reads += 1;
  const { accessToken, refreshToken } = JSON.parse(readFileSync(login, "utf8")).claudeAiOauth;
  if (/\d+$/.exec(accessToken)[0] !== /\d+$/.exec(refreshToken)[0]) find("mixed", "the source holds halves of two logins");
}

function look(each) {
  const { store, generation: before } = each;
  report.reads += 1;
  const content = read(store);
  if (content === null) return;
  const { generation } = readingOf(content);
  if (generation === null) {
    find("mixed", `${store.agent} holds no whole login`);
    return;
  }
  // A gateway that puts its snapshot back does so itself.
  if (store.kind !== "snapshot" && generation < before)
    find("backwards", `${store.agent} went from generation ${before} to ${generation}`);
  each.generation = generation;
}

function read(store) {
  try {
    return store.read();
  } catch (error) {
    // A store that its program writes in place, without a rename, is half written now and then.
    if (store.kind === "snapshot") report.tornByOwner += 1;
    else find("torn", `${store.agent}: ${error.code ?? error.name}`);
    return null;
  }
}

function find(kind, what) {
  report[`${kind}Count`] += 1;
  if (report[kind].length < TOLD) report[kind].push(what);
}
