// Simulated gateways in one process, by the rules of OpenClaw: each takes turns on its agents, and every turn rewrites a store
// under its own lock, or in its own transaction. Started by `fork`; it is sent what to do, and to stop, and answers with what it
// did.
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { randomOf } from "./random.mjs";
import { LockTimeout, openStore } from "./stores.mjs";

const FAILS = 0.1;
const HOLDS_LOCK = 0.02;
const LONGEST_HOLD_MS = 300;
/** A gateway that works from a snapshot restarts after so many turns. */
const SNAPSHOT_TURNS = 20;

const [{ gateway, places, turnsPerSecond, seed }] = await once(process, "message");
process.on("disconnect", () => process.exit(1));

const random = randomOf(seed);
const agents = places.map((place) => ({ store: openStore(place), turns: 0, generation: 0, isBusy: false }));
const report = { gateway, turns: {}, failed: 0, gaveUp: 0, waitedMs: 0, backwards: [], torn: [], lost: [] };
const underWay = new Set();
let isStopping = false;

for (const { store } of agents) store.restart();
process.send({ kind: "ready" });
process.once("message", () => (isStopping = true));

for (let due = performance.now(); !isStopping;) {
  const agent = agents[Math.floor(random() * agents.length)];
  if (!agent.isBusy) start(agent);
  due = Math.max(due + 1000 / turnsPerSecond, performance.now() - 1000);
  await pause(Math.max(0, due - performance.now()));
}
await Promise.all(underWay);
for (const { store, turns } of agents) {
  report.turns[store.agent] = turns;
  store.close();
}
process.send({ kind: "report", ...report }, () => process.disconnect());

function start(agent) {
  agent.isBusy = true;
  const turn = takeTurn(agent).finally(() => {
    agent.isBusy = false;
    underWay.delete(turn);
  });
  underWay.add(turn);
}

async function takeTurn(agent) {
  const { store } = agent;
  const fails = random() < FAILS;
  const holdMs = random() < HOLDS_LOCK ? random() * LONGEST_HOLD_MS : 0;
  try {
    const { generation, waitedMs } = await store.turn({ gateway, fails, holdMs }, random);
    agent.turns += 1;
    report.failed += fails ? 1 : 0;
    report.waitedMs = Math.max(report.waitedMs, waitedMs);
    note(agent, generation);
    if (store.kind === "snapshot" && agent.turns % SNAPSHOT_TURNS === 0) restart(agent);
  } catch (error) {
    if (error instanceof LockTimeout) report.gaveUp += 1;
    else if (error instanceof SyntaxError) report.torn.push(`${store.agent} was half written under its own lock`);
    else throw error;
  }
}

function note(agent, generation) {
  const { agent: name, kind } = agent.store;
  if (generation === null) report.torn.push(`${name} held halves of two logins`);
  else if (kind !== "snapshot" && generation < agent.generation)
    report.backwards.push(`${name} went from generation ${agent.generation} to ${generation}`);
  agent.generation = generation ?? agent.generation;
}

/** Checks that its last write is there when it reads again. */
function restart({ store, turns }) {
  store.restart();
  const count = store.read().set.profiles[`openai:${gateway}`].metadata.count;
  if (count !== turns) report.lost.push(`${store.agent} counts ${count} turns of ${turns}`);
}
