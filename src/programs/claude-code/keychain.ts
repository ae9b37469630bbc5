import { createHash } from "node:crypto";
import { userInfo } from "node:os";
import { join } from "node:path";
import { StoreError } from "../../domain/errors.js";
import type { StoreName } from "../../domain/store.js";
import { decodeText, type RegularFile } from "../../io/regular-file.js";
import { revisionOf } from "../../io/revision.js";
import { runCommand, type CommandOutcome } from "../../io/run-command.js";
import { ClaudeCodeStore, type ClaudeDirectories } from "./store.js";
import { variable, type Environment } from "../environment.js";

/** Claude Code itself gives the program as long. */
const TIMEOUT_MS = 2000;
/** `security` reads no longer line; Claude Code then puts the login into the arguments, where everyone can see it. */
const MAX_LINE_BYTES = 4032;
/** Exit codes of `security`: no such item, and no interaction allowed because the keychain is locked. */
const NO_ITEM = 44;
const LOCKED = 36;

/** How the identity of what is read from a keychain begins. */
export const KEYCHAIN = "keychain:";

/** The name of Claude Code's item. */
export interface KeychainItem {
  readonly service: string;
  readonly account: string;
}

/**
 * Returns the item of a Claude Code directory, by Claude Code's own rules. The name of a directory that is not the default one
 * ends with the start of a hash of its path, as it was given.
 *
 * @param directory as `CLAUDE_SECURESTORAGE_CONFIG_DIR` or `CLAUDE_CONFIG_DIR` has it; null for the default
 */
export function keychainItem(directory: string | null, user: string): KeychainItem {
  const hash = directory === null ? "" : `-${createHash("sha256").update(directory.normalize("NFC")).digest("hex").slice(0, 8)}`;
  return { service: `Claude Code-credentials${hash}`, account: /^[a-zA-Z0-9._-]+$/.test(user) ? user : "claude-code-user" };
}

/** The directory that names the item: null where Claude Code uses its default one. */
export function keychainDirectory(environment: Environment): string | null {
  const storage = environment.variables["CLAUDE_SECURESTORAGE_CONFIG_DIR"];
  return storage === undefined ? variable(environment, "CLAUDE_CONFIG_DIR") : storage.trim() || null;
}

/**
 * Claude Code's login on a Mac: an item of the login keychain, or the file if there is no item.
 *
 * A running Claude Code reads the item again after 30 s, or as soon as the server refuses its token.
 */
export class ClaudeKeychainStore extends ClaudeCodeStore {
  readonly #item: KeychainItem;
  readonly #surroundings: Environment;
  /** Its change tells that some item changed. */
  readonly #database: string;
  #seen: { readonly revision: string; readonly at: number } | null = null;

  constructor(name: StoreName, directories: ClaudeDirectories, directory: string | null, environment: Environment) {
    super(name, directories, environment);
    this.#item = keychainItem(directory, variable(environment, "USER") ?? userInfo().username);
    this.#surroundings = environment;
    this.#database = join(environment.home, "Library", "Keychains", "login.keychain-db");
  }

  protected override watched(): readonly string[] {
    return [this.#database];
  }

  protected override async load(): Promise<RegularFile | null> {
    const text = await this.#find();
    if (text === null) return super.load();
    const revision = revisionOf(text);
    // An item has no time of its own that can be asked for without a prompt.
    if (this.#seen?.revision !== revision) this.#seen = { revision, at: this.#surroundings.clock.now() };
    const { service, account } = this.#item;
    return {
      text,
      realPath: this.path,
      identity: `${KEYCHAIN}${service}:${account}`,
      bytes: Buffer.byteLength(text),
      mode: 0o600,
      changedAt: this.#seen.at,
    };
  }

  protected override async save(text: string, before: RegularFile | null, isStillOurs: () => boolean): Promise<boolean> {
    const item = await this.#find();
    // Without an item Claude Code reads the file, and would prefer an item that appears to it.
    if (item === null) return super.save(text, before, isStillOurs);
    if (before === null || item !== before.text || !isStillOurs()) return false;
    await this.#put(text);
    return true;
  }

  /** @returns null where there is no item */
  async #find(): Promise<string | null> {
    const { service, account } = this.#item;
    const outcome = await this.#security(["find-generic-password", "-a", account, "-w", "-s", service], "");
    if (outcome.kind === "failed" && outcome.exitCode === NO_ITEM) return null;
    if (outcome.kind !== "done") throw this.#failure(outcome, "read");
    const text = outcome.output.replace(/\n$/, "");
    // `security` prints anything but plain text as hexadecimal bytes.
    return /^(?:[0-9a-f]{2})+$/i.test(text) ? decodeText(Buffer.from(text, "hex"), `the keychain item ${service}`) : text;
  }

  async #put(text: string): Promise<void> {
    const { service, account } = this.#item;
    const bytes = Buffer.from(text, "utf8").toString("hex");
    const line = `add-generic-password -U -a "${account}" -s "${service}" -X "${bytes}"\n`;
    if (Buffer.byteLength(line) > MAX_LINE_BYTES) {
      throw new StoreError(
        "unsupported",
        `the keychain item ${service} is too long to be written without showing it to other programs`,
        "sign in again with Claude Code, or remove logins of MCP servers that are not used",
      );
    }
    const outcome = await this.#security(["-i"], line);
    if (outcome.kind !== "done") throw this.#failure(outcome, "write");
    // In this mode a refused command does not always end the program with a failure.
    if ((await this.#find()) !== text) throw this.#failure({ kind: "failed", exitCode: null, output: "" }, "write");
  }

  #security(args: readonly string[], input: string): Promise<CommandOutcome> {
    const { variables } = this.#surroundings;
    return runCommand(["security", ...args], { timeoutMs: TIMEOUT_MS, variables, input }, new AbortController().signal);
  }

  /** Describes a failure of `security` without its output, which may quote its input. */
  #failure(outcome: Exclude<CommandOutcome, { kind: "done" }>, action: "read" | "write"): StoreError {
    const item = `the keychain item ${this.#item.service}`;
    if (outcome.kind === "not-found")
      return new StoreError("permission", `cannot ${action} ${item}: there is no program security`, "put /usr/bin on the PATH");
    if (outcome.kind === "timed-out" || outcome.exitCode === LOCKED)
      return new StoreError(
        "locked",
        `cannot ${action} ${item}: the keychain is locked, or asks a person`,
        "unlock it: security unlock-keychain; it is tried again by itself",
      );
    const code = outcome.exitCode === null ? "" : `, exit code ${String(outcome.exitCode)}`;
    return new StoreError("io", `cannot ${action} ${item}: security failed${code}`, "it is tried again by itself");
  }
}
