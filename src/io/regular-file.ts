import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, statSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { StoreError } from "../domain/errors.js";
import { isAbsent, toStoreError } from "./system-error.js";
import { shellWord } from "../domain/shell-word.js";

/** Far above any real credential file, far below what would hurt. */
const MAX_BYTES = 4 * 1024 * 1024;

/** The number of reads after which a program that writes the file in place has finished, or is reported. */
const MAX_READS = 5;

/**
 * A program that writes in place empties the file first. ext4 shows it as empty before it gives it a new time, and waits
 * for the disk in between, so that an old empty file may be one that is about to be written.
 */
const EMPTY_FOR_MS = 500;
const EMPTY_POLL_MS = 20;

export interface RegularFile {
  readonly text: string;
  /** Its real path, behind symbolic links. */
  readonly realPath: string;
  readonly identity: string;
  readonly bytes: number;
  readonly mode: number;
  /** Epoch ms. */
  readonly changedAt: number;
}

/**
 * Reads a small text file that belongs to this user.
 *
 * The parts of its result belong together: it reads a file again that changes during the read.
 *
 * @param check throws for a file that must not be read; by default for another user's
 * @returns null if nothing is there
 * @throws StoreError for a device or pipe, another owner, too many bytes, bytes that are no UTF-8, or a failed read; `torn` if
 *   another program writes it all the time
 */
export async function readRegularFile(
  path: string,
  maxBytes = MAX_BYTES,
  check: (path: string, stat: Stats) => void = ofThisUser,
): Promise<RegularFile | null> {
  for (let waitedMs = 0; ; waitedMs += EMPTY_POLL_MS) {
    // Handing each call of a small read to the thread pool takes longer than the whole read, and there are hundreds.
    const file = readNow(path, maxBytes, check);
    if (file?.bytes !== 0 || waitedMs >= EMPTY_FOR_MS) return file;
    await setTimeout(EMPTY_POLL_MS);
  }
}

/** Reads small text files. */
export interface FileReader {
  /** @returns and throws what `readRegularFile` does */
  read(path: string): Promise<RegularFile | null>;
}

/** Reads each file once a scan, so that the parts of the program that ask for it agree on its content. */
export class FilesOfALook implements FileReader {
  readonly #read = new Map<string, RegularFile | null>();

  async read(path: string): Promise<RegularFile | null> {
    const before = this.#read.get(path);
    if (before !== undefined) return before;
    const file = await readRegularFile(path);
    this.#read.set(path, file);
    return file;
  }

  /** Forgets everything; for use before the next scan. */
  forget(): void {
    this.#read.clear();
  }
}

function ofThisUser(path: string, { uid }: Stats): void {
  refuseForeignOwner(path, uid);
}

function readNow(path: string, maxBytes: number, check: (path: string, stat: Stats) => void): RegularFile | null {
  const file = readRegularBytes(path, maxBytes, (stat) => {
    check(path, stat);
  });
  if (file === null) return null;
  const { bytes, stat } = file;
  try {
    return {
      text: decodeText(bytes, path),
      realPath: realpathSync.native(path),
      identity: identityOf(stat),
      bytes: stat.size,
      mode: stat.mode,
      changedAt: stat.mtimeMs,
    };
  } catch (error) {
    if (isAbsent(error)) return null;
    throw toStoreError(error, path, "read");
  }
}

/** A file's bytes, and what the system says of them. */
export interface RegularBytes {
  readonly bytes: Buffer;
  readonly stat: Stats;
}

/**
 * Reads a file that may be anyone's, without waiting for anything.
 *
 * @param check is asked before anything is read, and throws where it must not be
 * @returns null where nothing is there
 * @throws StoreError for a device or pipe, too many bytes or a failed read; `torn` where another program writes it all the time
 */
export function readRegularBytes(
  path: string,
  maxBytes: number,
  check: (stat: Stats) => void = () => undefined,
): RegularBytes | null {
  try {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return readWhole(descriptor, path, maxBytes, check);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (isAbsent(error)) return null;
    throw toStoreError(error, path, "read");
  }
}

function readWhole(descriptor: number, path: string, maxBytes: number, check: (stat: Stats) => void): RegularBytes {
  for (let attempt = 1; attempt <= MAX_READS; attempt++) {
    const file = readOnce(descriptor, path, maxBytes, check);
    if (file !== null) return file;
  }
  throw new StoreError("torn", `${path} is being written`, "it is read again in a moment");
}

/** @returns null where the file changed meanwhile */
function readOnce(descriptor: number, path: string, maxBytes: number, check: (stat: Stats) => void): RegularBytes | null {
  const stat = fstatSync(descriptor);
  if (!stat.isFile())
    throw new StoreError("not-a-file", `${path} is not a regular file`, "put the program's own file there, or move it away");
  check(stat);
  if (stat.size > maxBytes) {
    const hint = "nothing makes it that large: move it away, then sign in again or restore it";
    throw new StoreError("too-large", `${path} has ${String(stat.size)} bytes, more than ${String(maxBytes)}`, hint);
  }
  const bytes = Buffer.allocUnsafe(stat.size);
  const length = readSync(descriptor, bytes, 0, stat.size, 0);
  if (length < stat.size || !hasSameContent(fstatSync(descriptor), stat.mtimeMs, stat.size)) return null;
  return { bytes, stat };
}

/**
 * Checks whether something is at a path, behind links.
 *
 * @throws StoreError if that is unknown, which is not the same as absent
 */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw toStoreError(error, path, "read");
  }
}

/** Checks whether a file's content is a text, byte for byte. @throws StoreError as `readRegularBytes` does */
export function holdsText(path: string, text: string): boolean {
  return readRegularBytes(path, MAX_BYTES)?.bytes.equals(Buffer.from(text)) === true;
}

/** Checks whether a file was neither replaced nor written since it was read; null: still absent. */
export function isUnchanged(path: string, file: RegularFile | null): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || file === null) return stat === undefined && file === null;
  return identityOf(stat) === file.identity && hasSameContent(stat, file.changedAt, file.bytes);
}

function hasSameContent(stat: Stats, changedAt: number, bytes: number): boolean {
  return stat.mtimeMs === changedAt && stat.size === bytes;
}

/** Tells the same file under two names apart from two files. */
export function identityOf({ dev, ino }: Pick<Stats, "dev" | "ino">): string {
  return `${String(dev)}:${String(ino)}`;
}

/** Refuses another user's directory: its owner may replace any file in it, also by a link. Directories of the system are fine. */
export function refuseForeignDirectory(path: string): void {
  const directory = dirname(path);
  try {
    const uid = statSync(directory, { throwIfNoEntry: false })?.uid ?? SYSTEM;
    if (uid !== SYSTEM) refuseForeignOwner(directory, uid);
  } catch (error) {
    throw toStoreError(error, directory, "read");
  }
}

/** The user that the system's own files belong to. */
const SYSTEM = 0;

/** Another user's file is theirs: writing it would change its owner, and following it would trust them. */
export function refuseForeignOwner(path: string, uid: number): void {
  const own = process.geteuid?.();
  if (own === undefined || uid === own) return;
  throw new StoreError(
    "foreign-owner",
    `${path} belongs to user ${String(uid)}, not to user ${String(own)}`,
    uid === SYSTEM
      ? `if root left it there for this user: chown ${String(own)} ${shellWord(path)}`
      : `run credsyncd as user ${String(uid)}, whose it is`,
  );
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws StoreError `malformed` for bytes that are no UTF-8 */
export function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return strictUtf8.decode(bytes);
  } catch (error) {
    throw new StoreError("malformed", `${path} is not UTF-8 text`, "restore it, or sign in again", error);
  }
}
