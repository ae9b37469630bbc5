import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endOf, SIGN_IN_END_MS } from "../support/ends.mjs";
import { contentOf, isExactly, openStore, readingOf, tokensOf } from "./stores.mjs";

/** In every ten agents: eight with files, two with a database. */
const KINDS = ["one-file", "two-files", "database", "two-files", "one-file", "two-files", "database", "one-file", "two-files"];
/** The interval of a gateway that writes its snapshot back. */
const EVERY_SNAPSHOT = 25;
/** Agents that a second program writes too, as a command beside the gateway does. */
const EVERY_SHARED = 10;

/** A throw-away home: a made-up Claude Code login, and OpenClaw agents whose stores gateways rewrite all the time. */
export class StormHome {
  generation = 1;

  /** @param {string} path @param {readonly import("./stores.mjs").Place[]} places @param {readonly (readonly string[])[]} gateways */
  constructor(path, places, gateways) {
    this.path = path;
    this.places = places;
    /** The gateways of each place. */
    this.gateways = gateways;
    this.stores = places.map(openStore);
  }

  /** @param {number} agents @param {readonly string[]} gateways @param {string} config */
  static make(agents, gateways, config) {
    const path = mkdtempSync(join(tmpdir(), "credsyncd-storm-"));
    const ids = Array.from({ length: agents }, (_, index) => `agent-${String(index).padStart(3, "0")}`);
    const places = ids.map((agent, index) => ({
      agent,
      kind: index % EVERY_SNAPSHOT === 1 ? "snapshot" : KINDS[index % KINDS.length],
      directory: join(path, ".openclaw", "agents", agent, "agent"),
    }));
    const served = places.map(({ kind }, index) => {
      const first = gateways[index % gateways.length];
      const isShared = index % EVERY_SHARED === 0 && kind !== "snapshot" && gateways.length > 1;
      return isShared ? [first, gateways[(index + 1) % gateways.length]] : [first];
    });
    const home = new StormHome(path, places, served);
    for (const directory of [".claude", ".openclaw", ".config/credsyncd"])
      mkdirSync(join(path, directory), { recursive: true, mode: 0o700 });
    writeFileSync(join(path, ".config", "credsyncd", "config.json5"), config);
    writeFileSync(join(path, ".openclaw", "openclaw.json"), JSON.stringify({ agents: { list: ids.map((id) => ({ id })) } }));
    for (const [index, store] of home.stores.entries())
      store.create(contentOf(1, Object.fromEntries(served[index].map((gateway) => [gateway, 0]))));
    home.#writeLogin();
    return home;
  }

  get login() {
    return join(this.path, ".claude", ".credentials.json");
  }

  /** The places that a gateway takes its turns on. @param {string} gateway */
  placesOf(gateway) {
    return this.places.filter((_, index) => this.gateways[index].includes(gateway));
  }

  /** Puts the next generation in the login's place, as Claude Code does. */
  rotate() {
    this.generation += 1;
    this.#writeLogin();
  }

  /** The places that do not hold the login's generation. */
  behind() {
    return this.places.filter((_, index) => generationIn(this.stores[index]) !== this.generation);
  }

  /** The places whose content is another than the login and these turns make it. @param {Record<string, Record<string, number>>} turns by gateway and agent */
  notExactly(turns) {
    return this.places.filter(({ agent }, index) => {
      const own = Object.fromEntries(this.gateways[index].map((gateway) => [gateway, turns[gateway][agent]]));
      return !isExactly(this.stores[index].read(), this.generation, own);
    });
  }

  /** The places whose gateways' turns are not all there. */
  losing(turns) {
    return this.places.filter(({ agent }, index) => {
      const found = readingOf(this.stores[index].read()).turns;
      return this.gateways[index].some((gateway) => found[gateway] !== turns[gateway][agent]);
    });
  }

  /** Locks and half-made files that nobody needs any more. */
  leftovers() {
    const names = readdirSync(join(this.path, ".openclaw"), { recursive: true });
    return names.filter(
      (name) =>
        !/(openclaw\.json|auth-profiles\.json|auth-state\.json|\.sqlite(-wal|-shm)?|agents|oauth-refresh|locks|agent|agent-\d+)$/.test(
          name,
        ),
    );
  }

  remove() {
    for (const store of this.stores) store.close();
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #writeLogin() {
    const { access, refresh } = tokensOf(this.generation);
    const login = {
      accessToken: access,
      refreshToken: refresh,
      expiresAt: endOf(this.generation),
      refreshTokenExpiresAt: SIGN_IN_END_MS,
      scopes: ["user:inference", "user:profile"],
      subscriptionType: "max",
    };
    writeFileSync(`${this.login}.new`, JSON.stringify({ claudeAiOauth: login }), { mode: 0o600 });
    renameSync(`${this.login}.new`, this.login);
  }
}

/** Null also for one that is not whole. */
function generationIn(store) {
  try {
    return readingOf(store.read()).generation;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
