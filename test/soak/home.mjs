import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { contentOf, LOGIN, openStore, tokensOf } from "../storm/stores.mjs";
import { endOf, SIGN_IN_END_MS } from "../support/ends.mjs";

const GATEWAY = "gateway";
const KINDS = ["one-file", "two-files", "database", "two-files", "one-file"];
const DAY_MS = 24 * 3_600_000;

/** A throw-away home in which months pass: a made-up login, agents that come and go, a gateway that restarts repeatedly. */
export class SoakHome {
  /** The path of each agent's login, by its name. */
  agents = new Map();
  generation = 1;
  signIns = 1;
  /** How many agents there ever were. */
  born = 0;
  #ends = new Map([[1, endOf(1)]]);
  #server = null;
  #port = 0;

  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  /** @param {number} agents */
  static async make(agents) {
    const home = new SoakHome(mkdtempSync(join(tmpdir(), "credsyncd-soak-")));
    for (const directory of [".claude", ".openclaw/agents", ".config/credsyncd", "bin"])
      mkdirSync(join(home.path, directory), { recursive: true, mode: 0o700 });
    await home.restartGateway();
    home.answerReloads(0);
    for (let index = 0; index < agents; index++) home.#add(KINDS[index % KINDS.length]);
    home.#writeAgents();
    home.#writeAccount();
    home.#writeLogin();
    return home;
  }

  /** The daemon's variables besides its home: the stand-in for OpenClaw's command comes first. */
  get variables() {
    return { PATH: `${join(this.path, "bin")}:${process.env.PATH}` };
  }

  get login() {
    return join(this.path, ".claude", ".credentials.json");
  }

  /** @param {object} config */
  configure(config) {
    this.#replace(join(this.path, ".config", "credsyncd", "config.json5"), JSON.stringify(config));
  }

  breakConfiguration() {
    this.#replace(join(this.path, ".config", "credsyncd", "config.json5"), "{ no: such, key");
  }

  /** The next generation of the sign-in. @param {number} [endsAt] epoch ms */
  rotate(endsAt) {
    this.#next(endsAt);
    this.#writeLogin();
  }

  /** A person signs in with another account: another chain begins. @param {number} endsAt epoch ms */
  signIn(endsAt) {
    this.signIns += 1;
    this.#writeAccount();
    this.rotate(endsAt);
  }

  logOut() {
    rmSync(this.login);
  }

  tear() {
    this.#replace(this.login, '{ "claudeAiOauth": { "accessToken": ');
  }

  /** Puts the login back as it was. */
  mend() {
    this.#writeLogin();
  }

  /** A gateway refreshes in one agent, under that agent's lock. */
  async refreshIn(name, random) {
    this.#next();
    await this.#rewrite(name, this.generation, random);
  }

  /** A gateway puts an older login back. */
  async revertIn(name, random) {
    await this.#rewrite(name, this.generation - 1, random);
  }

  /** A turn of the gateway on an agent. */
  async turn(name, fails, random) {
    await this.agents.get(name).store.turn({ gateway: GATEWAY, fails, holdMs: 0 }, random);
    this.agents.get(name).turns += 1;
  }

  breakStore(name) {
    this.#replace(join(this.#directoryOf(name), "auth-profiles.json"), '{ "version": 1, "profiles": nothing }');
  }

  mendStore(name) {
    const { store, turns } = this.agents.get(name);
    store.create(this.#contentOf(this.generation, turns));
  }

  /** An agent goes for good, and another comes in its place. @returns {string} the new one's name */
  replaceAgent(name) {
    const { kind } = this.agents.get(name);
    this.#remove(name);
    const added = this.#add(kind);
    this.#writeAgents();
    rmSync(join(this.path, ".openclaw", "agents", name), { recursive: true });
    return added;
  }

  /** An agent keeps its login in another way from now on, as after an upgrade, or after going back. */
  replaceKind(name, kind) {
    const { store, turns } = this.agents.get(name);
    store.close();
    const directory = this.#directoryOf(name);
    if (kind === "database") {
      const moved = openStore({ agent: name, kind, directory });
      moved.create(this.#contentOf(this.generation, turns));
      for (const file of ["auth-profiles.json", "auth-state.json"]) rmSync(join(directory, file), { force: true });
      this.agents.set(name, { kind, store: moved, turns });
      return;
    }
    rmSync(directory, { recursive: true });
    const moved = openStore({ agent: name, kind, directory });
    moved.create(this.#contentOf(this.generation, turns));
    this.agents.set(name, { kind, store: moved, turns });
  }

  namesOf(...kinds) {
    return [...this.agents].filter(([, { kind }]) => kinds.includes(kind)).map(([name]) => name);
  }

  /** The agents that do not hold the login whole, or lost a turn of their gateway. */
  behind() {
    const wrong = [];
    for (const [name, { store, turns }] of this.agents) {
      const expected = this.#contentOf(this.generation, turns);
      if (JSON.stringify(contentIn(store)?.set) !== JSON.stringify(expected.set)) wrong.push(name);
    }
    return wrong;
  }

  /** Opens the databases again, and makes it look as if another process listens. */
  async restartGateway() {
    for (const { store } of this.agents.values()) store.restart();
    if (this.#server !== null) {
      this.#server.close();
      await once(this.#server, "close");
    }
    this.#server = createServer().listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = this.#server.address().port;
  }

  /** Sets the exit code of `openclaw secrets reload` from now on. */
  answerReloads(code) {
    const path = join(this.path, "bin", "openclaw");
    writeFileSync(`${path}.new`, `#!/bin/sh\nexit ${code}\n`);
    chmodSync(`${path}.new`, 0o700);
    renameSync(`${path}.new`, path);
  }

  remove() {
    this.#server.close();
    for (const { store } of this.agents.values()) store.close();
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #next(endsAt) {
    this.generation += 1;
    this.#ends.set(this.generation, endsAt ?? endOf(this.generation));
  }

  #contentOf(generation, turns) {
    const content = contentOf(generation, { [GATEWAY]: turns });
    content.set.profiles[LOGIN].expires = this.#ends.get(generation);
    return content;
  }

  async #rewrite(name, generation, random) {
    const { store, turns } = this.agents.get(name);
    await store.replace(this.#contentOf(generation, turns), random);
  }

  #add(kind) {
    this.born += 1;
    const name = `agent-${this.born}`;
    const store = openStore({ agent: name, kind, directory: this.#directoryOf(name) });
    store.create(this.#contentOf(this.generation, 0));
    this.agents.set(name, { kind, store, turns: 0 });
    return name;
  }

  #remove(name) {
    this.agents.get(name).store.close();
    this.agents.delete(name);
  }

  #directoryOf(name) {
    return join(this.path, ".openclaw", "agents", name, "agent");
  }

  #writeAgents() {
    const config = { gateway: { port: this.#port }, agents: { list: [...this.agents.keys()].map((id) => ({ id })) } };
    this.#replace(join(this.path, ".openclaw", "openclaw.json"), JSON.stringify(config, null, 2));
  }

  #writeAccount() {
    const account = { accountUuid: `00000000-0000-4000-8000-${String(this.signIns).padStart(12, "0")}` };
    this.#replace(join(this.path, ".claude.json"), JSON.stringify({ oauthAccount: account }));
  }

  #writeLogin() {
    const { access, refresh } = tokensOf(this.generation);
    const login = {
      accessToken: access,
      refreshToken: refresh,
      expiresAt: this.#ends.get(this.generation),
      refreshTokenExpiresAt: SIGN_IN_END_MS + this.signIns * DAY_MS,
      scopes: ["user:inference", "user:profile"],
    };
    this.#replace(this.login, JSON.stringify({ claudeAiOauth: login }));
  }

  #replace(path, text) {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}

/** Null where it is not whole. */
function contentIn(store) {
  try {
    return store.read();
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
