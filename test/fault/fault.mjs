// Lets system calls of the built program fail while it pushes a rotation to five JSON and three SQLite stores, each at each
// place, at random rates, and for real; and checks the outcome: during the fault, and after it.
//   npm run fault                          everything; a table to stdout
//   npm run fault -- --out docs/faults.md  the table goes there
//   npm run fault -- --every 25 --seeds 4  only each 25th place, and four random rates: the bounded form
//   npm run fault -- --call rename --error EIO --seeds 0
// Needs strace, which injects the faults; exit code 69 where there is none.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { format } from "prettier";
import { canTrace, groupBy, ranges, threads } from "../crash/traced.mjs";
import { allFaults, FaultyDaemon, FaultySync, injectAtEach, injectAtRate, terminateAtEach } from "./injected.mjs";
import { allScenarios } from "./scenarios.mjs";

const { values: options } = parseArgs({
  options: {
    every: { type: "string", default: "1" },
    call: { type: "string" },
    error: { type: "string" },
    seeds: { type: "string", default: "60" },
    out: { type: "string" },
  },
});

const EVERY = Number(options.every);
const SEEDS = Number(options.seeds);
/** The calls at which the daemon receives SIGTERM: those that change a disk. */
const TERMINATED_AT = ["openat", "write", "pwrite64", "fsync", "link", "rename", "unlink", "mkdir"];

/** How this script is started where it may mount; null where it may not. */
function mountingCommand() {
  const ways = [["--mount"], ["--map-root-user", "--mount"]];
  return ways.find((way) => spawnSync("unshare", [...way, "true"]).status === 0) ?? null;
}

async function allOutcomes(canMount) {
  const outcomes = { injected: [], rates: [], terminated: [], scenarios: [] };
  const only = options.call !== undefined || options.error !== undefined;
  const queue = [
    ...(only ? [] : allScenarios(canMount)).map((scenario) => async () => outcomes.scenarios.push(await scenario())),
    ...allFaults(options).flatMap((fault) =>
      ["sync", "run"].map(
        (verb) => async (faulty) => outcomes.injected.push(...(await injectAtEach(faulty[verb], fault, EVERY))),
      ),
    ),
    ...Array.from({ length: SEEDS }, (_, seed) => ["sync", "run"].map((verb) => ({ seed: seed + 1, verb })))
      .flat()
      .map(
        ({ seed, verb }) =>
          async (faulty) =>
            outcomes.rates.push(await injectAtRate(faulty[verb], seed)),
      ),
    ...(only ? [] : TERMINATED_AT)
      .flatMap((call) => threads.map((thread) => ({ call, thread })))
      .map((place) => async () => outcomes.terminated.push(...(await terminateAtEach(place, EVERY)))),
  ];
  const lane = async () => {
    const faulty = { sync: await FaultySync.open(), run: await FaultyDaemon.open() };
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await next(faulty);
    faulty.sync.close();
    await faulty.run.close();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return outcomes;
}

/** Names that differ from run to run, and from agent to agent. */
function plain(text) {
  return text
    .replaceAll(/\/tmp\/credsyncd-crash-\w+/g, "~")
    .replaceAll(/agents\/\w+/g, "agents/AGENT")
    .replaceAll(/openclaw:(?!shared)\w+/g, "openclaw:AGENT")
    .replaceAll(/lock-[0-9a-f]{32}|sha256-[0-9a-f]{64}/g, "NAME")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "ID")
    .replaceAll(/(\.tmp)\.\d{6,}/g, "$1.ID")
    .replaceAll("|", "\\|");
}

function outcomeOf({ outcome, wrongs }) {
  return wrongs.length === 0 ? outcome : `**${wrongs.map(plain).join("; ")}**`;
}

function placesOf(group) {
  const byThread = groupBy(group, ({ thread }) => thread);
  return byThread.map((same) => `${same[0].thread}: ${ranges(same.map(({ index }) => index))}`).join("; ");
}

function injectedTable(outcomes) {
  const lines = ["| command | call | on | errors | thread: index | outcome |", "| --- | --- | --- | --- | --- | --- |"];
  const calls = [...new Set(allFaults({}).map(({ call }) => call))];
  const place = ({ verb, call, thread, index }) =>
    (verb === "sync" ? 0 : 1e9) + calls.indexOf(call) * 1e7 + threads.indexOf(thread) * 1e6 + index;
  const inOrder = outcomes.toSorted((left, right) => place(left) - place(right));
  // First each error on its own; then errors with the same effect at the same places become one row.
  const single = groupBy(inOrder, (each) => [each.verb, each.call, each.subject, each.error, outcomeOf(each)].join());
  const rows = groupBy(single, (group) =>
    [group[0].verb, group[0].call, group[0].subject, outcomeOf(group[0]), placesOf(group)].join(),
  );
  for (const same of rows) {
    const [{ verb, call, subject }] = same[0];
    const errors = same.map(([{ error }]) => error).join(", ");
    lines.push(`| \`${verb}\` | ${call} | ${subject} | ${errors} | ${placesOf(same[0])} | ${outcomeOf(same[0][0])} |`);
  }
  return lines.join("\n");
}

function messagesTable(outcomes) {
  const lines = ["| message | after |", "| --- | --- |"];
  const told = outcomes.flatMap(({ told: texts, call, error }) =>
    texts.map((text) => ({ text: plain(text), fault: `${call} ${error}` })),
  );
  for (const same of groupBy(told, ({ text }) => text)) {
    const byCall = groupBy([...new Set(same.map(({ fault }) => fault))], (fault) => fault.split(" ")[0]);
    const after = byCall.map((faults) => `${faults[0].split(" ")[0]} ${faults.map((fault) => fault.split(" ")[1]).join(", ")}`);
    lines.push(`| ${same[0].text} | ${after.join("; ")} |`);
  }
  return lines.join("\n");
}

function ratesTable(outcomes) {
  const lines = ["| command | seed | error | from the n-th call, every m-th | calls that failed | outcome |"];
  lines.push("| --- | --: | --- | --- | --: | --- |");
  for (const { verb, seed, error, rate, failed, ...rest } of outcomes.toSorted((left, right) => left.seed - right.seed))
    lines.push(`| \`${verb}\` | ${seed} | ${error} | ${rate} | ${failed} | ${outcomeOf(rest)} |`);
  return lines.join("\n");
}

function terminatedTable(outcomes) {
  const lines = ["| call | on | thread: index | outcome |", "| --- | --- | --- | --- |"];
  const inOrder = outcomes.toSorted((left, right) => TERMINATED_AT.indexOf(left.call) - TERMINATED_AT.indexOf(right.call));
  for (const group of groupBy(inOrder, (each) => [each.call, each.subject, outcomeOf(each)].join()))
    lines.push(`| ${group[0].call} | ${group[0].subject} | ${placesOf(group)} | ${outcomeOf(group[0])} |`);
  return lines.join("\n");
}

function scenariosTable(outcomes, canMount) {
  const lines = ["| event | outcome | messages |", "| --- | --- | --- |"];
  for (const { what, told, ...rest } of outcomes)
    lines.push(`| ${what} | ${outcomeOf(rest)} | ${[...new Set(told.map(plain))].join("; ") || "nothing"} |`);
  if (!canMount) lines.push("| a full disk | not tried: this user may not mount | |");
  lines.push(
    `| the system grants no more watches (inotify) | \`test/watch/refused.mjs\`, of \`npm test\`: the directories are polled, and it says so | |`,
  );
  return lines.join("\n");
}

function documentOf({ injected, rates, terminated, scenarios }, { summary, canMount }) {
  return `# What faults come to

Made by \`npm run fault -- ${process.argv.slice(2).join(" ")}\` (Node ${process.version}, ${process.platform}).

A login is rotated; \`sync\`, or the daemon (\`run\`), pushes it to five agents with a JSON store and three with a database, and a
fault comes in between. During and after it every store and the source are read: none is torn, and none goes back to an older
login. No output holds a part of a token. Every message names the thing, the reason and the next step. The daemon converges
without a restart; \`sync\` exits with the code for what it tells, and the next one converges. No file is left over.

${summary}.

## One call fails

strace lets one call of one thread fail without being carried out (\`main\`, or \`pool\`, which makes the calls that may wait),
one a rotation: ${EVERY === 1 ? "each index" : `each ${EVERY}th index`} whose call is about a file (of credsyncd, of a store, of the system; not of the program's own code,
whose faults are Node's to tell). Errors that come to the same at the same places share a row. "At the next event or resync":
what only a person can mend (permissions, a read-only disk) is not tried again before.

${injectedTable(injected)}

### Messages

${messagesTable(injected)}

## Many calls fail

Of both threads, of every call above but \`read\` and \`write\` (by which threads wake each other), and of \`sync\` but \`openat\`
(by which it reads its own code): from the n-th on, every m-th.

${ratesTable(rates)}

## SIGTERM at each call

A signal ends the daemon right before a call, from its start to its end.

${terminatedTable(terminated)}

## For real

${scenariosTable(scenarios, canMount)}
`;
}

const MOUNTS = "CREDSYNCD_FAULT_MOUNTS";
const way = process.env[MOUNTS] === undefined ? mountingCommand() : null;
if (!canTrace()) {
  process.stderr.write("strace is not installed: nothing was tried\n");
  process.exitCode = 69;
} else if (way !== null) {
  const again = [...way, process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  process.exitCode = spawnSync("unshare", again, { stdio: "inherit", env: { ...process.env, [MOUNTS]: "1" } }).status ?? 1;
} else {
  const canMount = process.env[MOUNTS] === "1";
  const outcomes = await allOutcomes(canMount);
  const all = Object.values(outcomes).flat();
  const bad = all.filter(({ wrongs }) => wrongs.length > 0);
  const summary = `${all.length} faults, ${bad.length} of them came to something wrong`;
  const text = documentOf(outcomes, { summary, canMount });
  if (options.out === undefined) process.stdout.write(text);
  else writeFileSync(options.out, await format(text, { parser: "markdown", printWidth: 130 }));
  for (const { verb, call, error, index, line, what, wrongs } of bad)
    process.stderr.write(`${what ?? `${verb} ${call} ${error} ${index} ${line}`}: ${wrongs.join("; ")}\n`);
  process.stderr.write(`${summary}\n`);
  process.exitCode = bad.length === 0 ? 0 : 1;
}
