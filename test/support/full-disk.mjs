import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

const PAGE = 4096;

/**
 * Takes all space of a small file system but so many pages.
 *
 * @param {string} path of the file that takes it
 * @param {number} freePages
 */
export function fillDisk(path, freePages) {
  const filler = openSync(path, "w");
  const page = new Uint8Array(PAGE).fill(120);
  let pages = 0;
  try {
    while (writeSync(filler, page) === PAGE) pages += 1;
  } catch (error) {
    if (error.code !== "ENOSPC") throw error;
  }
  ftruncateSync(filler, (pages - freePages) * PAGE);
  closeSync(filler);
}
