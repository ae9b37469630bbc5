import process from "node:process";

/** Opens a database as another program would. @param {string} path */
export async function openDatabase(path) {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite") ?? (await import("@photostructure/sqlite"));
  return new DatabaseSync(path);
}
