// Switches every agent to a profile with the program's own transaction, and kills itself right before its n-th effect.
//   node switch-child.mjs PROFILE STEP [STORE]     prints how many effects there were, if it lives
// STORE: the one that cannot be written, so that the transaction must undo the others.
import process from "node:process";
import { compose } from "../../build/app/compose.js";
import { readHosts } from "../../build/app/hosts.js";
import { systemEnvironment } from "../../build/app/system.js";
import { loadConfig } from "../../build/config/load.js";
import { StoreError } from "../../build/domain/errors.js";
import { planSwitch } from "../../build/domain/switch.js";
import { recordOf, runSwitch } from "../../build/reconcile/transaction.js";

/* global AbortController */
const [profile, step, broken] = process.argv.slice(2);
let effects = 0;

/** A crash is no exception: nothing is tidied up. */
const counted = (name, action) => {
  effects += 1;
  if (effects === Number(step)) {
    process.stdout.write(`${name}\n`);
    process.kill(process.pid, "SIGKILL");
  }
  return action();
};

const counting = (store) => ({
  name: store.name,
  format: store.format,
  path: store.path,
  stateDirectory: store.stateDirectory,
  readChoice: () => store.readChoice(),
  sweep: (tag) => counted(`sweep ${store.name}`, () => store.sweep(tag)),
  hold: async (changes) => {
    const release = await counted(`hold ${store.name}`, () => store.hold(changes));
    return release === null ? null : () => counted(`release ${store.name}`, release);
  },
  stage: async (...args) => {
    const staged = await counted(`stage ${store.name}`, () => store.stage(...args));
    if (staged === null) return null;
    const commit = (signal) =>
      counted(`commit ${store.name}`, () => {
        if (store.name !== broken || args[1] !== "after") return staged.commit(signal);
        throw new StoreError("permission", `cannot write ${store.path}: made to fail`, "none");
      });
    return { ...staged, commit };
  },
});

const environment = systemEnvironment();
const composition = await compose(await loadConfig(null, environment), environment, "write");
const { journal } = composition;
const countingJournal = {
  write: (record) => counted(`journal ${record.phase}`, () => journal.write(record)),
  list: () => journal.list(),
  drop: (id) => counted("drop the journal", () => journal.drop(id)),
};

await composition.lock.withLock(new AbortController().signal, async () => {
  const [{ host, stores }] = await readHosts(composition, () => true, [], await composition.takeInventory());
  const request = {
    provider: "anthropic",
    profile,
    from: null,
    removeStale: true,
    skipMissing: false,
    copyFrom: null,
    copyOauth: false,
  };
  const plan = planSwitch(host, request, Date.now());
  if (plan instanceof Error) throw plan;
  const parts = plan.stores.map(({ store, changes, relied }) => ({
    store: counting(stores.get(store)),
    revision: host.agents.find((agent) => agent.store === store).choice.revision,
    changes,
    relied: relied === null ? null : { profile: relied.id, image: relied.image() },
  }));
  const record = recordOf({ id: "crash-test", at: Date.now(), provider: "anthropic", profile, donor: null }, parts);
  const ports = {
    journal: countingJournal,
    clock: environment.clock,
    random: Math.random,
    renewed: (image) => Promise.resolve(image),
  };
  const { committed } = await runSwitch(record, parts, ports, new AbortController().signal);
  process.stdout.write(`${JSON.stringify({ committed, effects })}\n`);
});
