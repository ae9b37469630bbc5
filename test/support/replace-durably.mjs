import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Replaces a file as OpenClaw does from 2026.4.5 on, and nothing else.
 *
 * @param {string} path @param {string} temporary a name in the same directory @param {string} text
 */
export function replaceDurably(path, temporary, text) {
  const file = openSync(temporary, "w", 0o600);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, path);
  const directory = openSync(dirname(path), "r");
  fsyncSync(directory);
  closeSync(directory);
}
